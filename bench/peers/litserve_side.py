"""LitServe with the encoder, head and number format of a version of Perennial: the peer of bench/serving.py throughput.

    litserve_side.py FOLDER PORT ROWS SECONDS

FOLDER holds what the bench exported: encoder/ and tokenizer/ as transformers save them, head.safetensors and
labels.json. LitServe is given its own best options: requests of 64 texts at most in a batch, its ZeroMQ queue, and no
event to restart its worker.
"""

import json
import sys
from pathlib import Path
from typing import Any

import litserve
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer


class Classifier(litserve.LitAPI):
    """Mean of the encoder's last states, linear head, softmax: the label and its probability."""

    def setup(self, device: str) -> None:
        folder = Path(sys.argv[1])
        torch.set_num_threads(1)
        settings = json.loads((folder / "labels.json").read_text())
        self.labels, self.longest = settings["labels"], settings["max_length"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        dtype = getattr(torch, settings["dtype"])
        self.encoder = AutoModel.from_pretrained(folder / "encoder", dtype=dtype).eval()
        head = load_file(folder / "head.safetensors")
        self.weight, self.bias = head["weight"], head["bias"]

    def decode_request(self, request: dict[str, Any]) -> str:
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    @torch.inference_mode()
    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        encoded = self.tokenizer(texts, padding=True, truncation=True, max_length=self.longest, return_tensors="pt")
        states = self.encoder(**encoded).last_hidden_state.float()
        mask = encoded["attention_mask"].unsqueeze(-1)
        logits = (states * mask).sum(1) / mask.sum(1) @ self.weight.T + self.bias
        best, labels = logits.softmax(-1).max(-1)
        return [
            {"label": self.labels[label], "confidence": round(confidence, 6)}
            for label, confidence in zip(labels.tolist(), best.tolist(), strict=True)
        ]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    api = Classifier(max_batch_size=int(sys.argv[3]), batch_timeout=float(sys.argv[4]))
    server = litserve.LitServer(api, accelerator="cpu", devices=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
