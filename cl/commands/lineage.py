"""`cl lineage`: a version and its ancestors, back to the pretrained weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cl.commands._version_catalogue import VersionCatalogue, read_versions
from cl.records.history import History
from cl.registry.tagger import TAGGER
from cl.stores.data.correction_records import count_replaced, read_corrections
from cl.stores.data.label_changes import read_label_changes
from cl.stores.opened import open_project


def trace_lineage(folder: Path, version: str) -> dict[str, Any]:
    """Return the origin of a version and of each of its ancestors, youngest first.

    Raises:
        InputError: there is no such version.
    """
    versions = read_versions(open_project(folder, reading=True))
    versions.get(version)
    line = versions.line(version)
    known = [ancestor for ancestor in line if ancestor in versions.infos]
    return {
        "model": versions.project.config.name,
        "versions": [_describe(versions, ancestor) for ancestor in known],
        "lost": [ancestor for ancestor in line if ancestor not in versions.infos],
        "base_model": versions.history(known[-1]).base_model,
    }


def _describe(versions: VersionCatalogue, version: str) -> dict[str, Any]:
    info, history = versions.infos[version], versions.history(version)
    parent = history.parent
    before = versions.history(parent) if parent in versions.infos else History()
    changes = read_label_changes(versions.project.project).changes[before.label_changes : history.label_changes]
    corrections = read_corrections(versions.project.project)[before.corrections : history.corrections]
    digest = history.config_digest or hashlib.sha256(json.dumps(history.config, sort_keys=True).encode()).hexdigest()
    return {
        "version": version,
        "created": info.created.isoformat(),
        "parent": parent,
        "aliases": info.aliases,
        "cycle": history.cycle,
        "verdict": versions.verdict(version),
        "form": history.form,
        "learnt": [experience for experience in history.learnt if experience not in before.learnt],
        "corrected": dict(count_replaced(corrections)),
        "labels": [f"{change.describe()}{f': {change.why}' if change.why else ''}" for change in changes],
        "data_version": history.data_version,
        "git_commit": history.git_commit,
        "config_digest": digest,
        "seed": history.seed,
        "packages": history.packages,
        "machine": history.machine,
        "withdrawn": info.withdrawn,
        "tagger": info.tags.get(TAGGER),
    }
