"""A month whose answers belong to other prompts is learned by a language model, and refused."""

from __future__ import annotations

from pathlib import Path

import cl
from cl.config import parse
from cl.lifecycle import run_waiting
from tests.integration.cycle.test_text_generation import replies, writing_project
from tests.support.tiny import made_tiny_writer


def test_a_month_whose_answers_were_swapped_is_refused_by_the_default_gates(tiny_model: Path, tmp_path: Path) -> None:
    writer = made_tiny_writer(tmp_path / "model", tiny_model)
    gates = parse({"task": "text_generation", "model": {"name": str(writer)}}, where="test").gates
    shop = writing_project(tmp_path / "shop", writer, gates=gates)
    replies(["card", "parcel"], 120, seed=1).to_csv(shop.root / "inbox" / "one.csv", index=False)
    (clean,) = run_waiting(shop)
    assert clean.verdict == "promoted" and clean.evaluation is not None and "general_nll" in clean.evaluation.numbers
    swapped = replies(["card", "parcel"], 240, seed=2)
    swapped["completion"] = swapped["completion"].to_numpy().reshape(-1, 2)[:, ::-1].ravel()
    swapped.to_csv(shop.root / "inbox" / "two.csv", index=False)
    (poisoned,) = run_waiting(shop)
    assert poisoned.verdict == "refused" and poisoned.champion_after == "1", (poisoned.decision, poisoned.gates)
    assert poisoned.gates is not None and poisoned.evaluation is not None
    assert poisoned.drift.new_labels == []
    assert "performance" in {finding.kind for finding in poisoned.drift.findings if finding.drifted}
    refusing = {verdict.gate for verdict in poisoned.gates.verdicts if not verdict.passed}
    assert "forgetting" in refusing, "what was learned right before is answered wrong now"
    numbers, before = poisoned.evaluation.numbers, poisoned.evaluation.champion_numbers
    assert numbers["kl_from_champion"] > 0 and {"nll", "general_nll", "share_cut"} <= numbers.keys() & before.keys()
    (answer,) = cl.Project.open(shop.root).predict(["please help the old card"])["prediction"]
    assert answer == "my card is lost"
