"""What is not there when the agent starts delays nothing that is."""

from __future__ import annotations

import contextlib
import socket

import pytest

from simulators.ports import free_port
from tests.end_to_end.books import check_books, read_books

NS = 1_000_000_000
SECONDS_TO_LIVE = 10


@pytest.mark.slow
def test_central_gets_everything_from_before_its_broker_was_there(site):
    """The uplink's broker starts long after the agent: the plant is judged, all is told later."""
    site.start_plant()
    site.start_agent()
    site.wait("trust in the model", lambda: site.verdict() == "trusted")
    outbox = site.live()["outbox"]
    assert outbox["configured"] and not outbox["connected"]
    assert "refused" in outbox["reason"]
    site.wait("a summary that waits", lambda: "summary" in waiting_streams(site))
    assert "event" in waiting_streams(site)
    first = {f"{one['sequence']}.{one['position']}" for one in site.events() if told(one)}

    site.uplink_broker.start()
    site.start_central()
    site.wait("all of the beginning at central", lambda: first <= books_of(site).arrived.keys())
    site.wait("an empty outbox", lambda: site.pending() == 0)
    assert site.live()["outbox"]["connected"]
    assert site.stop_agent() == 0
    site.wait_for_goodbye()
    books = books_of(site)
    check_books(books)
    assert books.told, "no summary came"


def waiting_streams(site) -> set[str]:
    with site.reader() as reader:
        return {row.stream for row in reader.pending()}


def told(event) -> bool:
    return event["kind"] != "finding"


def books_of(site):
    with site.reader() as reader:
        return read_books(reader, site.received())


@pytest.mark.slow
def test_dead_sources_at_start_delay_nothing_else(site):
    """One source refuses, one accepts and never answers: the third is live within seconds."""
    modbus = site.ports["the plant's Modbus server"]
    site.change_config(rf"port = {modbus}\n", f"port = {free_port()}\n")
    site.start_plant()
    with contextlib.closing(socket.create_server(("127.0.0.1", free_port()), backlog=64)) as mute:
        opcua = site.ports["the plant's OPC UA server"]
        site.change_config(f":{opcua}/plant", f":{mute.getsockname()[1]}/plant")
        site.start_agent()
        site.wait("the third source", lambda: site.source_states().get("line") == "live")
        document = site.wait("both reasons", lambda: with_reasons(site, "utilities", "reactor"))
        sources = {one["name"]: one for one in document["sources"]}
        assert {name: one["state"] for name, one in sources.items()} == {
            "line": "live", "utilities": "failed", "reactor": "failed",
        }  # fmt: skip
        assert "refused" in sources["utilities"]["reason"]
        took_ns = sources["line"]["since_ns"] - document["started_ns"]
        assert took_ns < SECONDS_TO_LIVE * NS
        values = {one["name"]: one["value"] for one in document["tags"]}
        assert values["feed.concentration"] is not None
        assert values["feed.flow"] is None and values["reactor.level"] is None
        assert document["models"][0]["verdict"] == "unassessable"
        assert site.stop_agent() == 0  # also with a connection that hangs


def with_reasons(site, *sources: str):
    """The status document, as soon as the model's reasons name all these sources."""
    document = site.live()
    models = document.get("models", ())
    named = {reason.get("source") for model in models for reason in model["reasons"]}
    return document if named >= set(sources) else None
