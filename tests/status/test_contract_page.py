"""Changes and lineage on the page, in a browser: what is shown, and what a decision sends."""

from __future__ import annotations

from agent.status import view
from agent.status.commands import COMMANDS, Kind
from tests.programs import needed
from tests.status.browser import browsing
from tests.status.conftest import TOKEN, people, serving
from tests.status.fake_changes import HOSTILE, change
from tests.status.fake_status import NS, T0, document, reason

pytestmark = needed("chromium")
TEXT = "document.querySelector('section[aria-labelledby=contract-heading]').innerText"
MARKED = "[...document.querySelectorAll('#lineage g.lit .heading')].map((one) => one.textContent)"
LIT = "[...document.querySelectorAll('#lineage g.lit text')].map((one) => one.textContent)"


async def test_an_open_change_is_told_with_all_that_a_person_needs(tmp_path):
    """What, since when, whose, held or not, assessment, who decided, who must; names stay text."""
    async with serving() as served:
        served.now_ns = T0 + NS
        async with browsing(served.server.url, tmp_path) as page:
            await page.until("document.querySelectorAll('#changes > li').length")
            text = (await page.run(TEXT)).replace("\N{NO-BREAK SPACE}", " ")
            for part in (
                "3 open changes, 1 held", "tag cooling.flow: unit was m3/h, is l/min",
                "model yield 2026.3, process <p@plant.example>",
                "12 % of 259,200 scans get another verdict, alarms 1 → 4, trusted 98 % → 86 %",
                "mean loss by lab.yield 0.51 → 0.93", "behind them emissions, by yield.predicted",
                "the journal holds 3 days",
                "owner: approved by Mara Lind", "still needed: integration",
                "suggested for cooling.flow: agreed = served × 0.06, unit m3/h",
                "would be held", "the last days are replayed with it: 42 %", "and 5 more tags",
                "still needed: owner and integration", "calibration of TT-101", "window ",
                "Contract 5e1f5e1f5e1f, made 2026-02-28T10:00:00Z", "Approved (1)", HOSTILE,
            ):
                assert part in text, (part, text)
            held = "document.querySelectorAll('.change[data-hold=held]').length"
            assert await page.run(held) == 1  # what is approved is held no more
            assert "utilities-2" not in text  # it has ended
            order = "[...document.querySelectorAll('#changes .name')].map((one) => one.textContent)"
            assert (await page.run(order))[0] == "utilities-3"  # what is held comes first
            assert not await page.run("document.querySelectorAll('main img').length")
            acts = "getComputedStyle(document.querySelector('.change .acts')).display"
            assert await page.run(acts) == "none"  # nobody is signed in


async def test_the_path_of_a_change_is_marked_from_source_to_output(tmp_path):
    """All open ones at first; one that is chosen alone; none once it has ended."""
    async with serving() as served:
        served.now_ns = T0 + NS
        served.document = document() | {"changes": [
            change("utilities-3", "detected", T0), change("line-4", "detected", T0, source="line",
                                                          tags=["line.speed"]),
        ]}  # fmt: skip
        async with browsing(served.server.url, tmp_path) as page:
            found = await page.until(f"{MARKED}.length && {MARKED}")
            assert set(found) == {"utilities", "line", "yield", "energy", "vibration forecast",
                                  "emissions"}  # fmt: skip
            await page.run("""(() => { const of = document.getElementById('lineage-of');
              of.value = 'utilities-3'; of.dispatchEvent(new Event('change')); })()""")
            found = await page.until(f"!{MARKED}.includes('line') && {MARKED}")
            assert set(found) == {"utilities", "yield", "emissions"}
            assert "yield.predicted" in await page.run(LIT)
            edges = "document.querySelectorAll('#lineage path.edge.lit').length"
            assert await page.run(edges) == 4  # serves, input, output, input of the next
            served.document = document() | {"changes": []}
            assert await page.until(f"!{MARKED}.length")
            assert "No change is open" in await page.run(TEXT)


ACT = """(async () => {
  const change = document.querySelector('#changes > li');
  const [factor, offset, unit] = change.querySelectorAll('.map-row input');
  const [reason] = [...change.querySelectorAll('.acts > input')];
  const buttons = [...change.querySelectorAll('button')];
  const approve = buttons.find((one) => one.textContent.startsWith('Approve'));
  const said = change.closest('section').querySelector('.act-said');
  %s
})()"""


async def test_a_signed_in_person_approves_with_a_map_and_a_reason(tmp_path, monkeypatch):
    """The form has what was suggested; what is typed goes to the agent, in the person's name."""
    more = {} if "approve" in COMMANDS else {"more": lambda _, body: {"map": body.get("map")}}
    monkeypatch.setitem(COMMANDS, "approve", COMMANDS.get("approve") or Kind("change", "", **more))
    sent = []

    async def command(kind, data):
        sent.append((kind, data))
        return {"sequence": 1}

    async with serving(command=command, people=people) as served:
        served.now_ns = T0 + NS
        async with browsing(served.server.url, tmp_path) as page:
            await page.until("document.querySelectorAll('#changes > li').length")
            await page.run(f"""(() => {{ document.getElementById('token').value = '{TOKEN}';
              document.getElementById('sign-in').requestSubmit(); }})()""")
            await page.until("document.body.classList.contains('acting')")
            shown = await page.run(ACT % "return [factor.value, offset.value, unit.value];")
            assert shown == ["0.06", "0", "m3/h"]
            label = "return approve.textContent;"
            assert await page.run(ACT % label) == "Approve with this map"
            cleared = "for (const one of [factor, offset, unit]) one.value = '';"
            typed = "unit.dispatchEvent(new Event('input', { bubbles: true }));"
            assert await page.run(ACT % (cleared + typed + label)) == "Approve as it is"
            await page.run(ACT % "unit.value = 'm3/h'; approve.click();")
            assert not sent
            said = "document.querySelector('section[aria-labelledby=contract-heading] .act-said')"
            assert "Say why first" in await page.run(f"{said}.textContent")
            await page.run(ACT % "factor.value = 'x'; reason.value = 'meter'; approve.click();")
            assert "is no number" in await page.run(f"{said}.textContent")
            await page.run(ACT % "factor.value = '0,0600'; offset.value = '-1.5'; approve.click();")
            await page.until(f"{said}.textContent.includes('utilities-3 approved')")
            (kind, data), = sent
            assert kind == "approve"
            assert data["change"] == "utilities-3" and data["by"] == "Mara Lind"
            assert data["note"] == "meter"
            assert data["map"] == {"cooling.flow": {"factor": 0.06, "offset": -1.5, "unit": "m3/h"}}


async def test_an_assessment_that_failed_says_why_and_shows_no_progress(tmp_path):
    """A bar that stands still would have people wait."""
    failed = {"progress": 0.0, "since_ns": 0, "text": "it can not be assessed: no journal"}
    async with serving() as served:
        served.now_ns = T0 + NS
        changes = [change("utilities-3", "detected", T0, assessing=failed)]
        served.document = document() | {"changes": changes}
        async with browsing(served.server.url, tmp_path) as page:
            await page.until("document.querySelectorAll('#changes > li').length")
            assert "it can not be assessed: no journal" in await page.run(TEXT)
            assert await page.run("document.querySelectorAll('#changes progress').length") == 0


async def test_a_models_own_page_shows_the_open_changes_that_reach_it(tmp_path):
    """Those that touch it, as the overview shows them; of another model none, which is said."""
    listed = "[...document.querySelectorAll('#one-changes b.name')].map((one) => one.textContent)"
    async with serving() as served:
        served.now_ns = T0 + NS
        held = change("utilities-3", "detected", T0)
        other = change("line-4", "detected", T0) | {"models": [{"name": "other", "version": "1"}]}
        served.document = document() | {"changes": [held, other]}
        async with browsing(f"{served.server.url}#/models/yield", tmp_path) as page:
            await page.until("document.querySelectorAll('#one-changes > li').length")
            assert await page.run(listed) == ["utilities-3"]
            assert "unit was m3/h, is l/min" in await page.run(
                "document.querySelector('#one-changes').innerText"
            )
            await page.run("location.hash = '#/models/emissions'")
            await page.until("!document.getElementById('one-changes-none').hidden")
            assert await page.run(listed) == []


async def test_a_models_card_says_what_people_are_asked_for(tmp_path):
    """A change that is held, one that waits, a request: each leads to where it is decided."""
    asked = """[...document.querySelectorAll('#models .model[data-verdict=untrusted] .asks a')]
      .map((one) => [one.textContent, one.getAttribute('href')])"""
    async with serving() as served:
        served.now_ns = T0 + NS
        async with browsing(served.server.url, tmp_path) as page:
            await page.until("document.querySelectorAll('#models .asks a').length")
            assert await page.run(asked) == [
                ["Change utilities-3: held until somebody decides", "#contract-heading"],
                ["Change line-4: waits for a decision", "#contract-heading"],
                ["Retraining: asked for; a person must decide", "#/models/yield"],
            ]


async def test_all_times_are_told_in_one_zone_which_is_named(tmp_path):
    """What the agent writes in UTC is told like all other times; another day has its date."""
    why = f"it moved, since {view.utc(T0 - 60 * NS)}; before {view.utc(T0 - 200_000 * NS)}"
    async with serving() as served:
        served.now_ns = T0 + NS
        served.document = document()
        served.document["models"][0]["reasons"] = [reason(why, "process", "x")]
        later = T0 + 86_400 * NS
        served.document["changes"] = [
            change("line-4", "announced", T0) | {"window": [later, later + 3_600 * NS]}
        ]
        async with browsing("about:blank", tmp_path) as page:
            await page.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kolkata")
            await page.call("Page.navigate", url=served.server.url)
            await page.until("document.querySelectorAll('#models .why').length")
            text = await page.run("document.querySelector('#models .why').textContent")
            assert "since 07:29:00; before " in text, text
            assert "Z" not in text
            assert (await page.run("document.getElementById('contact').textContent")).endswith(
                "07:30:01 GMT+5:30"
            )
            window = await page.run("document.querySelector('#changes .meta').textContent")
            assert "07:30" in window.partition("window ")[2]
            assert "Mar" in window.partition("window ")[2]


async def test_what_does_not_work_is_told_before_all_else(tmp_path):
    """A full disk stands above the verdicts, with what to do; gone once it is over."""
    alert = "document.getElementById('alert')"
    async with serving() as served:
        served.now_ns = T0 + NS
        full = {"text": "the disk is full", "hint": "free space on /var"}
        served.document = document() | {"trouble": full}
        async with browsing(served.server.url, tmp_path) as page:
            await page.until("document.querySelector('#alert.poor:not([hidden])')?.innerText")
            text = await page.run(f"{alert}.innerText")
            assert "degraded" in text and "To do: free space on /var" in text
            above = f"{alert}.getBoundingClientRect().bottom <= document.getElementById('headline')"
            assert await page.run(f"{above}.getBoundingClientRect().top")
            served.document = document()
            await page.until(f"{alert}.hidden")
