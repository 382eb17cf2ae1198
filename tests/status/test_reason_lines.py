"""What is of one fault is told once: by terminal and page alike."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.core.verdict import EXTRAPOLATING, MAINTENANCE, OUT_OF_SERVICE
from agent.status import view
from agent.status.reason_lines import SELF_EXPLAINED, cause_label, grouped, rest
from tests.programs import needed
from tests.status.browser import browsing
from tests.status.conftest import serving
from tests.status.fake_status import NS, T0, document, reason


def of_one_fault():
    """(reasons, document): an incident of three tags told by `b`, and a tag that is alone."""
    conditions = [
        {"id": f"c-{tag}", "kind": "drift", "tag": tag, "model": "", "source": "", "text": text,
         "cause": "process", "severity": "medium", "state": "active", "raised_ns": T0,
         "cleared_ns": None, "incident": "c-b", "subject": f"tag/{tag}", "hint": "", "score": 1.0}
        for tag, text in (("b", "b moved first"), ("a", "a drifts"), ("c", "c drifts"))
    ]  # fmt: skip
    whole = document() | {"conditions": conditions, "models": document()["models"][:1]}
    whole["incidents"] = view.incidents(whole)
    reasons = [
        reason("a drifts", "process", "a"), reason("b moved first", "process", "b"),
        reason("d is outside", "unknown", "d"), reason("c drifts", "process", "c"),
        reason("b is outside", "unknown", "b"), reason("d is far outside", "unknown", "d"),
        reason("source x is lost", "integration"), reason("source y is lost", "integration"),
    ]  # fmt: skip
    return reasons, whole


def texts(groups):
    return [[one["text"] for one in group] for group in groups]


def test_reasons_of_one_incident_or_one_tag_are_one_and_nothing_is_left_out():
    """The incident's own text leads; what has no tag stands alone."""
    reasons, whole = of_one_fault()
    groups = grouped(reasons, whole)
    assert texts(groups) == [
        ["b moved first", "a drifts", "c drifts", "b is outside"],
        ["d is outside", "d is far outside"], ["source x is lost"], ["source y is lost"],
    ]  # fmt: skip
    assert [rest(group) for group in groups] == [
        "2 other tags of the same fault: a, c", "", "", "",
    ]  # fmt: skip


def test_what_decides_the_verdict_leads_though_the_incident_is_told_by_another():
    """The agent tells the gravest first; a sensor's fault is not hidden behind a process's."""
    reasons, whole = of_one_fault()
    first = reason("c is stuck", "sensor", "c")
    assert texts(grouped([first, *reasons], whole))[0][0] == "c is stuck"


def test_an_incident_that_is_over_joins_nothing():
    """Its tags are told each by itself."""
    reasons, whole = of_one_fault()
    for one in whole["conditions"]:
        one.update(state="cleared", cleared_ns=T0)
    assert len(grouped(reasons, whole)) == 6


@pytest.mark.parametrize(
    ("cause", "kind", "label"),
    [
        ("sensor", "stuck", "sensor"), ("unknown", "level shift", "cause unknown"),
        ("unknown", "planned maintenance", "planned maintenance"), ("", "", "cause unknown"),
        ("unknown", "out of service", "out of service"), ("unknown", "missing", "cause unknown"),
        ("integration", "waiting", "integration"),
    ],
)  # fmt: skip
def test_a_cause_is_unknown_only_where_one_is_looked_for(cause, kind, label):
    """What people announced, or what states a fact, says by its kind what it is."""
    assert cause_label({"cause": cause, "kind": kind}) == label


def test_page_and_terminal_know_the_same_kinds_as_self_explained():
    """They are kinds that the agent gives to reasons, and each file's list is the other's."""
    words = (Path(view.__file__).parent / "page" / "words.js").read_text("utf-8")
    (listed,) = re.findall(r"const SELF_EXPLAINED = (\[[^\]]*\]);", words)
    assert tuple(json.loads(listed)) == SELF_EXPLAINED
    assert {MAINTENANCE, OUT_OF_SERVICE, EXTRAPOLATING} < set(SELF_EXPLAINED)


SHOWN = """[...document.querySelectorAll('#models .model .body > .reasons > li')].map((one) =>
  [...one.querySelectorAll('.why')].map((why) => why.textContent))"""


@needed("chromium")
async def test_the_page_groups_them_alike_and_keeps_what_was_unfolded(tmp_path):
    """The same groups as in the terminal; a text that changes folds nothing up."""
    reasons, whole = of_one_fault()
    whole["models"][0]["reasons"] = reasons
    async with serving() as served:
        served.document, served.now_ns = whole, T0 + NS
        async with browsing(served.server.url, tmp_path) as page:
            await page.until("document.querySelectorAll('#models .model').length")
            assert await page.run(SHOWN) == texts(grouped(reasons, whole))
            summary = "document.querySelector('#models .of-fault summary').textContent"
            assert await page.run(summary) == "2 other tags of the same fault: a, c"
            await page.run("document.querySelector('#models .of-fault').open = true")
            changed = json.loads(json.dumps(whole))
            changed["models"][0]["reasons"][3]["text"] = "c drifts further"
            served.document = changed
            await page.until("document.body.innerText.includes('c drifts further')")
            assert await page.run("document.querySelector('#models .of-fault').open")
