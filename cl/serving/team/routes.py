"""The routes of the page for the team."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from cl.errors import BusyError, InputError
from cl.records import LedgerEntry
from cl.serving.errors import RequestError
from cl.serving.schemas import Text
from cl.serving.team.folder import ListedProject, TeamFolder
from cl.serving.team.links import ReportLinks
from cl.serving.team.overview import REPORT, OpenedProject, open_to_read, read_overview
from cl.serving.team.reads import ProjectReads
from cl.serving.team.records import Decided, ExampleRow, Listing, ProjectOverview, QuarantineRows, Timeline
from cl.serving.team.rows import alarm_rows, quarantine_rows
from cl.serving.team.timeline import read_timeline
from cl.serving.team.tokens import TeamTokens
from cl.stores.actor import current_actor
from cl.stores.error_messages import translate_disk_errors

T = TypeVar("T")
router = APIRouter(include_in_schema=False)
SCAN_SECONDS = 2.0
"""For which the list of the folder's projects is good."""
MOST_REPORT_BYTES = 50_000_000
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
Key = Annotated[str, StringConstraints(max_length=64)]
Name = Annotated[str, StringConstraints(max_length=300)]


class Decide(Protocol):
    """Approves or rejects a version, as `cl approve` and `cl reject` do."""

    def __call__(self, folder: Path, version: str, *, yes: bool, why: str, actor: str) -> LedgerEntry:
        """Return the ledger entry."""


@dataclass(frozen=True)
class Scan:
    """The projects of the folder by their keys, whether there are more, and when that was found out."""

    projects: dict[str, ListedProject]
    is_cut: bool
    read_at: float


@dataclass
class Team:
    """What the routes work with."""

    folder: TeamFolder
    tokens: TeamTokens | None
    decide: Decide
    reads: ProjectReads = field(default_factory=ProjectReads)
    links: ReportLinks = field(default_factory=ReportLinks)
    deciding: asyncio.Lock = field(default_factory=asyncio.Lock)

    _scan: Scan | None = None

    async def scan(self) -> Scan:
        """Return the projects of the folder as they were at most `SCAN_SECONDS` ago."""
        if self._scan is None or time.monotonic() > self._scan.read_at + SCAN_SECONDS:
            projects, is_cut = await self.reads.read("", "projects", self.folder.projects)
            self._scan = Scan({project.key: project for project in projects}, is_cut, time.monotonic())
        return self._scan

    async def listed(self, key: str) -> ListedProject:
        """Return a project by its key.

        Raises:
            RequestError: 404, there is none.
        """
        project = (await self.scan()).projects.get(key)
        if project is None:
            raise RequestError(404, "this project is not in the folder; reload the page")
        return project

    async def of_project(self, key: str, kind: object, function: Callable[[OpenedProject], T]) -> T:
        """Return what a function reads of a project."""
        listed = await self.listed(key)

        def read() -> T:
            with translate_disk_errors():
                return function(open_to_read(self.folder, listed))

        return await self.reads.read(key, kind, read)

    def person(self, request: Request) -> str | None:
        """Return the name that the request's token gives."""
        authorization = request.headers.get("authorization", "").encode("latin-1", "replace")
        return self.tokens.name_of(authorization) if self.tokens else None


class FolderListing(BaseModel):
    """The projects of the folder, before any is read."""

    folder: str
    projects: list[Listing]
    is_cut: bool
    person: str | None
    has_tokens: bool


def _is_written(text: str) -> str:
    if not text.strip():
        raise ValueError("a reason is needed")
    return text.strip()


class DecisionBody(BaseModel):
    """A person's yes or no."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Annotated[Text, StringConstraints(min_length=1, max_length=50)]
    yes: bool
    why: Annotated[Text, StringConstraints(min_length=1, max_length=2_000), AfterValidator(_is_written)]


@router.get("/healthz")
async def report_health() -> dict[str, str]:
    """Say that the server runs."""
    return {"status": "ok"}


@router.get("/api/access")
async def report_access(request: Request) -> dict[str, bool]:
    """Say whether a token is needed, so that the page asks for one before its first request."""
    return {"needs_token": request.app.state.team.tokens is not None}


@router.get("/api/projects")
async def list_projects(request: Request) -> FolderListing:
    """List the projects of the folder, quickly: nothing of them is read."""
    team: Team = request.app.state.team
    scan = await team.scan()
    return FolderListing(
        folder=team.folder.root.name or "/",
        projects=[Listing(key=project.key, path=project.path) for project in scan.projects.values()],
        is_cut=scan.is_cut,
        person=team.person(request),
        has_tokens=team.tokens is not None,
    )


@router.get("/api/projects/{key}")
async def show_project(request: Request, key: Key) -> ProjectOverview:
    """Show a project with its newest cycles."""
    team: Team = request.app.state.team
    listed = await team.listed(key)
    return await team.reads.read(key, "overview", partial(read_overview, team.folder, listed))


@router.get("/api/projects/{key}/cycles")
async def show_cycles(request: Request, key: Key, skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0) -> Timeline:
    """Show a page of cycles, newest first."""
    team: Team = request.app.state.team
    return await team.of_project(key, ("cycles", skip), lambda opened: read_timeline(opened.stores, skip)[0])


@router.get("/api/projects/{key}/alarm")
async def show_alarm(request: Request, key: Key, id: Name) -> list[ExampleRow]:
    """Show the rows behind an alarm."""
    team: Team = request.app.state.team
    return await team.of_project(key, ("alarm", id), lambda opened: alarm_rows(opened, id))


@router.get("/api/projects/{key}/quarantine")
async def show_quarantine(
    request: Request, key: Key, experience: Name, reason: Annotated[str | None, Query(max_length=1_000)] = None
) -> QuarantineRows:
    """Show rows that were set aside."""
    team: Team = request.app.state.team
    kind = ("quarantine", experience, reason)
    return await team.of_project(key, kind, lambda opened: quarantine_rows(opened, experience, reason))


@router.post("/api/projects/{key}/decision")
async def decide(request: Request, key: Key, body: DecisionBody) -> Decided:
    """Approve or reject the version that waits, in the name of the token's holder."""
    team: Team = request.app.state.team
    listed = await team.listed(key)
    name = team.person(request)
    actor = f"{name} on the team's page, {current_actor()}" if name else f"the team's page, {current_actor()}"

    def record() -> LedgerEntry:
        with translate_disk_errors():
            open_to_read(team.folder, listed)
            return team.decide(listed.root, body.version, yes=body.yes, why=body.why, actor=actor)

    if team.deciding.locked():
        raise BusyError("another decision is being recorded; try again in a moment")
    async with team.deciding:  # MLflow's client keeps what it knows of a store in variables of the process
        entry = await asyncio.to_thread(record)
    return Decided(sequence=entry.sequence, text=_describe(entry), actor=entry.actor)


@router.post("/api/projects/{key}/report")
async def make_report_link(request: Request, key: Key) -> dict[str, str]:
    """Return a link to the HTML report that is good for a minute."""
    team: Team = request.app.state.team
    await team.listed(key)
    return {"link": team.links.make(key)}


@router.get("/report")
async def show_report(request: Request, project: Key, until: int, signature: Name) -> HTMLResponse:
    """Show the HTML report as `cl report` wrote it, in a sandbox."""
    team: Team = request.app.state.team
    if not team.links.allows(project, until, signature):
        raise RequestError(403, "this link is no longer good; open the report from the page again")
    content = await team.of_project(project, "report", _read_report)
    return HTMLResponse(content, headers={"Content-Security-Policy": REPORT_POLICY})


def _read_report(opened: OpenedProject) -> bytes:
    path = opened.project.reports / REPORT
    if not path.is_file():
        raise InputError("there is no report yet; `cl report` writes it")
    if path.stat().st_size > MOST_REPORT_BYTES:
        raise InputError(f"the report is larger than {MOST_REPORT_BYTES:,} bytes; open the file itself")
    return path.read_bytes()


def _describe(entry: LedgerEntry) -> str:
    if entry.action == "reject":
        champion = f"the champion is still version {entry.from_version}" if entry.from_version else "no version serves"
        return f"Version {entry.to_version} is rejected; {champion}."
    share = f" for {entry.share:.0%} of the requests" if entry.share is not None else ""
    return f"Version {entry.to_version} is the {entry.alias} now{share}."
