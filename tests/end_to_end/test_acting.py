"""People act on a real agent: by its socket, by HTTP, in their own name, and not otherwise."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.status.people import user_name
from agent.store import Reader
from simulators.ports import free_port
from tests.checking.test_check import modbus_device
from tests.waiting import PATIENCE_S, START_S

ROOT = Path(__file__).parents[2]
ME = user_name(os.geteuid())
TOKEN = "a-token-of-the-control-room"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

CONFIG = """\
schema = 1
[gateway]
site = "north"
name = "gw-07"
false_alarms = "1 per 1000 days"
[sources.utilities]
protocol = "modbus"
host = "127.0.0.1"
port = {device}
every = "50ms"
timeout = "500ms"
[tags.flow]
source = "utilities"
address = "holding 100 uint16"
[status]
listen = "{host}:{page}"
"""
PEOPLE = f"""
[people."Control room"]
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
"""
LOST = "source/utilities"
WHY = ("--reason", "pump house is off")


class Gateway:
    """An agent as a process of its own, whose one device is not there unless a test serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.device, self.page = free_port(), free_port()
        self.config = folder / "config.toml"
        self.socket = folder / "state" / "agent.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self.configure(PEOPLE)

    def configure(self, people: str, host: str = "127.0.0.1") -> None:
        text = CONFIG.format(device=self.device, page=self.page, host=host)
        self.config.write_text(text + people, encoding="utf-8")

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "agent.cli", "run", str(self.config)]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.wait("answer on the socket", lambda: self.socket.exists() and self.status(live=True))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        if self.process is None:
            return None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def wait(self, what, ready, timeout_s=START_S):
        deadline = time.monotonic() + timeout_s
        while not (answer := ready()):
            log = (self.folder / "log").read_text(encoding="utf-8")
            assert self.process is None or self.process.poll() is None, log
            assert time.monotonic() < deadline, f"no {what}\n{log}"
            time.sleep(0.05)
        return answer

    def wait_for_loss(self) -> None:
        self.wait("lost source", lambda: self.told("raised"))

    def run(self, *words: str, code: int = 0) -> str:
        """What the command says, as people run it; its errors where it is to fail."""
        command = [sys.executable, "-m", "agent.cli", words[0], str(self.config), *words[1:]]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    def complete(self, command: str, begun: str) -> list[str]:
        """What a shell would offer for the word after the configuration."""
        words = f"fieldwarden {command} {self.config} {begun}"
        environment = {"COMP_WORDS": words, "COMP_CWORD": "3",
                       "_FIELDWARDEN_COMPLETE": "bash_complete"}  # fmt: skip
        code = "from agent.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=os.environ | environment, check=False,
            capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        return [line.partition(",")[2] for line in done.stdout.splitlines() if line]

    def post(self, kind: str, body, token: str | None = TOKEN, headers=()):
        """(status, answer) of a command over HTTP."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.page}/api/v1/commands/{kind}", data, dict(headers)
        )
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with OPENER.open(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def status(self, *, live: bool = False):
        if live:
            try:
                url = f"http://127.0.0.1:{self.page}/api/v1/status"
                with OPENER.open(url, timeout=10) as answer:
                    return json.load(answer)
            except OSError:
                return {}
        return json.loads(self.run("status", "--json"))

    def told(self, *changes: str):
        """Events of people and conditions, in order."""
        try:
            reader = Reader(self.folder / "state" / "fieldwarden.db")
        except StoreError:
            return []
        try:
            events = reader.events(limit=100_000, after=(0, -1))
        finally:
            reader.close()
        return [event for event in events if event["data"].get("change") in changes]


@pytest.fixture
def gateway(tmp_path):
    one = Gateway(tmp_path)
    yield one
    if one.process is not None:
        one.end(signal.SIGKILL)


def test_what_people_say_is_told_in_their_name_and_survives_a_kill(gateway):
    """The event has the user's name; the audit counts it before and after SIGKILL; the socket is
    made anew, and gone at the end.
    """
    gateway.start()
    gateway.wait_for_loss()
    assert gateway.socket.stat().st_mode & 0o777 == 0o660
    said = gateway.run("acknowledge", "utilities", "--false", "--reason", "pump house is off")
    assert said.startswith(f"acknowledged as false {LOST}") and said.endswith(f"by {ME}\n")
    event = gateway.told("acknowledged")[-1]
    assert event["subject"] == LOST
    assert (event["data"]["by"], event["data"]["note"]) == (ME, "pump house is off")
    assert event["data"]["false"] is True
    for shown in (gateway.status(), gateway.status(live=True)):  # as soon as the command is back
        assert shown["budget"]["acknowledged_false"] == 1
        assert [c["state"] for c in shown["conditions"] if c["subject"] == LOST] == ["acknowledged"]

    assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    assert gateway.socket.exists()
    assert "no agent runs" in gateway.run("acknowledge", "utilities", *WHY, code=1)
    gateway.start()
    budget = gateway.status(live=True)["budget"]
    assert budget["acknowledged_false"] == 1 and budget["exceeded"] is True
    gateway.wait("stored audit", lambda: "exceeded: 1 false" in " ".join(
        gateway.run("status").split()
    ))  # fmt: skip
    with OPENER.open(f"http://127.0.0.1:{gateway.page}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    assert "fieldwarden_alarms_acknowledged_false_30_days 1.0" in metrics
    assert "fieldwarden_false_alarm_budget_exceeded 1.0" in metrics
    assert gateway.end() == 0
    assert not gateway.socket.exists()


def test_every_command_does_what_it_says(gateway):
    """Shelve and unshelve, out of service and in; a mistyped name gets the nearest."""
    gateway.start()
    gateway.wait_for_loss()
    assert gateway.complete("acknowledge", "sou") == [LOST]
    assert gateway.complete("out-of-service", "") == ["flow"]
    gateway.run("shelve", LOST, "--for", "8h", "--note", "until the day shift")
    assert gateway.told("shelved")[-1]["data"]["note"] == "until the day shift"
    assert [c["state"] for c in gateway.status()["conditions"]] == ["shelved"]
    gateway.run("unshelve", "utilities", *WHY)
    assert [c["state"] for c in gateway.status()["conditions"]] == ["active"]
    assert gateway.told("unshelved")[-1]["data"]["by"] == ME
    assert "was so already" in gateway.run("unshelve", "utilities", *WHY, code=1)
    (incident,) = gateway.status()["incidents"]
    assert (incident["open"], incident["conditions"]) == (1, [incident["id"]])
    gateway.run("shelve", "utilities", "--incident", "--for", "8h", *WHY)
    assert [c["state"] for c in gateway.status()["conditions"]] == ["shelved"]
    assert "none of its" in gateway.run("shelve", LOST, "--incident", "--for", "8h", *WHY, code=1)
    gateway.run("unshelve", incident["id"], "--incident", *WHY)
    assert [c["state"] for c in gateway.status()["conditions"]] == ["active"]
    assert "part of no incident" in gateway.run("acknowledge", "flow", "--incident", *WHY, code=1)
    gateway.run("out-of-service", "flow", "--note", "calibration")
    gateway.run("in-service", "tag/flow", *WHY)
    told = gateway.told("out_of_service", "in_service")
    assert [(e["subject"], e["data"]["by"]) for e in told] == [("tag/flow", ME)] * 2
    assert told[0]["data"]["note"] == "calibration"
    assert f"did you mean '{LOST}'?" in gateway.run("acknowledge", "source/utilites", *WHY, code=1)
    assert "did you mean 'flow'?" in gateway.run("in-service", "flwo", *WHY, code=1)
    gateway.run("shelve", "utilities", "--for", "0s", *WHY, code=2)
    gateway.run("shelve", "utilities", "--for", "31d", *WHY, code=1)


def test_over_http_a_token_is_needed_and_nothing_hostile_is_done(gateway):
    """Only the right token acts; what bodies and headers claim changes nothing."""
    gateway.start()
    gateway.wait_for_loss()
    lost = {"subject": LOST, "false": True, "note": "pump house is off"}
    claims = {"X-Forwarded-User": "root", "X-Remote-User": "root", "Cookie": f"token={TOKEN}"}
    for token in (None, "", "wrong", TOKEN[:-1], TOKEN.upper(),
                  hashlib.sha256(TOKEN.encode()).hexdigest()):  # fmt: skip
        assert gateway.post("acknowledge", lost, token, claims.items())[0] == 401
    foreign = gateway.post("acknowledge", lost, headers={"Host": "evil.example"}.items())
    assert foreign[0] == 421
    bodies = ([], 3, {}, {"subject": {}}, {"subject": "tag/../../x"}, b"\xff", b"{" * 9_000,
              {**lost, "false": "true"}, {**lost, "note": "x" * 9_000}, {**lost, "note": " "},
              {"subject": LOST})  # fmt: skip
    assert all(gateway.post("acknowledge", body)[0] in {400, 422} for body in bodies)
    assert gateway.post("boot", {"boot": 99})[0] == 404
    assert gateway.post("source_state", {"source": "utilities", "state": "live"})[0] == 404
    assert not gateway.told("acknowledged")

    forged = {**lost, "by": "somebody else", "id": "x", "occurrence": {"id": "y", "text": "no"}}
    status, answer = gateway.post("acknowledge", forged)
    assert (status, answer["event"]["data"]["by"]) == (200, "Control room")
    (event,) = gateway.told("acknowledged")
    assert event == answer["event"]
    assert event["data"]["id"] == gateway.told("raised")[0]["data"]["id"]


def test_people_are_read_again_at_reload(gateway):
    """Whose token is taken out of the file may not act any more; the socket stays."""
    gateway.start()
    gateway.wait_for_loss()
    told = {"subject": LOST, "note": "seen"}
    assert gateway.post("acknowledge", told)[0] == 200
    gateway.configure("")
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait("refusal", lambda: gateway.post("acknowledge", told)[0] == 401)
    gateway.run("acknowledge", LOST, *WHY)


def test_a_token_off_loopback_without_tls_is_refused_by_check_and_at_start(gateway):
    """Neither goes on; without the token the page alone may be shown."""
    gateway.configure(PEOPLE, host="0.0.0.0")
    for command in (("check", "--offline"), ("run",)):
        told = gateway.run(*command, code=1)
        assert "status.listen" in told and "TLS" in told and "Control room" in told
    gateway.configure("", host="0.0.0.0")
    told = gateway.run("check", "--offline")
    assert "can read the page; nobody can act there" in told


async def test_an_alarm_that_has_cleared_can_still_be_called_false(gateway):
    """False alarms clear by themselves, mostly before somebody has looked at them."""
    await asyncio.to_thread(gateway.start)
    await asyncio.to_thread(gateway.wait_for_loss)
    async with modbus_device(gateway.device, {100: [7]}):
        await asyncio.to_thread(gateway.wait, "all clear", lambda: gateway.told("cleared"))
        await asyncio.to_thread(gateway.run, "shelve", LOST, "--for", "1h", *WHY, code=1)
        said = await asyncio.to_thread(gateway.run, "acknowledge", LOST, "--false", *WHY)
    assert "(it has cleared)" in said
    (event,) = gateway.told("acknowledged")
    (raised,) = gateway.told("raised")
    assert event["data"]["id"] == raised["data"]["id"]
    assert event["data"]["state"] == "cleared"
    assert event["data"]["text"] == gateway.told("cleared")[0]["data"]["text"]
    live = gateway.status(live=True)
    assert not [c for c in live["conditions"] if c["subject"] == LOST]
    assert live["budget"]["acknowledged_false"] == 1
