"""A server over HTTP that a slow or hostile client can not harm: what the page of a gateway and
that of the fleet have in common.

Invariants:
- every answer carries the security headers, every request passes the Host check.
- aiohttp's own time-outs end idle connections; `connections.Connections` ends the slow ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from agent.configuration.values import is_loopback
from agent.errors import FieldwardenError, cause_of
from agent.status.connections import Connections, Guard, Limits
from agent.status.gate import Gate, HostCheck


class HttpServer:
    """Serves routes at one address.

    Args:
        listen: ``host:port`` (``[::1]:8686`` for IPv6); port 0 takes a free one.
        count: called with a route's template and the status code of each answer.
        hosts: names, besides its own, under which people reach this machine.
        limits: see `Limits`.
        tls: with it everything is served over TLS.
        section: table of the configuration that says where to listen, for people.
        middlewares: within the gate.

    Attributes:
        loopback: only this machine reaches it.
        confidential: nobody can read a token on its way here: loopback or TLS.
    """

    def __init__(
        self,
        listen: str,
        count: Callable[[str, int], None],
        *,
        hosts: Iterable[str] = (),
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        section: str = "[status]",
        middlewares: Iterable[Any] = (),
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._tls, self._section = tls, section
        self._limits = limits or Limits()
        self.connections = Connections(self._limits)
        self.loopback = is_loopback(self._host)
        self.confidential = self.loopback or tls is not None
        names = HostCheck(self._host, hosts, tls=tls is not None)
        gate = Gate(self._guard, self._limits, names, count)
        self._app = web.Application(
            client_max_size=self._limits.body_bytes, middlewares=[gate.middleware(), *middlewares]
        )
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._sweeps: list[asyncio.Task[None]] = []

    def add_routes(self, table: Iterable[web.RouteDef]) -> None:
        """What is served; before `start`."""
        self._app.add_routes(table)

    def _guard(self, transport: asyncio.BaseTransport | None) -> Guard | None:
        return self.connections.find(transport)

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else self._port

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)  # noqa: S104
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{self.port}/"

    async def start(self) -> None:
        """Listen.

        Raises:
            FieldwardenError: the address can not be had.
        """
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=self._limits.keepalive_s,
            max_line_size=self._limits.line_bytes,
            max_field_size=self._limits.line_bytes,
            lingering_time=1.0,
            auto_decompress=False,  # a compressed body could be any size
            shutdown_timeout=1.0,
        )
        await self._runner.setup()
        inner = self._runner.server
        assert inner is not None  # noqa: S101 - setup() has just made it
        try:
            await self._listen(inner)
        except BaseException:
            await self.stop()
            raise
        self._sweep(self.connections)

    def _sweep(self, connections: Connections) -> None:
        self._sweeps.append(asyncio.create_task(connections.run(), name="status-sweep"))

    async def _listen(self, inner: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        longest_s = self._limits.header_s if self._tls else None  # asyncio's own is a minute
        try:
            self._server = await loop.create_server(
                self.connections.factory(inner, tls=self._tls is not None), self._host, self._port,
                backlog=64, ssl=self._tls, ssl_handshake_timeout=longest_s,
                ssl_shutdown_timeout=longest_s,
            )  # fmt: skip
        except OSError as error:
            raise FieldwardenError(
                "opening the status page",
                f"{self._host}:{self._port}",
                cause_of(error),
                f"another process may listen there: change `listen` under {self._section}",
            ) from error

    async def stop(self) -> None:
        """Close everything; may be called at any time, more than once."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for sweep in self._sweeps:
            sweep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweep
        self._sweeps = []
