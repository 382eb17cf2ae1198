"""A reload: what applies, what needs a restart, and that a failure of it does no harm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import struct
import threading
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest

from agent.configuration.load import load
from agent.configuration.schema import Configuration, Section
from agent.core.baseline import ModeBaseline
from agent.core.baseline_file import write_baseline
from agent.core.engine import Engine
from agent.runtime import reload
from agent.runtime.app import Agent, run
from agent.runtime.feeds import Feeds
from agent.store import Reader
from tests.core.small import TAGS, baseline, joint_of
from tests.waiting import PATIENCE_S, until

CONFIG = """\
schema = 1
[gateway]
site = "s"
name = "g"
[sources.one]
protocol = "mqtt"
host = "127.0.0.1"
[models.m]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "m.json"
scan = "1s"
inputs = ["a", "b", "c"]
mode = { tag = "mode" }
""" + "".join(
    f'[tags.{tag}]\nsource = "one"\naddress = "t /{tag}"\n' for tag in (*TAGS, "mode")
)
UPSTREAM = '[upstream]\nhost = "127.0.0.1"\n'
TAG = '[tags.more]\nsource = "one"\naddress = "t /more"\n'


# --- the table ----------------------------------------------------------------------------------


def test_every_key_of_the_configuration_has_one_fate():
    """A new key can not be forgotten: it stands in the table by itself, or its section does."""
    for name, field in Configuration.model_fields.items():
        inner = {key for key in reload.FATES if key.startswith(f"{name}.")}
        if name in reload.FATES:
            assert not inner, f"{name} and keys of it"
            continue
        section = field.annotation
        assert isinstance(section, type) and issubclass(section, Section), f"{name} has no fate"
        assert inner == {f"{name}.{key}" for key in section.model_fields}
    assert {key.partition(".")[0] for key in reload.FATES} <= Configuration.model_fields.keys()


RAW = {
    "schema": 1,
    "gateway": {"site": "s", "name": "g"},
    "sources": {"one": {"protocol": "mqtt", "host": "127.0.0.1"}},
    "tags": {"a": {"source": "one", "address": "t /a"}},
}
CHANGED = {
    "gateway.site": "other", "gateway.name": "other", "gateway.false_alarms": "2 per 30 days",
    "gateway.state_directory": "/other", "gateway.journal_limit_mb": 7, "gateway.summary": "1min",
    "sources": {"one": {"protocol": "mqtt", "host": "127.0.0.2"}},
    "tags": {"b": {"source": "one", "address": "t /b"}},
    "tag_lists": ["other.csv"],
    "loops": {"TIC-1": {"pv": "a"}},
    "models": {"m": {"version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json",
                     "scan": "1s", "inputs": ["a"]}},
    "upstream": {"host": "127.0.0.1"},
    "status.listen": "127.0.0.1:1", "status.certificate": "/c", "status.private_key": "/k",
    "status.socket": "/s", "status.socket_group": "g",
    "status.runtime_directory": "/elsewhere",
    "hooks": {"desk": {"kind": "webhook", "url": "http://127.0.0.1:1/"}},
    "contract": {"approvals": ["owner"]},
    "people": {"Ann": {"unix_user": "ann"}},
}  # fmt: skip


def changed(*keys):
    raw = json.loads(json.dumps(RAW))
    for key in keys:
        section, _, inner = key.partition(".")
        if inner:
            raw.setdefault(section, {})[inner] = CHANGED[key]
        else:
            raw[section] = CHANGED[key]
    return Configuration.model_validate(raw)


def value(configuration, key):
    for part in key.split("."):
        configuration = getattr(configuration, part)
    return configuration


@pytest.mark.parametrize("key", sorted(reload.FATES.keys() - {"schema_number"}))
def test_a_changed_key_applies_or_waits_and_nothing_else_is_touched(key):
    """Both ways: what appears, and what goes away again."""
    for old, new in ((changed(), changed(key)), (changed(key), changed())):
        taken, waiting = reload.taken(old, new)
        if reload.FATES[key] == reload.APPLIES:
            assert (taken, waiting) == (new, ())
        else:
            assert (taken, waiting) == (old, (key,))
        assert value(new, key) != value(old, key)


def test_what_applies_is_taken_beside_what_waits():
    """Of one section, too: the budget is the new one, the name the old one."""
    new = changed(*CHANGED)
    taken, waiting = reload.taken(changed(), new)
    assert set(waiting) == {key for key in CHANGED if reload.FATES[key] == reload.RESTART}
    for key in CHANGED:
        source = changed() if key in waiting else new
        assert value(taken, key) == value(source, key), key
    assert reload.taken(taken, new) == (taken, waiting)  # read again: they wait still


def test_a_token_waits_for_the_listener_that_it_is_meant_for():
    """A page that runs open to all without TLS takes no token, though the file has TLS by now."""
    people = {"Ann": {"token_sha256": "0" * 64}}
    status = {"listen": "0.0.0.0:1", "certificate": "/c", "private_key": "/k"}
    plain = Configuration.model_validate(RAW | {"status": {"listen": "0.0.0.0:1"}})
    for safe in (status, {"listen": "127.0.0.1:1"}):
        read = Configuration.model_validate(RAW | {"status": safe, "people": people})
        taken, waiting = reload.taken(plain, read)
        assert "people" in waiting and taken.people == {}
        assert reload.taken(taken, read) == (taken, waiting)
        running = Configuration.model_validate(RAW | {"status": safe})
        assert reload.taken(running, read) == (read, ())


# --- the running agent --------------------------------------------------------------------------


class Service:
    """What the service manager is told."""

    def __init__(self):
        self.told = []

    def reloading(self):
        self.told.append("reloading")

    def ready(self, text=""):
        self.told.append(text)


def trained(folder, codes=(0, 1, 2), kind=""):
    """Write the model's baseline with these modes, input a of a kind; its digest."""
    whole = baseline()
    first, *rest = whole.modes[0].inputs
    inputs = (replace(first, kind=kind), *rest)
    modes = tuple(
        ModeBaseline(f"mode {code}", float(code), inputs, joint_of(3)) for code in codes
    )
    return write_baseline(folder / "m.json", replace(whole, modes=modes))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG, encoding="utf-8")
    trained(tmp_path)
    return path


@contextlib.asynccontextmanager
async def running(file):
    """An agent that folds, commits and reloads; its sources are never connected to."""
    agent = Agent(load(file))
    await agent.open()
    agent.service = Service()
    parts = [asyncio.create_task(agent._pump()), asyncio.create_task(agent._reloads())]
    try:
        bring(agent)
        await folded(agent)
        yield agent
        assert not [part for part in parts if part.done()]
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        await agent.close()


def bring(agent):
    """One sample of each tag; the plant is in mode 2, the last of the trained ones."""
    ids = agent.store.tag_ids([*TAGS, "mode"])
    for tag, number in ids.items():
        sample = np.array([2.0 if tag == "mode" else 0.0])
        agent.intake.append(np.array([number], np.int32), None, sample, np.zeros(1, np.uint16))


async def folded(agent):
    """The next entries are folded and committed."""
    before = agent.store.last_sequence
    await until(lambda: agent.store.last_sequence > before)


async def read_again(agent):
    done = len(agent.service.told) + 2
    agent._told_to_reload.set()
    await until(lambda: len(agent.service.told) >= done)
    return agent.service.told[-1]


async def test_an_upstream_that_needs_a_restart_fills_no_outbox_and_the_rest_applies(file, caplog):
    """Status document, log and service manager name it; read again as it was, nothing waits."""
    async with running(file) as agent:
        file.write_text(CONFIG + TAG + UPSTREAM, encoding="utf-8")
        assert await read_again(agent) == "guarding 1 models; upstream: needs a restart"
        assert agent.configuration.upstream is None
        assert "more" in agent.configuration.tags and "more" in agent.engine.spec.tag_of
        told = agent.view.document()["reload"]
        assert told["waiting"] == ["upstream"]
        assert told["text"].startswith("reloading upstream: a change of it needs a restart")
        assert "systemctl restart" in told["hint"]
        assert f"{told['text']}\n  hint: {told['hint']}" in caplog.text
        agent.intake.command("source_state", {"source": "one", "state": "failed", "reason": "x"})
        await folded(agent)
        bring(agent)
        await folded(agent)
        assert agent.reader.outbox()["pending"] == 0
        assert agent.reader.events(10, "reload") == [] and not agent.outside.report()["configured"]

        file.write_text(CONFIG + TAG, encoding="utf-8")
        assert await read_again(agent) == "guarding 1 models"
        assert agent.view.document()["reload"] == {}


async def test_a_running_upstream_is_served_until_the_restart(file):
    """Taken out of the file it goes on: what is told central still has somebody who sends it."""
    file.write_text(CONFIG + UPSTREAM, encoding="utf-8")
    async with running(file) as agent:
        file.write_text(CONFIG, encoding="utf-8")
        await read_again(agent)
        assert agent.view.document()["reload"]["waiting"] == ["upstream"]
        assert agent.outgoing.configuration.upstream is not None
        assert agent.outside.report()["configured"]


def broken_resume(monkeypatch, file):
    def resume(self, data, watch_from_ns=0):
        raise IndexError("tuple index out of range")

    monkeypatch.setattr(Engine, "resume", resume)
    return "IndexError: tuple index out of range", "report it"


def missing_baseline(monkeypatch, file):
    (file.parent / "m.json").unlink()
    return "there is no such file", "fieldwarden fit"


def broken_engine(monkeypatch, file):
    def build(*_args, **_options):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("agent.runtime.reload.build_spec", build)
    return "ZeroDivisionError: division by zero", "report it"


def broken_source(monkeypatch, file):
    def make(*_):
        raise RuntimeError("no such library")

    monkeypatch.setattr(Feeds, "_make", make)
    return "RuntimeError: no such library", "report it"


def faulty_file(monkeypatch, file):
    file.write_text(CONFIG.replace("schema = 1", "schema = 2"), encoding="utf-8")
    return "2 is none of 1", f"fieldwarden check {file}"


def of_kind(kind):
    """The configuration with tag a of this kind."""
    return CONFIG.replace("[tags.a]\n", f'[tags.a]\nkind = "{kind}"\n')


def another_kind(monkeypatch, file):
    file.write_text(of_kind("counter"), encoding="utf-8")
    return "a was fitted as measurement, configured is counter", "fieldwarden fit"


@pytest.mark.parametrize(
    "harm",
    [broken_resume, missing_baseline, broken_engine, broken_source, faulty_file, another_kind],
)
async def test_a_reload_that_fails_changes_nothing_and_says_so(file, monkeypatch, caplog, harm):
    """Whatever is raised: same engine, same configuration, same people; the agent goes on."""
    async with running(file) as agent:
        before = (agent.engine, agent.configuration, agent.people)
        file.write_text(CONFIG + TAG, encoding="utf-8")
        with monkeypatch.context() as patch:
            cause, hint = harm(patch, file)
            text = await read_again(agent)
        assert text == "the last reload failed; the configuration stays as it was"
        assert "more" not in agent.configuration.tags
        assert agent.engine.spec.tag_of.keys() == agent.configuration.tags.keys()
        assert agent.outgoing.configuration is agent.configuration
        told = agent.view.document()["reload"]
        assert told["text"].startswith("the last reload failed, and the configuration stays")
        assert cause in told["text"] and hint in told["hint"] and told["waiting"] == []
        (record,) = [r for r in caplog.records if "stays as it was" in r.getMessage()]
        assert record.levelname == "ERROR"
        assert cause in record.getMessage() and "hint: " in record.getMessage()
        bring(agent)
        await folded(agent)
        assert before == (agent.engine, agent.configuration, agent.people)

        file.write_text(CONFIG + TAG, encoding="utf-8")
        trained(file.parent)
        assert await read_again(agent) == "guarding 1 models"
        assert "more" in agent.configuration.tags and agent.view.document()["reload"] == {}


@pytest.mark.parametrize("slow", ["load", "baselines_of", "People"])
async def test_a_slow_load_delays_nothing(file, monkeypatch, slow):
    """Files of any size, on any disk: entries are sealed, folded and committed meanwhile, and the
    page's document is made; then the new configuration is taken.
    """
    going_on, waited = threading.Event(), []
    real = getattr(reload, slow)

    def stalled(*args):
        waited.append(going_on.wait(PATIENCE_S))
        return real(*args)

    async with running(file) as agent:
        monkeypatch.setattr(reload, slow, stalled)
        file.write_text(CONFIG + TAG, encoding="utf-8")
        agent.read_again()
        for _ in range(2):
            bring(agent)
            await folded(agent)
        assert agent.service.told[-1] == "reloading" and not waited
        assert "more" not in {tag["name"] for tag in agent.view.document()["tags"]}
        going_on.set()
        await until(lambda: "more" in agent.configuration.tags)
    assert waited == [True]


async def test_a_large_file_is_loaded_beside_the_loop(file):
    """10,000 tags: the longest that the loop stands still is a part of the load."""
    many = "".join(f'[tags.x{i}]\nsource = "one"\naddress = "t /x{i}"\n' for i in range(10_000))
    async with running(file) as agent:
        file.write_text(CONFIG + many, encoding="utf-8")
        began = seen = time.monotonic()
        longest = 0.0
        agent.read_again()
        while "x9999" not in agent.configuration.tags:
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - seen)
            seen = time.monotonic()
            assert seen - began < 60
        took = time.monotonic() - began
    assert longest < 0.6 * took, f"{longest:.2f} of {took:.2f} s"


async def test_certificates_are_looked_at_anew_after_a_reload(file, monkeypatch):
    """In a thread, once the agent serves; what they say stands in the status document."""
    told = ["status page: certificate c expires in 3 days"]
    monkeypatch.setattr("agent.runtime.document.own_certificates", lambda _: list(told))
    async with running(file) as agent:
        watch = asyncio.create_task(agent.view.watch_certificates())
        try:
            for text in (told[0], "status page: certificate c expired 2 days ago"):
                told[0] = text
                await read_again(agent)
                await until(lambda: agent.view.document(history=False)["certificates"] == told)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


@pytest.mark.parametrize("kind", ["set point", "quantised", "counter"])
async def test_a_changed_kind_of_a_tag_applies(file, kind):
    """At once where it is judged by its value still; with its own baseline where by its rate."""
    async with running(file) as agent:
        file.write_text(of_kind(kind), encoding="utf-8")
        if kind == "counter":
            trained(file.parent, kind=kind)
        assert await read_again(agent) == "guarding 1 models"
        assert agent.configuration.tags["a"].kind == kind
        items = [mode.inputs[0] for mode in agent.engine.spec.models[0].baseline.modes]
        assert {item.kind for item in items} == {"counter" if kind == "counter" else ""}
        bring(agent)
        await folded(agent)


async def test_a_baseline_of_fewer_modes_ends_no_running_agent(file):
    """It is taken, or the old one stays and status says why; the plant is guarded either way."""
    old = load_digest(file)
    async with running(file) as agent:
        new = trained(file.parent, (0, 1))
        await read_again(agent)
        used = agent.engine.spec.models[0].baseline.digest
        assert (used, bool(agent.view.document()["reload"])) in {(new, False), (old, True)}
        bring(agent)
        await folded(agent)


def load_digest(file):
    return json.loads((file.parent / "m.json").read_text(encoding="utf-8"))["digest"]


async def test_a_sighup_during_the_start_is_a_reload_as_soon_as_the_agent_serves(
    file, monkeypatch
):
    """It neither ends the agent nor is lost: the file may have changed since it was read."""
    opened, seen = Agent.open, []

    async def slow_start(self):
        os.kill(os.getpid(), signal.SIGHUP)
        await opened(self)

    async def serve(self):
        task = asyncio.create_task(self._reloads())
        await until(lambda: "more" in self.configuration.tags)
        seen.append(task.done())
        task.cancel()

    monkeypatch.setattr(Agent, "open", slow_start)
    monkeypatch.setattr(Agent, "serve", serve)
    configuration = load(file)
    file.write_text(CONFIG + TAG, encoding="utf-8")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # unhandled it would end the tests
    try:
        await run(configuration)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert seen == [False]


# --- the start ----------------------------------------------------------------------------------


async def events_of(file):
    reader = Reader(load(file).store_path)
    try:
        return reader.events(10_000, after=(0, -1))
    finally:
        reader.close()


async def started(file):
    """A second start after a run that left a snapshot; the entry that its engine has come to."""
    agent = Agent(load(file))
    await agent.open()
    try:
        assert agent.engine.sequence == agent.store.last_sequence
        return agent.engine.sequence
    finally:
        await agent.close()


async def test_a_start_with_a_snapshot_that_can_not_be_resumed_folds_the_journal(
    file, monkeypatch, caplog
):
    """Any exception: it is logged as an error, the state is that of the journal, nothing is lost
    or told twice.
    """
    async with running(file) as agent:
        pass
    state, told = agent.engine.snapshot(), await events_of(file)
    cause, _ = broken_resume(monkeypatch, file)
    agent = Agent(load(file))
    await agent.open()
    try:
        assert agent.engine.snapshot() == state
        assert await events_of(file) == told
    finally:
        await agent.close()
    (record,) = [r for r in caplog.records if "resuming from the snapshot" in r.getMessage()]
    assert record.levelname == "ERROR" and cause in record.getMessage()
    assert "starts anew from the journal" in record.getMessage()


FOREIGN = {
    "an older version": (
        rb'"engine":2', b'"engine":1',
        "reading snapshot engine state: it is of engine version 1, this program reads 2",
    ),
    "another store": (
        rb'"sequence":\d+', b'"sequence":900',
        "resuming from the snapshot engine state: it is of entry 900, the journal ends with ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "change", "cause"), FOREIGN.values(), ids=FOREIGN)
async def test_why_a_snapshot_was_left_is_said_once(file, caplog, pattern, change, cause):
    """What it is, and what follows from it, each in one line; the agent starts and stores."""
    async with running(file) as agent:
        pass
    with sqlite3.connect(load(file).store_path) as store:
        for sequence, packed in store.execute("SELECT sequence, state FROM snapshot").fetchall():
            state = zlib.decompress(packed)
            (length,) = struct.unpack_from("<I", state, 4)
            header = re.sub(pattern, change, state[8 : 8 + length])
            state = state[:4] + struct.pack("<I", len(header)) + header + state[8 + length :]
            foreign = zlib.compress(state)
            store.execute("UPDATE snapshot SET checksum = ?, state = ? WHERE sequence = ?",
                          (zlib.crc32(foreign), foreign, sequence))  # fmt: skip
    assert await started(file) >= agent.engine.sequence
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    first, second = record.getMessage().splitlines()
    assert first.startswith(cause)
    assert second == "  the state starts anew from the journal"


async def test_a_start_with_a_state_that_can_not_be_used_folds_the_journal(
    file, monkeypatch, caplog
):
    """What is resumed and then breaks at the first entry is left as well."""
    async with running(file) as agent:
        pass
    kept = agent.engine.snapshot()
    with monkeypatch.context() as patch:
        # As if it had died without a last snapshot: the journal's tail has something to fold.
        patch.setattr(Engine, "snapshot", lambda self: kept)
        async with running(file) as agent:
            pass
    whole, resume, step = agent.engine.sequence, Engine.resume, Engine.step
    spoiled = set()

    def spoil(self, data, watch_from_ns=0):
        spoiled.add(id(self))
        return resume(self, data, watch_from_ns)

    def fold(self, entry):
        if id(self) in spoiled:
            raise IndexError("tuple index out of range")
        return step(self, entry)

    monkeypatch.setattr(Engine, "resume", spoil)
    monkeypatch.setattr(Engine, "step", fold)
    agent = Agent(load(file))
    await agent.open()
    try:
        assert spoiled and agent.engine.sequence == whole
        assert "IndexError" in caplog.text
    finally:
        await agent.close()


async def test_a_baseline_of_fewer_modes_lets_the_agent_start(file):
    """The mode that the snapshot was taken in is no more."""
    async with running(file):
        pass
    trained(file.parent, (0, 1))
    assert await started(file) > 0
