from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from cl.backtesting.backtest import choose_strategies
from cl.config import parse
from cl.errors import ConfigError, InputError
from tests.support import warm
from tests.support.backtests import arguments, results, small_config, small_stream  # noqa: F401
from tests.support.stages import without_stages


def test_experiences_come_in_the_order_that_is_asked_for(config, stream, tmp_path) -> None:
    found = results(config, stream, tmp_path / "out", "--strategy", "ncm", "--order", "2, 0")["ncm"]
    assert found["experiences"] == ["0003-2", "0001-0"] and found["matrix"][0][1] == 0.0


def test_a_column_cuts_one_file_into_experiences_and_entity_types_are_its_classes(config, tmp_path) -> None:
    raw = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(raw | {"task": "token_classification", "data": {"group_by": "team"}}))
    rows = [
        {"id": f"r{at}", "team": f"team {at % 2}", "tokens": ["anna", "visited", place, str(at)], "tags": tags}
        for at in range(120)
        for place, tags in [("paris", ["B-per", "O", "B-loc", "O"]) if at % 3 else ("home", ["B-per", "O", "O", "O"])]
    ]
    (tmp_path / "all.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = results(config, tmp_path / "all.jsonl", tmp_path / "out", "--strategy", "ncm")["ncm"]
    assert found["experiences"] == ["0001-team-0", "0002-team-1"]
    assert set(found["classes"]) == {"loc", "per"} and found["worst_class"] in found["classes"]


def test_dates_cut_one_file_into_experiences(config, tmp_path, sentences) -> None:
    raw = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(raw | {"data": {"date": "date", "period": "month"}}))
    rows = sentences(["loan", "fee"], 120)
    rows["date"] = [f"2024-{1 + at // 60:02d}-{1 + at % 28:02d}" for at in range(120)]
    rows.iloc[::-1].to_csv(tmp_path / "all.csv", index=False)  # whatever their order, time decides
    found = results(config, tmp_path / "all.csv", tmp_path / "out", "--strategy", "ncm")["ncm"]
    assert found["experiences"] == ["0001-2024-01", "0002-2024-02"] and len(found["matrix"]) == 2


def test_one_experience_is_a_stream_too(config, stream, tmp_path) -> None:
    found = results(config, stream / "0.csv", tmp_path / "out")["replay"]
    assert (found["forgetting"], found["bwt"], len(found["matrix"])) == (0.0, None, 1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--strategy", "replya"], "no strategy 'replya'; did you mean 'replay'?"),
        (["--strategy", "{name: replay"], "is no name and no YAML mapping"),
        (["--strategy", "replay", "--strategy", "replay"], "'replay' is repeated"),
        (["--strategy", "{name: o_lora}"], "model.tuning"),
        (
            ["--strategy", "ladder"],
            "--strategy ladder: no such ladder or rung in the configuration; there is no ladder",
        ),
        (["--order", "0,9"], "--order: no experience '9'; there are: 0, 1, 2"),
        (["--order", "0,0"], "--order: '0' is repeated"),
        (["--data", "/nowhere/at/all"], "no such file or folder"),
        (["--json", "missing/out.json"], "--json missing/out.json: no folder 'missing'; create it first"),
        (["--out", "/dev/null"], "--out /dev/null: is a file; name a folder"),
    ],
)
def test_what_cannot_be_used_is_one_line(config, stream, tmp_path, more, message) -> None:
    done = warm.run(*arguments(config, stream, tmp_path / "out", *more))
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and len(without_stages(done.stderr)) == 1


def test_an_experience_with_nothing_to_test_is_refused_before_anything_runs(
    config, stream, tmp_path, sentences
) -> None:
    sentences(["box", "lamp"], 90, seed=9, prefix="few-").head(3).to_csv(stream / "1.csv", index=False)
    done = warm.run(*arguments(config, stream, tmp_path / "out"))
    assert done.returncode == 2 and without_stages(done.stderr) == [
        "cl: experience '1' (rows: 3) has no test rows; add rows, or change data.split, or leave it out: --order 0,2"
    ]
    assert not (tmp_path / "out" / "runs").exists()


def test_a_stream_of_one_row_is_refused_in_a_line(config, tmp_path, sentences) -> None:
    raw = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(raw | {"data": {"id": None}}))
    one = sentences(["loan"], 1)
    pd.concat([one] * 30).to_csv(tmp_path / "same.csv", index=False)
    done = warm.run(*arguments(config, tmp_path / "same.csv", tmp_path / "out"))
    assert done.returncode == 2
    said = without_stages(done.stderr)
    assert said == ["cl: experience 'same' (rows: 1) has no test rows; add rows, or change data.split"]


def test_strategies_may_be_named_mapped_joined_and_labelled() -> None:
    own = parse({"strategy": {"name": "replay", "rows": 7}}, where="test")
    assert choose_strategies(own, []) == {"replay": [{"name": "replay", "rows": 7}]}
    assert choose_strategies(own, ["replay"]) == {"replay": [{"name": "replay", "rows": 7}]}
    assert choose_strategies(own, ["replay+ewc"]) == {"replay+ewc": [{"name": "replay", "rows": 7}, "ewc"]}
    assert choose_strategies(own, ["few={name: replay, rows: 3}"]) == {"few": [{"name": "replay", "rows": 3}]}
    with pytest.raises(InputError, match="is repeated"):
        choose_strategies(own, ["a=naive", "a=joint"])
    with pytest.raises(ConfigError):
        parse({"strategy": "nothing"}, where="test")


def test_a_backtest_says_that_it_leaves_descriptions_of_labels_out(config, stream, tmp_path) -> None:
    raw = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**raw, "data": {"descriptions": {"loan": "borrow money"}}}))
    done = warm.run(*arguments(config, stream, tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "data.descriptions: a backtest replays the rows of --data, and leaves descriptions out" in done.stderr
