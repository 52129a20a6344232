"""A server that speaks the routes of vLLM which are used, and really runs a base with adapters that peft loads.

vLLM itself needs a GPU. The routes, their bodies and their errors are those of vLLM 0.33.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.servers import free_port

BASE = "base"


@dataclass
class StandIn:
    """The server; its faults can be set while it runs."""

    folder: Path
    tokenizer: Path
    port: int = field(default_factory=free_port)
    adapters: dict[str, str] = field(default_factory=dict)
    """The path of each adapter, by its name."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Of all completions that were asked for."""
    answers_as_base: bool = False
    """Whether it takes an adapter and then leaves it out, as vLLM once did where the path was wrong."""
    seconds_per_token: float = 0.0
    longest: int = 4_096
    streams: int = 0
    """How many answers are being written."""

    def __post_init__(self) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(self.folder)
        self.words = AutoTokenizer.from_pretrained(self.tokenizer)
        self._internal: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def restart(self) -> None:
        """Lose all adapters."""
        self.adapters.clear()

    def load(self, name: str, path: str) -> Response:
        if name in self.adapters:
            return refusal(400, f"The lora adapter '{name}' has already been loaded.")
        if not (Path(path) / "adapter_config.json").exists():
            return refusal(404, f"Loading lora {name} failed: No adapter found for {path}")
        with self._lock:
            internal = f"adapter{len(self._internal)}"
            if isinstance(self.model, PeftModel):
                self.model.load_adapter(path, adapter_name=internal)
            else:
                self.model = PeftModel.from_pretrained(self.model, path, adapter_name=internal)
            self.model.eval()
            self._internal[path], self.adapters[name] = internal, path
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    def unload(self, name: str) -> Response:
        if name not in self.adapters:
            return refusal(404, f"The lora adapter '{name}' cannot be found.")
        del self.adapters[name]
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    @torch.inference_mode()
    def read(self, path: str | None, ids: list[int]) -> list[Any]:
        """Return the logarithm of the probability of each token but the first, in vLLM's form."""
        logs = self.logits(path, ids).log_softmax(-1)
        known = [{str(token): {"logprob": float(logs[at, token]), "rank": 1}} for at, token in enumerate(ids[1:])]
        return [None, *known]

    def logits(self, path: str | None, ids: list[int]) -> torch.Tensor:
        """Return what the base with an adapter, or alone, says after each token (tokens, vocabulary)."""
        given = torch.tensor([ids])
        with self._lock:
            if not isinstance(self.model, PeftModel):
                return self.model(input_ids=given).logits[0]
            if path is None or self.answers_as_base:
                with self.model.disable_adapter():
                    return self.model(input_ids=given).logits[0]
            self.model.set_adapter(self._internal[path])
            return self.model(input_ids=given).logits[0]

    @torch.inference_mode()
    def next_token(self, path: str | None, ids: list[int], body: dict[str, Any], draw: torch.Generator) -> Any:
        """Return the next token after ids, and the logarithm of its probability."""
        logits = self.logits(path, ids)[-1]
        logs = logits.log_softmax(-1)
        warm = body["temperature"]
        token = (
            int(logits.argmax()) if not warm else int(torch.multinomial((logits / warm).softmax(-1), 1, generator=draw))
        )
        return token, float(logs[token])

    async def write(self, path: str | None, body: dict[str, Any]) -> AsyncIterator[tuple[int, float, str | None]]:
        """Yield each token with the logarithm of its probability, and why it was the last."""
        ids, draw = list(body["prompt"]), torch.Generator().manual_seed(body.get("seed") or 0)
        ends = {self.words.eos_token_id, *body.get("stop_token_ids", [])}
        choice = (body.get("structured_outputs") or {}).get("choice")
        forced = [*self.words(choice[0], add_special_tokens=False).input_ids, min(ends)] if choice else []
        written: list[int] = []
        while True:
            token, log = await asyncio.to_thread(self.next_token, path, ids, body, draw)
            token = forced[len(written)] if forced else token
            ids.append(token)
            written.append(token)
            text = self.words.decode(written, skip_special_tokens=True)
            stopped = token in ends or any(stop in text for stop in body.get("stop", []))
            finish = "stop" if stopped else "length" if len(written) >= body["max_tokens"] else None
            yield token, log, finish
            if finish:
                return
            await asyncio.sleep(self.seconds_per_token)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/v1/models")
        async def models() -> Any:
            base = {
                "id": BASE,
                "object": "model",
                "root": str(self.folder),
                "parent": None,
                "max_model_len": self.longest,
            }
            added = [
                {"id": name, "object": "model", "root": path, "parent": BASE, "max_model_len": None}
                for name, path in self.adapters.items()
            ]
            return {"object": "list", "data": [base, *added]}

        @app.post("/v1/load_lora_adapter")
        async def load(request: Request) -> Response:
            body = await request.json()
            return await asyncio.to_thread(self.load, body["lora_name"], body["lora_path"])

        @app.post("/v1/unload_lora_adapter")
        async def unload(request: Request) -> Response:
            return self.unload((await request.json())["lora_name"])

        @app.post("/v1/completions")
        async def completions(request: Request) -> Response:
            body = await request.json()
            self.bodies.append(body)
            if body["model"] != BASE and body["model"] not in self.adapters:
                return refusal(404, f"The model `{body['model']}` does not exist.")
            if len(body["prompt"]) + body["max_tokens"] > self.longest:
                return refusal(400, f"This model's maximum context length is {self.longest} tokens.")
            path = self.adapters.get(body["model"])
            if body.get("stream"):
                return StreamingResponse(self.events(path, body), media_type="text/event-stream")
            tokens = [token async for token, _, _ in self.write(path, body)]
            choice = {"index": 0, "text": "", "token_ids": tokens, "finish_reason": "length"}
            if body.get("prompt_logprobs") is not None:
                choice["prompt_logprobs"] = await asyncio.to_thread(self.read, path, body["prompt"])
            return JSONResponse({"choices": [choice]})

        return app

    async def events(self, path: str | None, body: dict[str, Any]) -> AsyncIterator[bytes]:
        self.streams += 1
        try:
            async for token, log, finish in self.write(path, body):
                choice = {
                    "index": 0, "text": self.words.decode([token]), "token_ids": [token], "finish_reason": finish,
                    "logprobs": {"tokens": [str(token)], "token_logprobs": [log]},
                }  # fmt: skip
                yield f"data: {json.dumps({'object': 'text_completion', 'choices': [choice]})}\n\n".encode()
            yield b"data: [DONE]\n\n"
        finally:
            self.streams -= 1


def refusal(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "BadRequestError", "code": status}}, status)


@contextlib.contextmanager
def running(stand_in: StandIn) -> Iterator[StandIn]:
    """Run the server in a thread; it can be run again afterwards, on the same port."""
    settings = uvicorn.Config(stand_in.app(), host="127.0.0.1", port=stand_in.port, log_level="warning")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.05)
        yield stand_in
    finally:
        server.should_exit = server.force_exit = True
        thread.join(20)
