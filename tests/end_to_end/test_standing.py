"""An agent whose store can not be written goes on in memory, and says why to whoever asks."""

from __future__ import annotations

import json
import sqlite3

import pytest

from tests.end_to_end.test_acting import Gateway


@pytest.mark.slow
def test_an_agent_that_can_not_store_says_so_and_goes_on_when_it_can(tmp_path, monkeypatch):
    """Another process holds the store: `status` calls it degraded, not dead, and says why."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    gateway = Gateway(tmp_path)
    gateway.start()
    gateway.wait("stored status", lambda: gateway.run("status", "--json"))
    holder = sqlite3.connect(tmp_path / "state" / "fieldwarden.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        told = gateway.wait(
            "trouble", lambda: json.loads(gateway.run("status", "--json")).get("trouble")
        )
        assert "locked" in told["text"]
        assert json.loads(gateway.run("status", "--json"))["running"]
        shown = gateway.run("status")
        assert "DEGRADED" in shown and "locked" in shown
        assert "NOT RUNNING" not in shown and "STANDS STILL" not in shown
        holder.execute("ROLLBACK")
        gateway.wait("recovery", lambda: not gateway.status(live=True)["trouble"])
        gateway.wait("fresh status", lambda: "DEGRADED" not in gateway.run("status"))
        log = (tmp_path / "log").read_text(encoding="utf-8")
        assert log.count("locked") == 2, log  # that it began, and that it is over
        assert "stored again" in log
    finally:
        holder.close()
        gateway.end()
