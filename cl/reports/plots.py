"""Pictures of the report as inline SVG: they need no file, no script and no network."""

from __future__ import annotations

from html import escape

from cl.records import Cycle

COLOURS = {"promoted": "#2e9e6b", "refused": "#d1495b", "none": "#8a94a6", "held": "#e09f3e"}
MARKS = {"promoted": "▲", "refused": "✕", "none": "●", "held": "‖"}


def timeline(cycles: list[Cycle]) -> str:
    """Return one mark a cycle: height is accuracy, shape and colour the verdict, a ring is drift."""
    step, height, left, top = 74, 190, 46, 20
    width = left + step * max(1, len(cycles)) + 20
    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + height * (1 - value)
        parts.append(f'<line x1="{left}" x2="{width - 10}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{value:.0%}</text>')
    points = []
    for at, cycle in enumerate(cycles):
        accuracy = accuracy_of(cycle)
        x, y = left + step * (at + 0.5), top + height * (1 - (accuracy or 0.0))
        points.append(f"{x:.0f},{y:.1f}")
        if cycle.drift.drifted:
            parts.append(f'<circle cx="{x}" cy="{y}" r="15" class="ring"/>')
        parts.append(
            f'<text x="{x}" y="{y + 7}" text-anchor="middle" font-size="19" fill="{COLOURS[cycle.verdict]}">'
            f"<title>{escape(cycle.experience.id)}: {cycle.verdict}</title>{MARKS[cycle.verdict]}</text>"
        )
        parts.append(
            f'<text x="{x}" y="{y - 20}" text-anchor="middle">{"" if accuracy is None else f"{accuracy:.1%}"}</text>'
        )
        parts.append(
            f'<text x="{x}" y="{top + height + 22}" text-anchor="middle">{escape(_short(cycle.experience.id))}</text>'
        )
    line = f'<polyline points="{" ".join(points)}" class="trail"/>'
    return _svg(width, top + height + 36, line + "".join(parts), "Timeline of cycles")


def heat_map(matrix: dict[str, dict[str, float]]) -> str:
    """Return the accuracy matrix: a row for each update, a column for each experience tested."""
    columns = list(dict.fromkeys(name for row in matrix.values() for name in row))
    cell, left, top = 74, 110, 34
    parts = [
        f'<text x="{left + cell * (at + 0.5)}" y="{top - 10}" text-anchor="middle">{escape(_short(name))}</text>'
        for at, name in enumerate(columns)
    ]
    for down, (learnt, row) in enumerate(matrix.items()):
        y = top + 36 * down
        parts.append(f'<text x="{left - 10}" y="{y + 22}" text-anchor="end">{escape(_short(learnt))}</text>')
        for at, name in enumerate(columns):
            if name not in row:
                continue
            shade = max(0.08, min(1.0, (row[name] - 0.3) / 0.7))
            x = left + cell * at
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell - 3}" height="33" rx="4" fill="#3b7dd8" opacity="{shade:.2f}"/>'
            )
            ink = "#fff" if shade > 0.55 else "currentColor"
            parts.append(
                f'<text x="{x + cell / 2}" y="{y + 22}" text-anchor="middle" style="fill:{ink}">{row[name]:.1%}</text>'
            )
    return _svg(left + cell * len(columns) + 10, top + 36 * len(matrix) + 6, "".join(parts), "Accuracy matrix")


def bars(forgetting: dict[str, float]) -> str:
    """Return forgetting in points, a bar for each past experience; to the left of the line is a gain."""
    middle, row = 330, 28
    scale = 150 / max(5.0, *(abs(100 * value) for value in forgetting.values()))
    parts = [f'<line x1="{middle}" x2="{middle}" y1="0" y2="{row * len(forgetting)}" class="axis"/>']
    for at, (name, value) in enumerate(forgetting.items()):
        points, y = 100 * value, at * row
        length = abs(points) * scale
        colour, x = (COLOURS["refused"], middle) if points > 0 else (COLOURS["promoted"], middle - length)
        parts.append(f'<rect x="{x:.1f}" y="{y + 5}" width="{length:.1f}" height="{row - 10}" rx="3" fill="{colour}"/>')
        parts.append(f'<text x="6" y="{y + 19}">{escape(_short(name))}</text>')
        at_x = middle + length + 8 if points > 0 else middle + 8
        parts.append(f'<text x="{at_x:.1f}" y="{y + 19}">{points:+.1f} points</text>')
    return _svg(600, row * len(forgetting) + 4, "".join(parts), "Forgetting by experience")


def accuracy_of(cycle: Cycle) -> float | None:
    """Return the challenger's mean score, or on a quiet month the champion's on the new rows."""
    return cycle.evaluation.accuracy if cycle.evaluation else cycle.drift.champion_score


def _short(name: str) -> str:
    number, _, rest = name.partition("-")
    return (rest or number)[:12]


def _svg(width: float, height: float, content: str, title: str) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
    return f'<svg {size} role="img" aria-label="{title}">{content}</svg>'
