"""The page of a review in a browser: labelled by keyboard, closed, opened again, saved."""

from __future__ import annotations

import csv
import json
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from websockets.sync.client import connect

from pipeline.__main__ import main
from pipeline.survey.labels import read_labels
from tests.fixed_run import run_in, write_recording
from tests.test_report_browser import AXE, CHROMIUM, FLAGS, Page

N_CLIPS = 60
CODES = {"Backspace": 8, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("plain_loop"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two sites, and the page to label 60 of its clips."""
    folder = tmp_path_factory.mktemp("review")
    calls = {12.0 * n: 0.5 + 0.02 * n for n in range(1, 20)}
    write_recording(folder / "ridge/loud.wav", 250, calls)
    write_recording(folder / "creek/faint, far.wav", 120, {10: 0.45, 40: 0.7, 80: 0.2})
    (folder / "sites.csv").write_text("folder,site\nridge,Ridge\ncreek,Crique É\n", "utf-8")
    run_in(folder, ["--input", "ridge", "creek", "--deployments", "sites.csv"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["review", "out", "--clips", str(N_CLIPS)]) == 0
    return folder


@contextmanager
def opened(page: Path | str, profile: Path, fragment: str = "") -> Iterator[Page]:
    """The page, a file or an address, in a browser that is closed afterwards."""
    address = page if isinstance(page, str) else page.as_uri()
    assert CHROMIUM is not None
    port_file = profile / "DevToolsActivePort"
    port_file.unlink(missing_ok=True)
    browser = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
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
            found.call("Page.navigate", url=address + fragment)
            found.wait_for("document.readyState === 'complete' && !!document.querySelector('h1')")
            yield found
            found.call("Browser.close")
        browser.wait(timeout=60)
    finally:
        if browser.poll() is None:
            browser.kill()
            browser.wait(timeout=60)


def press(page: Page, key: str) -> None:
    text = {"text": key} if len(key) == 1 else {}
    code = CODES.get(key, ord(key.upper()[0]))
    page.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
    page.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)


def done(page: Page) -> str:
    return str(page.run("document.getElementById('done').textContent"))


def test_sixty_clips_are_labelled_by_keyboard_alone(review: Path, tmp_path: Path) -> None:
    html = review / "out/review/review.html"
    profile, downloads = tmp_path / "profile", tmp_path / "downloads"
    profile.mkdir()
    downloads.mkdir()
    keys = ["y", "n", "u", "3", "1", "0"]
    with opened(html, profile) as page:
        assert done(page).startswith(f"0 of {N_CLIPS} labelled")
        page.run("document.getElementById('observer').focus()")
        for letter in "Ana":  # is typed, not taken for answers
            press(page, letter)
        page.run("document.activeElement.blur()")
        assert done(page).startswith(f"0 of {N_CLIPS} labelled")
        press(page, " ")
        page.wait_for("document.getElementById('sound').currentTime > 0.2")
        press(page, "n")
        page.wait_for("document.getElementById('sound').currentTime > 0.1")  # the next one plays
        press(page, "z")
        assert done(page).startswith(f"0 of {N_CLIPS} labelled")
        for n in range(35):
            press(page, keys[n % len(keys)])
        press(page, "Backspace")
        press(page, "ArrowLeft")
        press(page, "ArrowRight")
        assert done(page).startswith(f"34 of {N_CLIPS} labelled")
        assert page.complaints == []
    with opened(html, profile) as page:  # closed and opened again
        assert done(page).startswith(f"34 of {N_CLIPS} labelled")
        assert page.run("document.getElementById('observer').value") == "Ana"
        for n in range(34, N_CLIPS):
            press(page, keys[n % len(keys)])
        assert done(page) == f"{N_CLIPS} of {N_CLIPS} labelled: 30 yes, 20 no, 10 unsure"
        assert "All clips are labelled" in page.run("document.getElementById('said').textContent")
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        page.run("document.getElementById('save').click()")
        deadline = time.monotonic() + 60
        saved = downloads / "labels-ana.csv"
        while not saved.exists():
            assert time.monotonic() < deadline, "nothing was saved"
            time.sleep(0.1)
        assert page.complaints == []
        assert {url.split(":")[0] for url in page.requests} <= {"file", "data", "blob"}
    labels = read_labels(str(saved))
    assert len(labels) == N_CLIPS
    assert Counter(label.label for label in labels) == {"yes": 30, "no": 20, "unsure": 10}
    assert Counter(label.n_birds for label in labels) == {None: 50, 3: 10}
    assert {label.observer for label in labels} == {"Ana"}
    assert {label.site for label in labels} == {"Ridge", "Crique É"}
    in_order = {(label.recording, label.start_s): label.label for label in labels}
    drawn = read_csv_clips(review)
    assert [in_order[clip] for clip in drawn[:4]] == ["yes", "no", "unsure", "yes"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(review)
        assert main(["verify", "out", "--labels", str(saved)]) == 0


def read_csv_clips(review: Path) -> list[tuple[str, float]]:
    with (review / "out/review/clips.csv").open(newline="", encoding="utf-8") as file:
        return [(row["recording"], float(row["start_s"])) for row in csv.DictReader(file)]


def test_a_site_has_an_address_and_two_observers_are_compared(review: Path, tmp_path: Path) -> None:
    html = review / "out/review/review.html"
    with opened(html, tmp_path, "#site=Crique%20%C3%89") as page:
        n_site = int(done(page).split()[2])
        assert 0 < n_site < N_CLIPS
        assert "Crique É" in page.run("document.getElementById('where').textContent")
        for key in "ynynyn":
            press(page, key)
        page.run(
            "{ const o = document.getElementById('observer'); o.value = 'Ben';"
            "o.dispatchEvent(new Event('change')); }"
        )
        theirs = page.run("table()")
        assert theirs.count("Ben") == 6
        page.run(
            "{ const o = document.getElementById('observer'); o.value = 'Ana';"
            "o.dispatchEvent(new Event('change')); }"
        )
        assert done(page).startswith("0 of")
        for key in "ynynyy":
            press(page, key)
        said = page.run(f"agreement({json.dumps(theirs)})")
        assert said == "You agree on 83 % of 6 clips: Cohen's kappa 0.67."
        assert page.run("agreement('a,b\\n1,2\\n')") == "This is no labels.csv of a review."


@pytest.mark.skipif(AXE is None, reason="AXE_JS names no axe.min.js (npm pack axe-core)")
def test_axe_finds_nothing_in_the_review(review: Path, tmp_path: Path) -> None:
    assert AXE
    with opened(review / "out/review/review.html", tmp_path) as page:
        page.run("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        press(page, "y")
        page.run(Path(AXE).read_text("utf-8") + ";1")
        rules = "axe.run().then((r) => r.violations.map((v) => v.id + v.nodes[0].html))"
        for width in (1400, 400):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            page.call("Emulation.setDeviceMetricsOverride", **size)
            for scheme in ("light", "dark"):
                feature = {"name": "prefers-color-scheme", "value": scheme}
                page.call("Emulation.setEmulatedMedia", features=[feature])
                assert page.run(rules) == []
            assert page.run("document.documentElement.scrollWidth <= window.innerWidth")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address(review: Path) -> Iterator[str]:
    """The page from a server: pages that are files have no file system of the browser's own."""
    folder = str(review / "out/review")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/review.html"
        server.shutdown()


CHOOSE = """
window.showSaveFilePicker = async ({ suggestedName }) => {
  const folder = await navigator.storage.getDirectory();
  return (window.chosen = await folder.getFileHandle(suggestedName, { create: true }));
};
"""


def test_labels_are_saved_in_place_as_one_goes(review: Path, address: str, tmp_path: Path) -> None:
    """Into a real file, in the browser's own file system; only the dialog is left out."""
    table = tmp_path / "labels.csv"

    def saved(page: Page, n: int) -> list[str]:
        page.wait_for(f"document.getElementById('saved').textContent.includes('has all {n} lab')")
        text = page.run("window.chosen.getFile().then((file) => file.text())")
        table.write_text(text, "utf-8")
        of = {(label.recording, label.start_s): label.label for label in read_labels(str(table))}
        return [of[clip] for clip in read_csv_clips(review) if clip in of]

    with opened(address, tmp_path) as page:
        for key in "yn":
            press(page, key)
        page.run(CHOOSE)
        page.run("document.getElementById('in-place').click()")
        assert saved(page, 2) == ["yes", "no"]
        for key in "u3":
            press(page, key)
        assert saved(page, 4) == ["yes", "no", "unsure", "yes"]
        press(page, "z")
        assert saved(page, 3) == ["yes", "no", "unsure"]
        page.run("window.chosen.createWritable = async () => { throw new Error('disk full') }")
        press(page, "y")
        page.wait_for(
            "document.getElementById('saved').textContent === "
            "'labels.csv could not be written: disk full'"
        )
        assert done(page).startswith("4 of")  # the browser keeps the answer all the same
        assert page.complaints == []


def test_a_dialog_that_is_closed_changes_nothing(review: Path, tmp_path: Path) -> None:
    with opened(review / "out/review/review.html", tmp_path) as page:
        assert not page.run("document.getElementById('in-place').hidden")  # in a file, too
        before = page.run("document.getElementById('saved').textContent")
        for name, said in (
            ("AbortError", before),
            ("SecurityError", "No file could be chosen: no"),
        ):
            page.run(
                "window.showSaveFilePicker = async () => "
                f"{{ throw new DOMException('no', '{name}') }}; "
                "document.getElementById('in-place').click()"
            )
            page.wait_for(f"document.getElementById('saved').textContent === {json.dumps(said)}")
        press(page, "y")
        assert done(page).startswith("1 of")
        assert page.complaints == []


def test_a_confirmed_call_leads_to_the_next_visit(tmp_path: Path) -> None:
    for day in (11, 12):
        calls = {10.0 * n: 0.5 + 0.1 * n for n in range(1, 5)}
        write_recording(tmp_path / f"ridge/202406{day}_200000.wav", 60, calls)
    (tmp_path / "sites.csv").write_text("folder,site,time_zone\nridge,Ridge,-03:00\n")
    run_in(tmp_path, ["--input", "ridge", "--deployments", "sites.csv"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["review", "out", "--presence"]) == 0
    with opened(tmp_path / "out/presence/review.html", tmp_path) as page:

        def where() -> str:
            return str(page.run("document.getElementById('where').textContent"))

        assert "Ridge · night of 2024-06-11" in where()
        assert done(page).startswith("0 of 8 labelled")
        press(page, "n")
        press(page, "y")
        assert "Ridge · night of 2024-06-12" in where()
        assert done(page) == "2 of 6 labelled: 1 yes, 1 no, 0 unsure"
        press(page, "z")  # what was taken back is open again
        assert "Ridge · night of 2024-06-11" in where()
        press(page, "y")
        press(page, "y")
        assert done(page) == "3 of 3 labelled: 2 yes, 1 no, 0 unsure"
        page.run("note.value = '=a howler, far'; note.dispatchEvent(new Event('input'))")
        page.run("gain.value = 12; gain.dispatchEvent(new Event('input'))")
        assert round(page.run("amplifier.gain.value"), 2) == 3.98
        (tmp_path / "labels.csv").write_text(page.run("table()"), "utf-8")
        assert page.complaints == []
    notes = [label.note for label in read_labels(str(tmp_path / "labels.csv"))]
    assert sorted(notes) == ["", "", "=a howler, far"]
