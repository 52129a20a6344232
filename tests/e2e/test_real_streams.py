"""Three experiences of real streams under the configurations in examples/, beside naive fine-tuning.

The streams are public data sets that are not part of the project; where they are absent, these tests skip. Rows are
thinned out so that all of it takes minutes, and every experience is learnt whatever drift says: what is tested is
that the examples' strategies keep what naive fine-tuning loses. CI learns three domains in closed form, in seconds.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from cl.models.pretrained import PACKAGED
from tests.support.desk import Desk
from tests.support.repository import ROOT

DATA = ROOT.parent / "shared" / "data"
pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not DATA.exists(), reason=f"no real streams: {DATA} is absent"),
    pytest.mark.skipif(
        importlib.util.find_spec(PACKAGED["minilm"][0]) is None,
        reason="no packaged MiniLM here: pip install 'perennial-ml[demo]'",
    ),
]


@pytest.fixture
def learnt(tmp_path) -> Callable[..., list[float]]:
    """Learn a folder of files under an example and return the last version's score on each experience.

    ``forgetting`` bounds what any experience may have lost of its best score; the rest are changes to the example's
    configuration, in which a strategy is replaced as a whole.
    """

    def learn(example: str, inbox: Path, forgetting: float = 1.0, **changes: Any) -> list[float]:
        desk = Desk(tmp_path / f"{example}-{len(list(tmp_path.iterdir()))}")
        assert desk.cl("init", str(desk.project)).returncode == 0
        raw = yaml.safe_load((ROOT / "examples" / example / "cl.yaml").read_text())
        for key, value in changes.items():
            whole = key == "strategy" or not isinstance(raw.get(key), dict) or not isinstance(value, dict)
            raw[key] = value if whole else {**raw[key], **value}
        (desk.project / "cl.yaml").write_text(yaml.safe_dump(raw))
        done = desk.cl("ingest", str(inbox))
        assert done.returncode == 0, done.stderr
        done = desk.cl("run", "--plain")
        assert done.returncode == 0, done.stderr
        cycles = desk.json("history")
        assert [cycle["promotion"]["promoted"] for cycle in cycles] == [True] * 3
        lost = cycles[-1]["evaluation"]["forgetting"]
        assert max(lost.values()) <= forgetting, lost
        return [score["value"] for score in cycles[-1]["evaluation"]["challenger"]]

    return learn


EVERYTHING = {"gates": [], "decide": {"max_waiting_rows": 1}}


def write(rows: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows.to_dict("records")))


def mean(scores: list[float]) -> float:
    return sum(scores) / len(scores)


def write_three_domains(inbox: Path, **rows_of_a_class: int) -> None:
    """Write the first rows of each class of CLINC150's first three domains, so many for each split."""
    domains = None
    for split, each in rows_of_a_class.items():
        rows = pd.read_json(DATA / "clinc150" / f"{split}.jsonl.gz", lines=True)
        domains = domains or list(dict.fromkeys(rows["domain"]))[:3]
        rows = rows[rows["domain"].isin(domains)].groupby("label").head(each)
        write(rows, inbox / f"{split}.jsonl")


def test_three_domains_learnt_in_closed_form_are_all_known_at_the_end(learnt, tmp_path) -> None:
    write_three_domains(tmp_path / "inbox", train=8, dev=2, test=4)
    scores = learnt(
        "clinc150",
        tmp_path / "inbox",
        **EVERYTHING,
        data={"only": "*.jsonl"},
        strategy={"name": "ranpac", "features": 1000},
        evaluation={"robustness": [], "smoke_rows": 0, "latency_calls": 3},
        forgetting=0.1,
    )
    assert mean(scores) > 0.8, scores
    assert min(scores) > 0.75, scores


@pytest.mark.nightly
def test_clinc150_by_domain(learnt, tmp_path) -> None:
    write_three_domains(tmp_path / "inbox", train=14, dev=3, test=6)
    ours = learnt("clinc150", tmp_path / "inbox", **EVERYTHING, data={"only": "*.jsonl"})
    naive = learnt("clinc150", tmp_path / "inbox", **EVERYTHING, data={"only": "*.jsonl"}, strategy="naive")
    print("clinc150", ours, naive)
    assert mean(ours) > 0.9
    assert mean(ours) > mean(naive) + 0.3


@pytest.mark.nightly
def test_arxiv_by_year(learnt, tmp_path) -> None:
    # Most categories come back every year, so that naive fine-tuning forgets little here: what it loses is the
    # older years' vocabulary, and what few steps on few rows cannot learn.
    for year in (2008, 2010, 2013):
        rows = pd.read_json(DATA / "arxiv_cs" / f"{year}.jsonl.gz", lines=True).groupby("label").head(32)
        write(rows.assign(date=rows["date"].astype(str)), tmp_path / "inbox" / f"{year}.jsonl")
    short = {"max_length": 64}
    ours = learnt("arxiv", tmp_path / "inbox", **EVERYTHING, model=short)
    naive = learnt("arxiv", tmp_path / "inbox", **EVERYTHING, model=short, strategy="naive")
    print("arxiv", ours, naive)
    assert mean(ours) > 0.7
    assert mean(ours) > mean(naive) + 0.015
    assert ours[0] > naive[0] + 0.03


@pytest.mark.nightly
def test_crossner_by_domain(learnt, tmp_path) -> None:
    for domain in ("politics", "science", "ai"):
        for split, sentences in (("train", 100), ("dev", 30), ("test", 80)):
            rows = pd.read_json(DATA / "crossner" / f"{domain}.{split}.jsonl.gz", lines=True).head(sentences)
            write(rows, tmp_path / "inbox" / f"{domain}.{split}.jsonl")
    few = {"epochs": 6, "patience": 6}
    ours = learnt("crossner", tmp_path / "inbox", **EVERYTHING, training=few)
    naive = learnt("crossner", tmp_path / "inbox", **EVERYTHING, training=few, strategy="naive")
    print("crossner", ours, naive)
    assert ours[0] > naive[0] + 0.1
