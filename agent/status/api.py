"""The status server: page, JSON API, metrics and health over HTTP, loopback unless configured.

The same API answers on a Unix socket, where the kernel says who asks. It has connections of its
own, so that a crowd at the page keeps nobody from acknowledging.

Invariant: it only reads the status document; a slow or hostile client costs the agent at most the
limits in `agent.status.connections.Limits`, never acquisition (see `agent.status.server`).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from agent import clock
from agent.status.connections import Connections, Guard, Limits
from agent.status.gate import Handler, problem
from agent.status.local_socket import LocalSocket
from agent.status.metrics import Metrics
from agent.status.model_routes import Models
from agent.status.people import People
from agent.status.routes import CommandHandler, Events, NoDocument, Routes
from agent.status.server import HttpServer

_LOG = logging.getLogger(__name__)


class StatusServer(HttpServer):
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
        metrics = Metrics(document, now_ns)
        super().__init__(
            listen, metrics.count_request, hosts=hosts, limits=limits, tls=tls,
            middlewares=[_starting],
        )  # fmt: skip
        self._local = local
        self.local_connections = Connections(self._limits)
        self.routes = Routes(
            document=document,
            events=events,
            command=command,
            people=people,
            now_ns=now_ns,
            metrics=metrics,
            confidential=self.confidential,
            models=models,
        )
        self.add_routes(self.routes.table())
        if not self.loopback:
            _LOG.warning("the status page on %s can be read by everyone who reaches it", listen)
        self._local_server: asyncio.Server | None = None
        self._socket: LocalSocket | None = None

    def _guard(self, transport: asyncio.BaseTransport | None) -> Guard | None:
        return super()._guard(transport) or self.local_connections.find(transport)

    async def _listen(self, inner: Callable[[], asyncio.Protocol]) -> None:
        await super()._listen(inner)
        if self._local is not None:
            self._socket = LocalSocket(*self._local)
            self._local_server = await asyncio.get_running_loop().create_unix_server(
                self.local_connections.factory(inner), sock=self._socket.socket
            )
        self._sweep(self.local_connections)

    async def stop(self) -> None:
        """Close everything; may be called at any time, more than once."""
        if self._local_server is not None:
            self._local_server.close()
            self._local_server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        await super().stop()


@web.middleware
async def _starting(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Before the first commit there is nothing to say; say that."""
    try:
        return await handler(request)
    except NoDocument:
        return problem(503, "the agent is starting and has no status yet", "ask again in a second")
