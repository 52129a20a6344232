"""`cl distil`: compress a registered version into a cheaper one, which becomes the challenger."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cl.commands._version_catalogue import read_versions
from cl.compression.distil import check_not_worse_than_champion
from cl.cycle.compress import CompressionContext, compress_once, compression_result, load_judged
from cl.errors import InputError
from cl.evaluation.evaluate import HeldOut
from cl.process.progress import stage
from cl.promotion.repair import locked_and_repaired
from cl.records import Form
from cl.registry.lineage import local_version
from cl.registry.smoke_test import smoke_test
from cl.registry.tagger import open_finder
from cl.stores.journal import Journal
from cl.stores.opened import open_project

BY_HAND = "requested by hand"


def distil_version(folder: Path, version: str, *, form: Form) -> dict[str, Any]:
    """Compress a version into one form and return the result; nothing is promoted.

    Repeated with the same data, configuration and champion, it returns the version made before.

    Raises:
        InputError: there is no such version, it was withdrawn, or it cannot be a teacher.
        BusyError: a cycle is running.
    """
    project = open_project(folder)
    config, stores, registry = project.config, project.stores, project.stores.registry
    with locked_and_repaired(stores):
        info = read_versions(project).get(version)
        if info.withdrawn is not None:
            raise InputError(f"version {version} of '{config.name}' cannot be distilled: {info.withdrawn}")
        teacher, champion = local_version(stores, version), local_version(stores, stores.ledger.champion(config.name))
        learned, rows_of = teacher.history.learnt, stores.experiences.rows_of
        assert teacher.folder is not None
        if champion.folder is not None and champion.version != version:
            with stage("compare with the champion"):
                check_not_worse_than_champion(
                    teacher.folder, champion.folder, learnt=learned, rows_of=rows_of, seed=config.seed
                )
        data_version = stores.data.commit()
        parts = "\n".join([config.digest, data_version, version, form, champion.version or ""])
        name = f"distil{hashlib.sha256(parts.encode()).hexdigest()[:16]}"
        journal = Journal(project.project.work / "derived" / name, project.project.root)
        context = CompressionContext(
            config=config,
            stores=stores,
            cycle=name,
            champion=champion,
            held_out=HeldOut(learned, teacher.history.scores, rows_of, finder=open_finder(config, stores)),
            data_version=data_version,
            journal=journal,
            residual_experiences=teacher.history.residual_experiences,
        )
        source = load_judged(teacher.folder, version)
        made = compress_once(context, source, form, [BY_HAND])
        with stage("smoke test"):
            report = smoke_test(config, stores, made.registration, made.challenger)
        registry.set_alias("challenger", made.registration.version)
        journal.close()
    result = compression_result(form, made, source, [BY_HAND])
    return {**result.model_dump(mode="json"), **report.model_dump(mode="json")}
