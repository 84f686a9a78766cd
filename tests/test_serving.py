"""Results in a browser of this machine: what is shown, what is kept, and what is refused."""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import soundfile

from pipeline.serving.answers import Answers
from pipeline.serving.pages import NotThere, Pages
from pipeline.serving.server import server_of
from pipeline.survey.findings import read_survey
from pipeline.survey.labels import BROWSED, read_labels
from tests.fixed_run import run_in, write_recording
from tests.test_report_browser import AXE, CHROMIUM
from tests.test_review_browser import opened

pytestmark = pytest.mark.usefixtures("plain_loop")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over two sites, a recording without calls and a damaged one."""
    folder = tmp_path_factory.mktemp("served")
    loud = {10.0 * n: 0.52 + 0.015 * n for n in range(1, 31)}
    write_recording(folder / "ridge/<loud>.wav", 320, loud)
    write_recording(folder / "creek/none.wav", 20, {})
    (folder / "creek/damaged.wav").write_text("no audio")
    (folder / "sites.csv").write_text("folder,site\nridge,Ridge\ncreek,Creek\n")
    run_in(folder, ["--input", "ridge", "creek", "--deployments", "sites.csv"])
    return folder / "out"


@pytest.fixture
def pages(results: Path, monkeypatch: pytest.MonkeyPatch) -> Pages:
    monkeypatch.chdir(results.parent)
    (results / "browsed.csv").unlink(missing_ok=True)
    return Pages("out", Answers("out/browsed.csv", "Ana"))


def text(pages: Pages, path: str, **query: str) -> str:
    content = pages.get(path, query)
    assert content.kind.startswith("text/html")
    return content.body.decode()


def test_every_call_is_on_a_page_in_the_order_asked_for(pages: Pages) -> None:
    first = text(pages, "/calls")
    assert "1 to 24 of 30" in first
    assert "&lt;loud&gt;.wav" in first
    assert "<loud>" not in first
    assert "25 to 30 of 30" in text(pages, "/calls", **{"from": "24"})
    assert "25 to 30 of 30" in text(pages, "/calls", **{"from": "999999"})  # the last there is
    scores = [call.score for call in pages.calls]
    weakest = text(pages, "/calls", order="lowest score")
    assert f'id="call-{scores.index(min(scores))}"' in weakest
    assert "0 to 0 of 0" in text(pages, "/calls", site="Creek")


def test_answers_are_kept_as_labels_that_others_take(pages: Pages) -> None:
    calls = pages.calls
    pages.answers.give(calls[0], pages.site_of(calls[0]), "yes")
    pages.answers.give(calls[1], pages.site_of(calls[1]), "no")
    pages.answers.give(calls[2], pages.site_of(calls[2]), "unsure")
    pages.answers.give(calls[2], pages.site_of(calls[2]), None)
    kept = read_labels("out/browsed.csv")
    assert [(one.label, one.site, one.observer, one.stratum) for one in kept] == [
        ("yes", "Ridge", "Ana", BROWSED),
        ("no", "Ridge", "Ana", BROWSED),
    ]
    assert "1 to 1 of 1" in text(pages, "/calls", answer="no")
    assert "28" in text(pages, "/calls", answer="none")
    again = Answers("out/browsed.csv")
    assert [again.of(call) for call in calls[:3]] == ["yes", "no", ""]
    survey = read_survey("out", "", ["out/browsed.csv"])
    assert [one.is_verified for one in survey.findings[:2]] == [True, False]
    assert survey.findings[1].is_refuted


def test_any_stretch_of_any_recording_is_drawn_and_heard(pages: Pages) -> None:
    listed = text(pages, "/recordings", find="CREEK none")
    assert "1 to 1 of 1" in listed
    whole = text(pages, "/recordings")
    assert whole.count("<tr>") == 1 + 3
    at = next(n for n in range(3) if "loud" in text(pages, f"/recording/{n}"))
    page = text(pages, f"/recording/{at}", at="300")
    assert "5:00 to 5:20 of 5:20" in page
    assert page.count('id="call-') == 30
    sound = pages.get(f"/recording/{at}/300.mp3", {})
    samples, rate_hz = soundfile.read(io.BytesIO(sound.body))
    assert (len(samples) / rate_hz, sound.kind) == (pytest.approx(20, abs=0.1), "audio/mpeg")
    assert pages.get(f"/recording/{at}/300.jpg", {}).body.startswith(b"\xff\xd8")
    assert pages.get("/call/3.jpg", {}).kind == "image/jpeg"
    assert pages.get("/counts.csv", {}).body.startswith(b"recording,")


@pytest.mark.parametrize(
    "path",
    ["/call/30.jpg", "/recording/3", "/etc/passwd", "/../run.json", "/run.json", "/x.csv", "//"],
)
def test_nothing_else_is_there(pages: Pages, path: str) -> None:
    with pytest.raises(NotThere):
        pages.get(path, {})


@pytest.fixture
def port(pages: Pages) -> Iterator[int]:
    server = server_of(pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def ask(
    port: int, method: str, path: str, form: dict[str, str] | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = urlencode(form) if form else None
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def test_the_server_serves_this_machine_alone(port: int, results: Path) -> None:
    status, _, page = ask(port, "GET", "/")
    assert status == 200
    assert b"Every call" in page
    assert ask(port, "GET", "/", Host="evil.example")[0] == 403
    give = {"call": "0", "answer": "yes", "back": "/calls?from=24"}
    assert ask(port, "POST", "/answer", give, Origin="http://evil.example")[0] == 403
    assert ask(port, "POST", "/answer", {**give, "back": "//evil.example"})[0] == 400
    assert ask(port, "POST", "/answer", {**give, "call": "30"})[0] == 400
    assert not (results / "browsed.csv").exists()
    status, headers, _ = ask(port, "POST", "/answer", give, Origin=f"http://127.0.0.1:{port}")
    assert (status, headers["Location"]) == (303, "/calls?from=24#call-0")
    assert [one.label for one in read_labels(str(results / "browsed.csv"))] == ["yes"]


def test_a_sound_comes_in_the_ranges_that_players_ask_for(port: int) -> None:
    _, _, whole = ask(port, "GET", "/call/0.mp3")
    status, headers, part = ask(port, "GET", "/call/0.mp3", Range="bytes=100-199")
    assert (status, part) == (206, whole[100:200])
    assert headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    assert ask(port, "GET", "/call/0.mp3", Range="bytes=100-")[2] == whole[100:]
    assert ask(port, "GET", "/nothing")[0] == 404
    assert json.dumps(ask(port, "GET", "/recording/0")[0]) == "200"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
def test_a_click_answers_and_is_kept(port: int, results: Path, tmp_path: Path) -> None:
    with opened(f"http://127.0.0.1:{port}/calls", tmp_path) as page:
        yes = "document.querySelector('#call-29 button[value=yes]')"
        page.run(f"{yes}.click()")
        page.wait_for("location.hash === '#call-29' && !!document.querySelector('[value=none]')")
        assert page.run("document.querySelectorAll('[aria-pressed=true]').length") == 1
        sound = "document.querySelector('#call-29 audio')"
        page.run(f"document.querySelector('#call-29 .picture').click(); {sound}.currentTime = 3")
        page.wait_for(f"{sound}.currentTime > 3.1")
        assert page.complaints == []
        for address in ("calls", "recordings", "recording/0"):
            page.call("Page.navigate", url=f"http://127.0.0.1:{port}/{address}")
            page.wait_for("document.readyState === 'complete' && !!document.querySelector('h1')")
            for scheme, width in (("light", 1400), ("dark", 390)):
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                page.call("Emulation.setDeviceMetricsOverride", **size)
                feature = {"name": "prefers-color-scheme", "value": scheme}
                page.call("Emulation.setEmulatedMedia", features=[feature])
                fits = "document.documentElement.scrollWidth <= window.innerWidth"
                assert page.run(fits), (address, width)
                if AXE:
                    page.run(Path(AXE).read_text("utf-8") + ";1")
                    rules = "axe.run().then((r) => r.violations.map((v) => v.id + v.nodes[0].html))"
                    assert page.run(rules) == [], (address, scheme)
    assert [one.label for one in read_labels(str(results / "browsed.csv"))] == ["yes"]
