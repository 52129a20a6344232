"""Versions compared, and where they come from, as lines for a terminal."""

from __future__ import annotations

from typing import Any

CLASSES = 20


def diff_lines(found: dict[str, Any]) -> list[str]:
    """Return what `cl diff` shows; of the classes those that moved most."""
    one, other = found["from"], found["to"]
    lines = [f"{found['score']:<28}{'rows':>6}{'version ' + one:>12}{'version ' + other:>12}{'change':>10}"]
    lines += [_score_line(score) for score in found["experiences"]]
    moved = sorted(found["classes"], key=lambda score: -abs(score["to"] - score["from"]))
    moved = [score for score in moved if score["to"] != score["from"]]
    if moved:
        lines += ["", f"classes that moved ({len(moved)} of {len(found['classes'])}):"]
        lines += [_score_line(score) for score in moved[:CLASSES]]
    if found["note"]:
        lines += ["", f"note: {found['note']}"]
    lines += ["", *_section("configuration", found["config"]), *_data_lines(found["data"])]
    for name, labels in found["labels"].items():
        lines += [f"labels {name:<13}{', '.join(labels)}"] if labels else []
    sizes = ["-" if size is None else f"{size:.1f} MB" for size in found["size_mb"]]
    lines.append(f"{'size':<20}{sizes[0]} -> {sizes[1]}")
    lines += _section("packages", found["packages"])
    if found["git_commit"][0] != found["git_commit"][1]:
        lines.append(f"{'code':<20}{_arrow(found['git_commit'])}")
    return lines


def lineage_lines(found: dict[str, Any]) -> list[str]:
    """Return what `cl lineage` shows: a tree from the version down to the pretrained weights."""
    lines = []
    for depth, one in enumerate(found["versions"]):
        branch = "" if depth == 0 else "   " * (depth - 1) + "└─ "
        rest = "   " * depth
        aliases = f" ({', '.join(one['aliases'])})" if one["aliases"] else ""
        lines.append(f"{branch}version {one['version']}{aliases}: {one['verdict']}, {one['created'][:19]}")
        lines += [
            f"{rest}   learnt   {', '.join(one['learnt']) or 'nothing'}",
            f"{rest}   cycle    {one['cycle']}, seed {one['seed']}, configuration {one['config_digest'][:12]}",
            f"{rest}   data     {one['data_version']}",
            f"{rest}   code     {one['git_commit'] or 'not in a git repository'}",
        ]
        if depth == 0:
            packages = ", ".join(f"{name} {version}" for name, version in one["packages"].items())
            lines.append(f"{rest}   packages {packages}")
        if one["withdrawn"]:
            lines.append(f"{rest}   {one['withdrawn']}")
    depth = len(found["versions"])
    for version in found["lost"]:
        lines.append(f"{'   ' * (depth - 1)}└─ version {version}: not in the registry any more")
    lines.append(f"{'   ' * (depth - 1)}└─ {found['base_model']} (pretrained)")
    return lines


def forget_lines(done: dict[str, Any]) -> list[str]:
    """Return what `cl forget` shows."""
    removal = done.get("would_remove") or done["removal"]
    splits = [
        f"{id} ({', '.join(f'{split} {n}' for split, n in found.items())})" for id, found in removal["rows"].items()
    ]
    total = sum(n for found in removal["rows"].values() for n in found.values())
    told = f"{total} rows, {removal['quarantined']} in quarantine, {removal['answers']} logged answers"
    if "would_remove" in done:
        return [f"would remove {told}", *[f"  {one}" for one in splits]]
    lines = [f"removed {told}", *[f"  {one}" for one in splits], f"data/ is at version {done['data_version']}"]
    if done["version"]:
        lines.append(f"champion is version {done['version']}, without the rows in anything that it keeps")
    if not done["exact"]:
        lines.append(
            "its weights were trained on them: the next update starts from a version that never saw them; "
            "cl run --again EXPERIENCE does it now"
        )
    if done["withdrawn"]:
        lines.append(f"cannot serve again: version {', '.join(done['withdrawn'])}; cl gc removes their files")
    return lines


def reproduce_lines(found: dict[str, Any]) -> list[str]:
    """Return what `cl reproduce` shows."""
    version, files = found["version"], found["compared"]
    if found["identical"]:
        lines = [f"version {version}: trained again, and the same to the bit ({files} files)"]
    else:
        lines = [f"version {version}: trained again, and {len(found['apart'])} of {files} files differ"]
        for name, distance in found["apart"].items():
            lines.append(f"  {name}: {'not comparable' if distance is None else f'at most {distance:.3g} apart'}")
    lines += _changed("packages", found["packages"]) + _changed("machine", found["machine"])
    then, now = found["git_commit"]
    if then != now:
        lines.append(f"code: commit {then} then, {now} now")
    return lines + found["remedies"]


def export_lines(done: dict[str, Any]) -> list[str]:
    """Return what `cl export` shows."""
    return [f"{done['folder']}: version {done['version']}, {done['bytes'] / 1e6:.1f} MB", *done["loads"]]


def gc_lines(found: dict[str, Any]) -> list[str]:
    """Return what `cl gc` shows."""
    lines = [f"  version {version}: {size / 1e6:.1f} MB" for version, size in found["versions"].items()]
    lines += [f"  .cl/{path}: {size / 1e6:.1f} MB" for path, size in found["local"].items()]
    lines += [f"  kept: version {version}: {why}" for version, why in found["kept"].items()]
    return [f"{'would free' if found['dry_run'] else 'freed'} {found['bytes'] / 1e6:.1f} MB", *lines]


def _changed(name: str, pairs: dict[str, list[Any]]) -> list[str]:
    """Return what differs between then and now, none if nothing does."""
    return [f"{name}: {', '.join(f'{key} {_arrow(pair)}' for key, pair in pairs.items())}"] if pairs else []


def _score_line(score: dict[str, Any]) -> str:
    change = 100 * (score["to"] - score["from"])
    moved = f"  {score['lost']} lost, {score['won']} won" if score.get("lost") or score.get("won") else ""
    return (
        f"{score['name'][:27]:<28}{score['rows']:>6}{100 * score['from']:>10.1f} %{100 * score['to']:>10.1f} %"
        f"{change:>+7.1f} pt{moved}"
    )


def _section(name: str, changes: dict[str, list[Any]]) -> list[str]:
    if not changes:
        return [f"{name:<20}the same"]
    return [name, *(f"  {key}: {_arrow(pair)}" for key, pair in changes.items())]


def _data_lines(data: dict[str, Any]) -> list[str]:
    lines = [f"{'data':<20}{_arrow(data['version'])}"]
    for name in ("added", "removed"):
        if data[name]:
            lines.append(f"  {name}: {', '.join(data[name])} ({data[f'rows_{name}']} rows)")
    return lines


def _arrow(pair: list[Any]) -> str:
    return f"{pair[0]} -> {pair[1]}" if pair[0] != pair[1] else str(pair[0])
