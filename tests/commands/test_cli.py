"""The command: fast to ask, clear when it fails, the same answer for people and for programs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
import pytest
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion

from agent.cli import COMMANDS, cli
from agent.clock import boot_id, boottime_ns, wall_ns
from agent.configuration.load import load
from agent.errors import FieldwardenError
from agent.forward import Identity
from agent.forward.json_payload import state_payload, topic_of
from agent.store import Batch, Store
from agent.store.received import ReceivedStore
from simulators.ports import free_port
from tests.mosquitto import Mosquitto
from tests.waiting import PATIENCE_S, START_S

ROOT = Path(__file__).parents[2]


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """Training data and a configuration that `init` wrote from it: three related tags."""
    folder = tmp_path_factory.mktemp("plant")
    rng = np.random.default_rng(5)
    base = np.zeros(6000)
    for i in range(1, len(base)):
        base[i] = 0.8 * base[i - 1] + rng.normal()
    columns = {
        "reactor temperature": 80 + base + 0.3 * rng.normal(size=len(base)),
        "feed.flow": 12 - 0.5 * base + 0.3 * rng.normal(size=len(base)),
        "pump.pressure": 3 + 0.1 * rng.normal(size=len(base)),
    }
    with (folder / "train.csv").open("w", encoding="utf-8") as file:
        file.write("time," + ",".join(columns) + "\n")
        for i, row in enumerate(zip(*columns.values(), strict=True)):
            file.write(f"{1_772_344_800 + i}," + ",".join(f"{x:.5g}" for x in row) + "\n")
    result = run(
        "init", "--from-csv", folder / "train.csv", "--model", "yield",
        "--out", folder / "config.toml",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder


# --- help and errors -------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name):
    """`--help` has a sentence and at least one line that can be copied."""
    result = run(name, "--help")
    assert result.exit_code == 0
    assert re.search(r"Examples?:", result.output)
    assert f"fieldwarden {name}" in result.output or name == "run"


def test_asking_for_help_imports_nothing_heavy():
    """`fieldwarden --help`, and completion, must answer at once."""
    code = (
        "import sys; from agent.cli import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'asyncua', 'pymodbus', 'aiohttp', 'pydantic', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_wrong_command_or_option_is_exit_2_with_the_nearest():
    """Usage errors are told apart from failures."""
    result = run("stauts")
    assert result.exit_code == 2
    assert "did you mean 'status'?" in result.output
    assert run("check").exit_code == 2
    assert run("replay", "x.toml", "--data", __file__).exit_code == 2


def test_a_fault_is_told_once_without_traceback(tmp_path):
    """Exit 1, every fault with its hint, on stderr, from the real process."""
    (tmp_path / "c.toml").write_text('schema = 1\n[gateway]\nsite = "a b"\n', encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "agent.cli", "check", str(tmp_path / "c.toml")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("MQTT topics") == 1
    assert "gateway.name: is required" in result.stderr


# --- completion --------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell):
    """One for each shell, which asks this very command."""
    if shell == "bash" and shutil.which("bash") is None:
        pytest.fail("bash is needed; .ci/run itself runs in it")
    result = run("completion", shell)
    assert result.exit_code == 0, result.output
    assert "_FIELDWARDEN_COMPLETE" in result.output


def complete(*words):
    environment = os.environ | {
        "_FIELDWARDEN_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["fieldwarden", *words]),
        "COMP_CWORD": str(len(words)),
    }
    code = "from agent.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
    )
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


def test_model_names_are_completed_from_the_configuration(plant):
    """What was typed before decides; a broken file completes nothing and says nothing."""
    assert complete("fit", str(plant / "config.toml"), "--model", "y") == ["yield"]
    assert complete("fit", str(plant / "none.toml"), "--model", "y") == []
    assert set(complete("re")) == {"replay", "report", "retraining", "review"}


# --- check -----------------------------------------------------------------------------------


def test_what_init_wrote_is_accepted_by_check(plant):
    """Offline and, with nothing listening, online: warnings, exit 0; --strict makes them fail."""
    for flags in (["--offline"], ["--timeout", "1"]):
        result = run("check", plant / "config.toml", *flags)
        assert result.exit_code == 0, result.output
        assert "FAULT" not in result.output
    assert run("check", plant / "config.toml", "--offline", "--strict").exit_code == 1


# --- init, fit, replay: the whole way from data ---------------------------------------------------


@pytest.fixture(scope="module")
def fitted(plant):
    result = run("fit", plant / "config.toml", "--data", plant / "train.csv", "--json")
    assert result.exit_code == 0, result.output
    return plant, json.loads(result.output)


def test_fit_writes_the_baseline_and_tells_the_promise(fitted):
    """The report names every input; its false alarms a month add up to the budget."""
    folder, report = fitted
    assert (folder / "baselines" / "yield.json").exists()
    assert [row["tag"] for row in report["inputs"]] == list(load(folder / "config.toml").tags)
    rows = sum(row["false_alarms_per_month"] for row in report["inputs"])
    total = rows + report["joint_false_alarms_per_month"]
    assert total == pytest.approx(report["gateway_false_alarms_per_month"])
    assert report["gateway_false_alarms_per_month"] == pytest.approx(1.0)
    check = run("check", folder / "config.toml", "--offline")
    assert f"baseline {report['digest'][:12]}" in check.output


def test_fit_shows_people_the_same(fitted):
    """The table has a line for each input, and the model need not be named when it is the only."""
    folder, report = fitted
    result = run("fit", folder / "config.toml", "--data", folder / "train.csv")
    assert result.exit_code == 0, result.output
    assert report["digest"][:12] in result.output
    assert "a month for the whole gateway" in result.output
    lines = result.output.partition("not watched for")[2].splitlines()
    for row in report["inputs"]:
        assert sum(line.strip().startswith(row["tag"][:20]) for line in lines) == 1, row["tag"]
        assert row["watched"]
        assert {found["what"] for found in row["not_watched"]}.isdisjoint(row["watched"])
        assert all(found["why"] in result.output for found in row["not_watched"])
    assert " k 0." not in result.output


def test_fit_shows_every_threshold_where_asked(fitted):
    """k and h of the CUSUM charts are for those who ask."""
    folder, report = fitted
    result = run("fit", folder / "config.toml", "--data", folder / "train.csv", "--full")
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    for row in report["inputs"]:
        assert f"level {row['thresholds']['level']}" in words
    assert "alarms" in words and "n eff" in words


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--model", "yeild"], "did you mean 'yield'?"),
        (["--data", "none.csv"], "No such file"),
    ],
)
def test_fit_fails_clearly(plant, words, text):
    """An unknown model and a missing file are named."""
    data = [] if "--data" in words else ["--data", plant / "train.csv"]
    result = run("fit", plant / "config.toml", *data, *words)
    assert result.exit_code == 1
    assert text in result.output


def test_fit_names_the_column_that_is_missing(plant, tmp_path):
    """The nearest column is proposed."""
    text = (plant / "train.csv").read_text(encoding="utf-8").replace("feed.flow", "feed.flw", 1)
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    result = run("fit", plant / "config.toml", "--data", tmp_path / "x.csv")
    assert result.exit_code == 1
    assert "no column 'feed.flow'" in result.output
    assert "did you mean 'feed.flw'?" in result.output


def test_replay_uses_configuration_and_baseline_unchanged(fitted, tmp_path):
    """Training data is judged trusted nearly always; a stuck and shifted copy is not."""
    folder, _ = fitted
    lines = (folder / "train.csv").read_text(encoding="utf-8").splitlines()
    bad = lines[:1] + [
        line if i < 1000 else ",".join([line.split(",")[0], "95", *line.split(",")[2:]])
        for i, line in enumerate(lines[1:3001])
    ]
    (tmp_path / "bad.csv").write_text("\n".join(bad) + "\n", encoding="utf-8")
    verdicts = {}
    for name, data in (("good", folder / "train.csv"), ("bad", tmp_path / "bad.csv")):
        events, scans = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.csv"
        result = run(
            "replay", folder / "config.toml", "--data", data, "--events", events, "--scans", scans
        )
        assert result.exit_code == 0, result.output
        rows = scans.read_text(encoding="utf-8").splitlines()
        assert rows[0].startswith("time,model,verdict,extrapolating,open_incidents,")
        verdicts[name] = [row.split(",")[2] for row in rows[1:]]
        for line in events.read_text(encoding="utf-8").splitlines():
            assert {"time", "kind", "subject"} <= set(json.loads(line))
    settled = verdicts["good"][100:]
    assert settled.count("trusted") > 0.99 * len(settled)
    assert verdicts["bad"][-1] == "untrusted"
    assert "reactor temperature" in (tmp_path / "bad.jsonl").read_text(encoding="utf-8")


# --- status ----------------------------------------------------------------------------------


DOCUMENT = {
    "schema": 1,
    "site": "plant",
    "gateway": "gateway-1",
    "models": [
        {
            "name": "yield",
            "version": "1",
            "owner": {"team": "t", "contact": "c"},
            "verdict": "trusted",
            "since_ns": 1,
            "reasons": [],
            "scans": 7,
        }
    ],
}


async def test_status_tells_the_truth_about_a_dead_agent(plant, tmp_path, monkeypatch):
    """A verdict past its time reads as unassessable, for people and in JSON: by real time, also
    where the document's clock is years ahead, and where the machine was started since. Once nobody
    writes the store nor listens, none holds, however young it is.
    """
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    path = load(plant / "config.toml").store_path
    assert path.parent == tmp_path
    missing = run("status", plant / "config.toml")
    assert missing.exit_code == 1
    assert "fieldwarden run" in missing.output
    store = Store.open(path, journal_limit_bytes=10**8, outbox_limit_bytes=10**8)

    async def shown(age_s, ahead_s, kernel, *flags):
        """What is said of a document of this age."""
        then = wall_ns() + (ahead_s - age_s) * 10**9
        model = DOCUMENT["models"][0] | {"valid_until_ns": then + 10 * 10**9}
        at = {"boot_id": kernel, "boottime_ns": boottime_ns() - age_s * 10**9}
        document = DOCUMENT | {"time_ns": then, "models": [model]} | at
        await store.commit(Batch(documents={"status": document}))
        said = run("status", plant / "config.toml", *flags)
        assert said.exit_code == 0, said.output
        return said.output

    for age_s, ahead_s, kernel, verdict, running in (
        (1, 0, boot_id(), "trusted", True), (30, 0, boot_id(), "unassessable", False),
        (1, -1200, boot_id(), "trusted", True), (30, 441504000, boot_id(), "unassessable", False),
        (1, 441504000, "another run", "unassessable", False), (1, 0, "", "unassessable", False),
    ):  # fmt: skip
        told = json.loads(await shown(age_s, ahead_s, kernel, "--json"))
        assert told["models"][0]["verdict"] == verdict
        assert told["running"] is running
        known = kernel == boot_id()
        assert told["age_s"] == (pytest.approx(age_s, abs=5) if known else None)
        text = await shown(age_s, ahead_s, kernel)
        assert ("NOT RUNNING" in text) is not running
        assert ("TRUSTED" in text) is running
    young = {"boot_id": boot_id(), "boottime_ns": boottime_ns(), "time_ns": wall_ns()}
    model = DOCUMENT["models"][0] | {"valid_until_ns": young["time_ns"] + 600 * 10**9}
    document = DOCUMENT | young | {"models": [model]}
    await store.commit(Batch(documents={"status": document}))
    assert json.loads(run("status", plant / "config.toml", "--json").output)["running"] is True
    await store.close()
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # as a kill leaves it
    stale.bind(str(path.with_name("agent.sock")))
    stale.close()
    told = json.loads(run("status", plant / "config.toml", "--json").output)
    assert told["running"] is False and told["age_s"] < 60
    assert told["models"][0]["verdict"] == "unassessable"
    assert "does not run any more" in told["models"][0]["reasons"][0]["text"]
    assert told["models"][0]["last_known"]["verdict"] == "trusted"
    shown = run("status", plant / "config.toml").output
    assert "AGENT NOT RUNNING" in shown and "NOT ASSESSABLE" in shown
    for faulty in ("[gateway\n", 'site = "no blanks, please"'):  # the file does not hide it either
        broken = tmp_path / "broken.toml"
        broken.write_text((plant / "config.toml").read_text("utf-8") + faulty, encoding="utf-8")
        shown = run("status", broken)
        assert shown.exit_code == 0 and "AGENT NOT RUNNING" in shown.output, shown.output
        assert "Configuration: the file can not be loaded" in shown.output
        assert f"fieldwarden check {broken}" in "".join(shown.output.split("\n"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "none"))
    assert "reading configuration" in run("status", broken).output


# --- run, as a service -------------------------------------------------------------------------


class Manager:
    """A service manager's end of the notify socket, and the agent that it started."""

    def __init__(self, folder, config):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.settimeout(START_S)
        self.heard = []
        self.log = (folder / "log").open("wb")
        self.agent = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "run", str(config)],
            cwd=ROOT,
            stderr=self.log,
            env=os.environ
            | {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "4000000"}
            | {"STATE_DIRECTORY": str(folder / "state")},
        )

    def until(self, wanted):
        """Listen until a message holds `wanted`; the message."""
        while True:
            message = self.socket.recv(4096).decode()
            self.heard.append(message)
            if wanted in message:
                return message

    def end(self):
        if self.agent.poll() is None:
            self.agent.kill()
            self.agent.wait(PATIENCE_S)
        self.socket.close()
        self.log.close()


@pytest.fixture
def service(fitted, tmp_path):
    folder, _ = fitted
    text = (folder / "config.toml").read_text(encoding="utf-8")
    text = text.replace("baselines/yield.json", str(folder / "baselines" / "yield.json"))
    text = text.replace("port = 1883", f"port = {free_port()}")
    config = tmp_path / "config.toml"
    config.write_text(f'{text}\n[status]\nlisten = "127.0.0.1:{free_port()}"\n', encoding="utf-8")
    manager = Manager(tmp_path, config)
    yield manager, config
    manager.end()


def test_the_agent_keeps_its_word_to_the_service_manager(service, tmp_path, monkeypatch):
    """Ready, watchdog fed though no source is there, reload (good, faulty, in part), stop."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    manager, config = service
    manager.until("READY=1")
    manager.until("WATCHDOG=1")
    told = json.loads(run("status", config, "--json").output)
    assert told["models"][0]["verdict"] == "unassessable"
    good = config.read_text(encoding="utf-8")
    for text in (good.replace("EDIT: the version", "edited"), "schema = 2"):
        config.write_text(text, encoding="utf-8")
        manager.agent.send_signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        manager.until("READY=1")
    told = json.loads(run("status", config, "--json").output)  # though the file can not be loaded
    assert told["running"] is True and told["reload"]["text"].startswith("the last reload failed")
    assert told["file"]["text"].startswith("the file can not be loaded: ")
    assert told["file"]["text"].endswith("(and 2 more)")
    unknown = run("acknowledge", config, "reactor", "--reason", "seen")
    assert unknown.exit_code == 1 and "no Unix user" not in unknown.output, unknown.output
    assert "carrying out" in unknown.output or "person" in unknown.output
    config.write_text(f'{good}\n[upstream]\nhost = "127.0.0.1"\n', encoding="utf-8")
    manager.agent.send_signal(signal.SIGHUP)
    manager.until("guarding 1 models; upstream: needs a restart")
    deadline = time.monotonic() + PATIENCE_S
    while "Configuration: reloading upstream: a change" not in run("status", config).output:
        assert time.monotonic() < deadline, "status does not say what waits for a restart"
        time.sleep(0.5)
    manager.until("WATCHDOG=1")
    assert manager.agent.poll() is None
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "this version reads schema = 1" in log
    assert "Traceback" not in log
    config.write_text(good, encoding="utf-8")
    manager.agent.send_signal(signal.SIGTERM)
    manager.until("STOPPING=1")
    assert manager.agent.wait(PATIENCE_S) == 0
    after = json.loads(run("status", config, "--json").output)
    assert after["running"] is False
    assert after["sequence"] >= told["sequence"]
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")


# --- central -----------------------------------------------------------------------------------


def test_central_shows_what_a_broker_has(tmp_path):
    """A retained state of a gateway arrives through a real broker; the last line sums it up."""
    sender = Identity("north", "gw-07", "0123456789abcdef")
    payload = state_payload(
        sender, boot=1, seq=1, time_ns=wall_ns(), online=True, version="0", reason="started"
    )
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        message = client.publish(topic_of(sender, "state"), payload, qos=1, retain=True)
        message.wait_for_publish(5)
        client.disconnect()
        client.loop_stop()
        words = ("central", "--port", broker.port, "--once-idle", "1")
        result = run(*words, "--json", "--store", tmp_path / "c.db")
        people = run(*words, "--look")
    finally:
        broker.stop()
    assert result.exit_code == 0, result.output
    first, last = (json.loads(line) for line in result.output.splitlines())
    assert (first["stream"], first["gateway"]) == ("state", "gw-07")
    (gateway,) = last["central"]["gateways"]
    assert (gateway["gateway"], gateway["online"]) == ("gw-07", True)
    assert "north/gw-07 is online: started" in people.output


def test_central_keeps_its_marks_in_the_state_folder_and_a_second_one_only_looks(
    tmp_path, monkeypatch
):
    """Below XDG_STATE_HOME, or where systemd says; beside a running one nothing is acknowledged."""
    port = free_port()
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    words = ("central", "--port", port, "--seconds", "0.2")
    assert run(*words).exit_code == 0
    path = tmp_path / "xdg" / "fieldwarden" / f"central-127.0.0.1-{port}.db"
    assert path.stat().st_mode & 0o007 == 0
    store = ReceivedStore(path)
    try:
        second = run(*words)
        assert second.exit_code == 0 and "this one only looks" in second.output
        asked_for = run(*words, "--store", path)
        assert asked_for.exit_code == 1 and "another central uses the file" in asked_for.output
    finally:
        store.close()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert run(*words).exit_code == 0
    assert (tmp_path / "state" / path.name).exists()
    assert run(*words, "--look", "--store", path).exit_code == 2


async def new_store(path):
    await Store.open(path, journal_limit_bytes=10**8, outbox_limit_bytes=10**8).close()


@pytest.mark.parametrize(
    "words",
    [
        ["completion", "bash"],
        ["check", "{config}"],
        ["status", "{config}"],
        ["status", "{config}", "--json"],
        ["status", "{config}", "--watch"],
        ["central", "--json", "--look", "--seconds", "0.3"],
        ["central", "--look", "--seconds", "0.3"],
    ],
    ids=" ".join,
)
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(plant, words):
    """As `| head` does it: not a word on stderr, and the end that `cat` and `yes` come to."""
    config = plant / "config.toml"
    store = load(config).store_path
    if not store.exists():
        store.parent.mkdir(parents=True, exist_ok=True)
        asyncio.run(new_store(store))
    command = [word.format(config=config) for word in words]
    with subprocess.Popen(
        [sys.executable, "-m", "agent.cli", *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.close()
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        told = process.communicate()[1]
        watchdog.cancel()
    assert (told, process.returncode) == ("", -signal.SIGPIPE)


def test_central_says_which_credential_is_missing():
    """Before anything is connected."""
    result = run("central", "--username", "u", "--password-env", "FIELDWARDEN_NOT_SET")
    assert result.exit_code == 1
    assert "FIELDWARDEN_NOT_SET" in result.output


def test_a_sighup_while_the_agent_is_still_loading_does_not_end_it(tmp_path, monkeypatch):
    """It is ignored until the file is read: what the file says by then is what counts."""
    seen = []

    def read(path):
        seen.append(signal.getsignal(signal.SIGHUP))
        raise FieldwardenError("reading", str(path), "it is not looked at here")

    monkeypatch.setattr("agent.configuration.load.load", read)
    (tmp_path / "config.toml").touch()
    before = signal.getsignal(signal.SIGHUP)
    try:
        run("run", tmp_path / "config.toml")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert seen == [signal.SIG_IGN]
