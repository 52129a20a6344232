"""What people are told when nobody stands beside: an alarm, a promotion, a refusal, a held batch, a failure."""

from __future__ import annotations

from collections.abc import Sequence

from cl.asking import Look, TrafficLook
from cl.records import Cycle, Drift, Record
from cl.settings import Telling
from cl.stores.refused import Refused

MAX_NAMES, MOST_IDS = 3, 20
OF_VERDICT: dict[str, Telling] = {"promoted": "promotion", "refused": "refusal", "held": "hold"}


class Notice(Record):
    """One message: ``text`` is whole by itself, as chat webhooks show it; the rest is for programs."""

    about: Telling
    model: str
    experience: str | None = None
    cycle: str | None = None
    champion: str | None = None
    title: str
    text: str


def of_alarm(model: str, cycle: str, champion: str | None, seen: Drift) -> Notice | None:
    """Return the notice of an alarm; None where nothing has drifted."""
    loud = [f"{finding.detector}: {finding.summary}" for finding in seen.findings if finding.drifted]
    if not loud:
        return None
    title = f"{model}: alarm on {seen.experience}"
    return Notice(
        about="alarm",
        model=model,
        experience=seen.experience,
        cycle=cycle,
        champion=champion,
        title=title,
        text="\n".join([title, *loud]),
    )


def of_traffic(model: str, look: TrafficLook) -> Notice | None:
    """Return the notice of an alarm on answers that have no labels: which of them are worth a label; None: no alarm."""
    loud = [finding for finding in look.drift.findings if finding.drifted]
    if not loud:
        return None
    title = f"{model}: alarm on {look.rows} served rows, going by no labels; some labels are wanted"
    wanted = list(dict.fromkeys(id for finding in loud for id in finding.examples))[:MOST_IDS]
    remedy = f"label these first (POST /feedback, then cl ingest --from-serving): {', '.join(wanted)}"
    reasons = [f"{finding.detector}: {finding.summary}" for finding in loud]
    return Notice(
        about="alarm",
        model=model,
        experience=look.id,
        champion=look.champion,
        title=title,
        text="\n".join([title, *reasons, *([remedy] if wanted else [])]),
    )


def of_cycle(model: str, cycle: Cycle) -> Notice | None:
    """Return the notice of how a cycle ended; None where it left the model alone."""
    about = OF_VERDICT.get(cycle.verdict)
    if about is None:
        return None
    id = cycle.experience.id
    titles = {
        "promotion": f"{model}: version {cycle.champion_after} serves, having learnt {id}",
        "refusal": f"{model}: the update by {id} was refused, version {cycle.champion_after} goes on serving",
        "hold": f"{model}: {id} is held; look at `cl history`, then cl run --again {id}",
    }
    refused = [one for one in (cycle.gates.verdicts if cycle.gates else []) if not one.passed]
    reasons = [*cycle.decision.reasons, *(f"refused by {one.gate}: {one.why}" for one in refused)]
    return Notice(
        about=about,
        model=model,
        experience=id,
        cycle=cycle.id,
        champion=cycle.champion_after,
        title=titles[about],
        text="\n".join([titles[about], *reasons]),
    )


def of_refused(model: str, batches: Sequence[Refused]) -> Notice:
    """Return the notice of batches of the source that were left out."""
    names = ", ".join(one.origin for one in batches[:MAX_NAMES]) + (", ..." if len(batches) > MAX_NAMES else "")
    title = f"{model}: cannot be read, and left out until it changes: {names}"
    return Notice(about="failure", model=model, title=title, text="\n".join([title, *(one.why for one in batches)]))


def of_given_up(model: str, look: Look, attempts: int) -> Notice:
    """Return the notice of a cycle that is not tried again by itself, which holds up all after it."""
    title = f"{model}: {look.experience.id} has failed {attempts} times; nothing is learnt until somebody sees to it"
    remedy = "the failed runs in Prefect say why; then `cl trigger` starts one more"
    return Notice(
        about="failure",
        model=model,
        experience=look.experience.id,
        cycle=look.cycle,
        champion=look.champion,
        title=title,
        text=f"{title}\n{remedy}",
    )


def of_failure(model: str, run: str, message: str) -> Notice:
    """Return the notice of a run that did not end well."""
    title = f"{model}: {run} failed"
    return Notice(about="failure", model=model, title=title, text=f"{title}\n{message}")
