"""Merging: make the challenger from the champion's adapter and the newly trained one, in a mix chosen on validation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.config import Config
from cl.training.strategies import State, Strategy, Update
from cl.training.strategies._lora import why_no_plain_lora
from cl.training.strategies._merging import Method, merge_dare, merge_magmax, merge_ties
from cl.training.strategies.averaging import champion_weights, choose_on_line, interpolate
from cl.training.strategies.n_lora import NLoRA

if TYPE_CHECKING:
    import torch

    from cl.models.factors import Factors

log = logging.getLogger(__name__)


class Merge(Strategy):
    """Task vectors of adapters, merged after training: needs ``model.tuning: lora``.

    A task vector is what an adapter adds to the base, ``scale * B A``, a whole matrix: matrices B and A averaged apart
    are not the average of their product. The merged matrix is factored back to the adapter's rank by SVD; how much of
    its squared length that loses is logged. ``linear`` adds them up (task arithmetic; Ilharco et al., 2023), ``ties``
    is Yadav et al. (2023), ``dare`` is Yu et al. (2024), ``magmax`` is Marczak et al. (2024).

    Training starts from the champion, as in MagMax. The newly trained vector has weight ``w``, the champion's, and
    those of ``earlier`` updates, share ``1 - w``. Of all ``w`` in equal steps from 0, the champion itself, to 1, the
    trained challenger, the one is left that does best on the validation rows of all experiences (by score, then loss),
    as in `averaging`. A head, which has no base, is averaged.

    >>> Merge(method="ties", density=0.3).anchored_to
    'weights'
    """

    anchored_to: ClassVar[str | None] = "weights"
    ends_first: ClassVar[bool] = True

    method: Method = Field(
        "ties",
        description="How adapters are merged: linear: added up; ties: the mean of the largest entries that agree in "
        "their sign; dare: entries drawn by chance, added up; magmax: of each entry the largest",
    )
    density: float = Field(0.2, gt=0, le=1, description="Share of the entries of an adapter that ties and dare keep")
    steps: int = Field(10, ge=2, description="Steps between champion and challenger; each is one validation pass")
    earlier: int = Field(
        0,
        ge=0,
        description="How many adapters of earlier updates are merged too, as they were trained; a version keeps them",
    )

    def objection(self, config: Config) -> str | None:
        """Reject any other tuning, and strategies whose records are of single weights, or that end by choosing them."""
        if why := why_no_plain_lora(config, "merges what LoRA adds to the weights"):
            return why
        holding = [
            other.name
            for other in self.others(config)
            # N-LoRA counts from where each update starts, so that it does not matter how the champion was factored
            if other.ends_first or (other.anchored_to == "weights" and not isinstance(other, NLoRA))
        ]
        if holding:
            return f"it factors LoRA's matrices again, but '{holding[0]}' holds or sets them; leave one of the two out"
        return super().objection(config)

    def begin(self, update: Update) -> None:
        """Keep the champion's weights."""
        update.scratch.update(champion_weights(update))

    def end(self, update: Update) -> State:
        """Set the best merge, and keep the newly trained adapter as it was before."""
        from cl.models.tunings.lora import matrices

        rows, champion, learner = update.lesson.validation, update.scratch, update.learner
        trained = _copies(matrices(learner.encoder))
        state = self._keep(update.state, trained)
        if not champion or rows is None or rows.empty:
            return state
        own = {name: parameter.detach().clone() for name, parameter in learner.parameters() if name in champion}
        interpolate(update, champion, own, 0.0)
        before = _copies(matrices(learner.encoder))
        earlier = [vector for vector in _kept(update.state, learner.device) if vector.keys() == before.keys()]
        past = [before, *(vector for vector in earlier if not _same(vector, before))]
        seed = int(update.lesson.rng.integers(2**31))
        lost: dict[float, float] = {}

        def set_weights(share: float) -> None:
            interpolate(update, champion, own, share)
            if 0 < share < 1:
                lost[share] = self._set_merged(update, trained, past, share, seed)

        share = choose_on_line(update, self.steps, set_weights)
        log.info(
            "merge: %s, weight %.2f of the new adapter, %.1f %% of the merged update lost to its rank",
            self.method,
            share,
            100 * lost.get(share, 0.0),
        )
        return state

    def _set_merged(
        self, update: Update, trained: dict[str, Factors], past: list[dict[str, Factors]], share: float, seed: int
    ) -> float:
        """Set the merge at a share in all layers, and return which share of its squared length its rank loses."""
        import torch

        from cl.models.factors import add_up, factor, lost_share, padded, shorten, squared_length
        from cl.models.tunings.lora import set_matrices

        weights = [share, *[(1 - share) / len(past)] * len(past)]
        generator, whole = torch.Generator().manual_seed(seed), dict[str, float]()
        kept: dict[str, Factors] = {}
        for name, own in trained.items():
            vectors, rank = [own, *(vector[name] for vector in past)], len(own[1])
            if self.method == "linear":
                exact = add_up((weight * up, down) for weight, (up, down) in zip(weights, vectors, strict=True))
                whole[name], shorter = squared_length(exact), shorten(exact, rank)
            else:
                merged = self._merge([up @ down for up, down in vectors], weights, generator)
                whole[name], shorter = float(merged.double().square().sum()), factor(merged, rank)
            (kept[name],) = padded([shorter], rank)
        set_matrices(update.learner.encoder, kept)
        return lost_share(whole, kept)

    def _merge(self, updates: list[torch.Tensor], weights: list[float], generator: torch.Generator) -> torch.Tensor:
        if self.method == "ties":
            return merge_ties(updates, weights, density=self.density)
        if self.method == "dare":
            return merge_dare(updates, weights, density=self.density, generator=generator)
        return merge_magmax(updates, weights)

    def _keep(self, state: State, trained: dict[str, Factors]) -> State:
        """Return the state with a newly trained adapter first, and as many earlier ones as are merged."""
        tensors = {
            key: tensor.cpu()
            for index, vector in enumerate([trained, *_kept(state)][: self.earlier])
            for name, (up, down) in vector.items()
            for key, tensor in zip(_keys(index, name), (up, down), strict=True)
        }
        return State(tensors=tensors)


def _keys(index: int, name: str) -> tuple[str, str]:
    """Return the names of B and A of a kept adapter: those of the parameters, as those of removed ones are dropped."""
    return tuple(f"{index}.encoder.{name}.lora_{part}.default.weight" for part in "BA")  # type: ignore[return-value]


def _kept(state: State, device: torch.device | None = None) -> list[dict[str, Factors]]:
    """Return the adapters of earlier updates, the latest first, on a device; None: where they are."""
    kept: list[dict[str, Factors]] = []
    for key in state.tensors:
        index, _, name = key.partition(".encoder.")
        if key.endswith(".lora_B.default.weight"):
            kept += [{} for _ in range(int(index) + 1 - len(kept))]
            layer = name.removesuffix(".lora_B.default.weight")
            up, down = (state.tensors[own].to(device) for own in _keys(int(index), layer))
            kept[int(index)][layer] = up, down
    return kept


def _copies(updates: dict[str, Factors]) -> dict[str, Factors]:
    return {name: (up.detach().clone(), down.detach().clone()) for name, (up, down) in updates.items()}


def _same(first: dict[str, Factors], second: dict[str, Factors]) -> bool:
    """Return whether two adapters have the same matrices: the champion may be an earlier one that was not merged."""
    import torch

    return all(
        torch.equal(ours, theirs) for name, own in first.items() for ours, theirs in zip(own, second[name], strict=True)
    )
