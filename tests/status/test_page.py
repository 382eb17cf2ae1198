"""The page's files: no inline code, nothing foreign, and rules that agree with the server's."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from agent.configuration.schema import Configuration
from agent.status import view
from agent.types import NOT_USABLE, Quality

PAGE = Path(view.__file__).parent / "page"
FILES = sorted(PAGE.iterdir())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
HTML = (PAGE / "index.html").read_text("utf-8")
CSS = (PAGE / "page.css").read_text("utf-8")


class Elements(HTMLParser):
    """Every start tag with its attributes, and text inside scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.inside = ""
        self.inline = []
        self.feed(HTML)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside in {"script", "style"} and data.strip():
            self.inline.append(data)


def test_the_page_has_no_inline_code_and_loads_only_own_files():
    """The content security policy would block it; here it is not even tried."""
    elements = Elements()
    assert not elements.inline
    for tag, attributes in elements.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href"):
            target = attributes.get(name, "#")
            assert target.startswith(("/", "#")), target
            assert not target.startswith("//")
            if target.startswith("/page/"):
                assert (PAGE / target.removeprefix("/page/")).is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path):
    """No CDN, no font service: a gateway has no internet."""
    addresses = re.findall(r"https?://[^\s\"')]+", path.read_text("utf-8"))
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_text_from_the_plant_never_becomes_markup_or_code(path):
    """No way to parse a string as HTML or script is used at all."""
    banned = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser"
        r"|srcdoc|createContextualFragment|setHTML|javascript:"
    )
    assert not re.findall(banned, path.read_text("utf-8"))


def test_every_element_that_the_scripts_ask_for_exists():
    """`byId` never returns null."""
    ids = {attributes["id"] for _, attributes in Elements().tags if "id" in attributes}
    asked = {m for p in SCRIPTS for m in re.findall(r'byId\("([\w-]+)"\)', p.read_text("utf-8"))}
    assert len(asked) > 15
    assert asked <= ids


def test_imports_of_the_scripts_lead_to_files_and_names():
    """There is no build step that would notice."""
    for path in SCRIPTS:
        for names, file in re.findall(
            r'import \{([^}]+)\} from "\./([\w.]+)"', path.read_text("utf-8")
        ):
            exported = (PAGE / file).read_text("utf-8")
            for name in names.split(","):
                pattern = rf"export (?:async )?(?:function|class|const) {name.strip()}\b"
                assert re.search(pattern, exported), f"{path.name}: {name.strip()} of {file}"


def test_the_page_takes_the_same_quality_bits_for_bad_as_the_engine():
    """The bits are written out in JavaScript, so they are compared here."""
    words = (PAGE / "words.js").read_text("utf-8")
    bits = re.search(r"NOT_USABLE = ([\d |]+);", words)[1].split("|")
    assert sum(int(bit) for bit in bits) == int(NOT_USABLE)
    assert f"UNCERTAIN = {int(Quality.UNCERTAIN)};" in words


def test_the_page_uses_the_documents_words_and_limits():
    """Verdicts in the same order, and the same age at which a status counts as old."""
    words = (PAGE / "words.js").read_text("utf-8")
    order = re.search(r"VERDICTS = \[([^\]]+)\]", words)[1]
    assert re.findall(r'"(\w+)"', order) == list(view.VERDICTS)
    stalled = re.search(r"STALLED_S = (\d+);", (PAGE / "app.js").read_text("utf-8"))[1]
    assert int(stalled) * 1_000_000_000 == view.FRESH_NS
    for cause in view.CAUSES:
        assert f"{cause}:" in words
    roles = get_args(get_type_hints(Configuration.role)["return"])
    described = json.loads((PAGE.parent / "openapi.json").read_text("utf-8"))
    assert described["components"]["schemas"]["Tag"]["properties"]["role"]["enum"] == list(roles)
    written = re.search(r"ROLE_WORDS = \{([^}]+)\}", words)[1]
    assert re.findall(r"(\w+):", written) == list(roles)


def test_each_state_has_its_own_shape():
    """Colour never stands alone: verdicts and severities are told apart by their outline."""
    outlines = {}
    for name in view.VERDICTS:
        body = re.search(rf'<symbol id="s-{name}"[^>]*>(.*?)</symbol>', HTML)[1]
        outlines[name] = re.match(r"<[^>]+>", body)[0]
    assert len(set(outlines.values())) == len(view.VERDICTS)
    for name in (*view.SEVERITIES, "on", "off", "wait"):
        assert f'id="s-{name}"' in HTML


def luminance(colour):
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palette(scheme):
    """Custom properties of a colour scheme; dark ones lie over the light ones."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    names = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", blocks[0]))
    if scheme == "dark":
        names |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", blocks[1]))
    return names


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(scheme):
    """At least 4.5 to 1 for every pair of text and ground, in both colour schemes."""
    colours = palette(scheme)
    pairs = [("text", "bg"), ("text", "card"), ("soft", "bg"), ("soft", "card"), ("link", "card")]
    pairs += [(f"{verdict}-text", "card") for verdict in view.VERDICTS]
    pairs += [(f"on-{verdict}", verdict) for verdict in view.VERDICTS]
    pairs += [("trusted-text", "tint")]
    poor = {p: round(contrast(colours[p[0]], colours[p[1]]), 2) for p in pairs}
    assert all(ratio >= 4.5 for ratio in poor.values()), poor
