"""Format comparisons, lineage and removal of versions for a terminal."""

from __future__ import annotations

from typing import Any

from cl.reports.measurements import UNDECIDED, format_share

CLASSES, EXPERIENCES = 20, 10
"""The most classes and experiences that are listed."""


def diff_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl diff`, with the classes that changed most."""
    before, after = output["from"], output["to"]
    lines = [f"{output['score']:<28}{'rows':>6}{f'version {before} %':>14}{f'version {after} %':>14}{'change pt':>11}"]
    lines += [_score_line(score) for score in output["experiences"]]
    moved = sorted(output["classes"], key=lambda score: -abs(score["to"] - score["from"]))
    moved = [score for score in moved if score["to"] != score["from"]]
    if moved:
        lines += ["", f"classes that changed ({len(moved)} of {len(output['classes'])}):"]
        lines += [_score_line(score) for score in moved[:CLASSES]]
    lines += _left_out_lines(output["left_out"])
    if output["note"]:
        lines += ["", f"note: {output['note']}"]
    lines += ["", *_section("configuration", output["config"]), *_data_lines(output["data"])]
    for name, labels in output["labels"].items():
        lines += [f"labels {name:<13}{', '.join(labels)}"] if labels else []
    sizes = ["-" if size is None else f"{size:.1f} MB" for size in output["size_mb"]]
    lines.append(f"{'size':<20}{sizes[0]} -> {sizes[1]}")
    lines += _section("packages", output["packages"])
    if output["git_commit"][0] != output["git_commit"][1]:
        lines.append(f"{'code':<20}{_arrow(output['git_commit'])}")
    return lines


def _left_out_lines(left_out: list[dict[str, Any]]) -> list[str]:
    if not left_out:
        return []
    lines = [
        f"left out: {part['rows']} rows of {part['experience']}, on which only version {part['version']} was tested"
        for part in left_out[:EXPERIENCES]
    ]
    rest = left_out[EXPERIENCES:]
    rows = sum(part["rows"] for part in rest)
    return ["", *lines, *([f"left out: {rows} rows of {len(rest)} more experiences; --json lists all"] if rest else [])]


def lineage_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl lineage`: a tree from the version down to the pretrained weights."""
    lines = []
    for depth, version in enumerate(output["versions"]):
        branch = "" if depth == 0 else "   " * (depth - 1) + "└─ "
        rest = "   " * depth
        aliases = f" ({', '.join(version['aliases'])})" if version["aliases"] else ""
        lines.append(f"{branch}version {version['version']}{aliases}: {version['verdict']}, {version['created'][:19]}")
        lines += [
            f"{rest}   learned  {', '.join(version['learnt']) or 'nothing'}",
            *_corrected_lines(rest, version["corrected"]),
            *[f"{rest}   labels   {change}" for change in version["labels"]],
            f"{rest}   cycle    {version['cycle']}, seed {version['seed']}, "
            f"configuration {version['config_digest'][:12]}",
            f"{rest}   data     {version['data_version']}",
            *([f"{rest}   tagger   {version['tagger']}, when it was last evaluated"] if version["tagger"] else []),
            f"{rest}   code     {version['git_commit'] or 'not in a git repository'}",
        ]
        if depth == 0:
            packages = ", ".join(f"{name} {release}" for name, release in version["packages"].items())
            lines.append(f"{rest}   packages {packages}")
        if version["withdrawn"]:
            lines.append(f"{rest}   {version['withdrawn']}")
    depth = len(output["versions"])
    for lost in output["lost"]:
        lines.append(f"{'   ' * (depth - 1)}└─ version {lost}: no longer in the registry")
    lines.append(f"{'   ' * (depth - 1)}└─ {output['base_model']} (pretrained)")
    return lines


def _corrected_lines(indent: str, corrected: dict[str, int]) -> list[str]:
    rows = ", ".join(f"{experience} ({count} rows)" for experience, count in corrected.items())
    return [f"{indent}   corrected {rows}"] if rows else []


def forget_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl forget`."""
    removal = output.get("would_remove") or output["removal"]
    splits = [
        f"{id} ({', '.join(f'{split} {n}' for split, n in counts.items())})" for id, counts in removal["rows"].items()
    ]
    total = sum(n for counts in removal["rows"].values() for n in counts.values())
    summary = f"{total} rows, {removal['quarantined']} in quarantine, {removal['answers']} logged answers"
    if "would_remove" in output:
        return [f"would remove {summary}", *[f"  {split}" for split in splits]]
    lines = [f"removed {summary}", *[f"  {split}" for split in splits], f"data/ is at version {output['data_version']}"]
    if output["version"]:
        lines.append(f"champion is version {output['version']}, which stores none of the rows")
    if not output["exact"]:
        lines.append(
            "its weights were trained on the rows: the next update starts from a version that never saw them; "
            "to update now: cl run --again EXPERIENCE"
        )
    if output["withdrawn"]:
        lines.append(f"withdrawn: version {', '.join(output['withdrawn'])}; to remove their files: cl gc")
    return lines


def reproduce_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl reproduce`."""
    version, files = output["version"], output["compared"]
    if output["identical"]:
        lines = [f"version {version}: retrained, bit-identical ({files} files)"]
    else:
        lines = [f"version {version}: retrained, {len(output['apart'])} of {files} files differ"]
        for name, distance in output["apart"].items():
            lines.append(f"  {name}: {'not comparable' if distance is None else f'largest difference {distance:.3g}'}")
    lines += _difference_lines("packages", output["packages"]) + _difference_lines("machine", output["machine"])
    then, now = output["git_commit"]
    if then != now:
        lines.append(f"code: commit {then} then, {now} now")
    result: list[str] = lines + output["remedies"]
    return result


def export_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl export`."""
    head = f"{output['folder']}: version {output['version']}, {output['bytes'] / 1e6:.1f} MB"
    tagger = output["tagger"]
    alone = [f"the tagger {tagger} is not in it: export that from its own project"] if tagger else []
    return [head, *output["loads"], *alone]


def gc_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl gc`."""
    lines = [f"  version {version}: {size / 1e6:.1f} MB" for version, size in output["versions"].items()]
    lines += [f"  .cl/{path}: {size / 1e6:.1f} MB" for path, size in output["local"].items()]
    lines += [f"  files that versions share: {output['shared'] / 1e6:.1f} MB"] if output["shared"] else []
    lines += [f"  kept: version {version}: {why}" for version, why in output["kept"].items()]
    return [f"{'would free' if output['dry_run'] else 'freed'} {output['bytes'] / 1e6:.1f} MB", *lines]


def _difference_lines(name: str, pairs: dict[str, list[Any]]) -> list[str]:
    """Return a line with the differences between then and now, or none."""
    return [f"{name}: {', '.join(f'{key} {_arrow(pair)}' for key, pair in pairs.items())}"] if pairs else []


def _score_line(score: dict[str, Any]) -> str:
    before, after = score["from"], score["to"]
    change = UNDECIDED if before is None or after is None else f"{100 * (after - before):+.1f}"
    moved = (
        f"  {score['lost']} newly wrong, {score['won']} newly right" if score.get("lost") or score.get("won") else ""
    )
    return (
        f"{score['name'][:27]:<28}{score['rows']:>6}{format_share(before, unit=''):>14}"
        f"{format_share(after, unit=''):>14}{change:>11}{moved}"
    )


def _section(name: str, changes: dict[str, list[Any]]) -> list[str]:
    if not changes:
        return [f"{name:<20}unchanged"]
    return [name, *(f"  {key}: {_arrow(pair)}" for key, pair in changes.items())]


def _data_lines(data: dict[str, Any]) -> list[str]:
    lines = [f"{'data':<20}{_arrow(data['version'])}"]
    for name in ("added", "removed"):
        if data[name]:
            lines.append(f"  {name}: {', '.join(data[name])} ({data[f'rows_{name}']} rows)")
    return lines


def _arrow(pair: list[Any]) -> str:
    return f"{pair[0]} -> {pair[1]}" if pair[0] != pair[1] else str(pair[0])


def evaluate_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl evaluate`."""
    score, rows = format_share(output["accuracy"]), output["rows"]
    lines = [f"version {output['version']}: mean {output['metric']} {score} of {rows:,} test rows"]
    lines += [f"    {name}: {format_share(value)}" for name, value in output["scores"].items()]
    before: float | None = None
    for entry in output["end_to_end"]:
        f1 = entry.get("end_to_end_f1")
        change = f", {100 * (f1 - before):+.1f} points" if f1 is not None and before is not None else ""
        others = {"precision": "end_to_end_precision", "recall": "end_to_end_recall", "both spans": "end_to_end_spans"}
        shown = "".join(f", {name} {format_share(entry[key])}" for name, key in others.items() if key in entry)
        recorded = f" (as recorded: {entry['recorded']})" if "recorded" in entry else ""
        lines.append(f"end to end with {entry['tagger']}: F1 {format_share(f1)}{change}{shown}{recorded}")
        before = f1
    return lines
