"""What holds for a causal model of any family that writes answers: a row that joins others is written as if alone."""

from __future__ import annotations

import pytest
import torch

from cl.config import parse
from cl.models.low_rank import share, split_off
from cl.models.persistence import load_learner
from cl.models.running_rows import CausalRows, RereadRows, running_rows
from tests.support.families import FAMILIES, POSITIONS, Family
from tests.support.joined import ROWS
from tests.support.writing_shop import save_writer

WRITERS = {
    **{name: (family, CausalRows) for name, family in FAMILIES.items() if family.causal},
    "opt": (Family("OPTForCausalLM", {"ffn_dim": 64, "word_embed_proj_dim": 32}, causal=True), CausalRows),
    "bloom": (Family("BloomForCausalLM", causal=True), CausalRows),
    "mamba": (Family("MambaForCausalLM", {"state_size": 8}, causal=True), RereadRows),
}
ANSWER = [5, 9, 6, 12, 7, 8]
"""The tokens that every row gets, whatever the logits are."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WRITERS)
def test_the_logits_of_a_row_that_joins_others_are_those_of_its_tokens_alone(name, folder, tmp_path) -> None:
    family, expected = WRITERS[name]
    raw = {
        "task": {"name": "text_generation", "max_new_tokens": len(ANSWER)},
        "model": {
            "name": str(family.save(folder, pad=False)),
            "max_length": POSITIONS - 8,
            "dropout": 0.0,
            "tuning": {"name": "full"} if name == "mamba" else {"name": "lora", "rank": 4},
        },
    }
    version = save_writer(parse(raw, where="test"), tmp_path / "version", seed=1)
    learner, whole = load_learner(version), load_learner(version).encoder
    update = split_off(learner.encoder)
    assert (update is None) == (name == "mamba")
    share(learner.encoder)
    running = running_rows(learner)
    assert type(running) is expected
    prompts = [row.context.prompt for row in learner.encode(ROWS)]
    begun: dict[int, int] = {}
    order: list[int] = []

    def check(rows: list[int], logits: torch.Tensor) -> None:
        for row, own in zip(rows, logits, strict=True):
            ids = torch.tensor([prompts[row] + ANSWER[: begun[row]]])
            with torch.inference_mode():
                alone = whole(input_ids=ids, use_cache=False).logits[0, -1].float()
            assert torch.allclose(own, alone, atol=2e-4 * float(alone.abs().max()))
            begun[row] += 1

    for step in range(len(prompts) + len(ANSWER)):
        if order:
            check(order, running.step([ANSWER[begun[row] - 1] for row in order]))
        if step < len(prompts):
            begun[step] = 0
            check([step], running.join([prompts[step]], [update]))
            order.append(step)
        kept = [index for index, row in enumerate(order) if begun[row] < len(ANSWER)]
        running.keep(kept)
        order = [order[index] for index in kept]
    assert set(begun.values()) == {len(ANSWER)}
