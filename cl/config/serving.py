"""How `cl serve` answers: where, how fast, whom, and when it stops asking a canary."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from cl.config.section import Section


class Batching(Section):
    """How rows of different requests are computed together."""

    rows: int = Field(64, ge=1, le=1024, description="Rows that are computed together at most")
    milliseconds: float = Field(
        40.0, gt=0, description="A batch is cut so that it takes no longer, by the speed of the last ones"
    )
    queue_rows: int = Field(1024, ge=1, description="Rows that may wait; a request that finds no room gets a 429")


class Limits(Section):
    """What one client may ask for; beyond it the answer is a 4xx."""

    body_bytes: int = Field(2_000_000, ge=1024, description="Longest body; reading stops there")
    body_seconds: float = Field(10.0, gt=0, description="Time in which a body must have come")
    texts: int = Field(256, ge=1, description="Texts in one request")
    characters: int = Field(20_000, ge=1, description="Longest text; a list of tokens counts as joined")
    requests_per_second: float | None = Field(
        None, gt=0, description="Of one client (its token, else its address), with bursts of twice as many; null: any"
    )


class CanaryBounds(Section):
    """When the server stops sending traffic to a canary."""

    min_requests: int = Field(50, ge=1, description="Answers of canary and champion before errors and latency count")
    max_errors: float = Field(0.01, ge=0, lt=1, description="Share of the canary's rows that may fail")
    max_slowdown: float = Field(2.0, gt=1, description="The canary's 95th percentile in those of the champion")
    alpha: float = Field(
        0.01, gt=0, lt=0.5, description="Chance to call a canary worse that is not, over all labels there will be"
    )


class Tls(Section):
    """Certificate and key of the server; both or none. Relative paths are inside the project."""

    certificate: str | None = Field(None, description="PEM file with the certificate chain; null: plain HTTP")
    key: str | None = Field(None, description="PEM file with the certificate's private key")

    @model_validator(mode="after")
    def _both_or_none(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; set both or none")
        return self


REDACTIONS = ("email", "phone", "digits")
"""What can be taken out of texts without code of one's own."""


FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ServingLogSettings(Section):
    """The log of predictions and feedback; it lies in predictions/ as Parquet, a file a day and process, or more."""

    redact: list[str] = Field(
        list(REDACTIONS),
        description="Taken out of texts before they touch the disk: email, phone, digits (seven or more), or "
        "`module:function`, which gets a text and returns it without what must not be kept",
    )
    keep_days: float | None = Field(
        90.0, gt=0, description="Older predictions and feedback are deleted, ingested or not; null: never"
    )
    roll_mb: float = Field(32.0, gt=0, description="What was written ahead becomes Parquet at this size, or next day")
    queue: int = Field(
        20_000,
        ge=1,
        description="Predictions that may wait for the disk; more are answered and counted, not logged",
    )
    feedback_seconds: float = Field(
        5.0, gt=0, description="Longest time that feedback waits for the disk before it is refused with a 503"
    )

    @field_validator("redact")
    @classmethod
    def _redactions_have_a_form(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in REDACTIONS and not FUNCTION.fullmatch(name):
                raise ValueError(f"no redaction '{name}'; there are: {', '.join(REDACTIONS)}, or module:function")
        return names


class ServingSettings(Section):
    """`cl serve`, the server that follows the registry."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every one of this machine")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Processes that share the port, each with models of its own; null: one a processor, four at most",
    )
    threads: int | None = Field(None, ge=1, description="Threads of a worker's inference; null: its share of the cores")
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="auto: bfloat16 where the machine computes it natively; int8: linear layers on a CPU; "
        "solved heads read float32",
    )
    poll_seconds: float = Field(1.0, gt=0, description="Time between two looks at the registry's aliases")
    confirm_seconds: float = Field(
        2.0,
        ge=0,
        description="Longest that an answer waits for the registry to say that its version is champion still, and "
        "after a move for the next to load; then the one in memory answers. 0: no wait, and late by a look at most",
    )
    keep_versions: int = Field(2, ge=1, description="Versions that stay in memory beside those that answer")
    drain_seconds: float = Field(
        2.0, ge=0, description="Time from SIGTERM until it listens no more: not ready, and still answering"
    )
    tokens: str | None = Field(
        None,
        pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$",
        description="`env:NAME`: the environment variable with the tokens of clients, by commas; null: anybody may ask",
    )
    cors: list[str] = Field([], description="Origins whose pages may ask from a browser; []: none but its own")
    batch: Batching = Field(default_factory=lambda: Batching(), description="Rows computed together")
    limits: Limits = Field(default_factory=lambda: Limits(), description="What one client may ask for")
    canary: CanaryBounds = Field(default_factory=lambda: CanaryBounds(), description="When a canary is given up")
    log: ServingLogSettings = Field(
        default_factory=lambda: ServingLogSettings(), description="What is kept of answers and labels"
    )
    tls: Tls = Field(default_factory=lambda: Tls(), description="HTTPS")

    @model_validator(mode="after")
    def _a_request_finds_room(self) -> ServingSettings:
        if self.limits.texts > self.batch.queue_rows:
            raise ValueError(
                f"limits.texts: {self.limits.texts} texts of one request never find room in a queue of "
                f"{self.batch.queue_rows} (batch.queue_rows)"
            )
        return self
