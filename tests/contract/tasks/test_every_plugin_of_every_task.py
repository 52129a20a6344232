"""Every plug-in with every task: refused in one line where it requires more than the task provides, else it works."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from cl import plugins
from cl.errors import ConfigError
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.models.snapshot import load_reference, save_reference, take_snapshot
from cl.tasks import Capability
from cl.training.left_out import left_out_answers
from cl.training.strategies import load_states
from cl.training.train import train
from tests.support.task_rows import STREAM, config_of, lacks, rows_of, spec_of, task_of

TASKS = plugins.names("tasks")
TUNING = {"o_lora": "lora", "n_lora": "lora", "merge": "lora"}
"""The tuning that a strategy asks for."""


def pairs(kind: str, *, admitted: bool) -> list[tuple[str, str]]:
    """Return every pair of a task and a plug-in that the task provides enough for, or that it does not."""
    every = [(task, name) for task in TASKS for name in plugins.names(kind)]
    return [pair for pair in every if lacks(pair[0], kind, pair[1]) != admitted]


def settings_of(kind: str, name: str) -> dict[str, object]:
    """Return the top-level keys of a configuration that uses a plug-in."""
    spec = spec_of(kind, name)
    return {
        "strategies": {"strategy": spec},
        "buffers": {"strategy": {"name": "replay", "rows": 12, "buffer": spec}},
        "tunings": {"model_tuning": spec},
        "detectors": {"drift": {"detectors": [spec], "report": "off"}},
        "gates": {"gates": [spec]},
    }[kind]


@pytest.fixture
def configured(tiny_model):
    def make(task: str, kind: str, name: str):
        settings = settings_of(kind, name)
        tuning = settings.pop("model_tuning", TUNING.get(name, "full"))
        return config_of(tiny_model, task, **{"model": {"tuning": tuning}, **settings})

    return make


@pytest.fixture
def learns(configured, tmp_path):
    """Learn two experiences; return the last version's folder."""

    def run(task: str, kind: str, name: str):
        config, champion, past = configured(task, kind, name), None, list[str]()
        for id in STREAM:
            folder = tmp_path / id
            result = train(
                config, champion=champion, new=[id], past=past, rows_of=rows_of(task_of(task)), folder=folder
            )
            assert all(np.isfinite(result.losses))
            champion, past = folder, [*past, id]
        return champion

    return run


REFUSED = [
    (kind, task, name)
    for kind in ("strategies", "buffers", "tunings", "detectors", "gates")
    for task, name in pairs(kind, admitted=False)
]


@pytest.mark.parametrize(("kind", "task", "name"), REFUSED)
def test_what_requires_more_than_the_task_provides_is_refused_in_one_line(kind, task, name, configured) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(task, kind, name)
    (line,) = str(refused.value).splitlines()
    assert f"{plugins.KINDS[kind].word} '{name}' needs " in line and f"task '{task}'" in line
    there = re.search(r"there are: (.+)", line)
    assert there and name not in there[1].split(", ")


@pytest.mark.parametrize(("task", "name"), pairs("strategies", admitted=True))
def test_a_strategy_learns_and_its_version_answers_after_loading(task, name, learns) -> None:
    folder = learns(task, "strategies", name)
    learner, rows = load_learner(folder), rows_of(task_of(task))(list(STREAM), "test")
    assert set(load_states(folder)) == {name}
    assert all(torch.isfinite(parameter).all() for _, parameter in learner.parameters())
    if Capability.LABELS in learner.task.provides:
        assert set(learner.task.labels(rows)) <= set(learner.labels)
    answers = answer(learner, rows)
    assert all(0 < prediction.confidence <= 1 for prediction in answers.predictions)
    assert np.isfinite(learner.task.row_scores(rows, answers.values)).all()
    method = plugins.find("strategies", name)
    if method.solves_head and method.learns_validation:
        validation = rows_of(task_of(task))(["one"], "validation")
        logits = left_out_answers(folder, learner)("one", validation)
        assert logits is not None and len(answer(learner, validation, logits=logits).predictions) == len(validation)


@pytest.mark.parametrize(("task", "name"), pairs("buffers", admitted=True))
def test_a_buffer_keeps_what_fits_of_both_experiences(task, name, learns) -> None:
    rows = load_states(learns(task, "buffers", name))["replay"].rows
    assert rows is not None and len(rows) == 12 and set(task_of(task).schema.names) <= set(rows.columns)
    assert len({id[:3] for id in rows["id"]}) == 2


@pytest.mark.parametrize(("task", "name"), pairs("tunings", admitted=True))
def test_a_tuning_is_learned_with(task, name, learns) -> None:
    learner = load_learner(learns(task, "tunings", name))
    assert learner.tuning.name == name
    assert len(answer(learner, rows_of(learner.task)(["two"], "test")).predictions) == 8


@pytest.mark.parametrize(("task", "name"), pairs("detectors", admitted=True))
def test_a_detector_compares_what_the_champion_sees_with_its_stored_reference(task, name, versions, tmp_path) -> None:
    made = versions(task)
    champion, _ = made.learners
    save_reference(take_snapshot(champion, made.rows("one", "train")), tmp_path)
    new = take_snapshot(champion, made.rows("two", "train"))
    detector = plugins.build("detectors", spec_of("detectors", name))
    finding = detector.detect(load_reference(tmp_path), new, alpha=0.05, seed=0)
    assert finding.detector == name and "\n" not in finding.summary
    explained = detector.explain(finding, load_reference(tmp_path), new)
    assert set(explained.examples) <= set(new.frame["id"])


@pytest.mark.parametrize(("task", "name"), pairs("gates", admitted=True))
def test_a_gate_judges_an_evaluation_and_says_why_in_one_line(task, name, versions) -> None:
    evaluation, rows = versions(task).evaluated
    verdict = plugins.build("gates", spec_of("gates", name)).judge(evaluation, rows, seed=0)
    assert verdict.gate.startswith(name) and verdict.why and "\n" not in verdict.why


@pytest.mark.parametrize("task", [name for name in TASKS if Capability.LABELS in task_of(name).provides])
def test_a_rule_on_each_class_judges_every_class_of_the_task(task, versions) -> None:
    evaluation, rows = versions(task).evaluated
    rule = plugins.build("gates", {"name": "rule", "of": "f1", "on": "each_class", "min": 0.0})
    verdict = rule.judge(evaluation, rows, seed=0)
    assert verdict.passed and {part.group for part in verdict.parts} == set(evaluation.per_class)
