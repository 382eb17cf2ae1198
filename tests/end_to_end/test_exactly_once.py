"""The main job, end to end: faults in the plant, kills in between, and the books agree."""

from __future__ import annotations

import pytest

from tests.end_to_end.books import check_books, read_books

FAULTS = """
[[fault]]
kind = "stuck"
tag = "steam.pressure"
start = 1
duration = 8

[[fault]]
kind = "unit_change"
tag = "jacket.inlet_temperature"
start = 10
duration = 14
to = "degF"

[[fault]]
kind = "out_of_range"
tag = "feed.concentration"
start = 32
duration = 14
size = 2.6

[[fault]]
kind = "source_lost"
source = "utilities"
start = 47
duration = 6
"""
EXPECTED = [
    ("tag/steam.pressure", "stuck"),
    ("tag/jacket.inlet_temperature", "unit change"),
    ("tag/feed.concentration", "out of trained range"),
    ("source/utilities", "source lost"),
]
SAID = ("raised", "updated")


@pytest.mark.slow
def test_every_accepted_event_is_at_central_exactly_once(site):
    """Agent and central's broker are each killed amid a fault; nothing is lost or doubled."""
    site.uplink_broker.start()
    site.start_central()
    site.start_plant(FAULTS)
    site.start_agent()
    site.wait("trust in the model", lambda: site.verdict() == "trusted")
    site.begin_faults()

    stuck, unit, outside, lost = EXPECTED
    site.wait("stuck sensor", lambda: site.condition(stuck[0], *SAID, kind=stuck[1]))
    site.wait("unit change", lambda: site.condition(unit[0], *SAID, kind=unit[1]))
    site.kill_agent()
    assert site.under_way() == [unit[0]], "the kill was meant to come amid the fault"
    first = site.status()["boot"]
    site.start_agent()

    site.wait("value out of range", lambda: site.condition(outside[0], *SAID, kind=outside[1]))
    site.uplink_broker.kill()
    assert site.under_way() == [outside[0]], "the kill was meant to come amid the fault"
    told = site.wait("lost source", lambda: site.condition(lost[0], *SAID, kind=lost[1]))
    assert told["data"] not in [one["data"] for one in site.received()]
    site.uplink_broker.start()
    site.wait("source back", lambda: site.source_states().get("utilities") == "live")
    site.wait("end of the script", lambda: len(site.truth()) == 2 * len(EXPECTED))
    site.wait("assessment", lambda: site.verdict() not in {"", "unassessable"})

    cut = {f"{one['sequence']}.{one['position']}" for one in site.events()}
    site.wait("delivery of all that was accepted", lambda: not owed(site) & cut)
    site.wait("an empty outbox", lambda: site.pending() == 0)
    assert site.stop_agent() == 0
    site.wait_for_goodbye()
    with site.reader() as reader:
        books = read_books(reader, site.received())
    check_books(books)
    assert books.waiting & cut == set()
    found = {
        (said["subject"], said["data"]["kind"])
        for said in books.arrived.values()
        if said["kind"] == "condition"
    }
    assert set(EXPECTED) <= found
    (gateway,) = site.stop_central()["gateways"]
    assert gateway["online"] is False and gateway["boot"] > first
    assert gateway["missing"] == {} and gateway["dropped"] == {}
    assert gateway["models"][0]["told"] == site.verdict()
    site.wait("word that the agent is dead", lambda: site.status()["running"] is False)
    assert site.status()["models"][0]["verdict"] == "unassessable"


def owed(site) -> set[str]:
    """Causes of the accepted events that central does not have yet."""
    with site.reader() as reader:
        books = read_books(reader, site.received())
    return books.waiting | books.missing()
