"""Plots of the report as inline SVG: no files, no scripts, and the page's colours in light and dark mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil, floor, isfinite

from markupsafe import Markup

from cl.records import ChangedGroup, Cycle
from cl.reports.measurements import format_loss

WIDTH = 1016
MOST_BARS = 24
SHAPES = {
    "promoted": Markup('<path d="M0 -1 L.95 .75 L-.95 .75 Z" class="mark promoted"/>'),
    "refused": Markup('<path d="M-.72 -.72 L.72 .72 M.72 -.72 L-.72 .72" class="stroke refused"/>'),
    "none": Markup('<circle r=".62" class="mark none"/>'),
    "held": Markup('<path d="M-.42 -.8 V.8 M.42 -.8 V.8" class="stroke held"/>'),
    "waiting": Markup('<path d="M-.7 -.85 H.7 L-.7 .85 H.7 Z" class="stroke waiting"/>'),
    "canary": Markup('<path d="M0 -.85 L.85 .7 L-.85 .7 Z" class="stroke canary"/>'),
    "shadow": Markup('<path d="M0 -.85 L.85 .7 L-.85 .7 Z" class="stroke shadow"/>'),
}
"""A shape per verdict, so that nobody depends on colour; drawn in a square from -1 to 1."""
DRIFT = Markup('<path d="M0 -.9 L.7 0 L0 .9 L-.7 0 Z" class="mark drift"/>')
BEFORE = Markup('<circle r=".55" class="before"/>')


def icon(name: str) -> Markup:
    """Return the shape of a verdict, of `drift` or of `before`, at letter size."""
    shape = {**SHAPES, "drift": DRIFT, "before": BEFORE}[name]
    return Markup('<svg class="icon" viewBox="-1.25 -1.25 2.5 2.5" aria-hidden="true">{}</svg>').format(shape)


def before_after_bars(group: ChangedGroup, among: Sequence[ChangedGroup]) -> Markup:
    """Return two bars, the share or score before above the one after, on a common scale for all groups."""
    most = max((share for changed in among for share in (changed.before, changed.after)), default=1.0) or 1.0
    bars = [
        f'<rect y="{y}" width="{max(0.5, 120 * share / most):.1f}" height="5" class="{style}"/>'
        for y, share, style in ((1, group.before, "was"), (7, group.after, "is"))
    ]
    label = f"{group.name}: {group.before:.1%} to {group.after:.1%}"
    return Markup('<svg width="122" height="13" role="img" aria-label="{}">{}</svg>').format(
        label, Markup("".join(bars))
    )


def timeline(cycles: list[Cycle]) -> Markup:
    """Plot a mark per cycle: height is the score, shape the verdict, shading drift; the line is the champion's ACC."""
    left, top, height = 50, 34, 220
    step = max(8.0, min(170.0, (WIDTH - left - 10) / max(1, len(cycles))))
    width = max(WIDTH, left + step * len(cycles) + 10)
    serving = serving_scores(cycles)
    scores = [
        score for cycle in cycles for score in (score_for(cycle), cycle.drift.champion_score) if score is not None
    ]
    low = axis_start([*scores, *(score for score in serving if score is not None)])

    def y(value: float) -> float:
        return top + height * (1 - (max(low, min(1.0, value)) - low) / (1 - low))

    centres = [left + step * (index + 0.5) for index in range(len(cycles))]
    parts = [_axis(low, y, left=left, width=width)]
    parts += [_drift_column(cycle, x, step, top, height) for cycle, x in zip(cycles, centres, strict=True)]
    parts.append(_trail([(x, y(score)) for x, score in zip(centres, serving, strict=True) if score is not None]))
    for cycle, x, acc in zip(cycles, centres, serving, strict=True):
        parts.append(_marks(cycle, x, y, step=step, low=low, line=None if acc is None else y(acc)))
    parts.append(_labels([cycle.experience.id for cycle in cycles], centres, step, top + height + 22))
    return _svg(width, top + height + 34, parts, f"Timeline of {len(cycles)} cycles: score and verdict of each")


def heat_map(matrix: dict[str, dict[str, float]], *, refused: bool = False) -> Markup:
    """Plot the accuracy matrix: a row for each update, a column for each experience tested.

    Args:
        matrix: experience learned -> experience tested -> score; the last row is the latest challenger's.
        refused: whether that challenger was refused; its row is marked.
    """
    tested = [name for row in matrix.values() for name in row]
    columns = [name for name in dict.fromkeys([*matrix, *tested]) if name in tested]  # in the order of learning
    values = [value for row in matrix.values() for value in row.values() if isfinite(value)]
    if not values:
        return Markup("")
    high = max(values)
    low = max(0.0, min(*values, high - 0.2))
    left, cell = 150, max(7.0, min(84.0, (WIDTH - 194) / len(columns)))
    tall, top = max(7.0, min(34.0, cell * 0.75)), 30 if cell >= 56 else 66
    parts = [_column_labels(columns, left, cell, top)]
    for row_index, (learned, row) in enumerate(matrix.items()):
        y, last = top + tall * row_index, row_index == len(matrix) - 1
        if (len(matrix) - 1 - row_index) % ceil(14 / tall) == 0:
            label = f"{shorten(learned, 17)}{' ✕' if refused and last else ''}"
            parts.append(_text(left - 10, y + tall / 2 + 4, label, anchor="end", style="strong" if last else ""))
        for column_index, name in enumerate(columns):
            if name in row:
                shade = 0.1 + 0.9 * (row[name] - low) / max(1e-9, high - low)
                parts.append(_cell(left + cell * column_index, y, cell, tall, row[name], shade, f"{learned} on {name}"))
    return _svg(
        left + cell * len(columns) + (8 if cell >= 56 else 44), top + tall * len(matrix) + 6, parts, "Accuracy matrix"
    )


def bars(forgetting: dict[str, float], *, bound: float | None = None) -> Markup:
    """Plot forgetting in points, a bar for each past experience, at most the 24 most forgotten.

    Args:
        forgetting: past experience -> best score so far minus score now.
        bound: the maximum that a gate accepts; drawn as a line.
    """
    worst = sorted(forgetting, key=lambda name: -forgetting[name])[:MOST_BARS]
    shown = {name: 100 * value for name, value in forgetting.items() if name in worst}
    least = min(0.0, *shown.values())
    most = max(1.0, 100 * (bound or 0.0), *shown.values())
    row, left, right = 26, 150, 420
    scale = (right - left) / (most - least)
    zero, end = left - least * scale, row * len(shown) + 4
    parts = [Markup('<path d="M{:.1f} 0 V{}" class="axis"/>').format(zero, end)]
    if bound is not None:
        bound_x = zero + 100 * bound * scale
        parts.append(Markup('<path d="M{0:.1f} 0 V{1}" class="bound"/>').format(bound_x, end))
        parts.append(_text(bound_x, end + 14, f"at most {100 * bound:.1f}", anchor="middle", style="soft"))
    for index, (name, points) in enumerate(shown.items()):
        y, x, length = row * index, min(zero, zero + points * scale), max(1.0, abs(points) * scale)
        exceeded = bound is not None and points > 100 * bound
        style = "promoted" if points <= 0 else "refused" if exceeded else "none"
        parts.append(_text(134, y + 18, shorten(name, 17), anchor="end"))
        parts.append(_bar(x, y + 6, length, row - 11, style, name))
        parts.append(_text(max(zero, x + length) + 8, y + 18, format_loss(points / 100), style="amount"))
    return _svg(490, end + (20 if bound is not None else 2), parts, "Forgetting in points, by experience")


def change(before: float | None, after: float | None, *, low: float) -> Markup:
    """Plot champion (ring) and challenger (dot) on a line from `low` to 1; nothing if the challenger's is undecided."""
    if after is None:
        return Markup("")
    x = 5 + 210 * (after - low) / (1 - low)
    parts = [Markup('<path d="M5 9 H215" class="grid"/>')]
    if before is not None:
        style, from_x = "promoted" if after >= before else "refused", 5 + 210 * (before - low) / (1 - low)
        parts.append(Markup('<path d="M{:.1f} 9 H{:.1f}" class="stroke {}"/>').format(from_x, x, style))
        parts.append(Markup('<circle cx="{:.1f}" cy="9" r="4" class="before"/>').format(from_x))
    parts.append(Markup('<circle cx="{:.1f}" cy="9" r="4.5" class="after"/>').format(x))
    return _svg(220, 18, parts, "champion and challenger")


def axis_start(values: Iterable[float]) -> float:
    """Return where a score axis starts: a round tenth below all values, so that differences are visible."""
    return max(0.0, min(0.8, floor(10 * min(values, default=0.0) - 0.5) / 10))


def score_for(cycle: Cycle) -> float | None:
    """Return the challenger's ACC, or the champion's score on the new rows if nothing was learned."""
    return cycle.evaluation.accuracy if cycle.evaluation else cycle.drift.champion_score


def serving_scores(cycles: list[Cycle]) -> list[float | None]:
    """Return the last measured ACC of the serving version after each cycle."""
    values: list[float | None] = []
    for cycle in cycles:
        known = values[-1] if values else None
        if cycle.evaluation:
            promoted = cycle.verdict == "promoted"
            known = cycle.evaluation.accuracy if promoted else cycle.evaluation.champion_accuracy
        values.append(known)
    return values


def shorten(name: str, letters: int = 14) -> str:
    """Return an experience's name without its number: ``0003-month-3`` gives ``month-3``."""
    number, _, rest = name.partition("-")
    name = rest if rest and number.isdigit() else name
    return name if len(name) <= letters else f"{name[: max(1, letters - 1)]}…"


def _axis(low: float, y: Callable[[float], float], *, left: float, width: float) -> Markup:
    step = 0.05 if 1 - low <= 0.25 else 0.1 if 1 - low <= 0.5 else 0.2
    lines = []
    for index in range(round((1 - low) / step) + 1):
        value = 1 - index * step
        lines.append(Markup('<path d="M{} {:.1f} H{:.0f}" class="grid"/>').format(left, y(value), width))
        lines.append(_text(left - 8, y(value) + 4, f"{value:.0%}", anchor="end", style="soft"))
    return Markup("").join(lines)


def _drift_column(cycle: Cycle, x: float, step: float, top: float, height: float) -> Markup:
    if not cycle.drift.drifted:
        return Markup("")
    shade = Markup('<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" class="shade"/>')
    column = shade.format(x - step / 2 + step * 0.04, top, step * 0.92, height)
    if step >= 60:
        return column + _draw_shape(DRIFT, x - 18, top - 11, 5.5) + _text(x - 8, top - 7, "drift", style="drift")
    return column + _draw_shape(DRIFT, x, top - 8, min(5.0, step / 2.4))


def _marks(
    cycle: Cycle, x: float, y: Callable[[float], float], *, step: float, low: float, line: float | None
) -> Markup:
    score, before = score_for(cycle), cycle.drift.champion_score
    size = min(9.0, step * 0.42)
    parts = []
    if cycle.evaluation and before is not None:
        parts.append(_draw_shape(BEFORE, x, y(before), size))
    parts.append(_draw_shape(SHAPES[cycle.verdict], x, y(low if score is None else score), size, _title(cycle, score)))
    if score is not None and step >= 44:
        overlaps = line is not None and 5 < y(score) - line < 27
        parts.append(
            _text(x, y(score) + (25 if overlaps else -15), f"{100 * score:.1f}", anchor="middle", style="value")
        )
    return Markup("").join(parts)


def _title(cycle: Cycle, score: float | None) -> str:
    return f"{cycle.experience.id}: {cycle.verdict}, {'no score' if score is None else f'{score:.1%}'}"


def _trail(points: list[tuple[float, float]]) -> Markup:
    path = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Markup('<path d="M{}" class="trail"/>').format(path) if len(points) > 1 else Markup("")


def _labels(names: Sequence[str], centres: Sequence[float], step: float, y: float) -> Markup:
    every = ceil(66 / step)
    letters = int(step * every / 7.2)
    shown = [index for index in range(len(names)) if index % every == 0]
    return Markup("").join(
        _text(centres[index], y, shorten(names[index], letters), anchor="middle", style="soft") for index in shown
    )


def _column_labels(columns: Sequence[str], left: float, cell: float, top: float) -> Markup:
    if cell >= 56:
        return _labels(columns, [left + cell * (index + 0.5) for index in range(len(columns))], cell, top - 10)
    every = ceil(16 / cell)
    slanted = Markup('<text transform="translate({:.1f} {:.1f}) rotate(-40)" class="soft">{}</text>')
    return Markup("").join(
        slanted.format(left + cell * (index + 0.5), top - 6, shorten(columns[index], 11))
        for index in range(0, len(columns), every)
    )


def _cell(x: float, y: float, wide: float, tall: float, value: float, shade: float, title: str) -> Markup:
    gap = 2.0 if wide >= 20 else 0.5
    box = Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{}" class="heat" fill-opacity="{:.2f}">'
        "<title>{}: {:.1%}</title></rect>"
    ).format(x, y, wide - gap, tall - gap, 3 if wide >= 20 else 0, shade, title, value)
    if wide < 32:
        return box
    style = "on" if shade > 0.72 else ""
    digits = f"{100 * value:.1f}" if wide >= 40 else f"{100 * value:.0f}"
    return box + _text(x + (wide - gap) / 2, y + (tall - gap) / 2 + 4, digits, anchor="middle", style=style)


def _bar(x: float, y: float, wide: float, tall: float, style: str, title: str) -> Markup:
    bar = '<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="2.5" class="mark {}"><title>{}</title></rect>'
    return Markup(bar).format(x, y, wide, tall, style, title)


def _draw_shape(shape: Markup, x: float, y: float, size: float, title: str = "") -> Markup:
    inside = Markup("<title>{}</title>").format(title) if title else ""
    return Markup('<g transform="translate({:.1f} {:.1f}) scale({:.1f})">{}{}</g>').format(x, y, size, inside, shape)


def _text(x: float, y: float, content: str, *, anchor: str = "start", style: str = "") -> Markup:
    text = '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>'
    return Markup(text).format(x, y, anchor, style, content)


def _svg(width: float, height: float, parts: Sequence[Markup], title: str) -> Markup:
    svg = '<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img" aria-label="{2}">{3}</svg>'
    return Markup(svg).format(width, height, title, Markup("").join(parts))
