"""Export a language model: its adapter as the peft library lays one out, or the whole model with the adapter merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cl.errors import InputError
from cl.models.locate import PACKAGED

if TYPE_CHECKING:
    from cl.models.base_files import LanguageBase
    from cl.models.language_learner import LanguageLearner

ADAPTER, WHOLE = "adapter", "transformers"
"""Folders of an export."""

CODE = """import torch
{imports}
tokenizer = AutoTokenizer.from_pretrained("tokenizer")
{load}
prompt = {prompt}
batch = tokenizer(prompt, return_tensors="pt", add_special_tokens=False, return_token_type_ids=False)
with torch.inference_mode():
    written = model.eval().generate(**batch, max_new_tokens={most}, do_sample=False)
answers = [tokenizer.decode(written[0, {start}:], skip_special_tokens=True).strip()]
print(answers)
"""


def export_language_model(
    learner: LanguageLearner, base: LanguageBase, draft: Path, *, merged: bool
) -> tuple[str, str]:
    """Write what peft or transformers can load; return its description and the code that loads it.

    Args:
        learner: of the version.
        base: that the version refers to.
        draft: the folder of the export.
        merged: write the whole model, in float32, which needs nothing else; it takes the size of its base.

    Raises:
        InputError: what was trained cannot be merged, or is no adapter of peft.
    """
    kind = "AutoModelForSeq2SeqLM" if learner.has_decoder else "AutoModelForCausalLM"
    if merged:
        _write_whole(learner, draft / WHOLE)
        code = _code(learner, kind, f'model = {kind}.from_pretrained("{WHOLE}")', "")
        return f"{kind}, the whole model, in {WHOLE}/", code
    if getattr(learner.encoder, "peft_config", None) is None:
        raise InputError(
            f"model.tuning '{learner.tuning.name}' makes no adapter that peft could load: add --merged to export the "
            "whole model"
        )
    if base.layers is not None:
        raise InputError(
            f"the version uses {len(base.layers)} layers of '{base.name}', and peft would load all: add --merged to "
            "export the whole model"
        )
    write_adapter(learner, base, draft / ADAPTER)
    load = (
        f"base = {json.dumps(base.name)}{_hint(base)}\n"
        f'model = {kind}.from_pretrained(base)\nmodel = PeftModel.from_pretrained(model, "{ADAPTER}")'
    )
    description = f"peft's PeftModel on {kind} of {base.name}, in {ADAPTER}/; base.json has its files' SHA-256"
    return description, _code(learner, kind, load, "from peft import PeftModel\n")


def _hint(base: LanguageBase) -> str:
    """Return a comment that says where the base is if only Perennial knows its name; empty: transformers knows it."""
    return f"  # only Perennial knows this name: put PROJECT/.cl/bases/{base.digest}" if base.name in PACKAGED else ""


def _write_whole(learner: LanguageLearner, folder: Path) -> None:
    import torch

    from cl.models.number_formats import cast_parameters

    cast_parameters(learner.encoder, torch.float32)  # what was trained is more precise than what it is merged into
    model = cast("Any", learner.tuning.merge(learner.encoder))
    if model is None:
        raise InputError(f"model.tuning '{learner.tuning.name}' cannot be merged into the model: leave --merged out")
    model.config.use_cache = True
    model.save_pretrained(folder)
    learner.tokenizer.save_pretrained(folder)


def write_adapter(
    learner: LanguageLearner, base: LanguageBase, folder: Path, trained: dict[str, Any] | None = None
) -> None:
    """Write the adapter's tensors and its configuration, which names the base as model.name does.

    Args:
        learner: with the adapter.
        base: that the adapter belongs to.
        folder: does not exist yet.
        trained: the tensors by name, if the learner is an outline without weights.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    from cl.models.tunings.lora import rank_and_scale

    ((name, config),) = cast("Any", learner.encoder).peft_config.items()
    tensors = get_peft_model_state_dict(learner.encoder, state_dict=trained, adapter_name=name)
    folder.mkdir()
    named = {f"base_model.model.{key}": tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    save_file(named, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config.base_model_name_or_path = base.name
    if learner.tuning.name == "lora":
        rank, scale = rank_and_scale(learner.encoder)
        if rank != config.r:  # several updates next to each other: peft computes the scale from what is named here
            config.r, config.lora_alpha, config.use_rslora = rank, scale * rank, False
    config.task_type = "SEQ_2_SEQ_LM" if learner.has_decoder else "CAUSAL_LM"
    config.inference_mode = True
    config.save_pretrained(folder)
    files = json.dumps({"name": base.name, "files": dict(base.files)}, indent=1)
    (folder / "base.json").write_text(files, encoding="utf-8")


def _code(learner: LanguageLearner, kind: str, load: str, imports: str) -> str:
    """Return the code that writes the answer to an example."""
    import pandas as pd

    column = learner.task.schema.inputs[0]
    (example,) = learner.encode(pd.DataFrame({column.name: [column.example]}))
    prompt = learner.tokenizer.decode(example.context.prompt)
    return CODE.format(
        imports=f"{imports}from transformers import {kind}, AutoTokenizer\n",
        load=load,
        prompt=json.dumps(prompt),
        most=learner.task.most_new_tokens,
        start=0 if learner.has_decoder else 'batch["input_ids"].shape[1]',
    )
