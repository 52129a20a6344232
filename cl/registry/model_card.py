"""The model card of a version: a README.md with the metadata that the Hugging Face Hub reads.

All in it comes from the version's own record. Times, speeds and the version's number are left out, so that identical
trainings write identical cards. `cl reproduce` compares weights and learning state, not the card.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl import plugins
from cl.extras import DISTRIBUTION
from cl.records import Evaluation, GateReport, Training
from cl.records.evaluation import UNMEASURED
from cl.records.history import History
from cl.stores.files import write_text
from cl.stores.mlflow.markdown import escape_markdown, join_names
from cl.stores.version_folder import load_history
from cl.tasks import Schema, Task, ValueKind

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CARD = "README.md"
LOADING = "## How to load it"
"""The heading of the last section, which an export replaces."""
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
HUB_NAMES = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}
"""Packaged model -> its name on the Hub."""
HUB_NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
MOST_LABELS, MOST_EXPERIENCES = 100, 20
"""The most labels, and the most experiences, that a card lists."""
METRICS = {
    "ece": ("ece", "expected calibration error"),
    "brier": ("brier_score", "Brier score"),
    "oos_auroc": ("roc_auc", "AUROC of out-of-scope rows"),
    "robustness_typos": ("robustness", "main metric with typing errors"),
    "robustness_casing": ("robustness", "main metric in other casing"),
    "robustness_adversarial": ("robustness", "main metric under adversarial attack"),
}
"""Number of an evaluation -> its type and name in a card; those that depend on the machine are left out."""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells: a version's records, as far as they are known."""

    model: str
    learner: dict[str, Any]
    history: History
    evaluation: Evaluation | None
    gates: GateReport | None
    training: Training | None = None

    @property
    def task(self) -> str:
        """The task as the Hub spells it."""
        return str(self.learner["task"]).replace("_", "-")


def write_card(folder: Path, model: str, evaluation: Evaluation, gates: GateReport, training: Training) -> None:
    """Write the card of a version into its folder, which holds the learner and its history."""
    facts = CardFacts(model, _read_learner(folder), load_history(folder), evaluation, gates, training)
    write_text(folder / CARD, model_card(facts))


def exported_card(folder: Path, model: str, *, version: str, usage: str) -> str:
    """Return the card of an exported version: that of its folder, with its number and how to use the export."""
    if (folder / CARD).is_file():
        card = (folder / CARD).read_text(encoding="utf-8")
    else:  # registered by an older release
        evaluation, gates = folder / "evaluation.json", folder / "gates.json"
        facts = CardFacts(
            model,
            _read_learner(folder),
            load_history(folder),
            Evaluation.model_validate_json(evaluation.read_bytes()) if evaluation.is_file() else None,
            GateReport.model_validate_json(gates.read_bytes()) if gates.is_file() else None,
        )
        card = model_card(facts)
    front, body = _split(card)
    about = body.partition(LOADING)[0].partition("\n\n")[2].rstrip()
    return f"{front}\n# {model}, version {version}\n\n{usage.rstrip()}\n\n{about}\n"


def model_card(facts: CardFacts) -> str:
    """Return the card in Markdown, with its metadata in YAML before it."""
    sections = [
        f"# {escape_markdown(facts.model)}",
        _describe_task(facts),
        "## What it was trained on",
        "\n".join(_describe_data(facts)),
        "## How it was judged",
        *(_describe_judgement(facts) or ["Its evaluation is no longer recorded."]),
        "## Limits",
        "\n".join(_describe_limits(facts)),
        LOADING,
        _describe_loading(facts),
    ]
    return f"---\n{_metadata(facts)}---\n\n" + "\n\n".join(sections) + "\n"


def _read_learner(folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((folder / "learner.json").read_text(encoding="utf-8"))
    return described


def _split(card: str) -> tuple[str, str]:
    """Return the metadata with its fences, and what follows."""
    match = FRONT_MATTER.match(card)
    return (match.group(), card[match.end() :].lstrip("\n")) if match else ("", card)


def _metadata(facts: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        base_model=_hub_name(facts.history.base_model),
        library_name=DISTRIBUTION,
        pipeline_tag=facts.task,
        tags=["continual-learning", "perennial"],
        model_name=facts.model,
        eval_results=_results(facts) or None,
    )
    return data.to_yaml(line_break="\n") + "\n"


def _results(facts: CardFacts) -> list[EvalResult]:
    """Return the means over all experiences, and the score on each of the newest ones."""
    from huggingface_hub import EvalResult

    evaluation, history = facts.evaluation, facts.history
    if evaluation is None:
        return []
    dataset = re.sub(r"[^A-Za-z0-9._-]+", "-", facts.model)
    whole: dict[str, Any] = {
        "task_type": facts.task,
        "dataset_type": dataset,
        "dataset_name": facts.model,
        "dataset_split": "test",
        "dataset_revision": history.data_version or None,
    }
    results = []
    if evaluation.accuracy is not None:
        name = f"mean {evaluation.metric} of the experiences"
        score = round(evaluation.accuracy, 4)
        results.append(EvalResult(**whole, metric_type=evaluation.metric, metric_name=name, metric_value=score))
    for number, (kind, name) in METRICS.items():
        if number in evaluation.numbers:
            value = round(evaluation.numbers[number], 4)
            results.append(EvalResult(**whole, metric_type=kind, metric_name=name, metric_value=value))
    results += [
        EvalResult(
            **{**whole, "dataset_name": f"{facts.model}, {score.experience}", "dataset_config": score.experience},
            metric_type=evaluation.metric,
            metric_name=evaluation.metric,
            metric_value=round(score.value, 4),
        )
        for score in evaluation.challenger[-MOST_EXPERIENCES:]
        if score.value is not None
    ]
    return results


def _hub_name(base_model: str) -> str | None:
    """Return a model's name on the Hub; None: it is a folder, or unknown."""
    name = HUB_NAMES.get(base_model, base_model)
    return name if HUB_NAME.fullmatch(name) and not Path(name).exists() else None


def _describe_task(facts: CardFacts) -> str:
    labels = facts.learner["labels"]
    schema = plugins.build(Task, facts.learner["task"]).schema
    known = f", of {len(labels):,} that it knows" if schema.answer.kind.names_classes else ""
    return (
        f"A model for {facts.task.replace('-', ' ')} that {_what_it_does(schema)}{known}. Perennial keeps it "
        "learning: each new version starts from the one before, and serves only if it passes its gates."
    )


def _what_it_does(schema: Schema) -> str:
    """Return what a model is given and answers, in words."""
    given, answer = schema.input and schema.input.kind, schema.answer.kind
    if (given, answer) == (ValueKind.WORDS, ValueKind.TAGS):
        return "marks the entities in a list of tokens"
    if (given, answer) == (ValueKind.TEXT, ValueKind.LABEL):
        return "gives a text a label"
    if (given, answer) == (ValueKind.TEXT, ValueKind.LABELS):
        return "gives a text all labels that apply"
    return f"reads {join_names(schema.input_names)} and answers {escape_markdown(schema.answer.name)}"


def _describe_data(facts: CardFacts) -> list[str]:
    history, training, labels = facts.history, facts.training, list(map(str, facts.learner["labels"]))
    hub = _hub_name(history.base_model)
    lines = [
        f"- Base model: {escape_markdown(hub) if hub else 'a local one, or not recorded'}",
        f"- Experiences, oldest first: {join_names(history.learnt[-MOST_EXPERIENCES:], shown=MOST_EXPERIENCES)}"
        + (
            f" (the newest {MOST_EXPERIENCES} of {len(history.learnt)})"
            if len(history.learnt) > MOST_EXPERIENCES
            else ""
        ),
    ]
    if training is not None and training.experiences:
        lines.append(
            f"- Last update: {join_names(training.experiences)}, {training.rows_new:,} new rows, "
            f"{training.rows_recalled:,} past rows recalled"
        )
    if history.form is not None:
        lines.append(f"- Compressed ({escape_markdown(history.form)}) from version {escape_markdown(history.parent)}")
    if history.data_version:
        lines.append(f"- Data version: {escape_markdown(history.data_version)}, seed {history.seed}")
    return [*lines, f"- Labels: {join_names(labels, shown=MOST_LABELS)}"]


def _describe_judgement(facts: CardFacts) -> list[str]:
    evaluation, gates = facts.evaluation, facts.gates
    if evaluation is None:
        return []
    if evaluation.unmeasured:
        return [f"It {UNMEASURED}."]
    metric = escape_markdown(evaluation.metric)
    shown = evaluation.challenger[-MOST_EXPERIENCES:]
    older = len(evaluation.challenger) - len(shown)
    rows = [f"| {escape_markdown(s.experience)} | {s.rows:,} | {_percent(s.value)} |" for s in shown]
    sections = [
        f"On {evaluation.rows:,} test rows, which no training has seen: mean {metric} {_percent(evaluation.accuracy)} "
        f"over {_count(len(evaluation.challenger))}" + (f", the newest {len(shown)} of them:" if older else ":"),
        "\n".join([f"| experience | test rows | {metric} |", "|---|---|---|", *rows]),
    ]
    if evaluation.updates > 1 and evaluation.forgetting_max is not None:
        sections.append(
            f"Worst forgetting of a past experience: {100 * evaluation.forgetting_max:.1f} points (the best "
            "score so far minus the score now; below zero is a gain)."
        )
    if gates is not None and gates.verdicts:
        verdicts = ", ".join(f"{escape_markdown(verdict.gate)} {verdict.word}" for verdict in gates.verdicts)
        sections.append(f"Gates ({gates.mode.replace('_', ' ')}): {verdicts}.")
    return sections


def _describe_limits(facts: CardFacts) -> list[str]:
    evaluation, settings = facts.evaluation, facts.learner.get("model", {})
    lines = [
        "- The languages of its training data are not recorded.",
        "- No licence is recorded: those of the base model and of the training data apply.",
    ]
    auroc = evaluation.numbers.get("oos_auroc") if evaluation else None
    if auroc is None:
        lines.append("- How it answers what fits none of its labels was not measured.")
    else:
        lines.append(f"- It tells what fits none of its labels by its confidence, with an AUROC of {auroc:.3f}.")
    if settings.get("max_length"):
        how = "are read in windows" if settings.get("windows") else "are cut there"
        lines.append(f"- Inputs longer than {settings['max_length']:,} tokens {how}.")
    if evaluation is not None and (thin := evaluation.thin_classes):
        lines.append(f"- Too few test rows to judge {len(thin):,} classes: {join_names(thin, shown=10)}.")
    if evaluation is not None and (untested := evaluation.untested_classes):
        lines.append(f"- No test row for {len(untested):,} classes: {join_names(untested, shown=10)}.")
    if facts.gates is not None and (open_gates := [v.gate for v in facts.gates.verdicts if v.undecided]):
        lines.append(f"- Gates that had too few rows to decide: {join_names(open_gates, shown=10)}.")
    if residual := facts.history.residual_experiences:
        lines.append(f"- Its weights were trained on rows of {join_names(residual)} that have been deleted since.")
    return lines


def _describe_loading(facts: CardFacts) -> str:
    return (
        "MLflow's registry numbers this version; in its place, write the number for VERSION:\n\n"
        f'```python\nimport mlflow\n\nmodel = mlflow.pyfunc.load_model("models:/{facts.model}/VERSION")\n```\n\n'
        "From this folder, with its files checked against their digests:\n\n"
        '```python\nimport cl\n\nversion = cl.load_version(".")\n```'
    )


def _count(experiences: int) -> str:
    return f"{experiences:,} experience" + ("" if experiences == 1 else "s")


def _percent(share: float | None) -> str:
    return "undecided" if share is None else f"{share:.1%}"
