"""A version leaves the registry: a folder with all that answering needs, and how to load it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cl.errors import InputError
from cl.stores.manifest import write_manifest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from cl.models.learner import Learner

ANSWERING = ("learner.json", "head.safetensors", "encoder", "tokenizer", "history.json")
"""What of a version answers questions, and its record; buffers, statistics and references hold rows and stay."""

WITH_PERENNIAL = """import cl

version = cl.load_version(".")
print(version.predict({example}))
"""
MEAN = """import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = Path()
labels = json.loads((folder / "labels.json").read_text())
encoder = AutoModel.from_pretrained(folder / "{encoder}").eval()
tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
head = load_file(folder / "head.safetensors")
blocks = range(len(head) // 2)
weight = torch.cat([head[f"blocks.{{at}}.weight"] for at in blocks])
bias = torch.cat([head[f"blocks.{{at}}.bias"] for at in blocks])
batch = tokenizer(["my parcel is lost"], return_tensors="pt", padding=True, truncation=True, max_length={length})
with torch.inference_mode():
    states = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    probabilities = ((states * mask).sum(1) / mask.sum(1) @ weight.T + bias).softmax(-1)
answers = [labels[int(at)] for at in probabilities.argmax(-1)]
print(answers)
"""
TOKENS = """from pathlib import Path

from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

folder = Path("transformers")
model = AutoModelForTokenClassification.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
answers = pipeline("token-classification", model=model, tokenizer=tokenizer)("anna lives in paris")
print(answers)
"""


def export(source: Path, folder: Path, *, version: str, model: str) -> list[str]:
    """Write a checked version's folder into a new or empty one, whole or not at all; return what can load it.

    Raises:
        InputError: the folder is a file, or holds something.
    """
    check_empty(folder)
    from cl.models.persistence import load_learner

    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in ANSWERING:
        place = source / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, draft / name)
    learner = load_learner(draft)
    (draft / "labels.json").write_text(json.dumps(learner.labels, indent=1, ensure_ascii=False), encoding="utf-8")
    told, code = _for_transformers(learner, draft)
    example = '["my parcel is lost"]' if learner.task.columns[0] == "text" else '["anna lives in paris".split()]'
    ours = WITH_PERENNIAL.format(example=example)
    (draft / "README.md").write_text(_readme(model, version, ours, told, code), encoding="utf-8")
    write_manifest(draft)
    if folder.exists():
        folder.rmdir()
    draft.rename(folder)
    return ["Perennial: cl.load_version", f"transformers: {told}"]


def check_empty(folder: Path) -> None:
    """Return if a folder is not there or empty.

    Raises:
        InputError: it is a file, or holds something.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; name a new folder")


def _for_transformers(learner: Learner, draft: Path) -> tuple[str, str]:
    """Return what of the learner plain transformers can load, and the code that does; write what that needs."""
    place, learner = "encoder", replace(learner, graph=None)
    encoder: PreTrainedModel | None = learner.encoder
    if learner.is_int8:
        from cl.models.rewrites import to_float

        place, encoder = "transformers", to_float(learner).encoder
    if learner.tuning.adds:
        place, encoder = "transformers", cast("PreTrainedModel | None", learner.tuning.merge(learner.encoder))
    if encoder is None:
        return f"nothing: what model.tuning '{learner.tuning.name}' adds cannot be merged into the encoder", ""
    if learner.task.name == "token_classification" and not learner.is_closed and _whole(learner, encoder, draft):
        return "AutoModelForTokenClassification, the whole model, in transformers/", TOKENS
    if place != "encoder":
        encoder.save_pretrained(draft / place)
    if learner.is_closed:
        return f"AutoModel, the encoder alone, in {place}/; a head in closed form reads rounded features: Perennial", ""
    if learner.task.name != "text_classification":
        return f"AutoModel, the encoder alone, in {place}/; its head is one linear map of each state", ""
    return (
        f"AutoModel, the encoder, in {place}/, and a few lines for the head: a linear map of the mean of the states, "
        "for which there is no AutoModelForSequenceClassification",
        MEAN.format(encoder=place, length=learner.settings.max_length),
    )


def _whole(learner: Learner, encoder: PreTrainedModel, draft: Path) -> bool:
    """Write encoder and head as the architecture's own token classifier; False where its head is another one."""
    import torch
    from transformers import AutoModelForTokenClassification

    from cl.models.pretrained import without_warnings

    names = dict(enumerate(learner.labels))
    config = type(encoder.config).from_dict(encoder.config.to_dict())
    config.id2label, config.label2id = names, {label: at for at, label in names.items()}
    try:
        model = AutoModelForTokenClassification.from_config(config, dtype="float32")
    except ValueError:
        return False
    linear = getattr(model, "classifier", None)
    if not isinstance(linear, torch.nn.Linear) or getattr(model, model.base_model_prefix, None) is None:
        return False
    model.base_model.load_state_dict(encoder.state_dict(), strict=False)
    head = learner.head.state_dict()
    with torch.no_grad():
        linear.weight.copy_(torch.cat([value for name, value in head.items() if name.endswith("weight")]))
        linear.bias.copy_(torch.cat([value for name, value in head.items() if name.endswith("bias")]))
    if not _same_answers(learner, model.eval().to(learner.device)):
        return False
    with without_warnings():
        model.save_pretrained(draft / "transformers")
    learner.tokenizer.save_pretrained(draft / "transformers")
    return True


def _same_answers(learner: Learner, model: PreTrainedModel) -> bool:
    """Tell whether a model says what the learner says, to six digits, on one row of tokens."""
    import torch

    ids = torch.arange(min(16, learner.encoder.config.vocab_size), device=learner.device)[None]
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        ours, theirs = learner.logits(ids, mask), model(input_ids=ids, attention_mask=mask).logits
    return ours.shape == theirs.shape and bool(torch.allclose(ours, theirs, atol=1e-5, rtol=1e-5))


def _readme(model: str, version: str, ours: str, told: str, code: str) -> str:
    block = f"\n```python\n{code}```\n" if code else ""
    return (
        f"# {model}, version {version}\n\n"
        "Exported by `cl export`. `history.json` says where it comes from, `labels.json` what its answers are, and\n"
        "`manifest.json` holds the SHA-256 of every file. No row of its data is in here. What follows is to be run in\n"
        "this folder.\n\n"
        f"With Perennial:\n\n```python\n{ours}```\n\n"
        f"With transformers: {told}.\n{block}"
    )
