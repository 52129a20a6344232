"""A look and the cycle after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cl.ingestion.sources.files import Files
from cl.lifecycle import run_waiting
from cl.monitoring.watch import watch
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import made_sentences, tiny_project


def inbox(tmp_path: Path) -> tuple[ProjectFolder, Files]:
    (tmp_path / "inbox").mkdir()
    return ProjectFolder(tmp_path), Files(path="inbox")


def arrive(root: Path, name: str, *, seed: int) -> None:
    made_sentences(["a", "b"], 40, seed=seed).to_csv(root / "inbox" / name, index=False)


def test_a_look_and_the_cycle_after_it_are_one_check_and_one_identity(tmp_path, tiny_model) -> None:
    project = tiny_project(tmp_path / "shop", tiny_model)
    calls: Counter[str] = Counter()

    def counting(stage: Callable[..., Any]) -> Callable[..., Any]:
        calls[stage.__name__] += 1
        return stage

    made_sentences(["loan", "fee"], 80, seed=1).to_csv(project.root / "inbox" / "one.csv", index=False)
    (first,) = watch(project, executor=counting)
    assert (first.asks, first.champion, first.event) == ("arrival", None, "cl.data.arrived")
    (cycle,) = run_waiting(project, executor=counting)
    assert cycle.id == first.cycle and calls["detect_drift"] == 1 and cycle.verdict == "promoted"
    assert watch(project, executor=counting) == []

    made_sentences(["loan", "box"], 80, seed=2).to_csv(project.root / "inbox" / "two.csv", index=False)
    made_sentences(["loan", "fee"], 80, seed=3).to_csv(project.root / "inbox" / "two-b.csv", index=False)
    looks = watch(project, executor=counting)
    assert {look.experience.name for look in looks} == {"two", "two-b"} and calls["detect_drift"] == 3
    assert [look.asks for look in looks if look.experience.name == "two"] == ["drift"]
    assert watch(project, executor=counting) == looks and calls["detect_drift"] == 3, (
        "looked at again, nothing is computed again"
    )
    cycles = run_waiting(project, executor=counting)
    assert cycles[0].id == looks[0].cycle and cycles[0].drift == looks[0].drift
    assert cycles[1].id == looks[1].cycle or cycles[0].verdict == "promoted", "a new champion is another cycle"
    assert not list((project.work / "cycles").glob("*"))
