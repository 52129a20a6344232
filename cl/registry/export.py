"""Export a version to a folder with everything that inference needs, and code that loads it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cl.errors import InputError
from cl.registry.export_language import export_language_model
from cl.registry.model_card import CARD, exported_card
from cl.stores.files import write_text
from cl.stores.manifest import write_manifest
from cl.tasks import Schema, ValueKind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from cl.models.language_learner import LanguageLearner
    from cl.models.learner import Learner

INFERENCE_FILES = ("learner.json", "head.safetensors", "encoder", "tokenizer", "history.json")
"""The files needed for inference, and the version's record; files that contain rows are not exported."""

WITH_PERENNIAL = """import cl

version = cl.load_version(".")
print(version.predict({example}))
"""
POOLED_CODE = """import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import {kind}, AutoTokenizer

folder = Path()
labels = json.loads((folder / "labels.json").read_text())
encoder = {kind}.from_pretrained(folder / "{encoder}").eval()
tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
head = load_file(folder / "head.safetensors")
blocks = range(len(head) // 2)
weight = torch.cat([head[f"blocks.{{index}}.weight"] for index in blocks])
bias = torch.cat([head[f"blocks.{{index}}.bias"] for index in blocks])
batch = tokenizer(["my parcel is lost"], return_tensors="pt", padding=True, truncation=True, max_length={length})
with torch.inference_mode():
    states = encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    probabilities = ({pooled} @ weight.T + bias).softmax(-1)
answers = [labels[int(index)] for index in probabilities.argmax(-1)]
print(answers)
"""
POOLED = {
    "mean": "(states * mask).sum(1) / mask.sum(1)",
    "last": "states[torch.arange(len(states)), mask.sum((1, 2)) - 1]",
}
TOKENS_CODE = """from pathlib import Path

from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

folder = Path("transformers")
model = AutoModelForTokenClassification.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
answers = pipeline("token-classification", model=model, tokenizer=tokenizer)("anna lives in paris")
print(answers)
"""


def export(source: Path, folder: Path, *, version: str, model: str, merged: bool = False) -> list[str]:
    """Export a verified version folder into a new or empty one, atomically; return what can load it.

    Args:
        source: the version's folder.
        folder: is written.
        version: its number.
        model: its registered name.
        merged: write a language model as a whole, not its adapter alone.

    Raises:
        InputError: the folder is a file, or is not empty, or the version cannot be written so.
    """
    check_empty(folder)
    from cl.models.persistence import load_learner

    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in INFERENCE_FILES:
        path = source / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, draft / name)
    learner = load_learner(draft)
    (draft / "labels.json").write_text(json.dumps(learner.labels, indent=1, ensure_ascii=False), encoding="utf-8")
    if merged and learner.base is None:
        shutil.rmtree(draft)
        raise InputError(
            "--merged is for language models, whose versions refer to a base: this version is whole as it is"
        )
    try:
        description, code = _export_for_transformers(learner, draft, merged=merged)
    except InputError:
        shutil.rmtree(draft)
        raise
    if learner.windows:
        description += f"; it cuts texts at {learner.settings.max_length} tokens: only Perennial reads them in windows"
    example = _example(learner.task.schema)
    own_code = WITH_PERENNIAL.format(example=example)
    usage = _describe_usage(own_code, description, code)
    write_text(draft / CARD, exported_card(source, model, version=version, usage=usage))
    write_manifest(draft)
    if folder.exists():
        folder.rmdir()
    draft.rename(folder)
    return ["Perennial: cl.load_version", f"transformers: {description}"]


def check_empty(folder: Path) -> None:
    """Check that a folder does not exist or is empty.

    Raises:
        InputError: it is a file, or is not empty.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; name a new folder")


def _export_for_transformers(learner: Learner, draft: Path, *, merged: bool) -> tuple[str, str]:
    """Write what plain transformers can load; return its description and the code that loads it."""
    from cl.models.pretrained import encoder_class

    if learner.base is not None:
        return export_language_model(cast("LanguageLearner", learner), learner.base, draft, merged=merged)
    subfolder, learner = "encoder", replace(learner, graph=None)
    encoder: PreTrainedModel | None = learner.encoder
    if learner.settings.dtype == "bfloat16":  # weights of two formats, which transformers would read in one
        import torch

        from cl.models.number_formats import cast_parameters

        subfolder = "transformers"
        learner = replace(learner, settings=learner.settings.model_copy(update={"dtype": "float32"}))
        cast_parameters(learner.encoder, torch.float32)
    if learner.is_int8:
        from cl.models.rewrites import dequantise_learner

        subfolder, encoder = "transformers", dequantise_learner(learner).encoder
    if learner.tuning.adds_modules:
        subfolder, encoder = "transformers", cast("PreTrainedModel | None", learner.tuning.merge(learner.encoder))
    if encoder is None:
        return f"nothing: model.tuning '{learner.tuning.name}' cannot be merged into the encoder", ""
    if (
        learner.task.schema.answer.kind is ValueKind.TAGS
        and not learner.is_closed
        and _export_token_classifier(learner, encoder, draft)
    ):
        where = "; a word's tag is that of its last piece" if learner.reading.piece == "last" else ""
        return f"AutoModelForTokenClassification, the whole model, in transformers/{where}", TOKENS_CODE
    if subfolder != "encoder":
        encoder.save_pretrained(draft / subfolder)
    kind = encoder_class(encoder.config).__name__
    if learner.is_closed:
        return f"{kind}, the encoder alone, in {subfolder}/; only Perennial can load a closed-form head", ""
    if not _reads_mean(learner.task.schema):
        return f"{kind}, the encoder alone, in {subfolder}/; its head is a linear map of each hidden state", ""
    return (
        f"{kind}, the encoder, in {subfolder}/, and a few lines for the head: a linear map of the "
        f"{learner.reading.pooling} state, which no AutoModelForSequenceClassification provides",
        POOLED_CODE.format(
            kind=kind,
            encoder=subfolder,
            length=learner.settings.max_length,
            pooled=POOLED[learner.reading.pooling],
        ),
    )


def _reads_mean(schema: Schema) -> bool:
    """Return whether `MEAN_CODE` answers as the model does: one label for a text, from the mean of its states."""
    return schema.input is not None and schema.input.kind is ValueKind.TEXT and schema.answer.kind is ValueKind.LABEL


def _example(schema: Schema) -> str:
    """Return inputs for the code that loads an export, as Python writes them."""
    if schema.input is None:
        return repr([{column.name: column.example for column in schema.inputs}])
    examples = {ValueKind.TEXT: '["my parcel is lost"]', ValueKind.WORDS: '["anna lives in paris".split()]'}
    return examples.get(schema.input.kind) or repr([schema.input.example])


def _export_token_classifier(learner: Learner, encoder: PreTrainedModel, draft: Path) -> bool:
    """Write encoder and head as the architecture's token classifier; return False if its head differs."""
    import torch
    from transformers import AutoModelForTokenClassification

    from cl.models.pretrained import without_warnings

    names = dict(enumerate(learner.labels))
    config = type(encoder.config).from_dict(encoder.config.to_dict())
    config.id2label, config.label2id = names, {label: index for index, label in names.items()}
    try:
        model = AutoModelForTokenClassification.from_config(config, dtype="float32")
    except ValueError:
        return False
    linear = getattr(model, "classifier", None) or getattr(model, "score", None)
    if not isinstance(linear, torch.nn.Linear) or getattr(model, model.base_model_prefix, None) is None:
        return False
    model.base_model.load_state_dict(encoder.state_dict(), strict=False)
    head = learner.head.state_dict()
    with torch.no_grad():
        linear.weight.copy_(torch.cat([value for name, value in head.items() if name.endswith("weight")]))
        linear.bias.copy_(torch.cat([value for name, value in head.items() if name.endswith("bias")]))
    if not _outputs_agree(learner, model.eval().to(learner.device)):
        return False
    with without_warnings():
        model.save_pretrained(draft / "transformers")
    learner.tokenizer.save_pretrained(draft / "transformers")
    return True


def _outputs_agree(learner: Learner, model: PreTrainedModel) -> bool:
    """Tell whether the logits of a model and the learner agree within 1e-5 on a row of tokens."""
    import torch

    from cl.tasks import Encoded

    ids = list(range(min(16, learner.encoder.config.vocab_size)))
    (batch,) = learner.batches([Encoded(ids, [0] * len(ids), [0])], None)
    with torch.inference_mode():
        ours, theirs = learner.logits(batch), model(input_ids=batch.input_ids, attention_mask=batch.mask).logits
    return ours.shape == theirs.shape and bool(torch.allclose(ours, theirs, atol=1e-5, rtol=1e-5))


def _describe_usage(own_code: str, description: str, code: str) -> str:
    block = f"\n```python\n{code}```\n" if code else ""
    return (
        "Exported by `cl export`. `history.json` holds its lineage, `labels.json` its labels, and `manifest.json` the\n"
        "SHA-256 of every file. The folder contains no training data. Run the following code in this folder.\n\n"
        f"With Perennial:\n\n```python\n{own_code}```\n\n"
        f"With transformers: {description}.\n{block}"
    )
