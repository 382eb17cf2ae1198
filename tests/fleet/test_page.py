"""The fleet's page: its files, and what a browser shows of a fleet."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.fleet import questions
from agent.fleet.rollup import SILENT_S
from agent.fleet.web import FleetServer
from agent.fleet.web_routes import _SHARED
from agent.status import view
from simulators.fleet_seed import Seed, fill
from tests.fleet.test_faces import later
from tests.programs import needed
from tests.status.browser import browsing

PAGE = Path(questions.__file__).parent / "page"
SHARED = Path(view.__file__).parent / "page"
FILES = sorted(PAGE.iterdir())
needs_browser = needed("chromium")


class Elements(HTMLParser):
    """Every start tag with its attributes, and text inside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inline, self.inside = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside in {"script", "style"} and data.strip():
            self.inline.append(data)


def served(name):
    return (PAGE / name).is_file() or (name in _SHARED and (SHARED / name).is_file())


def test_the_page_has_no_inline_code_and_loads_only_own_files():
    """The content security policy would block it; what it names is there."""
    found = Elements((PAGE / "index.html").read_text("utf-8"))
    assert not found.inline
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href"):
            target = attributes.get(name, "#")
            assert target.startswith(("/", "#")) and not target.startswith("//")
            if target.startswith("/page/"):
                assert served(target.removeprefix("/page/"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_scripts_import_what_is_served_and_nothing_from_elsewhere(path):
    """Each name that is imported is exported there; no element is asked for that is not there."""
    text = path.read_text("utf-8")
    assert not re.findall(r"https?://[^\s\"')]+", text)
    for names, file in re.findall(r'^import \{ ([^}]+) \} from "\./([^"]+)";', text, re.MULTILINE):
        assert served(file)
        folder = PAGE if (PAGE / file).is_file() else SHARED
        there = (folder / file).read_text("utf-8")
        exported = re.findall(
            r"^export (?:async )?(?:const|function|class) (\w+)", there, re.MULTILINE
        )
        for name in names.split(", "):
            assert name in exported, f"{path.name}: {name} of {file}"
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{path.name}: {name} is not used"
    ids = {one.get("id") for _, one in Elements((PAGE / "index.html").read_text("utf-8")).tags}
    assert set(re.findall(r'byId\("([\w-]+)"\)', text)) <= ids


def test_page_and_server_agree_on_who_is_silent():
    """One limit, said twice."""
    (said,) = re.findall(r"const SILENT_S = (\d+);", (PAGE / "rows.js").read_text("utf-8"))
    assert float(said) == SILENT_S


@needs_browser
async def test_a_browser_shows_the_fleet_and_what_runs_out(tmp_path, database):
    """Worst first, a site, a gateway; when verdicts run out, no model reads trusted any more."""
    fill(database, Seed(60, 20, valid_s=3_600.0))
    server = FleetServer("127.0.0.1:0", database)
    await server.start()
    try:
        async with browsing(server.url, tmp_path / "browser") as page:
            await page.until("document.getElementById('overview')?.hidden === false")
            assert await page.run("document.querySelectorAll('#gateways > li').length") == 20
            first = "document.querySelector('#gateways > li')"
            assert await page.run(f"{first}.dataset.verdict") == "untrusted"
            title = await page.run("document.getElementById('headline').textContent")
            assert re.fullmatch(
                r"\d+ untrusted, \d+ not assessable, \d+ caution of \d+ models", title
            )
            bars = await page.run("document.querySelectorAll('#sites .bar').length")
            assert bars == 10
            await page.run("document.querySelector('.tile[data-verdict=caution]').click()")
            await page.until("[...document.querySelectorAll('#gateways > li')].every("
                             "(one) => one.querySelector('.v-caution'))")  # fmt: skip
            link = f"{first}.querySelector('a')"
            name = await page.run(f"{link}.textContent")
            await page.run(f"{link}.click()")
            await page.until("document.querySelector('#one .model')")
            assert await page.run("document.getElementById('one-title').textContent") == name
            later(database, 3_700)
            await page.until("[...document.querySelectorAll('#one .model')].every("
                             "(one) => one.dataset.verdict === 'unassessable')")  # fmt: skip
            await page.run("location.hash = '#sites-heading'")
            headline = "document.getElementById('headline').textContent"
            await page.until(f"{headline}.includes(' not assessable of ')"
                             " && !document.getElementById('overview').hidden")  # fmt: skip
            assert await page.run("document.querySelector('.tile[data-verdict=trusted] b')"
                                  ".textContent") == "0"  # fmt: skip
            await server.stop()
            await page.until("document.body.classList.contains('away')")
            told = await page.run("document.getElementById('alert').textContent")
            assert "no verdict is valid" in told
    finally:
        await server.stop()
