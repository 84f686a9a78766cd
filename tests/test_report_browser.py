"""The report in a browser: no error, pictures load, a player plays, sorting sorts.

Debian's Chromium without a window, told what to do by its own debugging protocol.
"""

from __future__ import annotations

import json
import os
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

AXE = os.environ.get("AXE_JS")
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
    pytest.mark.usefixtures("plain_loop"),
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


def press(page: Page, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
        code = {"Enter": 13, "ArrowRight": 39}[key]
        page.call(
            "Input.dispatchKeyEvent",
            **{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, **text},
        )


def test_a_picture_plays_by_keyboard(page: Page) -> None:
    third = "document.querySelectorAll('audio')[2]"
    page.run("document.querySelectorAll('.picture')[2].focus()")
    press(page, "Enter")
    page.wait_for(f"{third}.currentTime > 0.1")
    press(page, "Enter")
    page.wait_for(f"{third}.paused")
    before = page.run(f"{third}.currentTime")
    press(page, "ArrowRight")
    page.wait_for(f"{third}.currentTime > {before + 0.4}")


ROWS = "[...document.querySelectorAll('#recordings tbody tr')]"


def test_sorting_sorts_numbers_as_numbers_and_unknown_last(page: Page) -> None:
    column = f"{ROWS}.map((r) => r.cells[3].innerText)"
    click = "document.querySelectorAll('#recordings th button')[3].click()"
    page.run(click)
    down = page.run(column)
    page.run(click)
    up = page.run(column)
    assert down[-1] == up[-1] == ""
    assert [float(x) for x in down[:-1]] == sorted((float(x) for x in up[:-1]), reverse=True)
    assert float(down[0]) > float(down[-2])
    assert page.run("document.querySelectorAll('#recordings th')[3].ariaSort") == "ascending"


def type_in(page: Page, text: str) -> None:
    page.run(
        f"{{ const f = document.querySelector('#find'); f.value = '{text}'; "
        "f.dispatchEvent(new Event('input')) }"
    )


def test_searching_and_choosing_an_outcome_hide_other_rows(page: Page) -> None:
    type_in(page, "rec_2")
    assert page.run(f"{ROWS}.length") == 1
    assert page.run("document.querySelector('#shown').textContent") == "1 to 1 of 1"
    type_in(page, "")
    assert page.run(f"{ROWS}.length") == 6
    choose = (
        "{ const k = document.querySelector('#kind'); k.value = '%s'; "
        "k.dispatchEvent(new Event('change')) }"
    )
    page.run(choose % "failed")
    assert "damaged.wav" in page.run(f"{ROWS}[0].innerText")
    page.run(choose % "")


def test_a_row_opens_to_a_player_of_its_recording(page: Page) -> None:
    type_in(page, "rec_1")
    page.run("document.querySelector('#recordings td.name button').click()")
    assert page.run("document.querySelectorAll('.opened .score').length") == 1
    page.run("document.querySelector('.opened .times button').click()")
    page.wait_for("document.querySelector('.opened audio').currentTime > 2.5")
    page.run("document.querySelector('#recordings td.name button').click()")
    assert page.run("document.querySelectorAll('.opened').length") == 0
    type_in(page, "")


@pytest.mark.skipif(AXE is None, reason="AXE_JS names no axe.min.js (npm pack axe-core)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_axe_finds_nothing(page: Page, scheme: str, width: int) -> None:
    assert AXE
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.call("Emulation.setEmulatedMedia", features=[feature])
    page.run(Path(AXE).read_text("utf-8") + ";1")
    rules = "axe.run().then((r) => r.violations.map((v) => v.id + v.nodes[0].html))"
    assert page.run(rules) == []
    page.call("Emulation.clearDeviceMetricsOverride")


def test_the_page_is_as_wide_as_the_window(page: Page) -> None:
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.run(fits)
    phone = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    page.call("Emulation.setDeviceMetricsOverride", **phone)
    assert page.run(fits)
    inside = "[...document.querySelectorAll('.panel')].every((p) => p.scrollWidth <= p.clientWidth)"
    assert page.run(inside)
    page.call("Emulation.clearDeviceMetricsOverride")


def test_nothing_was_complained_about_or_fetched(page: Page) -> None:
    """Last in this file: it looks back on all that the others did."""
    page.run("1")
    assert page.complaints == []
    assert {url.split(":")[0] for url in page.requests} <= {"file", "data"}
