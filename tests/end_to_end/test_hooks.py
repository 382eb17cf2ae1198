"""Hooks of a running agent: told through a kill and an outage, and delaying nobody."""

from __future__ import annotations

import contextlib
import signal

import pytest

from agent.store import Reader
from simulators.ports import free_port
from tests.end_to_end.guarded import GuardedGateway
from tests.hooks.endpoint import Endpoint


class Hooked(GuardedGateway):
    """It tells an endpoint of verdicts, conditions and what people do."""

    def __init__(self, folder):
        self.endpoint = Endpoint(folder / "endpoint", free_port())
        super().__init__(folder)

    def configure(self, people, host="127.0.0.1"):
        hook = f'[hooks.desk]\nkind = "webhook"\nurl = "{self.endpoint.url}"\n'
        hook += 'events = ["verdict", "configuration", "condition", "review"]\n'
        super().configure(people + hook, host)

    def hook(self):
        """What is known of it."""
        (found,) = self.status(live=True)["outbox"]["hooks"]
        return found

    def told_of(self):
        """Identities of the events that the endpoint is to be told of, as the store has them."""
        with contextlib.closing(Reader(self.folder / "state" / "fieldwarden.db")) as reader:
            return {
                f"{reader.store_id}-{row['sequence']}-{row['position']}"
                for row in reader.events(1000)
                if row["kind"] in {"verdict", "configuration", "condition", "review"}
            }

    def close(self):
        self.endpoint.stop()
        super().close()


@pytest.fixture
def gateway(tmp_path):
    made = Hooked(tmp_path)
    yield made
    made.close()


def test_every_event_reaches_the_endpoint_through_outage_and_kill(gateway):
    """Nobody is there at first; then it hangs, and the agent goes on all the same."""
    gateway.start()
    gateway.wait("trust the model", lambda: gateway.ask("m/verdict")["verdict"] == "trusted")
    gateway.wait("say why", lambda: gateway.hook()["reason"])
    gateway.wait("have more to say", lambda: gateway.hook()["pending"] >= 2)
    assert gateway.hook()["delivered"] == 0
    gateway.run("out-of-service", "a", "--reason", "calibration")
    gateway.end(signal.SIGKILL)

    gateway.endpoint.answers(204, wait_s=600.0)
    gateway.endpoint.start()
    gateway.start()
    first = gateway.status(live=True)["sequence"]
    gateway.wait("go on", lambda: gateway.status(live=True)["sequence"] > first + 5)
    assert gateway.ask("m/verdict")["verdict"] == "unassessable"  # an input is out of service
    gateway.run("in-service", "a", "--reason", "calibrated")
    gateway.end(signal.SIGKILL)
    gateway.endpoint.stop()

    gateway.endpoint.answers(204)
    gateway.endpoint.start()
    gateway.start()
    gateway.wait("trust it again", lambda: gateway.ask("m/verdict")["verdict"] == "trusted")
    gateway.wait("deliver", lambda: gateway.hook()["pending"] == 0)
    assert gateway.end() == 0
    told = [event["id"] for event in gateway.endpoint.taken()]
    assert gateway.told_of() == set(told)
    order = [tuple(map(int, name.split("-")[1:])) for name in dict.fromkeys(told)]
    assert order == sorted(order)
    acts = [e["data"] for e in gateway.endpoint.taken() if e["subject"] == "tag/a"]
    assert {act["note"] for act in acts if act.get("by")} == {"calibration", "calibrated"}
