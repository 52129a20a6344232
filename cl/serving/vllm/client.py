"""The routes of a vLLM server that are used: adapters are listed, loaded and unloaded, and prompts are completed."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import httpx

from cl.config.serving import EngineSettings
from cl.errors import ConfigError, PerennialError
from cl.serving.batching.batcher import NotReadyError

CONNECT_SECONDS = 5.0
LOAD_SECONDS = 120.0
"""Longest wait for an adapter to be loaded, or for a probe to be answered."""
SHOWN = 300
"""Most characters of what the server says in an error."""


class UnreachableError(NotReadyError):
    """The vLLM server does not answer now; it may later."""


class VllmError(PerennialError):
    """The vLLM server refused a request."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Chunk:
    """What a stream has written since the last chunk: tokens with the logarithms of their probabilities.

    ``finish`` is stop or length in the last chunk, else None.
    """

    tokens: list[int]
    logs: list[float]
    finish: str | None


class VllmClient:
    """Speaks to one server; the methods that are not async may wait, and belong into a thread.

    Raises:
        ConfigError: the environment variable with the key is empty.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.url = settings.url.rstrip("/")
        headers = _authorization(settings.key)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        waiting = httpx.Timeout(LOAD_SECONDS, connect=CONNECT_SECONDS)
        streaming = httpx.Timeout(None, connect=CONNECT_SECONDS)  # who reads along has a limit
        self._now = httpx.Client(base_url=self.url, headers=headers, timeout=waiting)
        self._streams = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=streaming, limits=limits)

    def adapters(self) -> dict[str, str]:
        """Return the path of each adapter that is loaded, by its name.

        Raises:
            UnreachableError: the server does not answer.
            VllmError: it refuses.
        """
        return {model["id"]: model["root"] for model in self._models() if model.get("parent")}

    def longest(self) -> int | None:
        """Return how many tokens a prompt and its answer may have; None: the server does not say.

        Raises:
            UnreachableError: the server does not answer.
            VllmError: it refuses.
        """
        lengths = [model["max_model_len"] for model in self._models() if model.get("max_model_len")]
        return min(lengths) if lengths else None

    def load(self, name: str, path: str) -> None:
        """Load an adapter.

        Raises:
            UnreachableError: the server does not answer.
            VllmError: it cannot load this.
        """
        self._ask("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})

    def unload(self, name: str) -> None:
        """Unload an adapter.

        Raises:
            UnreachableError: the server does not answer.
            VllmError: it has no such adapter.
        """
        self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def score(self, name: str, prompt: list[int], tokens: list[int]) -> list[float]:
        """Return the logarithms of the probabilities that an adapter gives tokens after a prompt.

        Raises:
            UnreachableError: the server does not answer.
            VllmError: it refuses, or is too old.
        """
        body = {"model": name, "prompt": [*prompt, *tokens], "max_tokens": 1, "prompt_logprobs": 0, "temperature": 0.0}
        (choice,) = self._ask("POST", "/v1/completions", {**body, **PLAIN}).json()["choices"]
        logs, needed = choice.get("prompt_logprobs"), "prompt_logprobs and token_ids"
        if logs is None or "token_ids" not in choice:
            raise VllmError(200, f"the vLLM server at {self.url} returns no {needed}: update it to 0.10.2 or later")
        own = zip(logs[len(prompt) :], tokens, strict=True)
        return [float(known[str(token)]["logprob"]) for known, token in own]

    async def stream(self, body: dict[str, Any]) -> AsyncGenerator[Chunk]:
        """Yield what a completion has written, as it comes.

        Args:
            body: of the request, but for what every request has.

        Raises:
            UnreachableError: the server does not answer, or stops answering.
            VllmError: it refuses.
        """
        asked = {**PLAIN, "stream": True, "logprobs": 1, **body}
        try:
            async with self._streams.stream("POST", "/v1/completions", json=asked) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise self._refusal(answer)
                async for line in answer.aiter_lines():
                    content = line.removeprefix("data:").strip()
                    if not line.startswith("data:") or content == "[DONE]":
                        continue
                    for chunk in self._read(json.loads(content)):
                        yield chunk
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None

    def close(self) -> None:
        """Close the connections of the methods that wait."""
        self._now.close()

    async def aclose(self) -> None:
        """Close the connections of streams."""
        await self._streams.aclose()

    def _models(self) -> list[dict[str, Any]]:
        models: list[dict[str, Any]] = self._ask("GET", "/v1/models").json()["data"]
        return models

    def _read(self, content: dict[str, Any]) -> list[Chunk]:
        if "error" in content:
            raise VllmError(500, self._explain(content))
        chunks = []
        for choice in content.get("choices", ()):
            logs = (choice.get("logprobs") or {}).get("token_logprobs") or []
            tokens = choice.get("token_ids") or []
            chunks.append(Chunk(list(tokens), [float(log) for log in logs], choice.get("finish_reason")))
        return chunks

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        if self._now.is_closed:
            raise UnreachableError("this server stops")
        try:
            answer = self._now.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None
        if answer.status_code != 200:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: httpx.Response) -> VllmError:
        path = answer.request.url.path
        if answer.status_code == 404 and path.endswith("lora_adapter"):
            return VllmError(
                404,
                f"the vLLM server at {self.url} has no {path}, or no such adapter: start it with --enable-lora and "
                f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True ({_said(answer)})",
            )
        return VllmError(answer.status_code, f"the vLLM server at {self.url} says: {_said(answer)}")

    def _explain(self, content: dict[str, Any]) -> str:
        return f"the vLLM server at {self.url} says: {_message(content)}"

    def _unreachable(self, error: Exception) -> UnreachableError:
        why = str(error) or type(error).__name__
        return UnreachableError(f"the vLLM server at {self.url} does not answer: {why[:SHOWN]}")


PLAIN: dict[str, Any] = {"return_token_ids": True, "repetition_penalty": 1.0, "top_k": 0, "min_p": 0.0}
"""What every request says: without it, the server takes what the base's generation_config suggests."""


def _authorization(setting: str | None) -> dict[str, str]:
    if setting is None:
        return {}
    name = setting.removeprefix("env:")
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(f"serve.engine.key: the environment variable {name} holds no key")
    return {"Authorization": f"Bearer {key}"}


def _said(answer: httpx.Response) -> str:
    try:
        content = answer.json()
    except ValueError:
        content = None
    said = _message(content) if isinstance(content, dict) else " ".join(answer.text.split())
    return f"{answer.status_code} {said}"[:SHOWN]


def _message(content: dict[str, Any]) -> str:
    error = content.get("error", content)
    said = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(said).split())[:SHOWN]
