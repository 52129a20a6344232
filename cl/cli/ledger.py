"""The commands that read the ledger: `cl audit` and `cl champion`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show, show_error
from cl.cli.promotion import why_option
from cl.cli.tables import LEDGER, on_terminal


@click.command()
@click.option(
    "--sign", is_flag=True, help="First sign all entries with the key of stores.ledger_key; you vouch for them."
)
@click.option(
    "--repair",
    metavar="VERSION",
    help="First set the entries aside that cannot be trusted, and make VERSION the champion (none: no version) on your "
    "word; mlflow: undo what was changed in MLflow by hand. Needs --why.",
)
@why_option
@project_option
@json_option
def audit(sign: bool, repair: str | None, why: str, project: Path, as_json: bool) -> None:
    """Print and verify the ledger; exit code 1 if an entry was edited, removed or inserted.

    Each entry's hash is recorded in the next one, and the last one's in the registry; the first mismatch is reported.
    While there is one, nothing is moved: restore the ledger from a backup, or vouch for a version with --repair. What
    was deleted, renamed or moved in MLflow by hand is named, too.
    """
    from cl.commands.ledger import audit, repair_ledger, sign_all
    from cl.records import IntegrityViolation
    from cl.reports.terminal.ledger import ledger_lines

    if sign and repair is not None:
        raise click.UsageError("--sign and --repair exclude one another: repair first, then sign")
    if repair is not None:
        result = repair_ledger(project, repair, why=why)
    else:
        result = sign_all(project) if sign else audit(project)
    show(as_json, result, on_terminal("\n".join(ledger_lines(result)), LEDGER))
    if not result["whole"]:
        if not as_json:
            show_error(IntegrityViolation(**result["broken"]).line)
        sys.exit(1)


@click.command()
@click.option(
    "--as-of", metavar="TIME", help="ISO date (its last moment) or time, in this machine's time zone unless given."
)
@project_option
@json_option
def champion(as_of: str | None, project: Path, as_json: bool) -> None:
    """Show the champion, canary and shadow, now or at a past time, according to the ledger."""
    from cl.commands.ledger import champion_at
    from cl.reports.terminal.ledger import champion_lines

    result = champion_at(project, as_of)
    show(as_json, result, "\n".join(champion_lines(result)))
