"""A head that is solved for, not trained: whole numbers in, so that its statistics are exact.

Features of the encoder are rounded to whole numbers, projected by a matrix of whole numbers, cut at zero and
rounded again. All sums stay below 2^24, where float32 still counts in ones: the same text has the same features
in any batch, and what was added to a sum can be taken out of it without a trace.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

STEPS = 127
"""Features are whole numbers from -127 to 127."""
SIGMAS = 5.0
"""Where features are cut off, in standard deviations of a random unit vector's entries."""
LOWEST = -1e4
"""The logit of a class without rows, at most."""
PROJECTION = 32
"""Standard deviation of the random projection's whole numbers; they are cut at three."""


class _Rounded(torch.autograd.Function):
    """Whole numbers, for which a gradient is that of what was rounded (Bengio et al., 2013): an adversary needs one."""

    @staticmethod
    def forward(ctx: Any, exact: torch.Tensor) -> torch.Tensor:
        return exact.round()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


class ClosedFormHead(nn.Module):
    """Linear scores over rounded features of the last ``layers`` layers, expanded by a random projection or not.

    The expansion is the one of RanPAC (McDonnell et al., 2023, section 3.2): ``max(0, W x)`` with a fixed random W.
    Of its labels the first ``solved`` have weights, all unless told; the others have grown since.
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
            drawn = torch.randn(width * layers, expansion, generator=torch.Generator().manual_seed(seed))
            whole = (drawn * PROJECTION).round().clamp(-3 * PROJECTION, 3 * PROJECTION)
            self.register_buffer("projection", whole, persistent=False)

    @property
    def described(self) -> dict[str, object]:
        """What `load_learner` needs to make it again."""
        sizes = {"width": self.width, "layers": self.layers, "expansion": self.expansion, "seed": self.seed}
        return {**sizes, "labels": self.bias.numel(), "solved": self.weight.shape[1]}

    def reads_as(self, other: ClosedFormHead) -> bool:
        """Tell whether both make the same whole numbers of the same text, whatever their labels."""
        ours, theirs = ({**one.described, "labels": 0, "solved": 0} for one in (self, other))
        return ours == theirs

    def combine(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return whole numbers (..., layers * width) for the features of each layer, the last layer last."""
        scale = STEPS / SIGMAS * self.width**0.5
        unit = [nn.functional.normalize(one.float(), dim=-1) for one in features]
        return _rounded(torch.cat(unit, dim=-1) * scale).clamp(-STEPS, STEPS)

    def expand(self, whole: torch.Tensor) -> torch.Tensor:
        """Return the expanded features, whole numbers again; without an expansion those that were given."""
        if not self.expansion:
            return whole
        # entries of a projected vector have about this standard deviation
        deviation = STEPS / SIGMAS * PROJECTION * (self.width * self.layers) ** 0.5
        return _rounded((whole @ self.projection).relu() * (STEPS / SIGMAS / deviation)).clamp(max=STEPS)

    def solve(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Take weights (features, labels) and biases that were solved for."""
        self.weight = nn.Parameter(weight.float().to(self.weight.device))
        self.bias = nn.Parameter(bias.float().to(self.bias.device))

    def grow(self, labels: int, generator: torch.Generator) -> None:
        """Add labels that score as low as anything can until they are solved for.

        They get no weights yet: a wider product would round the old logits otherwise.
        """
        lowest = lowest_logit(self.weight, self.bias[: self.weight.shape[1]])
        self.solve(self.weight, torch.cat([self.bias, torch.full((labels,), lowest, device=self.bias.device)]))

    def forward(self, whole: torch.Tensor) -> torch.Tensor:
        """Map whole numbers (..., layers * width) to (..., labels)."""
        scores = self.expand(whole) @ self.weight
        unsolved = self.bias.numel() - scores.shape[-1]
        return (nn.functional.pad(scores, (0, unsolved)) if unsolved else scores) + self.bias


def _rounded(exact: torch.Tensor) -> torch.Tensor:
    return _Rounded.apply(exact) if torch.is_grad_enabled() else exact.round()


@torch.no_grad()
def lowest_logit(weight: torch.Tensor, bias: torch.Tensor) -> float:
    """Return a logit that no class with these weights (features, classes) and biases falls below, whatever is read.

    Entries of what is read are at most `STEPS`: that bounds its length, and so each class's logit.
    """
    furthest = STEPS * len(weight) ** 0.5 * weight.norm(dim=0)
    return float((bias - furthest).min().clamp(max=LOWEST)) if bias.numel() else LOWEST
