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
duration = 8
to = "degF"

[[fault]]
kind = "out_of_range"
tag = "feed.concentration"
start = 26
duration = 8
size = 2.6

[[fault]]
kind = "source_lost"
source = "utilities"
start = 35
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
@pytest.mark.timeout(240)
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
    dead = site.status()
    assert dead["gateway"] == "gw-01" and dead["models"][0]["verdict"] in {
        "untrusted", "unassessable",
    }  # fmt: skip
    site.start_agent()

    site.wait("value out of range", lambda: site.condition(outside[0], *SAID, kind=outside[1]))
    site.uplink_broker.kill()
    told = site.wait("lost source", lambda: site.condition(lost[0], *SAID, kind=lost[1]))
    assert told["data"] not in [one["data"] for one in site.received()]
    site.uplink_broker.start()
    site.wait("source back", lambda: site.source_states().get("utilities") == "live")
    site.wait("end of the script", lambda: len(site.truth()) == 2 * len(EXPECTED))
    site.wait("assessment", lambda: site.verdict() not in {"", "unassessable"})

    cut = {f"{one['sequence']}.{one['position']}" for one in site.events()}

    def all_told() -> bool:
        with site.reader() as reader:
            books = read_books(reader, site.received())
        return not (books.waiting & cut or books.missing() & cut)

    site.wait("delivery of all that was accepted", all_told)
    site.wait("an empty outbox", lambda: site.document()["outbox"]["pending"] == 0)
    assert site.stop_agent(10) == 0
    site.wait("goodbye", lambda: site.received()[-1]["stream"] == "state")
    with site.reader() as reader:
        books = read_books(reader, site.received())
    check_books(books)
    assert books.waiting & cut == set()
    conditions = [said for said in books.arrived.values() if said["kind"] == "condition"]
    for subject, kind in EXPECTED:
        assert (subject, kind) in {(one["subject"], one["data"]["kind"]) for one in conditions}
    (view,) = books.central.gateways.values()
    assert view.online is False and view.boot == 2
    assert view.models["yield"].data["verdict"] == site.verdict()
