from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from cl import plugins
from cl.commands.init import template, template_with
from cl.config import Config, Rung, load, parse
from cl.config.yaml import read_yaml
from cl.errors import ConfigError
from cl.reports.config_reference import configuration_reference
from cl.tasks import Task
from tests.support.docs import PAGES, blocks


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cl.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {batch_size: 0}", "training.batch_size must be at least 1, got 0"),
        ("training: {batchsize: 8}", "training.batchsize is not a known key; did you mean 'batch_size'?"),
        ("trainin: {}", "trainin is not a known key; did you mean 'training'?"),
        (
            "stores: {tracking_uri: 'https://tracking.example'}",
            "stores: artifacts: 'mlflow/artifacts' is a local folder",
        ),
        ("model: {tuning: lorra}", "model.tuning: no tuning 'lorra'; did you mean 'lora'?"),
        ("training: {epochs: many}", "training.epochs must be an integer, got 'many'"),
        ("strategy: ewcc", "strategy: no strategy 'ewcc'; did you mean 'ewc'?"),
        (
            "serve: {engine: vllm}",
            "serve.engine: task 'text_classification' writes no answers, so vllm has nothing to do: set it to local",
        ),
        (
            "{task: text_generation, serve: {engine: vllm, workers: 2}}",
            "serve: workers: 2 would unload each other's versions on the vllm server",
        ),
        ("{task: language_modelling, serve: {engine: vllm}}", "task 'language_modelling' writes no answers, so vllm"),
        ("serve: {engine: {name: vllm, key: secret}}", "serve.engine.key"),
        ("serve: {engine: {name: vllm, url: 'https://me:secret@gpu'}}", "serve.engine.url"),
        (
            "strategy: {name: ewc, strenght: 3}",
            "strategy 'ewc': strenght is not a known key; did you mean 'strength'?",
        ),
        ("strategy: {name: ewc, strength: -3}", "strategy 'ewc': strength must be more than 0, got -3"),
        ("gates: [{name: florr}]", "gates.0: no gate 'florr'; did you mean 'floor'?"),
        ("drift: {detectors: [mmmd]}", "no detector 'mmmd'"),
        ("task: translation", "no task 'translation'"),
        ("name: no spaces", "name must be made of letters, digits, '-' and '_' only, got 'no spaces'"),
        ("data: {period: year}", "data: period: 'year' needs dates; set data.date to their column"),
        ("data: {period: year, date: d, group_by: g}", "'year' and group_by: 'g' both split the input; set only one"),
        ("- a\n- b", "must hold keys and values, got a list"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_configuration_is_one_line_that_names_the_remedy(tmp_path, text, message) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_an_empty_file_is_the_default_configuration(tmp_path) -> None:
    assert load(written(tmp_path, "")) == Config()


def test_a_missing_file_points_to_init(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cl init"):
        load(tmp_path / "cl.yaml")


def test_a_wrong_value_is_named_with_its_line(tmp_path) -> None:
    text = "seed: 1\ntraining:\n  epochs: 2\n  batch_size: 0\nladder:\n- name: a\n- name: b\n  epochs: none\n"
    with pytest.raises(ConfigError, match=r"cl\.yaml: line 4: training\.batch_size must be at least 1, got 0"):
        load(written(tmp_path, text))
    with pytest.raises(ConfigError, match=r"cl\.yaml: line 8: ladder\.1\.epochs must be an integer, got 'none'"):
        load(written(tmp_path, text.replace("batch_size: 0", "batch_size: 8")))
    with pytest.raises(ConfigError, match=r"cl\.yaml: line 2: gates: rule: stored rows have no column 'x'"):
        load(written(tmp_path, "seed: 1\ngates: [{name: rule, min: 0.5, on: {column: x}}]"))


def sections_of(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """Return a section and all that it holds, in lists and unions as well."""
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for inner in _models_in(field.annotation):
                sections_of(inner, seen)
    return seen


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


PLUGINS = [plugins.find(kind, name) for kind in plugins.KINDS for name in plugins.names(kind)]


def _holds_float(annotation: object) -> bool:
    return annotation is float or any(_holds_float(inner) for inner in get_args(annotation))


@pytest.mark.parametrize("number", [inf, -inf, nan, "inf", "nan", "-Infinity"])
def test_no_field_of_any_section_or_plug_in_takes_nan_or_infinity(number) -> None:
    seen: set[type[BaseModel]] = set()
    for model in [Config, *PLUGINS]:
        sections_of(model, seen)
    fields = [
        (section, field.alias or name)
        for section in seen
        for name, field in section.model_fields.items()
        if _holds_float(field.annotation)
    ]
    assert len(fields) > 60
    for section, key in fields:
        for value in (number, [number]):
            with pytest.raises(ValidationError) as refused:
                section.model_validate({key: value})
            assert any(key in error["loc"] for error in refused.value.errors()), f"{section.__name__}.{key}"


def test_overrides_win_over_the_file(tmp_path) -> None:
    config = load(written(tmp_path, "training: {epochs: 3}"), {"training.epochs": 2, "seed": 5})
    assert (config.training.epochs, config.seed) == (2, 5)


def test_the_digest_follows_what_decides_and_not_where_things_are() -> None:
    base = Config().digest
    assert parse({"stores": {"dvc_remote": "elsewhere"}}, where="x").digest == base
    assert parse({"seed": 18}, where="x").digest != base


def test_a_rung_changes_what_it_names_and_nothing_else() -> None:
    ladder = [{"name": "quick", "strategy": "naive", "tuning": "bitfit", "epochs": 1}, {"name": "thorough"}]
    config = parse({"ladder": ladder, "seed": 3}, where="x")
    quick, thorough = config.at_rung("quick"), config.at_rung("thorough")
    assert (quick.strategies, quick.model.tuning, quick.training.epochs, quick.seed) == (["naive"], "bitfit", 1, 3)
    assert (thorough.strategies, thorough.model.tuning) == (["replay"], "full")
    assert config.at_rung(None) is config


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"ladder": [{"name": "a"}, {"name": "a"}]}, "ladder: a, a: rung names must be unique"),
        ({"ladder": [{"name": "a", "strategy": "o_lora"}]}, "ladder: 'a': .*o_lora"),
        (
            {"ladder": [{"name": "a", "strategy": "ranpac"}, {"name": "b", "strategy": "lwf"}]},
            "'b': 'lwf' stores the champion's answers, and 'a' on another rung replaces the head",
        ),
        ({"decide": {"rung": {"labels": "b"}}, "ladder": [{"name": "a"}]}, "decide.rung.labels: no rung 'b'; .* a"),
        ({"ladder": [{"name": "A b"}]}, "ladder.0.name"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_refused(raw, told) -> None:
    with pytest.raises(ConfigError, match=told):
        parse(raw, where="cl.yaml")


@pytest.mark.parametrize(
    ("raw", "rungs"),
    [
        ({}, ["solve", "adapt"]),
        ({"training": {"epochs": 2}, "model": {"tuning": "full"}}, ["solve", "adapt"]),
        ({"ladder": []}, []),
        ({"strategy": "replay"}, []),
        ({"model": {"tuning": "prompt"}}, []),
        ({"training": {"control": {}}}, []),
        ({"ladder": [{"name": "mine"}]}, ["mine"]),
    ],
)
def test_where_nothing_says_how_to_learn_there_is_a_ladder(raw, rungs) -> None:
    assert [rung.name for rung in parse(raw, where="cl.yaml").ladder] == rungs


@pytest.mark.parametrize("task", plugins.names("tasks"))
def test_the_template_of_a_task_says_what_its_defaults_are(task, tmp_path) -> None:
    text = template("x", task)
    written_out, nothing = load(written(tmp_path, text)), parse({"name": "x", "task": task}, where="cl.yaml")
    assert written_out.digest == nothing.digest
    own = plugins.build(Task, task)
    brought = [name for name in own.schema.names if not (own.measures_texts and name == own.schema.answer.name)]
    assert all(f"{name}: {name}" in text for name in brought)


def test_settings_of_another_task_begin_with_the_template_of_that_task() -> None:
    for task in ("dialogue", {"name": "dialogue", "learned_turns": "last"}):
        settings = read_yaml(template_with("x", {"task": task, "seed": 3}))
        assert settings["task"] == task and settings["model"]["name"] == "smollm2"
    with pytest.raises(ConfigError, match="no_such"):
        template_with("x", {"task": "no_such"})


def test_the_template_and_the_sample_are_valid(tmp_path) -> None:
    from cl.sample import sample_configuration

    assert load(written(tmp_path, template("My model!"))).name == "My-model"
    assert load(written(tmp_path, sample_configuration())).name == "fernhill"


RULE = {"name": "rule", "min": 0.5}


@pytest.mark.parametrize(
    ("on", "data", "told"),
    [
        ({"column": "chanel"}, {"keep": ["channel"]}, "no column 'chanel'; did you mean 'channel'"),
        ({"query": "chars > 3 and date > '2026'"}, {}, "no column 'date'; .*add it to data.keep"),
        ("all", {"keep": ["text"]}, "data.keep: 'text' is taken"),
        ("all", {"keep": ["a", "a"]}, "data.keep: 'a' is taken"),
        (
            {"function": "shop:returns"},
            {},
            "function 'shop:returns' would run code; .* set gate_policy.functions: allow",
        ),
    ],
)
def test_a_rule_whose_rows_cannot_be_found_is_refused_before_anything_is_trained(on, data, told) -> None:
    with pytest.raises(ConfigError, match=told):
        parse({"gates": [{**RULE, "on": on}], "data": data}, where="cl.yaml")


def test_columns_that_rules_ask_for_are_known() -> None:
    gates = [{**RULE, "on": on} for on in ({"column": "channel"}, {"query": "date > '2026' and target == 'a'"}, "all")]
    config = parse({"gates": gates, "data": {"keep": ["channel"], "date": "day"}}, where="x")
    assert config.columns_of_gates == ["channel", "date"]
    allowed = {"gates": [{**RULE, "on": {"function": "shop:returns"}}], "gate_policy": {"functions": "allow"}}
    assert parse(allowed, where="x").columns_of_gates == []


def keys_of(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield field.alias or name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation)


@pytest.mark.parametrize("section", [Config, Rung, *PLUGINS])
def test_every_key_means_itself_in_yaml(section) -> None:
    """To most readers of YAML a bare `on` is true, and `no` is false: such a key could be set by nobody."""
    for key in keys_of(section):
        assert read_yaml(f"{key}: 1") == {key: 1}


def test_the_settings_in_the_documentation_can_be_read(tmp_path) -> None:
    # the one names a gate that its reader writes, the other shows what is wrong and has a test of its own
    pages = [page for page in PAGES if page.name not in ("extend.md", "troubleshooting.md")]
    shown = [text for page in pages for _, text in blocks(page, "yaml") if text.count("\n")]
    assert len(shown) > 10
    for text in shown:
        load(written(tmp_path, text))
    (rules,) = (text for text in shown if text.startswith("gates:\n") and "trend" in text)
    assert len(load(written(tmp_path, rules)).gates) == 5


def test_every_key_is_described_in_the_reference() -> None:
    text = configuration_reference()
    assert "| `training.batch_size` | `32` | Rows of a batch |" in text
    assert all(row.split("|")[3].strip() for row in text.splitlines() if row.startswith("| `training."))


@pytest.mark.parametrize(
    ("descriptions", "message"),
    [
        ({"a": ""}, "data.descriptions: a: got an empty text; say in a sentence what the label means, or remove it"),
        ({"a": ["fine", 3]}, "data.descriptions: a: got '3'; say in a sentence what the label means, or remove it"),
        (["x"], "data.descriptions: '['x']' is no mapping; write one label a line, as 'card_lost: the card was lost'"),
        ({"a": "x"}, "a: 'x' has 1 characters, data.min_chars is 2; write another text"),
        ({"a": "lost card", "b": "Lost  card"}, "'Lost card' describes both 'a' and 'b'; say how they differ"),
        ({"a": ["lost", "lost"]}, "a: lists 'lost' twice; remove one of them"),
        ({" ": "lost"}, "'lost' describes a label without a name; name it"),
    ],
)
def test_a_description_that_cannot_be_a_row_is_named_with_the_remedy(descriptions: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse({"data": {"descriptions": descriptions}}, where="cl.yaml")


def test_only_a_task_that_labels_a_text_takes_descriptions() -> None:
    with pytest.raises(ConfigError, match="choose one of: multi_label_classification, text_classification"):
        parse({"task": "relation_extraction", "data": {"descriptions": {"a": "of two"}}}, where="cl.yaml")


def test_texts_are_changed_only_where_a_label_is_that_of_the_whole_text(tmp_path) -> None:
    text = "training: {augment: {}}\n"
    assert load(written(tmp_path, text)).training.augment
    with pytest.raises(ConfigError, match=r"training\.augment: task 'token_classification' does not label a text"):
        load(written(tmp_path, text + "task: token_classification"))
