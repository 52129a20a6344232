"""The commands that move the champion: `cl promote`, `cl approve`, `cl reject`, `cl rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cl.cli.options import FiniteRange, json_option, project_option, show

if TYPE_CHECKING:
    from cl.records import LedgerEntry

why_option = click.option("--why", default="", help="Reason, recorded in the ledger.")
reason_option = click.option("--why", required=True, help="Reason, recorded in the ledger.")


@click.command()
@click.argument("version", required=False)
@project_option
@why_option
@json_option
def rollback(version: str | None, project: Path, why: str, as_json: bool) -> None:
    """Make VERSION, or by default the previous champion, the champion again."""
    from cl.commands.promotion import roll_back

    entry = roll_back(project, version, why=why)
    _show(as_json, entry, f"champion is version {entry.to_version} again (was {entry.from_version})")


@click.command()
@click.argument("version", required=False)
@click.option(
    "--as", "alias", type=click.Choice(["champion", "canary", "shadow"]), default="champion", show_default=True
)
@click.option(
    "--share",
    type=FiniteRange(0, 1, min_open=True),
    help="Share of requests for a canary or shadow. [default: 0.1, shadow 1]",
)
@click.option("--withdraw", type=click.Choice(["canary", "shadow"]), help="Remove this alias from its version.")
@click.option("--despite-gates", is_flag=True, help="Even if gates failed, or compared it with an earlier champion.")
@reason_option
@project_option
@json_option
def promote(
    version: str | None, alias: Any, share: float | None, withdraw: Any, despite_gates: bool, why: str, **common: Any
) -> None:
    """Make VERSION the champion, a canary or a shadow by hand.

    It must have passed its gates in comparison with the current champion. With --despite-gates you override them, and
    the ledger records it; the version is then smoke-tested again, and refused if it does not load and answer.
    """
    from cl.commands.promotion import promote_version, withdraw_version

    if (version is None) == (withdraw is None):
        raise click.UsageError("give either a VERSION to promote, or --withdraw canary or shadow")
    if version is None:
        entry = withdraw_version(common["project"], withdraw, why=why)
        _show(common["as_json"], entry, f"version {entry.from_version} is no longer the {withdraw}")
        return
    entry = promote_version(common["project"], version, alias=alias, share=share, why=why, despite_gates=despite_gates)
    _show(common["as_json"], entry, _describe_promotion(entry))


@click.command()
@click.argument("version")
@why_option
@project_option
@json_option
def approve(version: str, why: str, project: Path, as_json: bool) -> None:
    """Approve VERSION, which passed its gates and awaits approval: it is promoted."""
    from cl.commands.promotion import decide_version

    entry = decide_version(project, version, yes=True, why=why)
    _show(as_json, entry, f"approved: {_describe_promotion(entry)}")


@click.command()
@click.argument("version")
@reason_option
@project_option
@json_option
def reject(version: str, why: str, project: Path, as_json: bool) -> None:
    """Reject VERSION, which passed its gates and awaits approval; the champion is unchanged."""
    from cl.commands.promotion import decide_version

    entry = decide_version(project, version, yes=False, why=why)
    _show(
        as_json,
        entry,
        f"version {version} is rejected; the champion is unchanged (version {entry.from_version or 'none'})",
    )


def _describe_promotion(entry: LedgerEntry) -> str:
    share = f" for {entry.share:.0%} of the requests" if entry.share is not None else ""
    return f"version {entry.to_version} is the {entry.alias}{share} (was {entry.from_version or 'none'})"


def _show(as_json: bool, entry: LedgerEntry, text: str) -> None:
    show(as_json, entry.model_dump(mode="json"), f"{text}; ledger entry {entry.sequence}")
