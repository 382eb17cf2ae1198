"""A change of a real server is seen by people: page, terminal, lineage and central, to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from click.testing import CliRunner

from agent.central.receipt import Receipt
from agent.central.subscriber import Central
from agent.cli import cli
from agent.clock import monotonic_ns
from agent.core.baseline_file import write_baseline
from agent.mqtt import MqttLink
from agent.status.change_lines import is_open
from simulators.ports import free_port
from simulators.upstream.definition import Definition, SourceTag
from simulators.upstream.serve import Service
from tests.core.small import TAGS, baseline
from tests.mosquitto import Mosquitto
from tests.small_site import text
from tests.waiting import SETTLED_S, until

URI = "urn:plant:reactor"
ROOT = Path(__file__).parents[2]


class Plant:
    """An OPC UA server, the agent as a process, and central's broker with a listener on it."""

    def __init__(self, folder):
        self.folder, self.config = folder, folder / "config.toml"
        self.page, self.server = free_port(), free_port()
        self.central, self.said = Central(), asyncio.Queue()
        self.broker = Mosquitto(folder)
        rows = folder / "rows.npy"
        np.save(rows, np.random.default_rng(7).normal(0.0, 1.0, (4_000, len(TAGS))))
        tags = tuple(
            SourceTag(tag, f"nsu={URI};s={tag}", tag, "degC", (-9.0, 9.0)) for tag in TAGS
        )
        self.definition = Definition(
            "opcua", "127.0.0.1", self.server, 0.25, tags, rows=str(rows), columns=TAGS
        )
        written = text(
            source=f'protocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:{self.server}"\n'
            'hold = "hold"\ncontract_check = "1s"',
            address=lambda tag, _: f"nsu={URI};s={tag}",
            gateway='name = "gw-07"\nstate_directory = "state"',
            tail=f'[upstream]\nhost = "127.0.0.1"\nport = {self.broker.port}\n'
            f'[status]\nlisten = "127.0.0.1:{self.page}"\n',
        )
        self.config.write_text(written, encoding="utf-8")
        write_baseline(folder / "m.json", baseline())

    @contextlib.asynccontextmanager
    async def running(self):
        self.broker.start()
        self.service = Service(self.definition, self.said.put_nowait)
        serving = asyncio.create_task(self.service.run(10 * SETTLED_S))
        link = MqttLink(host="127.0.0.1", port=self.broker.port, client_id="c",
                        on_message=self._heard)  # fmt: skip
        link.subscribe([("fieldwarden/1/#", 1)])
        listening = asyncio.create_task(link.run())
        agent = None
        try:
            assert (await self.said.get()).get("ready")
            await self.fieldwarden("contract", "snapshot", str(self.config))
            agent = await self.process("run", str(self.config))
            yield
        finally:
            if agent is not None and agent.returncode is None:
                agent.send_signal(signal.SIGTERM)
                await agent.wait()
            for task in (serving, listening):
                task.cancel()
            await asyncio.gather(serving, listening, return_exceptions=True)
            self.broker.stop()

    def _heard(self, message):
        receipt = Receipt(monotonic_ns(), topic=message.topic, retained=message.retain)
        self.central.take(message.payload, receipt)

    async def process(self, *arguments):
        with (self.folder / "agent.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent.cli", *arguments, cwd=self.folder, stdout=log,
                stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    async def fieldwarden(self, *arguments):
        process = await self.process(*arguments)
        assert await process.wait() == 0, (self.folder / "agent.log").read_text()

    async def ask(self, path, session):
        async with session.get(f"http://127.0.0.1:{self.page}{path}") as answer:
            return await answer.json()

    async def order(self, **order):
        self.service.take(json.dumps(order))
        told = await self.said.get()
        assert "error" not in told, told

    def at_central(self):
        """What central has of the contract; None before the birth."""
        gateways = self.central.document(monotonic_ns())["gateways"]
        return gateways[0]["contract"] if gateways else None

    def about_the_unit(self):
        """Open changes at central that say it; while the server is asked, there may be another."""
        return [one for one in self.at_central()["changes"] if "unit" in one["text"]]

    async def until(self, condition):
        """Wait until a condition, which may be asked for, holds."""
        log = self.folder / "agent.log"
        return await until(condition, SETTLED_S, lambda: log.read_text()[-3000:])


@pytest.mark.slow
async def test_a_change_is_seen_everywhere_and_gone_when_it_is_over(tmp_path):
    """Another unit at the server: API, lineage, terminal and central say so; then no more."""
    plant = Plant(tmp_path)
    async with plant.running(), aiohttp.ClientSession() as session:
        told = await plant.until(plant.at_central)
        saved = json.loads((tmp_path / "config.contract.json").read_text("utf-8"))
        assert told["hash"] == saved["hash"] and told["open_changes"] == 0
        await plant.order(id=1, do="terms", tag="b", unit="K")
        (one,) = await plant.until(plant.about_the_unit)
        assert (one["source"], one["hold"], one["models"]) == ("line", "held", ["m"])
        assert plant.at_central()["held_tags"] == 1
        status = await plant.ask("/api/v1/status", session)
        (change,) = [told for told in status["changes"] if is_open(told)]
        assert change["id"] == one["id"] and change["tags"] == ["b"]
        lineage = await plant.ask(f"/api/v1/lineage?change={change['id']}", session)
        assert lineage["reached"] == {"sources": ["line"], "tags": ["b"], "models": ["m"]}
        for command in (["status"], ["contract", "graph"]):
            more = ["--change", change["id"]] if command[0] == "contract" else []
            shown = CliRunner().invoke(cli, [*command, str(plant.config), *more])
            text_ = " ".join(shown.output.split())
            wanted = "▶ └─ b" if more else f"Change {change['id']}: "
            assert wanted in text_ or (more and "▶ ├─ b" in text_), text_
        await plant.order(id=2, do="terms", tag="b", unit="degC")
        await plant.until(lambda: plant.at_central()["open_changes"] == 0)
        assert plant.at_central()["held_tags"] == 0
