"""A head in closed form: solved, not trained, from integer features, so that its statistics are exact.

The encoder's features are rounded to integers, projected by an integer matrix, clipped at zero and rounded again. All
sums stay below 2^24, up to which float32 represents every integer: a text has the same features in any batch, and
what was added to a sum can be subtracted again exactly.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from cl.models.integer_products import multiplies_integers_exactly

STEPS = 127
"""Features are integers from -127 to 127."""
SIGMAS = 5.0
"""Where features are clipped, in standard deviations of a random unit vector's entries."""
MAX_UNSOLVED_LOGIT = -1e4
"""The highest logit of a class without rows."""
ROWS_AT_ONCE = 256
"""Rows whose expanded features are in memory as floats at a time: few enough for a processor's cache."""
PROJECTION = 32
"""Standard deviation of the random projection's integers; they are clipped at three of them."""


class _StraightThroughRound(torch.autograd.Function):
    """Rounding with a straight-through gradient (Bengio et al., 2013), which adversarial training needs."""

    @staticmethod
    def forward(ctx: Any, exact: torch.Tensor) -> torch.Tensor:
        return exact.round()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


class ClosedFormHead(nn.Module):
    """Linear scores over rounded features of the last ``layers`` layers, optionally expanded by a random projection.

    The expansion is that of RanPAC (McDonnell et al., 2023, section 3.2): ``max(0, W x)`` with a fixed random W.
    The first ``solved`` labels have weights (default: all); the others were added since.
    """

    projection: torch.Tensor

    def __init__(
        self,
        width: int,
        labels: int,
        *,
        layers: int = 1,
        expansion: int = 0,
        seed: int = 0,
        solved: int | None = None,
    ) -> None:
        super().__init__()
        self.width, self.layers, self.expansion, self.seed = width, layers, expansion, seed
        size = expansion or width * layers
        self.weight = nn.Parameter(torch.zeros(size, labels if solved is None else solved))
        self.bias = nn.Parameter(torch.zeros(labels))
        if expansion:
            self.register_buffer("projection", _draw_projection(width * layers, expansion, seed), persistent=False)

    @property
    def described(self) -> dict[str, object]:
        """What `load_learner` needs to rebuild the head."""
        sizes = {"width": self.width, "layers": self.layers, "expansion": self.expansion, "seed": self.seed}
        return {**sizes, "labels": self.bias.numel(), "solved": self.weight.shape[1]}

    def reads_as(self, other: ClosedFormHead) -> bool:
        """Return whether both turn a text into the same integer features, whatever their labels."""
        ours, theirs = ({**head.described, "labels": 0, "solved": 0} for head in (self, other))
        return ours == theirs

    def combine(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return integer features (..., layers * width) from the features of each layer, last layer last."""
        scale = STEPS / SIGMAS * self.width**0.5
        unit = [nn.functional.normalize(layer.float(), dim=-1) for layer in features]
        return _round(torch.cat(unit, dim=-1) * scale).clamp(-STEPS, STEPS)

    def expand(self, whole: torch.Tensor) -> torch.Tensor:
        """Return the expanded integer features; without an expansion, the features as given."""
        if not self.expansion:
            return whole
        # approximate standard deviation of a projected vector's entries
        deviation = STEPS / SIGMAS * PROJECTION * (self.width * self.layers) ** 0.5
        scale = STEPS / SIGMAS / deviation
        if torch.is_grad_enabled() and whole.requires_grad:
            return _round((whole @ self.projection).relu() * scale).clamp(max=STEPS)
        # large: in place, no memory is asked for again
        return self._project(whole).mul_(scale).round_().clamp_(0, STEPS)

    def _project(self, whole: torch.Tensor) -> torch.Tensor:
        """Return integer features times the projection, in float32: exact, by products of int8 where these are."""
        if whole.ndim != 2 or whole.device.type != "cpu" or not multiplies_integers_exactly():
            return whole.to(self.projection) @ self.projection
        integers = _draw_integers(self.width * self.layers, self.expansion, self.seed)
        return torch._int_mm(whole.to(torch.int8), integers).float()

    def expand_integers(self, whole: torch.Tensor) -> torch.Tensor:
        """Return what `expand` does for int8 features (rows, width), in int8 and with little memory."""
        if not self.expansion:
            return whole.to(torch.int8)
        parts = [self.expand(part.float()).to(torch.int8) for part in whole.split(ROWS_AT_ONCE)]
        return torch.cat(parts) if parts else torch.zeros(0, self.expansion, dtype=torch.int8)

    def solve(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Set the solved weights (features, labels) and biases."""
        self.weight = nn.Parameter(weight.float().to(self.weight.device))
        self.bias = nn.Parameter(bias.float().to(self.bias.device))

    def grow(self, labels: int, generator: torch.Generator, *, logit: float = 0.0) -> None:
        """Add labels that never score above any solved label until they are solved for.

        They get no weights yet: a wider product would round the old logits differently.
        """
        lowest = lowest_logit(self.weight, self.bias[: self.weight.shape[1]])
        self.solve(self.weight, torch.cat([self.bias, torch.full((labels,), lowest, device=self.bias.device)]))

    def forward(self, whole: torch.Tensor) -> torch.Tensor:
        """Map integer features (..., layers * width) to logits (..., labels)."""
        scores = self.expand(whole) @ self.weight
        unsolved = self.bias.numel() - scores.shape[-1]
        return (nn.functional.pad(scores, (0, unsolved)) if unsolved else scores) + self.bias


@functools.lru_cache(maxsize=2)
def _draw_projection(inputs: int, outputs: int, seed: int) -> torch.Tensor:
    """Return random integers (inputs, outputs), shared by all heads that read them: nothing changes them."""
    with torch.inference_mode(False):  # a head that is made while predicting may be trained against later
        drawn = torch.randn(inputs, outputs, generator=torch.Generator().manual_seed(seed))
        return drawn.mul_(PROJECTION).round_().clamp_(-3 * PROJECTION, 3 * PROJECTION)


@functools.lru_cache(maxsize=2)
def _draw_integers(inputs: int, outputs: int, seed: int) -> torch.Tensor:
    """Return the same random integers in int8."""
    with torch.inference_mode(False):
        return _draw_projection(inputs, outputs, seed).to(torch.int8)


def _round(exact: torch.Tensor) -> torch.Tensor:
    if not torch.is_grad_enabled():
        return exact.round()
    rounded: torch.Tensor = _StraightThroughRound.apply(exact)  # type: ignore[no-untyped-call]
    return rounded


@torch.no_grad()
def lowest_logit(weight: torch.Tensor, bias: torch.Tensor) -> float:
    """Return a lower bound on the logits of classes with these weights (features, classes) and biases.

    Features are at most `STEPS`, which bounds their norm and thus every class's logit.
    """
    furthest = STEPS * len(weight) ** 0.5 * weight.norm(dim=0)
    return float((bias - furthest).min().clamp(max=MAX_UNSOLVED_LOGIT)) if bias.numel() else MAX_UNSOLVED_LOGIT
