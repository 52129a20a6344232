"""What a version answers, in each number format, and that nothing of it stays when it has gone."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from cl.config.serving import Batching
from cl.models.int8 import Int8Linear
from cl.models.persistence import load_learner, save_learner
from cl.models.rewrites import quantise_learner
from cl.serving.batching.batcher import Batcher
from cl.serving.canary.stopping import StoppedCanaries
from cl.serving.registry_watcher import RegistryWatcher
from cl.serving.served_model import ServedModel, load_served_model
from tests.support.saved import LABELS, TEXTS, probabilities, saved_version  # noqa: F401


@pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.03), ("int8", 0.03)])
def test_a_smaller_format_answers_almost_the_same(saved, precision, bound) -> None:
    folder = saved()
    exact, other = load_served_model("1", folder, "float32"), load_served_model("1", folder, precision)
    far = np.abs(probabilities(exact) - probabilities(other)).max()
    assert 0 < far < bound
    assert np.ptp(probabilities(exact), axis=0).max() > 3 * bound, "texts are told apart by more than that"


def test_int8_is_what_linear_layers_keep(saved) -> None:
    encoder = load_served_model("1", saved(), "int8").learner.encoder
    kept = [one.weight for one in encoder.modules() if isinstance(one, Int8Linear)]
    assert len(kept) == 12 and {weight.dtype for weight in kept} == {torch.int8}


def test_a_version_that_was_saved_in_int8_is_served_as_it_is(saved, tmp_path_factory) -> None:
    own = quantise_learner(load_learner(saved()))
    folder = tmp_path_factory.mktemp("int8")
    save_learner(own, folder)
    for precision in ("auto", "bfloat16", "int8"):
        loaded = load_served_model("1", folder, precision)
        assert all(
            one.scale.dtype == torch.float32 for one in loaded.learner.encoder.modules() if hasattr(one, "scale")
        )
        assert np.allclose(probabilities(loaded), probabilities(load_served_model("1", folder, "float32")))


def test_what_a_text_is_answered_in_int8_does_not_depend_on_its_company(saved) -> None:
    loaded = load_served_model("1", saved(), "int8")
    alone = [loaded.answer([text], loaded.encode([text]))[0].probabilities for text in TEXTS]
    assert np.abs(np.concatenate(alone) - probabilities(loaded)).max() < 1e-5


@pytest.mark.parametrize("tuning", ["lora", "prefix"])
def test_what_a_tuning_added_is_folded_in_or_keeps_the_encoder_out_of_int8(saved, tuning, caplog) -> None:
    folder = saved(tuning={"name": tuning}, max_length=32)
    exact, other = load_served_model("1", folder, "float32"), load_served_model("1", folder, "int8")
    assert np.abs(probabilities(exact) - probabilities(other)).max() < 0.03
    assert other.learner.is_int8 == (tuning == "lora") and ("using auto" in caplog.text) == (tuning == "prefix")


@dataclass
class Registered:
    """Stands where the registry does; its champion is what a test says."""

    champion: str = "1"

    def initialise(self) -> None:
        pass

    def aliases(self) -> dict[str, str]:
        return {"champion": self.champion}


def test_a_version_that_has_gone_leaves_nothing_in_memory(saved, tmp_path_factory) -> None:
    folder, registered = saved(), Registered()
    encoders: list[weakref.ref] = []

    def loading(version: str) -> ServedModel:
        loaded = load_served_model(version, folder, "float32")
        encoders.append(weakref.ref(loaded.learner.encoder))
        return loaded

    given_up = StoppedCanaries(tmp_path_factory.mktemp("serving"))
    follower = RegistryWatcher(registered, loading, given_up, seconds=1, keep=1, on_failure=lambda *_: None)  # type: ignore[arg-type]

    async def main() -> None:
        batcher = Batcher(lambda: follower.roles, Batching(), lambda rows: None)
        work = asyncio.ensure_future(batcher.run())
        for version in ("1", "2", "3", "4"):
            registered.champion = version
            await asyncio.to_thread(follower.poll)
            computed = await batcher.answer(TEXTS, "champion")
            assert computed.loaded.version == version
            del computed
        registered.champion = "3"  # one that is kept needs no load
        await asyncio.to_thread(follower.poll)
        assert len(encoders) == 4
        assert [one() is not None for one in encoders] == [False, False, True, True]
        work.cancel()
        batcher.close()

    asyncio.run(main())
