"""What the page shows of a project; all texts are bounded, and none is HTML."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from cl.records import Record


class Listing(Record):
    """A project of the folder, before anything of it is read."""

    key: str
    path: str


class Role(Record):
    """A version that serves, as champion, canary or shadow."""

    alias: str
    version: str
    since: datetime
    action: str = Field(description="The move that made it so: promote, approve, rollback, ...")
    why: str
    actor: str
    share: float | None = None


class GateLine(Record):
    """The verdict of one gate."""

    gate: str
    verdict: str
    why: str


class OpenApproval(Record):
    """A version that passed its gates and waits for a person."""

    version: str
    alias: str
    champion: str | None = Field(description="The version that it was compared with")
    since: datetime
    why: str
    experience: str | None = None
    score: str | None = None
    champion_score: str | None = None
    forgotten: str | None = None
    gates: list[GateLine] = Field(default_factory=list)


class TimelineRow(Record):
    """One finished cycle, or what is wrong with its record."""

    experience: str
    ended: datetime | None = None
    rows: int | None = None
    quarantined: int = 0
    drifted: bool = False
    decision: str | None = None
    reasons: list[str] = Field(default_factory=list)
    score: str | None = None
    forgotten: str | None = Field(default=None, description="In points; positive is a loss")
    verdict: str
    refused_by: list[GateLine] = Field(default_factory=list)
    champion: str | None = None
    problem: str | None = None


class Timeline(Record):
    """A page of cycles, newest first."""

    rows: list[TimelineRow]
    total: int
    older: int | None = Field(description="`skip` of the next page; None: these are the oldest")


class FiredDetector(Record):
    """A detector that fired."""

    detector: str
    summary: str = Field(description="With its p-value, if the detector is a test")


class Alarm(Record):
    """A drift alarm: on an experience, or on served traffic whose labels are not known yet."""

    id: str
    on_traffic: bool
    rows: int
    champion: str | None
    until: str | None = Field(default=None, description="Of traffic: when its last answer was given")
    detectors: list[FiredDetector]
    examples: int = Field(description="Rows that show it; of traffic, those to label first")


class ExampleRow(Record):
    """A row that shows an alarm."""

    id: str
    text: str
    label: str | None = None
    prediction: str | None = None
    confidence: float | None = None
    labelled: bool = False


class WaitingExperience(Record):
    """An experience that has not been learned."""

    id: str
    rows: int
    state: str = Field(description="new: it has had no cycle; later: the next update learns it; held: look at it first")


class Waiting(Record):
    """What has arrived and waits."""

    experiences: list[WaitingExperience] = Field(default_factory=list)
    more_experiences: int = 0
    files: list[str] = Field(default_factory=list)
    more_files: int = 0
    files_note: str | None = Field(default=None, description="Why the source was not looked at")
    feedback: int = 0


class Quarantined(Record):
    """Rows of an experience that were set aside for the same reason."""

    experience: str
    reason: str
    rows: int


class QuarantineRow(Record):
    """A row that was set aside, as it came."""

    id: str | None
    reason: str
    row: str
    returned: str | None


class QuarantineRows(Record):
    """Some rows of a quarantine, and how many there are."""

    total: int
    rows: list[QuarantineRow]


class ProjectOverview(Record):
    """A project as the page shows it; a part that cannot be read is a line in ``problems``."""

    key: str
    path: str
    name: str | None = None
    problems: list[str] = Field(default_factory=list)
    champion: Role | None = None
    trials: list[Role] = Field(default_factory=list)
    approval: OpenApproval | None = None
    waiting: Waiting = Field(default_factory=Waiting)
    timeline: Timeline = Field(default_factory=lambda: Timeline(rows=[], total=0, older=None))
    alarms: list[Alarm] = Field(default_factory=list)
    quarantine: list[Quarantined] = Field(default_factory=list)
    quarantined_rows: int = 0
    report: datetime | None = Field(default=None, description="When the HTML report was written; None: there is none")


class Decided(Record):
    """A person's decision, as the ledger has it."""

    sequence: int
    text: str
    actor: str
