"""A model asks a real agent whether it may be relied on, and is never told so without reason."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from agent.client import verdict
from tests.core import small
from tests.end_to_end.guarded import GuardedGateway
from tests.end_to_end.test_acting import ROOT
from tests.end_to_end.test_clock import HOUR_S, WallClock
from tests.programs import needed

LOOKS = 20


@pytest.fixture
def gateway(tmp_path):
    one = GuardedGateway(tmp_path)
    yield one
    one.close()


def wait_for_trust(gateway):
    for way in gateway.ways:
        gateway.wait(f"trust by {way}", lambda way=way: verdict("m", way).trusted)


def wait_for_doubt(gateway):
    """Until no way says trusted any more, and then it stays so."""
    for way in gateway.ways:
        gateway.wait(f"doubt by {way}", lambda way=way: not verdict("m", way).trusted)
    return never_trusted(gateway)


def never_trusted(gateway, ways=None):
    """The reason that each way gives; fails where one ever says trusted."""
    told = []
    for way in ways or gateway.ways:
        found = verdict("m", way, timeout_s=0.3)
        assert not found.trusted, (way, found)
        assert found.reason
        told.append(found.reason)
    return told


def test_trusted_is_said_of_a_working_agent_only(gateway):
    """By file, socket and HTTP: not while stopped, not after a kill, not of another model, version
    or baseline, not while another baseline lies in the file; and again as soon as all is well.
    """
    gateway.start()
    wait_for_trust(gateway)
    for way in gateway.ways:
        found = verdict("m", way)
        assert (found.verdict, found.reason, found.version) == ("trusted", "", "1")
        assert found.owner == {"team": "process data", "contact": "data@plant.example"}
        assert verdict("m", way, version="1", baseline=found.baseline[:12]).trusted
        assert not verdict("m", way, version="2").trusted
        assert not verdict("m", way, baseline="0" * 64).trusted
        assert not verdict("m", way, baseline="").trusted
        assert not verdict("other", way).trusted
        assert not verdict("", way).trusted
    said = {json.dumps(sorted(gateway.ask("m/verdict").keys() - {"nonce"}))}
    assert said  # the file holds what the API says, but for what only an answer can say
    (file,) = (gateway.run_directory / "verdicts").glob("*.json")
    assert json.loads(file.read_text()).keys() <= gateway.ask("m/verdict").keys() | {"process"}
    assert file.stat().st_mode & 0o777 == 0o644

    gateway.process.send_signal(signal.SIGSTOP)
    time.sleep(0.05)
    reasons = never_trusted(gateway)
    assert "is stopped" in reasons[0]
    gateway.process.send_signal(signal.SIGCONT)
    wait_for_trust(gateway)

    old = (gateway.folder / "m.json").read_bytes()
    gateway.write_baseline(small.baseline(joint=True, centre=0.1))
    reasons = wait_for_doubt(gateway)
    assert all("baseline" in reason for reason in reasons)
    (gateway.folder / "m.json").write_bytes(old)
    wait_for_trust(gateway)
    gateway.write_baseline(small.baseline(joint=True, centre=0.1))
    wait_for_doubt(gateway)
    before = verdict("m", gateway.socket).baseline
    gateway.process.send_signal(signal.SIGHUP)
    wait_for_trust(gateway)
    held = verdict("m", gateway.run_directory)
    assert held.trusted and held.baseline != before

    gateway.end(signal.SIGKILL)
    assert "does not run" in never_trusted(gateway)[0]
    assert file.exists()  # what was left speaks for nobody
    left_s = (held.expires_boottime_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / 1e9
    assert left_s < 6.0
    time.sleep(max(0.0, left_s) + 0.01)
    assert held.verdict == "trusted" and not held.trusted  # nor does one that was asked for before
    gateway.start()
    wait_for_trust(gateway)
    assert gateway.end() == 0
    never_trusted(gateway)
    assert not file.exists()


def test_an_agent_that_can_store_nothing_gives_no_verdict(gateway):
    """No file may grow, as on a full disk: neither what the store knows nor what lies there is
    trusted, and it is again when there is room.
    """
    gateway.start()
    wait_for_trust(gateway)
    gateway.limit_files(0)
    reasons = wait_for_doubt(gateway)
    assert "store nothing" in reasons[1] and "store nothing" in reasons[2]
    for _ in range(LOOKS):
        never_trusted(gateway)
        time.sleep(0.1)
    gateway.limit_files(1 << 40)
    wait_for_trust(gateway)


def test_a_flood_of_questions_leaves_the_answer_right(gateway):
    """Vectors, inputs and nonsense by the hundred: every verdict is right, and in the end too."""
    gateway.start()
    wait_for_trust(gateway)
    vectors = [{"a": 0.1 * i, "b": 5.0, "c": None} for i in range(200)]
    for turn in range(30):
        answer = gateway.ask("m/check", vectors[turn : turn + 100])
        assert {one["overall"] for one in answer["results"]} == {"extrapolating"}
        assert verdict("m", gateway.socket).trusted
    inputs = gateway.ask("m/inputs")
    assert [one["tag"] for one in inputs["inputs"]] == ["a", "b", "c"]
    assert all(one["usable"] and one["age_s"] < 5 for one in inputs["inputs"])
    assert inputs["verdict"] == "trusted"
    gateway.served.shutdown()
    gateway.served.server_close()
    gateway.end(signal.SIGKILL)
    never_trusted(gateway)


@needed("libfaketime")
def test_no_setting_of_the_wall_clock_makes_a_dead_agent_trusted(tmp_path):
    """Set on, back, before the kill and after it, for the agent and for who asks."""
    clock = WallClock(tmp_path)
    clock.set(0)
    gateway = GuardedGateway(tmp_path, clock.environment)
    ask = (
        "import sys; from agent.client import verdict\n"
        "print([verdict('m', way, timeout_s=3.0).trusted for way in sys.argv[1:]])"
    )

    def asked():
        command = [sys.executable, "-c", ask, *map(str, gateway.ways)]
        done = subprocess.run(
            command, cwd=ROOT, env=clock.environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout.lower())

    try:
        for before_s, after_s in ((HOUR_S, -HOUR_S), (-HOUR_S, HOUR_S)):
            gateway.start()
            wait_for_trust(gateway)
            clock.set(before_s)
            wait_for_trust(gateway)
            assert asked() == [True] * 3  # whatever time it is
            gateway.end(signal.SIGKILL)
            assert asked() == [False] * 3
            clock.set(after_s)
            assert asked() == [False] * 3
    finally:
        gateway.close()
