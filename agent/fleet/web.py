"""The fleet's page, API and metrics over HTTP: a gateway's server around central's database.

Where somebody has a token (`[people]`), everything but the page's own files needs one, over
loopback or TLS only; where nobody has, everybody who reaches it may read it, as a gateway's page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from agent.configuration.credentials import server_context
from agent.configuration.people import Person
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.database import Database
from agent.fleet.metrics import FleetMetrics
from agent.fleet.web_routes import FleetRoutes
from agent.status.attempts import Attempts
from agent.status.bearer import by_bearer
from agent.status.connections import Limits
from agent.status.gate import Handler, problem
from agent.status.people import People
from agent.status.server import HttpServer

_LOG = logging.getLogger(__name__)
_LIMITS: Final = replace(Limits(), connections=256)
_OPEN: Final = ("/", "/page/{file}", "/healthz", "/api/v1/openapi.json")
"""Routes that say nothing of any gateway."""


class FleetServer(HttpServer):
    """Serves the fleet.

    Args:
        listen: ``host:port``; port 0 takes a free one.
        database: of central.
        people: who may look, by name; whose token counts.
        hosts: names, besides its own, under which people reach this machine.
        tls: with it everything is served over TLS.
    """

    def __init__(
        self,
        listen: str,
        database: Database,
        people: dict[str, Person] | None = None,
        *,
        hosts: Iterable[str] = (),
        tls: Any = None,
    ) -> None:
        self._metrics = FleetMetrics()
        super().__init__(
            listen, self._metrics.count_request, hosts=hosts, limits=_LIMITS, tls=tls,
            section="[http]", middlewares=[self._known()],
        )  # fmt: skip
        self._people = People(people or {})
        self._attempts = Attempts()
        self.routes = FleetRoutes(database, self._metrics)
        self.add_routes(self.routes.table())
        if not self.loopback and not self._people.has_tokens:
            _LOG.warning("the fleet page on %s can be read by everyone who reaches it", listen)

    def _known(self) -> Any:
        @web.middleware
        async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            told = resource is not None and resource.canonical in _OPEN
            refused = None if told else await self._refused(request)
            return refused if refused is not None else await handler(request)

        return known

    async def _refused(self, request: web.Request) -> web.Response | None:
        """Why somebody may not look; None: he may."""
        if not self._people.has_tokens:
            return None
        if not self.confidential:
            hint = "give [http] a certificate, or listen on loopback behind a proxy"
            return problem(403, "tokens are not taken where others could read them", hint)
        found = by_bearer(request, self._people, "the fleet is shown to those who have a token")
        if isinstance(found, str):
            return None
        guessed = "Authorization" in request.headers
        if guessed and not await self._attempts.failed(request.remote or "unknown"):
            return problem(429, "too many wrong tokens at once", "wait a minute, then try again")
        return found

    async def stop(self) -> None:
        """Close everything; may be called more than once."""
        await super().stop()
        await self.routes.close()


async def serve(
    configuration: FleetConfiguration, database: Database, stop: asyncio.Event
) -> None:
    """Serve page, API and metrics until `stop`.

    Raises:
        FieldwardenError: the address, or the certificate, can not be had.
    """
    http = configuration.http
    server = FleetServer(
        http.listen, database, configuration.people, tls=server_context(http),
    )  # fmt: skip
    await server.start()
    _LOG.info("the fleet is shown at %s", server.url)
    try:
        await stop.wait()
    finally:
        await server.stop()
