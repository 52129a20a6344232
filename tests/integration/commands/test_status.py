"""`cl status` counts the rows that wait, and they are learned once they are worth it."""

from __future__ import annotations

from cl.commands.ingest import ingest_path
from cl.commands.status import read_status
from cl.lifecycle import run_waiting
from cl.reports.terminal.cycles import status_lines
from tests.support.tiny import made_sentences

QUIET = {"drift": {"report": "off", "detectors": []}}


def test_rows_of_quiet_experiences_are_counted_until_they_are_learned(champion_shop, tmp_path) -> None:
    project = champion_shop(**QUIET, decide={"min_gain": None})

    def arrives(name: str, seed: int) -> None:
        made_sentences(["loan", "fee"], 40, seed=seed, prefix=name).to_csv(tmp_path / f"{name}.csv", index=False)
        ingest_path(project.root, str(tmp_path / f"{name}.csv"))

    arrives("two", 2)
    before = read_status(project.root)
    assert before["waiting"] == ["0002-two"] and before["left_for_later"] == []
    (quiet,) = run_waiting(project)
    after = read_status(project.root)
    assert quiet.verdict == "none" and quiet.gain.high is not None
    assert (after["waiting"], after["left_for_later"]) == ([], ["0002-two"])
    assert before["waiting_rows"] == after["waiting_rows"] == quiet.experience.rows["train"] > 0
    assert f"for later   0002-two; {after['waiting_rows']} training rows wait to be learned" in status_lines(after)

    project = with_decision(project, min_gain=0.0)
    arrives("three", 3)
    (learned,) = run_waiting(project)
    assert learned.training is not None and learned.training.experiences == ["0002-two", "0003-three"]
    assert learned.gain.new_rows == sum(40 - count for count in counts_of_tests(project))
    assert "points (90 % interval" in learned.decision.reasons[0]
    assert read_status(project.root)["waiting_rows"] == 0


def with_decision(project, **decide):
    """The same project with other settings of the decision."""
    import yaml

    raw = yaml.safe_load(project.config.read_text())
    project.config.write_text(yaml.safe_dump({**raw, "decide": decide}))
    return project


def counts_of_tests(project) -> list[int]:
    """The numbers of test rows of the second and third experience."""
    from cl.stores.data.experiences import Experiences

    return [Experiences(project).get(name).rows["test"] for name in ("0002-two", "0003-three")]


def test_feedback_that_waits_is_named_with_the_command_that_takes_it(champion_shop) -> None:
    status = read_status(champion_shop(**QUIET).root)
    assert not any("feedback" in line for line in status_lines(status))
    status["predictions"] |= {"answered": 2, "feedback": 1}
    said = "answers     2 logged, 0 labelled so far, 1 with feedback that is not ingested yet: cl ingest --from-serving"
    assert said in status_lines(status)
