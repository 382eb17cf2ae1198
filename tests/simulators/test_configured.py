"""The plant serves the tags of any agent's configuration where it says, over every protocol."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import cli
from simulators.configured import ConfiguredPlant, interval_of
from simulators.plant import PlantSettings
from simulators.ports import free_port, port_is_free
from tests.waiting import PATIENCE_S, START_S

ROOT = Path(__file__).parents[2]


def _init(place, port):
    """What `init` writes of a record with one tag of the plant and two of its own."""
    rows = "".join(f"{1772344800 + i},{70 + i % 3},{i % 7}.5,{100 + i}\n" for i in range(60))
    (place / "train.csv").write_text("time,reactor.temperature,my flow,TI-1/x\n" + rows)
    config = place / "config.toml"
    done = CliRunner().invoke(
        cli, ["init", "--from-csv", str(place / "train.csv"), "--model", "m", "--out", str(config)]
    )
    assert done.exit_code == 0, done.output
    config.write_text(config.read_text().replace("port = 1883", f"port = {port}"))
    return config


async def test_what_init_wrote_is_served_by_the_command(tmp_path, open_inbox):
    """The command starts a broker where none is, and every tag's key is in each message."""
    port = free_port()
    config = _init(tmp_path, port)
    assert interval_of(config) == 1.0
    command = [sys.executable, "-m", "simulators", "plant", str(config), "--interval", "0.1"]
    command += ["--data", str(tmp_path / "train.csv")]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode()
        assert f"mqtt 127.0.0.1:{port} (its own broker)" in line
        messages = await open_inbox(port).wait("plant/telemetry", 5)
        for message in messages:
            assert {"time", "reactor.temperature", "my_flow", "TI-1_x"} <= message.keys()
        flows = [message["my_flow"] for message in messages]
        assert set(flows) <= {i + 0.5 for i in range(7)} and len(set(flows)) > 1
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_S)
    assert process.returncode == 0 and port_is_free(port)


CONFIG = """\
schema = 1
[gateway]
site = "s"
name = "g"
[sources.a]
protocol = "opcua"
endpoint = "opc.tcp://127.0.0.1:{opcua}/x"
[sources.b]
protocol = "modbus"
host = "127.0.0.1"
port = {modbus}
every = "100ms"
[sources.c]
protocol = "mqtt"
host = "127.0.0.1"
port = {mqtt}
[tags]
"reactor.level" = {{ source = "a", address = "nsu=urn:mine;s=Tank.Level" }}
"own" = {{ source = "a", address = "ns=4;i=77" }}
"feed.flow" = {{ source = "b", address = "holding 900 float64 DCBA" }}
"pump.speed" = {{ source = "b", address = "input 3 int32 CDAB scale 0.5" }}
"product.density" = {{ source = "c", address = "q /a/b time /t" }}
"bare" = {{ source = "c", address = "r" }}
"""


@pytest.fixture
def config(tmp_path, broker):
    """All three protocols, with addresses that the demo has none of."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(opcua=free_port(), modbus=free_port(), mqtt=broker.port))
    return path


def test_all_protocols_are_read_by_the_agents_own_check(config):
    """`check` resolves every address, and the values are the plant's."""
    command = [sys.executable, "-m", "simulators", "plant", str(config), "--interval", "0.2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert "plant runs" in process.stdout.readline()
            done = CliRunner().invoke(cli, ["check", str(config)])
            assert done.exit_code == 0, done.output
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
    assert "FAULT" not in done.output


async def test_values_over_modbus_are_encoded_as_configured(config):
    """Types, word orders and scale: what a client decodes is what the plant has."""
    from agent.decode.modbus import Decoder, parse_address, plan

    plant = ConfiguredPlant(config, PlantSettings(interval_s=0.1))
    server = plant._servers["b"]
    addresses = [parse_address(tag.address) for tag in plant._tags["b"]]
    server.publish([12.25, 1450.0], [False, False])
    requests = plan(addresses, 16)
    areas = {"holding": 3, "input": 4}
    answers = [
        b"".join(
            word.to_bytes(2, "big")
            for word in server._images[areas[r.area]][r.start : r.start + r.count]
        )
        for r in requests
    ]
    values, quality = Decoder(addresses, requests).decode(answers)
    assert values.tolist() == [12.25, 1450.0] and not quality.any()
