"""The page for the team as a person sees it, in a real Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cl.monitoring.triggers import TrafficCheck
from cl.records import Drift, Finding, LedgerEntry
from cl.stores.opened import open_project
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from tests.support import traffic
from tests.support.browser import CHROMIUM, Page, browser
from tests.support.team_page import ANA, EVIL, TeamServer, team_page, waiting_project

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
PATIENCE = 60.0
"""Seconds that the page may take to show something."""
HOSTILE = EVIL.replace("/", "")


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_model) -> Iterator[TeamServer]:
    """Two projects whose versions wait, one of them under a hostile name, and a broken one."""
    folder = tmp_path_factory.mktemp("team")
    project = waiting_project(folder / "bank", tiny_model)
    (project.root / "inbox" / "unread <i>.csv").write_text("id,text,label\nx,pay," + json.dumps(EVIL) + "\n")
    raise_alarm(project)
    shutil.copytree(project.root, folder / HOSTILE)
    (folder / "damaged").mkdir()
    (folder / "damaged" / "cl.yaml").write_text(f"name: {EVIL}\ntask: nothing of the kind\n")
    with team_page(folder, tmp_path_factory.mktemp("log") / "ui.log") as server:
        yield server


@pytest.fixture(scope="module")
def page(server, tmp_path_factory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def raise_alarm(project: ProjectFolder) -> None:
    traffic.serve(project, ["loan", "fee"], 30, 5, datetime.now(UTC) - timedelta(hours=1))
    ids = sorted(Predictions(project).sample("", "9", most=100)["id"])
    finding = Finding(detector="novelty", kind="inputs", drifted=True, p_value=0.001, summary=EVIL, examples=ids)
    drift = Drift(experience="traffic-0001", drifted=True, findings=[finding])
    check = TrafficCheck(champion="1", since="", until="2026-01-01T00:00:00+00:00", rows=30, drift=drift)
    (project.work / "traffic").mkdir()
    (project.work / "traffic" / "00000001.json").write_text(check.model_dump_json())


def shown(page: Page, script: str) -> None:
    page.until(script, seconds=PATIENCE)


def sign_in(page: Page, server: TeamServer, token: str = ANA, **options: str) -> None:
    """Open the page without a token from earlier and sign in."""
    page.open(f"{server.url}/", **options)
    page.run("sessionStorage.clear()")
    page.open(f"{server.url}/?again", **options)
    shown(page, "!document.querySelector('#sign-in').hidden")
    page.type("#token", token)
    page.click("#sign-in button")


def assert_unharmed(page: Page) -> None:
    assert page.run("document.images.length + document.querySelectorAll('h2 i, li b, td img').length") == 0
    assert page.run("document.title") != "broken"
    assert [line for line in page.complaints if not line.startswith("Failed to load resource")] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_all_projects_fit_on_any_screen_and_no_name_is_taken_for_html(server, page, tmp_path, theme, width) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    sign_in(page, server, theme=theme)
    shown(page, "document.querySelectorAll('#projects article').length === 3")
    shown(page, "!document.querySelector('#projects').textContent.includes('Reading')")
    assert page.text("#person") == "Signed in as Ana" and HOSTILE in page.text("#projects")
    assert "cl.yaml" in page.text("#projects .problem"), "the broken one says what is wrong"
    assert page.run("document.querySelectorAll('#approval-list form').length") == 2
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run("document.querySelector('#projects a').click()")
    shown(page, "document.activeElement.id === 'project-title'")
    sections = page.run("[...document.querySelectorAll('#detail section > h2')].map((title) => title.textContent)")
    assert sections == ["Waiting for your decision", "Champion", "What waits", "Timeline", "Drift alarms", "Report"]
    assert "inbox/unread <i>.csv" in page.text("#detail") and EVIL in page.text("#detail .alarm")
    page.click("#detail .alarm button")
    shown(page, "document.querySelectorAll('#detail .alarm tbody tr').length === 20")
    assert page.run("document.documentElement.scrollWidth") <= width
    page.picture(tmp_path / "project.png")
    is_light = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    assert is_light == (theme == "light") and (tmp_path / "project.png").stat().st_size > 10_000
    assert all(url.startswith(server.url) for url in page.requested if not url.startswith("data:"))
    assert_unharmed(page)


def test_every_field_and_button_has_a_name_and_ids_are_unique(server, page) -> None:
    sign_in(page, server)
    shown(page, "document.querySelectorAll('#approval-list form').length === 2")
    page.run("document.querySelector('#projects a').click()")
    shown(page, "!!document.querySelector('#detail form')")
    nameless = "[...document.querySelectorAll('textarea, input')].filter((field) => !field.labels.length).length"
    assert page.run(nameless) == 0
    ids = page.run("[...document.querySelectorAll('[id]')].map((part) => part.id)")
    assert len(ids) == len(set(ids))
    buttons = page.run("[...document.querySelectorAll('button')].map((button) => button.textContent.trim())")
    assert all(buttons) and page.run("document.querySelectorAll('h1').length") == 1


def test_a_wrong_token_is_asked_for_again_and_signing_out_forgets_it(server, page) -> None:
    sign_in(page, server, "wrong")
    shown(page, "document.querySelector('#trouble').textContent.includes('does not accept that token')")
    assert page.run("document.querySelector('#sign-in').hidden") is False
    assert page.run("document.querySelectorAll('#projects li').length") == 0
    sign_in(page, server)
    shown(page, "document.querySelectorAll('#projects li').length === 3")
    page.open(f"{server.url}/?reloaded")
    shown(page, "document.querySelectorAll('#projects li').length === 3")
    page.click("#sign-out")
    shown(page, "!document.querySelector('#sign-in').hidden")
    assert page.run("sessionStorage.length") == 0 and page.run("document.querySelectorAll('#projects li').length") == 0


def test_a_person_says_yes_with_a_reason_and_the_page_says_what_was_done(server, page) -> None:
    sign_in(page, server)
    shown(page, "document.querySelectorAll('#approval-list form').length === 2")
    root = server.folder / "bank"
    form = f"form[aria-labelledby='title-list-{server.key('bank')}-1']"
    page.click(f"{form} button[value=yes]")
    assert page.run("document.activeElement.tagName") == "TEXTAREA", "without a reason, it is asked for"
    assert ledger(root)[-1].action == "wait"
    page.type(f"{form} textarea", EVIL)
    page.click(f"{form} button[value=yes]")
    shown(page, "document.querySelector('#result').textContent.includes('Version 1 is the champion now.')")
    shown(page, "document.querySelectorAll('#approval-list form').length === 1")
    assert "by Ana on the team's page" in page.text("#result")
    entry = ledger(root)[-1]
    assert (entry.action, entry.why) == ("approve", EVIL) and entry.actor.startswith("Ana on the team's page, ")
    page.run(f"location.hash = '#/{server.key('bank')}'")
    shown(page, "document.querySelector('#detail').textContent.includes('approved: <img')")
    assert_unharmed(page)


def test_a_person_says_no_and_what_is_being_written_outlives_a_refresh(server, page) -> None:
    sign_in(page, server)
    form = f"form[aria-labelledby='title-list-{server.key(HOSTILE)}-1']"
    shown(page, f"!!document.querySelector({json.dumps(form)})")
    page.type(f"{form} textarea", "it misreads ")
    page.click("#refresh")
    shown(page, "!document.querySelector('#projects').textContent.includes('Reading')")
    page.type(f"{form} textarea", "loans")
    with ProjectFolder(server.folder / HOSTILE).lock():
        page.click(f"{form} button[value=no]")
        shown(page, "document.querySelector('#trouble').textContent.includes('nother cycle is running')")
    page.click(f"{form} button[value=no]")
    shown(page, "document.querySelector('#result').textContent.includes('Version 1 is rejected; no version serves.')")
    entry = ledger(server.folder / HOSTILE)[-1]
    assert (entry.action, entry.why) == ("reject", "it misreads loans")
    assert_unharmed(page)


def ledger(root: Path) -> list[LedgerEntry]:
    project = open_project(root)
    return project.stores.ledger.entries(project.config.name)
