"""The status server: page, JSON API, metrics and health over HTTP, loopback unless configured.

The same API answers on a Unix socket, where the kernel says who asks. It has connections of its
own, so that a crowd at the page keeps nobody from acknowledging.

Invariants:
- it only reads the status document; a slow or hostile client costs the agent at most the limits
  in `agent.status.connections.Limits`, never acquisition.
- every answer carries the security headers, every request passes the Host check.
- aiohttp's own time-outs end idle connections; `connections.Connections` ends the slow ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from agent import clock
from agent.configuration.values import is_loopback
from agent.errors import FieldwardenError, cause_of
from agent.status.connections import Connections, Guard, Limits
from agent.status.gate import Gate, Handler, HostCheck, problem
from agent.status.local_socket import LocalSocket
from agent.status.metrics import Metrics
from agent.status.model_routes import Models
from agent.status.people import People
from agent.status.routes import CommandHandler, Events, NoDocument, Routes

_LOG = logging.getLogger(__name__)


class StatusServer:
    """Serves the status document.

    Args:
        listen: ``host:port`` (``[::1]:8686`` for IPv6); port 0 takes a free one.
        document: gives the newest status document (`agent.status.view`), {} before the first.
            It is called once per request and must not block; the app must replace a document
            rather than change it.
        events: gives up to `limit` events of a kind (None: all), newest first; may be async.
        command: carries out and commits a command (kind, data with `by`); None: no commands.
        models: what models' own processes ask for, without the whole document.
        people: gives who may act, as configured now; without it there are no commands.
        now_ns: engine time now (`EngineClock.now_ns`), against which verdicts expire.
        hosts: names, besides its own, under which people reach this machine.
        limits: see `Limits`.
        tls: with it the page is served over TLS.
        local: path of the Unix socket, and the group that may connect to it; None: no socket.
    """

    def __init__(
        self,
        listen: str,
        document: Callable[[], Mapping[str, Any]],
        events: Events,
        command: CommandHandler | None = None,
        *,
        models: Models,
        people: Callable[[], People] | None = None,
        now_ns: Callable[[], int] = clock.wall_ns,
        hosts: Iterable[str] = (),
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        local: tuple[Path, str] | None = None,
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._tls, self._local = tls, local
        self._limits = limits or Limits()
        self.connections = Connections(self._limits)
        self.local_connections = Connections(self._limits)
        metrics = Metrics(document, now_ns)
        loopback = is_loopback(self._host)
        self.routes = Routes(
            document=document,
            events=events,
            command=command,
            people=people,
            now_ns=now_ns,
            metrics=metrics,
            confidential=loopback or tls is not None,
            models=models,
        )
        names = HostCheck(self._host, hosts, tls=tls is not None)
        gate = Gate(self._guard, self._limits, names, metrics.count_request)
        self._app = web.Application(
            client_max_size=self._limits.body_bytes, middlewares=[gate.middleware(), _starting]
        )
        self._app.add_routes(self.routes.table())
        if not loopback:
            _LOG.warning("the status page on %s can be read by everyone who reaches it", listen)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._local_server: asyncio.Server | None = None
        self._socket: LocalSocket | None = None
        self._sweeps: list[asyncio.Task[None]] = []

    def _guard(self, transport: asyncio.BaseTransport | None) -> Guard | None:
        return self.connections.find(transport) or self.local_connections.find(transport)

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else self._port

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
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
        self._sweeps = [
            asyncio.create_task(self.connections.run(), name="status-sweep"),
            asyncio.create_task(self.local_connections.run(), name="status-local-sweep"),
        ]

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
                "another process may listen there: change `listen` under [status]",
            ) from error
        if self._local is not None:
            self._socket = LocalSocket(*self._local)
            self._local_server = await loop.create_unix_server(
                self.local_connections.factory(inner), sock=self._socket.socket
            )

    async def stop(self) -> None:
        """Close everything; may be called at any time, more than once."""
        for server in (self._server, self._local_server):
            if server is not None:
                server.close()
        self._server = self._local_server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for sweep in self._sweeps:
            sweep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweep
        self._sweeps = []


@web.middleware
async def _starting(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Before the first commit there is nothing to say; say that."""
    try:
        return await handler(request)
    except NoDocument:
        return problem(503, "the agent is starting and has no status yet", "ask again in a second")
