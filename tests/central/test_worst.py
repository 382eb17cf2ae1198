"""The order of gateways, the filters, and that a screen's height cuts nothing silently."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from agent.central.subscriber import Central
from agent.central.table import table_of
from agent.central.worst import Choice, counted
from tests.central.test_subscriber import T0, state, take


def gateway(name, *verdicts, online=True, incidents=0, site="north"):
    models = [
        {"model": f"model-{at}", "verdict": one, "told": one, "why": "", "reasons": []}
        for at, one in enumerate(verdicts)
    ]
    return {
        "site": site, "gateway": name, "online": online, "models": models,
        "open_incidents": incidents, "open_conditions": incidents, "incidents": [],
        "missing_count": {}, "dropped": {},
    }  # fmt: skip


FLEET = [
    gateway("a", "trusted", "trusted"),
    gateway("b", "trusted", online=False),
    gateway("c", "caution", "trusted"),
    gateway("d", "untrusted", "caution", site="south"),
    gateway("e", "trusted", "untrusted", "untrusted"),
    gateway("f", "unassessable", online=False, site="south"),
    gateway("g", "trusted", incidents=2),
    gateway("h", online=None),
]


def names(choice):
    return "".join(one["gateway"] for one in choice.of(reversed(FLEET)))


def test_the_worst_stands_first():
    """By verdict and how often; then who is not there; then open incidents; then the name."""
    assert names(Choice()) == "edfcbhga"
    assert counted(FLEET) == (
        "8 gateways, 2 offline, 1 of which nothing is known; models: 3 untrusted, "
        "1 unassessable, 2 caution, 6 trusted"
    )


def test_only_some_verdicts_and_sites_are_shown():
    """Of a gateway that has such a model only such models; both filters together."""
    only = Choice(only=frozenset({"untrusted"}))
    assert names(only) == "ed"
    assert [len(one["models"]) for one in only.of(FLEET)] == [2, 1]
    assert names(Choice(sites=frozenset({"south"}))) == "df"
    assert names(Choice(frozenset({"untrusted"}), frozenset({"south"}))) == "d"


def drawn(document, lines, width=80):
    console = Console(file=io.StringIO(), width=width)
    table = table_of(document, Choice(), console, lines)
    console.print(table)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("lines", [10, 11, 12, 16, 24, 60])
def test_what_does_not_fit_on_the_screen_is_counted(lines):
    """As many rows as fit, one a gateway; the last says how many are not there, how many of them
    in trouble. A line that is too long says so.
    """
    fleet = [*FLEET, *(gateway(f"z{number:04d}", "trusted") for number in range(1_000))]
    text = drawn({"gateways": fleet, "messages": 0, "duplicates": 0}, lines)
    assert lines - 4 <= len(text) <= lines
    told = " ".join(line.rsplit("│", 2)[1].strip() for line in text if "│" in line)
    whole = sum("north/" in line or "south/" in line for line in text)
    assert f"{len(fleet) - whole:,} gateways more" in told
    poor = sum(name in "edfcbh" for name in "edfcbhga"[whole:])
    assert f"{poor} in trouble" in told


def test_of_one_gateway_as_many_rows_are_shown_as_fit():
    """Then, too, it is said that there is more."""
    text = drawn({"gateways": [gateway("a", *["untrusted"] * 50)], "messages": 0, "duplicates": 0},
                 24)  # fmt: skip
    assert len(text) <= 24 and sum("model-" in line for line in text) > 10
    assert "the rest of this gateway" in " ".join(text)


def test_what_fits_has_no_such_row():
    """A screen that is tall enough shows all."""
    text = "\n".join(drawn({"gateways": FLEET, "messages": 0, "duplicates": 0}, 60))
    assert "more" not in text
    assert all(f"/{one['gateway']}" in text for one in FLEET)


def test_an_empty_table_says_why_it_is_empty():
    """Nobody is there, or nobody fits."""
    out = io.StringIO()
    document = {"gateways": FLEET, "messages": 0, "duplicates": 0}
    Console(file=out, width=100).print(table_of(document, Choice(sites=frozenset({"west"}))))
    assert "none fits --only and --site" in out.getvalue()


def test_a_promise_that_is_not_kept_stands_beside_its_gateway():
    """As its birth told it, and told it again; what is no promise is none."""
    told = {
        "false_alarms": "1 per 30 days", "expected_per_30_days": 1.0, "watched_days": 12,
        "raised": 9, "acknowledged": 8, "false": 7, "exceeded": True,
    }  # fmt: skip
    central = Central()
    take(central, state(promise=told))
    assert central.document(T0)["gateways"][0]["promise"] == told
    out = io.StringIO()
    Console(file=out, width=200).print(table_of(central.document(T0)))
    assert "promise exceeded: 7 false alarms in 12 days, 1 per 30 days promised" in out.getvalue()
    take(central, state(promise={**told, "exceeded": False}))  # said again, under its number
    assert central.document(T0)["gateways"][0]["promise"]["exceeded"] is False
    take(central, state(promise=7))
    assert central.document(T0)["gateways"][0]["promise"] is None
