"""The report in a browser: no error, pictures load, a player plays, sorting sorts.

Debian's Chromium without a window, told what to do by its own debugging protocol.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.test_report import output  # noqa: F401  (a fixture)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1240,1600",
    "--remote-debugging-port=0",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


class Page:
    """A page of the browser, and every complaint it had."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._last_id = 0
        self.complaints: list[Any] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> Any:
        self._last_id += 1
        wanted = {"id": self._last_id, "method": method, "params": parameters}
        self._connection.send(json.dumps(wanted))
        while True:
            answer = json.loads(self._connection.recv(timeout=30))
            self._note(answer)
            if answer.get("id") == self._last_id:
                assert "error" not in answer, answer
                return answer["result"]

    def _note(self, event: dict[str, Any]) -> None:
        kind = event.get("method")
        if kind in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.complaints.append(event["params"])
        if kind == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        deadline = time.monotonic() + 30
        while not self.run(condition):
            assert time.monotonic() < deadline, condition
            time.sleep(0.1)


@pytest.fixture(scope="module")
def page(
    output: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Page]:
    profile = tmp_path_factory.mktemp("profile")
    assert CHROMIUM is not None
    browser = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (port_file.exists() and len(port_file.read_text().split()) == 2):
            assert time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.1)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            (target,) = [t for t in json.load(answer) if t["type"] == "page"]
        with connect(target["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
            found = Page(connection)
            for domain in ("Runtime", "Log", "Network", "Page"):
                found.call(f"{domain}.enable")
            found.call("Page.navigate", url=(output / "report.html").as_uri())
            found.wait_for("document.readyState === 'complete' && !!document.querySelector('h1')")
            yield found
    finally:
        browser.terminate()
        browser.wait(timeout=30)


def test_pictures_load(page: Page) -> None:
    page.run("document.querySelectorAll('img').forEach((i) => { i.loading = 'eager' })")
    page.wait_for("[...document.images].every((i) => i.complete)")
    assert page.run("document.images.length") == 8
    assert page.run("[...document.images].every((i) => i.naturalWidth > 100)")


def test_a_player_plays_and_its_line_moves(page: Page) -> None:
    page.run("document.querySelector('audio').play()")
    page.wait_for("document.querySelector('audio').currentTime > 0.3")
    assert page.run("document.querySelector('audio').duration") > 3
    assert page.run("parseFloat(document.querySelector('.playhead').style.left)") > 0
    page.run("document.querySelectorAll('.picture')[1].click()")
    page.wait_for("document.querySelectorAll('audio')[1].currentTime > 0.1")
    assert page.run("document.querySelector('audio').paused")  # one at a time


def test_sorting_sorts_numbers_as_numbers_and_unknown_last(page: Page) -> None:
    column = (
        "[...document.querySelectorAll('#recordings tbody tr')].map((r) => r.cells[3].innerText)"
    )
    click = "document.querySelectorAll('#recordings th button')[3].click()"
    page.run(click)
    down = page.run(column)
    page.run(click)
    up = page.run(column)
    assert down[-1] == up[-1] == ""
    assert [float(x) for x in down[:-1]] == sorted((float(x) for x in up[:-1]), reverse=True)
    assert float(down[0]) > float(down[-2])
    assert page.run("document.querySelectorAll('#recordings th')[3].ariaSort") == "ascending"


def test_searching_hides_other_rows(page: Page) -> None:
    shown = "[...document.querySelectorAll('#recordings tbody tr')].filter((r) => !r.hidden).length"
    type_in = "const f = document.querySelector('input'); f.value = '%s'; "
    page.run("{" + type_in % "rec_2" + "f.dispatchEvent(new Event('input')) }")
    assert page.run(shown) == 1
    page.run("{" + type_in % "" + "f.dispatchEvent(new Event('input')) }")
    assert page.run(shown) == 6


def test_the_page_is_as_wide_as_the_window(page: Page) -> None:
    assert page.run("document.documentElement.scrollWidth <= window.innerWidth")


def test_nothing_was_complained_about_or_fetched(page: Page) -> None:
    """Last in this file: it looks back on all that the others did."""
    page.run("1")
    assert page.complaints == []
    assert {url.split(":")[0] for url in page.requests} <= {"file", "data"}
