"""What the strategies that work on LoRA's matrices share."""

from __future__ import annotations

from cl.config import Config


def why_no_plain_lora(config: Config, purpose: str) -> str | None:
    """Return why a configuration's tuning is no update ``B A`` of low rank, or None; ``purpose``: why it has to be."""
    tuning = config.model.tuning
    name, fields = (tuning, {}) if isinstance(tuning, str) else (tuning["name"], tuning)
    if name != "lora":
        return f"it {purpose} and needs model.tuning: lora"
    if fields.get("dora"):
        return f"it {purpose}, but model.tuning has dora: true, which adds no plain update; set it to false"
    return None
