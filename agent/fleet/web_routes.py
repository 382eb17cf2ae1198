"""The routes of the fleet's server: what each answers. `openapi.json` describes every one of them.

Counts, order, search and pages are made here, not in the browser: no answer grows with the fleet.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from importlib import resources
from typing import Any, Final

from aiohttp import web

from agent import __version__
from agent.central.worst import VERDICTS
from agent.clock import monotonic_ns
from agent.errors import FieldwardenError, StoreError
from agent.fleet import questions, relay_queue
from agent.fleet.database import Database
from agent.fleet.documents import gateways as documents
from agent.fleet.documents import iso
from agent.fleet.metrics import FleetMetrics
from agent.fleet.questions import LISTS
from agent.fleet.rollup import STATES, Fleet, Promises, fleet_of
from agent.fleet.web_fresh import Fresh
from agent.status.gate import json_response, problem
from agent.status.page_files import PageFiles

LIMIT_DEFAULT: Final = 50
LIMIT_MOST: Final = 200
_PROMISES_NS: Final = 30_000_000_000  # they change once a minute at most
_ANSWERS_KEPT: Final = 256  # lists and documents that are shared by those who look
_LONGEST: Final = 200  # characters of a search
_SHARED: Final = ("page.css", "dom.js", "words.js", "icon.svg")
"""Of a gateway's page."""


class FleetRoutes:
    """The handlers.

    Args:
        database: of central.
        metrics: the metrics page.
    """

    def __init__(self, database: Database, metrics: FleetMetrics) -> None:
        self._database, self._metrics = database, metrics
        self._promises: tuple[Promises, int] | None = None  # and when, monotonic ns
        self._known = Fresh(self._asked_fleet)
        self._answers: OrderedDict[Hashable, Fresh[Any]] = OrderedDict()
        folder = resources.files("agent.fleet")
        text = folder.joinpath("openapi.json").read_text("utf-8")
        self._openapi = json.loads(text)
        self._openapi["info"]["version"] = __version__
        shared = resources.files("agent.status").joinpath("page")
        files = [*folder.joinpath("page").iterdir(), *(shared.joinpath(one) for one in _SHARED)]
        self._page = PageFiles(files)

    def table(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            *self._page.table(),
            web.get("/healthz", self._healthz),
            web.get("/metrics", self._metrics_page),
            web.get("/api/v1/openapi.json", self._describe),
            web.get("/api/v1/fleet", self._whole),
            web.get("/api/v1/sites", self._sites),
            web.get("/api/v1/gateways", self._gateways),
            web.get("/api/v1/gateways/{site}/{gateway}", self._gateway),
            web.get("/api/v1/silent", self._silent),
            web.get("/api/v1/promises", self._exceeded),
            *(web.get(f"/api/v1/{name}", self._list(name)) for name in LISTS),
        ]

    async def close(self) -> None:
        """Ask the database no more."""
        every: list[Fresh[Any]] = [self._known, *self._answers.values()]
        for fresh in every:
            await fresh.close()

    # --- what is asked ---------------------------------------------------------------------

    def _asked_fleet(self) -> Fleet:
        """The fleet, and what is asked of it more seldom."""
        known = self._promises
        if known is None or monotonic_ns() - known[1] > _PROMISES_NS:
            with self._database.reading() as connection:
                known = self._promises = questions.promises(connection), monotonic_ns()
        return fleet_of(questions.snapshot(self._database), known[0])

    async def _fleet(self) -> Fleet:
        """The fleet as of at most a second ago, the same for all who look."""
        return await self._known.get()

    async def _shared(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, shared by all who ask for the same within a second."""
        fresh = self._answers.get(key)
        if fresh is None:
            while self._answers and (
                len(self._answers) >= _ANSWERS_KEPT or next(iter(self._answers.values())).idle
            ):
                self._answers.popitem(last=False)
            fresh = self._answers[key] = Fresh(make, linger_s=0.0)
        self._answers.move_to_end(key)
        return await fresh.get()

    # --- for machines ----------------------------------------------------------------------

    async def _healthz(self, _: web.Request) -> web.Response:
        try:
            at = (await self._shared("healthz", self._database.now)).isoformat()
        except StoreError:  # everybody may ask: where it is and who logs in is for the log
            reason = "the database can not be asked; the log says why"
            return json_response({"healthy": False, "reason": reason}, 503)
        return json_response({"healthy": True, "reason": "", "as_of": at})

    async def _describe(self, _: web.Request) -> web.Response:
        return json_response(self._openapi)

    async def _metrics_page(self, request: web.Request) -> web.Response:
        fleet = await self._fleet()
        workers = await self._shared("workers", self._asked_workers)
        accept = request.headers.get("Accept", "")
        relays = await self._shared("relays", self._asked_relays)
        body, content_type = self._metrics.render(fleet, workers, relays, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _asked_workers(self) -> list[dict[str, Any]]:
        with self._database.reading() as connection:
            return questions.workers(connection, self._database.now(connection))

    def _asked_relays(self) -> list[dict[str, Any]]:
        with self._database.reading() as connection:
            return relay_queue.counts(connection, self._database.now(connection))

    # --- the fleet -------------------------------------------------------------------------

    async def _whole(self, _: web.Request) -> web.Response:
        fleet = await self._fleet()
        workers = await self._shared("workers", self._asked_workers)
        relays = await self._shared("relays", self._asked_relays)
        told = {"as_of": iso(fleet.at), **fleet.totals, "workers": workers, "relays": relays}
        return json_response(told)

    async def _sites(self, request: web.Request) -> web.Response:
        fleet, page = await self._fleet(), _Page(request)
        found = [one for one in fleet.sites if page.finds(one["site"])]
        return page.answer(fleet, "sites", page.of(found), len(found))

    async def _gateways(self, request: web.Request) -> web.Response:
        fleet, page = await self._fleet(), _Page(request)
        only = frozenset(request.query.getall("only", []))
        state = request.query.get("state", "")
        if not only <= set(VERDICTS) or (state and state not in STATES):
            words = f"only: {', '.join(VERDICTS)}; state: {', '.join(STATES)}"
            raise _wrong("only or state", words)
        found = fleet.chosen(
            site=page.site, only=only, state=state, search=page.search, ids=await self._ids(page)
        )
        numbers = page.of(found)
        told = await self._documents([fleet.lines[one].gateway_id for one in numbers])
        items = [
            {**fleet.line(one), **_counted(told[fleet.lines[one].gateway_id])}
            for one in numbers
            if fleet.lines[one].gateway_id in told
        ]
        return page.answer(fleet, "gateways", items, len(found), trouble=fleet.trouble(found))

    async def _ids(self, page: _Page) -> frozenset[int]:
        """Gateways that watch a model whose name is searched for."""
        if not page.search:
            return frozenset()

        def models() -> frozenset[int]:
            with self._database.reading() as connection:
                return frozenset(questions.with_model(connection, page.search))

        found: frozenset[int] = await self._shared(("models", page.search), models)
        return found

    async def _documents(self, ids: list[int]) -> dict[int, dict[str, Any]]:
        def asked() -> dict[int, dict[str, Any]]:
            with self._database.reading() as connection:
                found = documents(connection, self._database.now(connection), ids)
            return dict(zip(ids, found, strict=False)) if len(found) == len(ids) else {}

        found: dict[int, dict[str, Any]] = await self._shared(("gateways", *ids), asked)
        return found

    async def _gateway(self, request: web.Request) -> web.Response:
        fleet = await self._fleet()
        site, name = request.match_info["site"], request.match_info["gateway"]
        number = fleet.places.get((site, name))
        if number is None:
            return problem(404, f"no gateway {site}/{name} was ever heard of")
        one = fleet.lines[number].gateway_id
        told = await self._documents([one])
        return json_response({"as_of": iso(fleet.at), **told[one]})

    async def _silent(self, request: web.Request) -> web.Response:
        fleet = await self._fleet()
        return self._chosen(request, "silent", fleet, fleet.silent)

    async def _exceeded(self, request: web.Request) -> web.Response:
        fleet = await self._fleet()
        return self._chosen(request, "promises", fleet, fleet.exceeded)

    def _chosen(
        self, request: web.Request, name: str, fleet: Fleet, numbers: list[int]
    ) -> web.Response:
        page = _Page(request)
        found = [
            one for one in numbers
            if (not page.site or fleet.lines[one].site == page.site)
            and page.search in fleet.names[one]
        ]  # fmt: skip
        items = [fleet.line(one) for one in page.of(found)]
        return page.answer(fleet, name, items, len(found))

    def _list(self, name: str) -> Callable[[web.Request], Any]:
        async def listed(request: web.Request) -> web.Response:
            fleet, page = await self._fleet(), _Page(request)

            def ask() -> tuple[int, list[dict[str, Any]]]:
                with self._database.reading() as connection:
                    return questions.listed(
                        connection, self._database.now(connection), name, site=page.site,
                        search=page.search, offset=page.offset, limit=page.limit,
                    )  # fmt: skip

            key = (name, page.site, page.search, page.offset, page.limit)
            total, items = await self._shared(key, ask)
            return page.answer(fleet, name, items, total)

        return listed


class _Page:
    """Which part of a list is asked for.

    Raises:
        FieldwardenError: in no form.
    """

    def __init__(self, request: web.Request) -> None:
        self.offset = _number(request, "offset", 0, 10**9)
        self.limit = _number(request, "limit", LIMIT_DEFAULT, LIMIT_MOST)
        self.site = request.query.get("site", "")
        self.search = request.query.get("search", "").strip().lower()
        if len(self.search) > _LONGEST or "\0" in self.search + self.site:
            raise _wrong("search or site", f"at most {_LONGEST} characters")

    def finds(self, name: str) -> bool:
        """Whether a name contains what is searched for."""
        return self.search in name.lower()

    def of(self, items: Any) -> Any:
        """The part."""
        return items[self.offset : self.offset + self.limit]

    def answer(
        self, fleet: Fleet, name: str, items: Any, total: int, **more: int
    ) -> web.Response:
        """The part, and how many there are."""
        return json_response({
            "as_of": iso(fleet.at), "total": total, "offset": self.offset, "limit": self.limit,
            **more, name: items,
        })  # fmt: skip


def _number(request: web.Request, key: str, default: int, most: int) -> int:
    text = request.query.get(key, str(default))
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise _wrong(key, "give a whole number")
    return min(int(text), most)


def _wrong(what: str, hint: str) -> FieldwardenError:
    return FieldwardenError("reading", what, "it is not understood", hint)


def _counted(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document of a list: its models beside how many there are of each verdict."""
    counts = dict.fromkeys(VERDICTS, 0)
    for model in document["models"]:
        counts[model["verdict"]] += 1
    return {**document, **counts, "of_models": sum(counts.values())}
