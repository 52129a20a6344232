from __future__ import annotations

import pytest
import torch

from cl.models.temperature import fit_temperature


@pytest.mark.parametrize("scale", [0.05, 1.0, 40.0])
def test_it_finds_the_scale_that_the_labels_were_drawn_with(scale) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator) * 2
    targets = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits * scale, targets) == pytest.approx(scale, rel=0.05)


def test_nothing_to_learn_from_changes_nothing() -> None:
    assert fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == 1.0
