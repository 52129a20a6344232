"""Take the pictures of the documentation from a copy of a project that has learned: `make screenshots PROJECT=DIR`.

Needs Chromium, and a project that `cl demo` made. The pictures go to docs/images/. Another page is one more line in
PICTURES, and its server one in COMMANDS.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from tests.support.browser import Page, browser

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LARGEST = 150_000
"""Bytes that one picture may have."""


@dataclass(frozen=True)
class Picture:
    """A page of a server, or of the project's folder, as it is shown in a window."""

    name: str
    server: str
    """A key of COMMANDS; empty for a file of the project."""
    path: str
    ready: str
    """An expression that is true once the page shows what it has."""
    act: Callable[[Page], None] = lambda page: None
    width: int = 1200
    height: int = 800


def ask(page: Page) -> None:
    """Put a question on the serving page and wait for its answer."""
    for text in ("where is my parcel?", "i was charged twice", "close my account please", "my card is gone"):
        page.run("document.querySelector('#text').value = ''")
        page.type("#text", text)
        page.click("#send")
        time.sleep(1.5)
    page.until("!document.querySelector('#answer').hidden")
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    time.sleep(3)


def shows(text: str) -> str:
    """Return an expression that is true once the page shows a text."""
    return f"document.body.innerText.includes({text!r})"


def scroll_to(text: str) -> Callable[[Page], None]:
    """Return what brings the heading with a text to the top of the window."""
    script = (
        f"[...document.querySelectorAll('h2')].find(heading => heading.innerText.includes({text!r})).scrollIntoView()"
    )
    return lambda page: page.run(script)


def without_assistant(page: Page) -> None:
    """Close the panel that MLflow opens at the first visit, and show the versions of a model from their heading on."""
    close = "[...document.querySelectorAll('button')].find(button => /close/i.test(button.ariaLabel || ''))?.click()"
    versions = "[...document.querySelectorAll('h1,h2,h3,h4,span,div')].findLast(part => part.innerText === 'Versions')"
    page.run(close)
    time.sleep(1)
    page.run(f"{versions}?.scrollIntoView()")


def open_project(page: Page) -> None:
    """Open the first project of the team's page."""
    page.run("document.querySelector('main a').click()")
    page.until(shows("Timeline"))


def open_run(page: Page) -> None:
    """Open the newest run of a flow from Prefect's list of runs; its pages have no addresses of their own."""
    page.run("""document.querySelector('a[href$="/runs"]').click()""")
    page.until(shows("fernhill"), seconds=30)
    page.run("""document.querySelector('a[href*="/runs/flow-run/"]').click()""")
    time.sleep(8)


COMMANDS = {
    "cl serve": "-m cl.cli serve -p PROJECT --port PORT --workers 1",
    "cl ui": "-m cl.cli ui PROJECT/.. --port PORT",
    "mlflow": "-m mlflow ui --backend-store-uri sqlite:///PROJECT/mlflow/mlflow.db --port PORT --workers 1",
    "prefect": "-m prefect server start --port PORT",
}
"""How each server is started, as arguments of Python."""

PICTURES = (
    Picture("report", "", "reports/index.html", shows("Timeline"), height=735),
    Picture("report-gates", "", "reports/index.html", shows("Gates"), scroll_to("Gates"), height=712),
    Picture("serve", "cl serve", "/", shows("version"), ask, width=900, height=1015),
    Picture("team", "cl ui", "/", shows("fernhill"), open_project, width=1000, height=1000),
    Picture("mlflow-model", "mlflow", "/#/models/fernhill", shows("champion"), without_assistant, 1500, 575),
    Picture("mlflow-runs", "mlflow", "/#/experiments/1/runs", shows("0006-month-6"), without_assistant, 1500, 600),
    Picture("prefect-run", "prefect", "/", shows("Dashboard"), open_run, height=512),
)


def main(project: Path, wanted: list[str]) -> None:
    """Take the wanted pictures of a copy of a project, or all of them."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
        copy = Path(folder, "models", "fernhill")
        shutil.copytree(project, copy)
        os.environ["PREFECT_HOME"] = str(Path(folder, "prefect"))
        addresses: dict[str, str] = {"": copy.as_uri()}
        for picture in PICTURES:
            if wanted and picture.name not in wanted:
                continue
            if picture.server not in addresses:
                addresses[picture.server] = servers.enter_context(started(picture.server, copy))
                if picture.server == "prefect":
                    learn(copy, addresses["prefect"])
            with browser(Path(folder, picture.name)) as page:
                take(page, picture, f"{addresses[picture.server]}/{picture.path.lstrip('/')}")


def take(page: Page, picture: Picture, address: str) -> None:
    """Show a page and store what the window shows."""
    size = {"width": picture.width, "height": picture.height, "deviceScaleFactor": 1, "mobile": False}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    page.call("Emulation.setScrollbarsHidden", hidden=True)
    page.open(address)
    page.until(picture.ready, seconds=60)
    time.sleep(4)  # pages fill themselves step by step
    picture.act(page)
    time.sleep(1)
    shot = io.BytesIO()
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        page.window(Path(file.name))
        shot.write(Path(file.name).read_bytes())
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / f"{picture.name}.png"
    colours = Image.open(shot).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    colours.save(path, optimize=True)
    assert path.stat().st_size <= LARGEST, f"{path}: {path.stat().st_size:,} bytes; make the window smaller"
    print(f"{path.name}: {path.stat().st_size:,} bytes")


@contextlib.contextmanager
def started(server: str, project: Path) -> Iterator[str]:
    """Start a server of a project and return its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = [word.replace("PROJECT", str(project)).replace("PORT", port) for word in COMMANDS[server].split()]
    surroundings = {**os.environ, "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api"}
    process = subprocess.Popen(
        [sys.executable, *words], env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 180
        while not answers(f"http://127.0.0.1:{port}"):
            assert time.monotonic() < deadline and process.poll() is None, f"{server} did not start"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def answers(address: str) -> bool:
    """Return whether a server answers, and `cl serve` with a model."""
    try:
        return httpx.get(f"{address}/readyz", trust_env=False).status_code in (200, 404)
    except httpx.HTTPError:
        return False


def learn(project: Path, address: str) -> None:
    """Run the cycle of the quiet month once more through a Prefect server, which then shows it."""
    command = [sys.executable, "-m", "cl.cli", "run", "--again", "0005-month-5", "-p", str(project)]
    subprocess.run(command, env={**os.environ, "PREFECT_API_URL": f"{address}/api"}, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
