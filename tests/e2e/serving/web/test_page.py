"""The page at / as a person sees it, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cl.lifecycle import run_waiting
from cl.stores.predictions.feedback import Feedback
from cl.stores.project_folder import ProjectFolder
from tests.support.browser import CHROMIUM, Page, browser
from tests.support.served import Server
from tests.support.servers import until
from tests.support.tiny import made_sentences, tiny_project

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
PATIENCE = 60.0
"""Seconds that the page may take to show something."""
EVIL = "<img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_model) -> ProjectFolder:
    """A project one of whose labels is hostile."""
    project = tiny_project(tmp_path_factory.mktemp("page") / "shop", tiny_model, serve={"tokens": "env:PAGE_TOKENS"})
    rows = made_sentences(["loan", "fee"], 100, seed=1)
    rows = rows.assign(label=rows["label"].replace("fee", EVIL))
    rows.to_csv(project.root / "inbox" / "one.csv", index=False)
    run_waiting(project)
    return project


@pytest.fixture(scope="module")
def server(project) -> Iterator[Server]:
    server = Server(project.root, PAGE_TOKENS="secret")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def page(server, tmp_path_factory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def shown(page: Page, script: str) -> None:
    """Return when an expression is true in the page."""
    page.until(script, seconds=PATIENCE)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_person_tries_a_text_and_tells_the_right_label(server, page, project, tmp_path: Path, theme) -> None:
    page.open(f"{server.url}/", theme)
    shown(page, "!document.querySelector('#door').hidden")
    page.type("#token", "secret")
    page.click("#door button")
    shown(page, "document.querySelector('#versions').textContent === 'Champion: version 1'")

    page.type("#text", f"where is the fee {EVIL}")
    page.click("#send")
    shown(page, "!document.querySelector('#answer').hidden")
    assert page.text("#label") in ("loan", EVIL) and page.text("#confidence").endswith(" %")
    assert page.text("#version") == "1" and page.text("#role") == "champion"
    for _ in range(3):
        server.post("/predict", {"texts": ["fee fee fee"] * 20}, Authorization="Bearer secret")
    shown(page, "document.querySelector('#mix').textContent.includes('<img src=x')")
    shown(page, "document.querySelectorAll('#throughput rect').length")
    assert page.run("document.images.length") == 0 and page.run("document.title") == "shop: predictions"

    before = len(Feedback(project).last())
    page.type("#right", "loan")
    page.click("#correct button")
    shown(page, "document.querySelector('#feedback-status').textContent.includes('Thank you, saved.')")
    assert len(Feedback(project).last()) == before + 1

    page.picture(tmp_path / "page.png")
    light = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    assert light == (theme == "light") and (tmp_path / "page.png").stat().st_size > 10_000
    assert all(one.startswith(server.url) for one in page.requested if not one.startswith("data:"))
    assert [one for one in page.complaints if "401" not in one] == []


@pytest.mark.parametrize(
    ("typed", "button", "saved"),
    [
        ("laon", "#use-known", "loan"),
        ("laon", "#add-label", "laon"),
        (EVIL.replace("x", "y"), "#add-label", EVIL.replace("x", "y")),
        ("parcel_lost", "#add-label", "parcel_lost"),
        ("laon", "#change-label", None),
        ("loan", None, "loan"),
        (EVIL, None, EVIL),
    ],
)
def test_a_label_that_is_new_is_saved_only_after_a_question(server, page, project, typed, button, saved) -> None:
    page.open(f"{server.url}/?{typed[:4]}-{(button or '')[1:]}")
    shown(page, "!document.querySelector('#door').hidden")
    page.type("#token", "secret")
    page.click("#door button")
    shown(page, "document.querySelectorAll('#labels option').length === 2")
    page.type("#text", "pay the loan")
    page.click("#send")
    shown(page, "!document.querySelector('#answer').hidden")
    before = len(Feedback(project).last())
    page.type("#right", typed)
    page.click("#correct button")
    if button is not None:
        shown(page, "!document.querySelector('#new-label').hidden")
        assert typed in page.text("#new-label-question") and len(Feedback(project).last()) == before
        assert page.run("document.querySelector('#use-known').hidden") == (typed == "parcel_lost")
        page.click(button)
    if saved is None:
        assert page.run("document.querySelector('#new-label').hidden && document.activeElement.id") == "right"
        assert len(Feedback(project).last()) == before
        return
    shown(page, "document.querySelector('#feedback-status').textContent === 'Thank you, saved.'")
    assert len(Feedback(project).last()) == before + 1
    assert Feedback(project).last()["label"].tolist()[-1] == saved
    assert page.run("document.images.length") == 0


def test_a_wrong_token_asks_again_and_what_goes_wrong_is_said(server, page) -> None:
    page.open(f"{server.url}/")
    shown(page, "!document.querySelector('#door').hidden")
    page.type("#token", "wrong")
    page.click("#door button")
    shown(page, "!document.querySelector('#door').hidden && !document.querySelector('#trouble').hidden")
    assert "token" in page.text("#trouble")


def test_the_page_runs_no_script_but_its_own(server) -> None:
    first, second = (httpx.get(f"{server.url}/") for _ in range(2))
    policy = first.headers["content-security-policy"]
    assert (
        "default-src 'none'" in policy
        and "unsafe" not in policy
        and policy != second.headers["content-security-policy"]
    )
    assert first.text.count("<script") == 1 and "http://" not in first.text.replace("http://www.w3.org/2000/svg", "")
    until(lambda: httpx.get(f"{server.url}/live").status_code == 401, seconds=PATIENCE)
