"""How `cl serve` answers: address, batching, limits, authentication and canary bounds."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Literal

from pydantic import Field, field_validator, model_validator

from cl.config.section import Section


class Batching(Section):
    """How rows of different requests are batched."""

    rows: int = Field(64, ge=1, le=1024, description="Maximum rows in a batch")
    milliseconds: float = Field(
        40.0, gt=0, description="Target time of a batch; its size is chosen from the speed of recent batches"
    )
    queue_rows: int = Field(1024, ge=1, description="Maximum rows in the queue; a request that does not fit gets a 429")


class Limits(Section):
    """Limits of a request and of a client; beyond them the answer is a 4xx."""

    body_bytes: int = Field(2_000_000, ge=1024, description="Maximum size of a request body")
    body_seconds: float = Field(10.0, gt=0, description="Time limit for receiving a request body")
    texts: int = Field(256, ge=1, description="Maximum texts in one request")
    characters: int = Field(20_000, ge=1, description="Maximum length of a text; a list of tokens counts as joined")
    requests_per_second: float | None = Field(
        None,
        gt=0,
        description="Rate limit per client (its token, else its address), with bursts of twice as many; null: none",
    )


class Writing(Section):
    """Limits of answers that a language model writes."""

    max_new_tokens: int = Field(
        1024,
        ge=1,
        description="Most new tokens that a request may ask for; one that does not say gets as many as the task has",
    )
    seconds: float = Field(
        300.0,
        gt=0,
        description="Maximum time from a request to the end of its answer; /v1 then returns what is written, with "
        "finish_reason length. Where nothing is, and for /predict, it is a 503",
    )


class EngineSettings(Section):
    """What computes the answers that a language model writes."""

    name: Literal["local", "vllm"] = Field(
        "local",
        description="local: this process; vllm: a vLLM server that loads the adapter of each version that answers, "
        "started with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True",
    )
    url: str = Field(
        "http://127.0.0.1:8000", pattern=r"^https?://[^\s@]+$", description="vllm: address of the server, without /v1"
    )
    key: str | None = Field(
        None,
        pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$",
        description="vllm: `env:NAME`: the environment variable with the server's API key; null: it has none",
    )
    adapters: str | None = Field(
        None,
        description="vllm: folder for the adapters, which the server reads too; relative paths are inside the project; "
        "null: .cl/adapters",
    )
    adapters_there: str | None = Field(
        None,
        description="vllm: path of the same folder on the server's machine, or in its container; null: as it is here",
    )


class CanaryBounds(Section):
    """When the server stops sending traffic to a canary."""

    min_requests: int = Field(
        50, ge=1, description="Answers of both canary and champion before errors and latency count"
    )
    max_errors: float = Field(0.01, ge=0, lt=1, description="Maximum share of the canary's rows that fail")
    max_slowdown: float = Field(
        2.0, gt=1, description="Maximum ratio of the canary's 95th percentile latency to the champion's"
    )
    alpha: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="Probability of stopping a canary that is no worse, over all labels ever received",
    )


class Tls(Section):
    """Certificate and key of the server: set both or neither. Relative paths are inside the project."""

    certificate: str | None = Field(None, description="PEM file with the certificate chain; null: plain HTTP")
    key: str | None = Field(None, description="PEM file with the certificate's private key")

    @model_validator(mode="after")
    def _both_or_none(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; set both or neither")
        return self


REDACTIONS = ("email", "phone", "digits")
"""The built-in redactions."""


FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
HOST_NAME = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9._-]{1,253}")


class ServingLogSettings(Section):
    """The log of predictions and feedback: Parquet files in predictions/, at least one per day and process."""

    redact: list[str] = Field(
        list(REDACTIONS),
        description="What to remove from texts before they are written: email, phone, digits (seven or more), or "
        "`module:function`, which takes a text and returns it redacted",
    )
    keep_days: float | None = Field(
        90.0, gt=0, description="Predictions and feedback older than this are deleted, ingested or not; null: never"
    )
    roll_mb: float = Field(
        32.0, gt=0, description="Size at which the write-ahead log becomes a Parquet file; daily in any case"
    )
    queue: int = Field(
        20_000,
        ge=1,
        description="Maximum predictions waiting to be written; further ones are answered and counted, not logged",
    )
    feedback_seconds: float = Field(
        5.0, gt=0, description="Maximum time that feedback waits to be written before it is refused with a 503"
    )

    @field_validator("redact")
    @classmethod
    def _redactions_are_known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in REDACTIONS and not FUNCTION.fullmatch(name):
                raise ValueError(f"no redaction '{name}'; use one of {', '.join(REDACTIONS)}, or module:function")
        return names


def check_host(name: str) -> None:
    """Do nothing for a name or an address that a server may be called by.

    Raises:
        ValueError: it is neither.
    """
    if not HOST_NAME.fullmatch(name) and not _is_address(name):
        raise ValueError(f"'{name[:80]}' is no host; write a name or an address without scheme, port and path")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class ServingSettings(Section):
    """`cl serve`, the server that follows the registry."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0: all interfaces")
    allowed_hosts: list[str] = Field(
        [],
        description="Further names by which requests may call the server (their Host header): `models.example.com`, "
        "`*.example.com`, or `*` for any. Always allowed are localhost and `host`; where that is all interfaces, also "
        "IP addresses and this machine's name",
    )
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0: any free port")
    workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Processes that share the port, each with its own copy of the models; null: one per core, at "
        "most 4",
    )
    threads: int | None = Field(None, ge=1, description="Inference threads of a worker; null: its share of the cores")
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="auto: bfloat16 where the hardware supports it; int8: linear layers on a CPU; closed-form heads "
        "always use auto",
    )
    poll_seconds: float = Field(1.0, gt=0, description="Seconds between two reads of the registry's aliases")
    confirm_seconds: float = Field(
        2.0,
        ge=0,
        description="Maximum time that a request waits for the registry to confirm the champion and, after a move, for "
        "the new one to load; then the loaded version answers. 0: never wait; answers lag by up to poll_seconds",
    )
    keep_versions: int = Field(2, ge=1, description="Versions that stay in memory in addition to those that answer")
    drain_seconds: float = Field(
        2.0, ge=0, description="Time after SIGTERM during which it reports not ready but still answers"
    )
    tokens: str | None = Field(
        None,
        pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$",
        description="`env:NAME`: the environment variable with client tokens, separated by commas; null: no "
        "authentication",
    )
    new_labels: Literal["accept", "confirm", "refuse"] = Field(
        "accept",
        description="Feedback with a label that the champion does not know: accept it, refuse it, or accept it only "
        'with `"new_label": true` in the request',
    )
    cors: list[str] = Field([], description="Origins whose pages may send requests from a browser; []: only its own")
    batch: Batching = Field(default_factory=lambda: Batching(), description="How rows are batched")
    limits: Limits = Field(default_factory=lambda: Limits(), description="Limits of a request and of a client")
    writing: Writing = Field(
        default_factory=lambda: Writing(), description="Limits of answers that a language model writes"
    )
    engine: EngineSettings = Field(
        default_factory=lambda: EngineSettings(),
        description="What computes the answers that a language model writes; a name alone will do: `engine: vllm`",
    )
    canary: CanaryBounds = Field(default_factory=lambda: CanaryBounds(), description="When a canary is stopped")
    log: ServingLogSettings = Field(
        default_factory=lambda: ServingLogSettings(), description="The log of answers and labels"
    )
    tls: Tls = Field(default_factory=lambda: Tls(), description="HTTPS")

    @field_validator("engine", mode="before")
    @classmethod
    def _names_are_engines(cls, given: object) -> object:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_process_asks_the_engine(self) -> ServingSettings:
        if self.engine.name != "local" and (self.workers or 1) > 1:
            raise ValueError(
                f"workers: {self.workers} would unload each other's versions on the {self.engine.name} server, which "
                "computes all answers: set it to 1 or null"
            )
        return self

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        for name in names:
            check_host(name)
        return names

    @model_validator(mode="after")
    def _request_fits_queue(self) -> ServingSettings:
        if self.limits.texts > self.batch.queue_rows:
            raise ValueError(
                f"limits.texts: {self.limits.texts} texts in one request do not fit into a queue of "
                f"{self.batch.queue_rows}; lower it or raise batch.queue_rows"
            )
        return self
