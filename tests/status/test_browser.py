"""A model's own page in a browser: what it shows, and that names from the plant stay text."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import threading
from functools import partial
from html import escape, unescape
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from agent.report.signed import META, signed
from agent.status import view
from tests.programs import needed, program
from tests.status.conftest import serving
from tests.status.fake_status import HOSTILE, NS, T0, document, errors, model

BROWSER = program("chromium")
pytestmark = needed("chromium")

WINDOW_MS = 4_000  # of the page's own time
PATIENCE_S = 90


async def dumped(address, folder):
    """The HTML of an address, as the browser has it in the end."""
    process = await asyncio.create_subprocess_exec(
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--disable-background-networking", f"--user-data-dir={folder}",
        f"--virtual-time-budget={WINDOW_MS}", "--dump-dom", address,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
    return out.decode()


async def seen(whole, address, folder):
    """(HTML, visible text, title) of the page at an address, as the browser has it in the end."""
    async with serving() as served:
        served.document = whole
        served.now_ns = whole["time_ns"] + NS
        html = await dumped(served.server.url + address, folder)
    title = re.search(r"<title>(.*?)</title>", html)[1]
    return html, " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split()), unescape(title)


def elements(html):
    """Names of all elements."""
    found = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.add(tag)
    parser.feed(html)
    return found


def hidden(html, name):
    """Whether an element is hidden."""
    return bool(re.search(rf'id="{name}"[^>]*\bhidden\b', html))


async def test_a_model_has_a_page_of_its_own_with_all_that_is_known(tmp_path):
    """Verdict, owner, request with what to type, errors, outputs, inputs, history."""
    html, text, title = await seen(document(), "#/models/yield", tmp_path)
    assert hidden(html, "overview") and not hidden(html, "one")
    assert title == "✕ untrusted · yield · gw-07"
    for part in (
        "Do: Check transmitter TT-101", "Owner: process data", "version 2026.3, 86,400 scans",
        "fieldwarden retraining declare CONFIG yield@1772329000 --reason",
        "Left out of any training data", "stuck on tag/x (sensor)", "+3.1 sd",
        "errors grew", "0.82 over the latest 20 labels", "0.5; up to 0.66 is allowed",
        "31 % of what asks for retraining",
        "estimated mean loss 0.52, 0.4 to 0.6 (90 %)", "decisions in training 60 to 95",
        "only its arrival is watched", "trained 72.1 to 88.4", "3 inputs, 1 with an open condition",
        "Not watched", "the agent did not run", "2 d 0 h, from",
    ):
        assert part in text, part
    assert 'aria-label="Verdicts over time: Trusted' in html
    assert 'aria-label="yield.predicted: mean loss (absolute) from' in html
    assert "energy@1771000000" not in html[html.index('id="one"'):html.index('id="overview"')]


async def test_names_from_the_plant_are_text_on_it_and_in_its_address(tmp_path):
    """A model, its output and a trial may be called anything: none becomes an element."""
    name, whole = f"a/b #1 {HOSTILE}", document()
    whole["models"].append(model(
        name, "caution", now_ns=T0, errors=[errors(HOSTILE, now_ns=T0)],
        outputs=[{"tag": HOSTILE, "required": True, "state": HOSTILE, "trained": [0.0, 1.0],
                  "worst": {"detector": HOSTILE, "score": 0.5}}],
    ))  # fmt: skip
    asked = whole["retraining"][0] | {"id": f"{name}@1", "model": name, "state": "trial"}
    asked["trial"] = {"version": HOSTILE, "text": f"2026.4 runs beside, {HOSTILE}", "labels": 14}
    whole["retraining"] = [asked]
    whole["trials"] = [{
        "id": "t@1", "model": name, "version": HOSTILE, "state": "passed", "since_ns": T0 - NS,
        "text": f"beside, {HOSTILE}", "hint": "accept it", "request": asked["id"], "left_ns": 0,
        "judged": [{"name": "n", "text": f"no {HOSTILE}", "found": "0.4", "state": "met"}],
        "decisions": [{"state": "in trial", "by": HOSTILE, "note": "try", "time_ns": T0 - NS}],
    }]
    address = "#/models/" + "".join(f"%{byte:02X}" for byte in name.encode())
    html, text, title = await seen(whole, address, tmp_path)
    assert title == f"! caution · {name} · gw-07"
    assert {"svg", "button"} <= elements(html) and "img" not in elements(html)
    assert f"trial: 2026.4 runs beside, {HOSTILE}" in text
    assert f"fieldwarden retraining accept CONFIG '{name}' --reason" in text
    assert f"✓ no {HOSTILE}: 0.4 (met)" in text and f"in trial by {HOSTILE}: try" in text
    assert f"'{name}@1'" in text  # one word of a shell
    assert "Trusted 89" in text  # its history was found under its name


async def test_an_address_of_no_model_says_so_and_the_overview_links_to_each(tmp_path):
    """A model that was renamed leaves no empty page; the cards lead to the pages."""
    html, text, title = await seen(document(), "#/models/gone", tmp_path / "a")
    assert "There is no model gone in the configuration of this agent." in text
    assert hidden(html, "one-parts") and title == "no model gone · gw-07"
    html, text, title = await seen(document(1_000), "", tmp_path / "b")
    assert hidden(html, "one") and not hidden(html, "overview")
    assert 'href="#/models/vibration%20forecast"' in html
    assert "Labels: yield.predicted: ✕ errors grew" in text
    assert "Labels: ◆ kw.spare was never assessed: no label of lab came for it" in text
    assert title.startswith("✕ 1 untrusted")


TRIED = """
import { aboutOf, bodyOf, digestOf } from "./review.js";
const bytes = await (await fetch("report.html")).arrayBuffer();
const json = await (await fetch("report.json")).text();
const about = aboutOf(new TextDecoder().decode(bytes));
const body = bodyOf(about, await digestOf(bytes), 'read "it"');
document.title = btoa(JSON.stringify([body, aboutOf(json), aboutOf("{}"), aboutOf("<p>")]));
"""


async def test_a_report_is_signed_on_the_page_as_by_the_command(tmp_path):
    """The same hash, model and times, to the nanosecond, of a page and of JSON; nothing else is."""
    about = {"model": HOSTILE, "asked_since_ns": T0 + 1, "until_ns": T0 + 7}
    meta = f'<meta name="{META}" content="{escape(json.dumps(about))}">'.replace("&quot;", "&#34;")
    (tmp_path / "report.html").write_text(f"<html><head>{meta}</head>", encoding="utf-8")
    (tmp_path / "report.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    (tmp_path / "try.js").write_text(TRIED, encoding="utf-8")
    (tmp_path / "try.html").write_text('<script type="module" src="try.js"></script>')
    page = Path(view.__file__).parent / "page"
    for name in ("review.js", "dom.js"):
        shutil.copy(page / name, tmp_path)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        html = await dumped(f"http://127.0.0.1:{server.server_port}/try.html", tmp_path / "user")
        server.shutdown()
    title = re.search(r"<title>(.*?)</title>", html)[1]
    body, of_json, *nothing = json.loads(base64.b64decode(title))
    found = signed(tmp_path / "report.html")
    assert json.loads(body) == {
        "model": found.model, "report": found.digest, "note": 'read "it"',
        "since_ns": found.since_ns, "until_ns": found.until_ns,
    }  # fmt: skip
    of_file = {"model": HOSTILE, "since": str(T0 + 1), "until": str(T0 + 7)}
    assert of_json == of_file and nothing == [None, None]
