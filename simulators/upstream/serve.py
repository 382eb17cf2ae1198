"""A source as a process: rows on a schedule, orders from stdin, answers on stdout, JSON lines.

``{"id": 1, "do": "rescale", "tag": "reactor.temperature", "factor": 1.8, "offset": 32}`` is
answered by ``{"id": 1, "at_ns": ...}``: wall ns of the first row that is served changed (Modbus,
which has no times: of the first request that was answered so), or by ``{"id": 1, "error": ...}``.
Orders that come together in one line, as a list, are obeyed between the same two rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent.clock import monotonic_ns, wall_ns
from simulators.upstream.bent import Bent
from simulators.upstream.definition import Definition
from simulators.upstream.modbus import ModbusUpstream
from simulators.upstream.mqtt import MqttUpstream
from simulators.upstream.opcua import OpcUaUpstream

_ASKED_S = 30.0  # that a client may take to ask a device again


class Upstream(Protocol):
    """A server or publisher that changes itself."""

    async def start(self) -> None:
        """Serve."""

    async def stop(self) -> None:
        """Serve no more."""

    async def order(self, what: str, told: Mapping[str, Any]) -> bool:
        """Change; False where it is no order of its kind."""

    async def publish(self, values: Mapping[str, float], now_ns: int) -> None:
        """One row."""


UPSTREAM: Mapping[str, Callable[[Definition], Upstream]] = {
    "opcua": OpcUaUpstream, "modbus": ModbusUpstream, "mqtt": MqttUpstream,
}  # fmt: skip
"""Protocol -> its server."""


class Service:
    """Serves a definition and obeys.

    Args:
        definition: of the source.
        say: given each answer, JSON-ready.
    """

    def __init__(self, definition: Definition, say: Callable[[dict[str, Any]], None]) -> None:
        self._definition, self._say = definition, say
        self._server = UPSTREAM[definition.protocol](definition)
        self._bent = Bent()
        self._orders: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self._answering: set[asyncio.Task[None]] = set()

    def take(self, line: str) -> None:
        """A line of orders; what is none is answered so."""
        try:
            told = json.loads(line)
            orders = told if isinstance(told, list) else [told]
            if not all(isinstance(one, dict) and "do" in one for one in orders):
                raise ValueError("an order is an object with the key do")
        except ValueError as error:
            self._say({"id": None, "error": str(error)})
            return
        self._orders.put_nowait(orders)

    async def run(self, seconds: float | None = None) -> None:
        """Serve for so long, or until cancelled.

        Raises:
            FieldwardenError: the port is taken.
        """
        began_ns = monotonic_ns()
        await self._server.start()
        try:
            self._say({"ready": True})
            due_ns = monotonic_ns()
            for values in self._definition.values():
                if seconds is not None and monotonic_ns() - began_ns > seconds * 1e9:
                    break
                due_ns = max(due_ns + round(self._definition.interval_s * 1e9), monotonic_ns())
                done = await self._obey()
                now_ns = wall_ns()
                await self._server.publish(self._bent.row(values), now_ns)
                for one, error in done:
                    self._answer(one, error, now_ns)
                await asyncio.sleep(max(0.0, (due_ns - monotonic_ns()) / 1e9))
        finally:
            await self._server.stop()

    async def _obey(self) -> list[tuple[dict[str, Any], str]]:
        """The orders that came, carried out: (order, what went wrong or nothing)."""
        done = []
        while not self._orders.empty():
            for one in self._orders.get_nowait():
                try:
                    known = self._bent.order(one["do"], one)
                    known = await self._server.order(one["do"], one) or known
                    done.append((one, "" if known else f"no order {one['do']} for this protocol"))
                except (KeyError, TypeError, ValueError) as error:
                    done.append((one, repr(error)))
        return done

    def _answer(self, order: dict[str, Any], error: str, now_ns: int) -> None:
        if error:
            self._say({"id": order.get("id"), "error": error})
        elif isinstance(self._server, ModbusUpstream):
            task = asyncio.create_task(self._when_asked(self._server, order))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            self._say({"id": order.get("id"), "at_ns": now_ns})

    async def _when_asked(self, server: ModbusUpstream, order: dict[str, Any]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ASKED_S):
                await server.answered.wait()
        self._say({"id": order.get("id"), "at_ns": server.answered_ns or wall_ns()})


async def serve(definition: Definition, seconds: float | None = None) -> None:
    """Serve a definition, with orders from this process's stdin; ends when stdin does."""
    service = Service(definition, _say)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = asyncio.create_task(service.run(seconds))
    listening = asyncio.create_task(_listen(reader, service))
    try:
        await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listening.cancel()
        if not running.done():
            running.cancel()
        await asyncio.gather(running, listening, return_exceptions=True)
    if not running.cancelled():
        running.result()


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def _listen(reader: asyncio.StreamReader, service: Service) -> None:
    while line := await reader.readline():
        service.take(line.decode("utf-8", "replace"))
