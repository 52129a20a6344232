from __future__ import annotations

import json
import logging
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch

from cl.training.train import train
from tests.support import warm
from tests.support.versions import assert_same_version

SETTINGS = {
    "epochs": 6,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "precision": "float32",
    "patience": 6,
    "checkpoint_seconds": 0,
}
PARTS = {"a": ["loan", "fee"], "b": ["box", "lamp"]}


class Killed(Exception):
    """Stands for the end of the process."""


class EndsAt(logging.Handler):
    """Ends a run when it tells of an epoch: the checkpoint of the one before has been written."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._says = f"epoch {epoch}:"

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(self._says):
            raise Killed


@pytest.fixture
def config_of(tiny_config, tiny_model):
    def make(strategy):
        # dropout: torch's random state has to be restored as well
        tuning = "lora" if strategy in ("o_lora", "n_lora", "merge") else "full"
        model = {"name": str(tiny_model), "dropout": 0.1, "tuning": tuning}
        return tiny_config(strategy=strategy, training=SETTINGS, model=model)

    return make


@pytest.fixture
def rows_of(sentences):
    def rows(ids: list[str], split: str) -> pd.DataFrame:
        seed = 0 if split == "train" else 1
        parts = [sentences(PARTS[one], 24, seed=seed, prefix=one) for one in ids]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["loan"], 0)

    return rows


@pytest.fixture
def cut_short():
    """Run something that is to be interrupted after its third epoch, a checkpoint written after each."""

    def run(learn) -> None:
        log, handler = logging.getLogger("cl.training.loop"), EndsAt(4)
        level = log.level
        log.setLevel(logging.INFO)
        log.addHandler(handler)
        try:
            with pytest.raises(Killed):
                learn()
        finally:
            log.removeHandler(handler)
            log.setLevel(level)

    return run


@pytest.mark.parametrize(
    "strategy",
    [
        "naive",
        ["replay", {"name": "ewc", "strength": 10}],
        {"name": "ewc", "tolerance": 0.01},
        "mas",
        {"name": "der", "rows": 16},
        {"name": "replay", "rows": 16, "buffer": "herding"},
        ["a_gem", "si"],
        ["lwf", "averaging"],
        {"name": "gdumb", "rows": 30},
        "o_lora",
        "n_lora",
        "merge",
        {"name": "averaging", "every": 2},
    ],
)
def test_going_on_gives_the_version_of_never_having_stopped(strategy, config_of, rows_of, tmp_path, cut_short) -> None:
    config = config_of(strategy)
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "first")
    common = {"champion": tmp_path / "first", "new": ["b"], "past": ["a"], "rows_of": rows_of}
    whole = train(config, **common, folder=tmp_path / "whole")
    cut_short(lambda: train(config, **common, folder=tmp_path / "cut"))
    assert described(tmp_path / "cut.checkpoint")["progress"]["epochs"] == 3
    torch.manual_seed(99)
    cut = train(config, **common, folder=tmp_path / "cut")
    assert cut.losses == whole.losses and cut.steps == whole.steps
    assert_same_version(tmp_path / "whole", tmp_path / "cut")
    assert not (tmp_path / "cut.checkpoint").exists()


def test_an_encoder_that_adapts_to_the_first_experience_goes_on_as_well(
    config_of, rows_of, tmp_path, cut_short
) -> None:
    config = config_of({"name": "ranpac", "features": 64, "adapt": "first"})
    common = {"champion": None, "new": ["a"], "past": [], "rows_of": rows_of}
    whole = train(config, **common, folder=tmp_path / "whole")
    cut_short(lambda: train(config, **common, folder=tmp_path / "cut"))
    assert described(tmp_path / "cut.checkpoint")["progress"]["epochs"] == 3
    torch.manual_seed(99)
    cut = train(config, **common, folder=tmp_path / "cut")
    assert cut.losses == whole.losses and len(cut.losses) == 6
    assert_same_version(tmp_path / "whole", tmp_path / "cut")


def test_changed_texts_are_drawn_as_if_it_had_never_stopped(tiny_config, rows_of, tmp_path, cut_short) -> None:
    config = tiny_config(training={**SETTINGS, "augment": {"share": 0.8, "word_dropout": 0.3}})
    common = {"champion": None, "new": ["a"], "past": [], "rows_of": rows_of}
    whole = train(config, **common, folder=tmp_path / "whole")
    cut_short(lambda: train(config, **common, folder=tmp_path / "cut"))
    cut = train(config, **common, folder=tmp_path / "cut")
    assert cut.losses == whole.losses and len(cut.losses) == 6
    assert_same_version(tmp_path / "whole", tmp_path / "cut")
    plain = train(tiny_config(training=SETTINGS), **common, folder=tmp_path / "plain")
    assert plain.losses != whole.losses


SCRIPT = """
import logging, os, signal, sys
from pathlib import Path
import pandas as pd
from cl.config import parse
from cl.training.train import train
import json

class Kill(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("epoch 4:"):
            os.kill(os.getpid(), signal.SIGKILL)

place, way = Path(sys.argv[1]), sys.argv[2]
log = logging.getLogger("cl.training.loop")
log.setLevel(logging.INFO)
log.addHandler(Kill() if way == "killed" else logging.StreamHandler(sys.stdout))
table = pd.read_parquet(place / "rows.parquet")
rows_of = lambda ids, split: table[table["part"].isin(ids) & (table["split"] == split)].reset_index(drop=True)
config = parse(json.loads((place / "config.json").read_text()), where="test")
train(config, champion=place / "first", new=["b"], past=["a"], rows_of=rows_of, folder=place / "cut")
"""


def test_a_killed_process_is_gone_on_with_in_another(config_of, rows_of, tmp_path) -> None:
    table = pd.concat(
        [rows_of([part], split).assign(part=part, split=split) for part in PARTS for split in ("train", "validation")],
        ignore_index=True,
    )
    table.to_parquet(tmp_path / "rows.parquet")
    config = config_of(["replay", {"name": "ewc", "strength": 10}])
    (tmp_path / "config.json").write_text(json.dumps(config.model_dump(mode="json", by_alias=True)))

    def stored(ids: list[str], split: str) -> pd.DataFrame:
        found = pd.read_parquet(tmp_path / "rows.parquet")
        return found[found["part"].isin(ids) & (found["split"] == split)].reset_index(drop=True)

    train(config, champion=None, new=["a"], past=[], rows_of=stored, folder=tmp_path / "first")
    train(config, champion=tmp_path / "first", new=["b"], past=["a"], rows_of=stored, folder=tmp_path / "whole")
    killed, on = (warm.python(SCRIPT, str(tmp_path), way) for way in ("killed", "on"))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert on.returncode == 0, on.stderr
    assert "resuming an interrupted run after epoch 3" in on.stdout and "epoch 3:" not in on.stdout
    assert_same_version(tmp_path / "whole", tmp_path / "cut")
    assert not (tmp_path / "cut.checkpoint").exists()


def described(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())
