"""What a real broker brings while it is listened to: JSON and Sparkplug B."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import itertools
import json
import time

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.load import load
from agent.mqtt import MqttLink
from agent.sources.mqtt_browse import keys
from simulators.ports import free_port
from tests.mosquitto import Mosquitto
from tests.sparkplug import metric, payload
from tests.waiting import PATIENCE_S

NODE, DEVICE = "spBv1.0/plant/{}/edge", "spBv1.0/plant/{}/edge/dryer"


@contextlib.asynccontextmanager
async def plant(folder, *, once=lambda now: [], every=lambda now: []):
    """A broker at which messages (topic, payload, retained) come; `once`: each second."""
    folder.mkdir(exist_ok=True)
    server = Mosquitto(folder)
    server.start()
    connected = asyncio.Event()
    link = MqttLink(
        host="127.0.0.1", port=server.port, client_id="p", on_state=lambda *_: connected.set()
    )

    async def publish():
        for number in itertools.count():
            made = every(time.time()) + (once(time.time()) if number % 10 == 0 else [])
            for topic, data, retain in made:
                await link.publish(topic, data, retain=retain)
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(link.run())]
    try:
        await asyncio.wait_for(connected.wait(), PATIENCE_S)
        tasks.append(asyncio.create_task(publish()))
        yield server.port
    finally:
        for task in reversed(tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        server.stop()


async def run(*words):
    done = await asyncio.to_thread(CliRunner().invoke, cli, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def listed(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def telemetry(now):
    """Two numbers with a time, one with its unit beside it, plain values, and what is none."""
    told = {"ts": now, "speed": 12.5, "Flow rate": 7, "state": "run", "inner": {"a/b": 1.5}}
    return [
        ("plant/line1", json.dumps(told).encode(), False),
        ("plant/level", json.dumps({"value": 3.2, "unit": "m", "many": [1] * 40}).encode(), True),
        ("plant/count", b"17", False), ("plant/door", b"open", False),
        ("plant/picture", b"\xff\xd8\x00", False), ("other/x", b"1", False),
    ]  # fmt: skip


async def test_json_that_is_heard_becomes_tags_that_check_reads(tmp_path):
    """Topics, pointers, times, units, intervals; then `check`, a snapshot, and no difference."""
    out = tmp_path / "config.toml"
    async with plant(tmp_path / "b", every=telemetry) as port:
        code, told = await run("init", "--mqtt", f"127.0.0.1:{port}", "--listen", "2s", "--under",
                               "plant/#", "--out", out)  # fmt: skip
        assert code == 0, told
        assert "whose payload is neither JSON nor text (1)" in told
        rows = listed(tmp_path / "config.tags.csv")
        assert {name: row["address"] for name, row in rows.items()} == {
            "plant.line1.speed": "plant/line1 /speed time /ts",
            "plant.line1.Flow rate": 'plant/line1 "/Flow rate" time /ts',
            "plant.line1.state": "plant/line1 /state time /ts",
            "plant.line1.inner.a/b": "plant/line1 /inner/a~1b time /ts",
            "plant.level.value": "plant/level /value", "plant.count": "plant/count",
            "plant.door": "plant/door",
        }  # fmt: skip
        assert rows["plant.level.value"]["unit"] == "m"
        assert rows["plant.line1.state"]["data_type"] == rows["plant.door"]["data_type"] == "text"
        assert rows["plant.line1.speed"]["interval"].endswith("ms")
        code, told = await run("check", out, "--timeout", "3")
        assert code == 0, told
        assert (await run("contract", "snapshot", out))[0] == 0
        code, told = await run("contract", "diff", out)
        assert code == 0 and "nothing differs" in told, told


def births(now):
    """What a node and its device say of themselves."""
    ms = round(now * 1000)
    born = payload(
        metric("Inputs/Temperature", 10, alias=1, double=71.5, unit="degC"),
        metric("Flow rate", 9, alias=2, real=2.5), metric("Recipe", 12, alias=3, text="A"),
        metric("Device Control/Rebirth", 11, truth=False), metric("Since", 13, raw=5),
        time_ms=ms,
    )  # fmt: skip
    return [
        (NODE.format("NBIRTH"), payload(metric("bdSeq", 8, raw=1), time_ms=ms), False),
        (DEVICE.format("DBIRTH"), born, False),
    ]


def data(now):
    """Values by alias, and a node that nobody heard a birth of."""
    ms = round(now * 1000)
    sent = payload(metric("", 0, alias=1, double=71.0 + now % 1), metric("", 0, alias=2, real=2.0),
                   time_ms=ms)  # fmt: skip
    mute = payload(metric("", 0, alias=9, double=1.0), time_ms=ms)
    return [(DEVICE.format("DDATA"), sent, False), ("spBv1.0/plant/NDATA/mute", mute, False)]


async def test_births_of_sparkplug_become_tags_of_training_columns(tmp_path):
    """By name; `check` reads them once what was not found is edited."""
    out, train = tmp_path / "config.toml", tmp_path / "train.csv"
    lines = [f"2026-03-01T00:00:{at:02d}Z,{70 + at},{at % 9},{at * 7 % 13}" for at in range(60)]
    train.write_text("\n".join(["time,Temperature,flow_rate,level", *lines]), encoding="utf-8")
    async with plant(tmp_path / "b", once=births, every=data) as port:
        code, told = await run("init", "--mqtt", f"127.0.0.1:{port}", "--sparkplug", "--listen",
                               "2s", "--from-csv", train, "--model", "m", "--out", out)  # fmt: skip
        assert code == 0, told
        assert "1 topics bring values by alias, and no birth was heard" in told
        assert "of 3 columns were found: 1 by name, 1 by name but for case" in told
        text = out.read_text("utf-8")
        assert f"address = \"{DEVICE.format('DDATA')} /Inputs~1Temperature\"" in text
        assert 'unit = "degC"  # as the source says' in text
        assert (await run("check", out))[0] == 1
        text = text.replace('    "level",\n', "")
        begin = text.index('[tags."level"]')
        text = text[:begin] + text[text.index("[models", begin) :]
        out.write_text(text, encoding="utf-8")
    async with plant(tmp_path / "b2", every=lambda now: births(now) + data(now)[:1]) as port:
        moved = out.read_text("utf-8").replace("port = ", f"port = {port}  # ")
        out.write_text(moved, encoding="utf-8")
        code, told = await run("check", out, "--timeout", "3")
        assert code == 0 and "71." in told, told
        assert (await run("contract", "snapshot", out))[0] == 0
        code, told = await run("contract", "diff", out)
        assert code == 0 and "nothing differs" in told, told
        assert load(out).models["m"].inputs == ["Temperature", "flow_rate"]


async def test_a_broker_that_says_nothing_or_is_not_there_is_told(tmp_path):
    """With what to try."""
    out = tmp_path / "x.csv"
    async with plant(tmp_path / "b", every=data) as port:
        code, told = await run("init", "--mqtt", f"127.0.0.1:{port}", "--listen", "1s",
                               "--out", out)  # fmt: skip
        assert code == 1 and "--sparkplug reads them" in told, told
        code, told = await run("init", "--mqtt", f"127.0.0.1:{port}", "--listen", "500ms",
                               "--under", "no/such", "--out", out)  # fmt: skip
        assert code == 1 and "nothing was heard on no/such" in told and "--listen 10min" in told
    nobody = f"127.0.0.1:{free_port()}"
    code, told = await run("init", "--mqtt", nobody, "--out", out, "--timeout", "2")
    assert code == 1 and "is the broker running" in told and not out.exists()


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        ("broker", {"host": "broker"}), ("10.0.0.1:1884", {"host": "10.0.0.1", "port": 1884}),
        ("::1", {"host": "::1"}), ("[::1]:1884", {"host": "::1", "port": 1884}),
    ],
)  # fmt: skip
def test_a_broker_is_named_with_its_port_or_without(place, wanted):
    """IPv6 in brackets where a port follows."""
    assert keys(place) == wanted
