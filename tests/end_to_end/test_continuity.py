"""A reload and a restart change nothing that people see: no new alarm, no alarm told again."""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.end_to_end.books import check_books, read_books

LASTING = """
[[fault]]
kind = "stuck"
tag = "steam.pressure"
start = 0
duration = 3600
"""
SUBJECT = "tag/steam.pressure"
AWAY_S = 7  # longer than any tag of the plant may be silent


@pytest.fixture
def faulty(site):
    """A site whose agent has raised the one condition that there is, which lasts."""
    site.start_plant(LASTING)

    def run():
        site.start_agent()
        site.wait("trust in the model", lambda: site.verdict() == "trusted")
        site.begin_faults()
        site.wait("stuck sensor", lambda: site.condition(SUBJECT, "raised", kind="stuck"))
        site.wait("untrusted model", lambda: site.model().get("verdict") == "untrusted")
        return site

    return run


def place(event) -> tuple[int, int]:
    return event["sequence"], event["position"]


def conditions_after(site, last: tuple[int, int]) -> list[tuple[str, str]]:
    return [
        (one["subject"], one["data"]["change"])
        for one in site.events("condition")
        if place(one) > last
    ]


def wait_for_scans(site, more: int) -> None:
    wanted = site.model()["scans"] + more
    site.wait(f"{more} more scans", lambda: site.model().get("scans", 0) >= wanted)


@pytest.mark.slow
def test_a_reload_adds_a_tag_and_keeps_all_state(site, faulty):
    """SIGHUP: the new tag is read; nothing warms up, is told again or changes its mind."""
    whole = site.config.read_text(encoding="utf-8")
    site.change_config(r'\[tags\."ambient\.humidity"\].*?\n\n', "")
    faulty()
    (condition,) = site.live()["conditions"]
    scans, last = site.model()["scans"], place(site.events()[-1])

    site.config.write_text("[gateway\n", encoding="utf-8")
    site.signal_agent(signal.SIGHUP)
    site.wait("refusal", lambda: "the configuration stays as it was" in site.children.tail("agent"))
    site.config.write_text(whole, encoding="utf-8")
    site.signal_agent(signal.SIGHUP)
    site.wait("a value of the new tag", lambda: value_of(site, "ambient.humidity") is not None)
    wait_for_scans(site, 30)

    assert [(one["id"], one["text"]) for one in site.live()["conditions"]] == [
        (condition["id"], condition["text"])
    ]
    assert conditions_after(site, last) == []
    assert [one for one in site.events("verdict") if place(one) > last] == []
    assert site.model()["scans"] > scans
    assert "warming up" not in site.children.log_path("agent").read_text(encoding="utf-8")
    with site.reader() as reader:
        first = reader.boot

    site.kill_agent()
    site.start_agent()
    site.wait("second boot", lambda: site.live().get("boot", 0) > first)
    site.wait("the same verdict", lambda: site.model().get("verdict") == "untrusted")
    assert conditions_after(site, last) == []


def value_of(site, tag: str):
    return next((one["value"] for one in site.live().get("tags", ()) if one["name"] == tag), None)


@pytest.mark.slow
def test_a_restart_goes_on_where_it_stopped(site, faulty):
    """SIGTERM: exit code 0; the next start refolds nothing and raises no false alarm."""
    site.uplink_broker.start()
    site.start_central()
    faulty()
    (condition,) = site.live()["conditions"]
    assert site.stop_agent() == 0
    events = site.events()
    last = place(events[-1])
    with site.reader() as reader:
        assert reader.snapshot()[0] == reader.counters()["last_sequence"]
        assert reader.document("status")["conditions"][0]["id"] == condition["id"]
        first = reader.boot
    site.wait_for_goodbye()

    time.sleep(AWAY_S)
    site.start_agent()
    site.wait("second boot", lambda: site.live().get("boot", 0) > first)
    site.wait("the same verdict", lambda: site.model().get("verdict") == "untrusted")
    wait_for_scans(site, 50)

    assert site.events()[: len(events)] == events
    assert conditions_after(site, last) == []
    assert [one["id"] for one in site.live()["conditions"]] == [condition["id"]]
    told = [one["data"]["verdict"] for one in site.events("verdict") if place(one) > last]
    assert told == ["unassessable", "untrusted"]  # assessed anew, found to be the same
    assert re.findall("warming up", site.children.log_path("agent").read_text("utf-8")) == []
    assert site.stop_agent() == 0
    with site.reader() as reader:
        sequences = [entry.sequence for entry in reader.journal(1)]
        assert sequences == list(range(1, reader.counters()["last_sequence"] + 1))
        check_books(read_books(reader, site.received()))
