"""The routes of the status server: what each answers. `openapi.json` describes every one of them.

Reading needs no identity; the page holds nothing secret. Commands do (invariant 7): a Unix user on
the agent's socket, or a token over loopback or TLS, that `People` maps to a person.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, Final

from aiohttp import web

from agent.status import encode, view
from agent.status.attempts import Attempts
from agent.status.bearer import by_bearer
from agent.status.change_routes import ChangeRoutes
from agent.status.commands import COMMANDS, command_data
from agent.status.gate import json_response, problem, stamp_of
from agent.status.lineage_routes import LineageRoutes
from agent.status.metrics import Metrics
from agent.status.model_routes import ModelRoutes, Models
from agent.status.page_files import PageFiles
from agent.status.people import People, overflow_uid, peer_uid, user_name
from agent.status.told_routes import ToldRoutes
from agent.status.view import Document

Events = Callable[[int, str | None], list[Mapping[str, Any]] | Awaitable[list[Mapping[str, Any]]]]
CommandHandler = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

EVENTS_DEFAULT: Final = 100
EVENTS_MAX: Final = 1000
_NS: Final = 1e9


class NoDocument(Exception):  # noqa: N818 - a state of the agent's start, not a fault
    """The app has not written a status yet."""


class Routes:
    """The handlers; what they need is handed in.

    Args:
        document: gives the newest status document, an empty one before the first commit.
        events: gives up to `limit` events of a kind (None: all), newest first; may be async.
        command: carries out and commits a command, gives its result; None: no commands.
        people: gives who may act, as configured now; None: no commands.
        now_ns: engine time now.
        metrics: the metrics page.
        confidential: whether nobody can read a token on its way here: loopback or TLS.
        models: what models' own processes ask for.
    """

    def __init__(
        self,
        *,
        document: Callable[[], Document],
        events: Events,
        command: CommandHandler | None,
        people: Callable[[], People] | None,
        now_ns: Callable[[], int],
        metrics: Metrics,
        confidential: bool,
        models: Models,
    ) -> None:
        self._document, self._events, self._now_ns = document, events, now_ns
        self._command, self._people, self._confidential = command, people, confidential
        self._metrics = metrics
        self._models_known = models
        self._model_routes = ModelRoutes(models, now_ns)
        self._tags = encode.TagsEncoder()
        self._attempts = Attempts()
        folder = resources.files("agent.status")
        self._openapi = json.loads(folder.joinpath("openapi.json").read_text("utf-8"))
        self._page = PageFiles(folder.joinpath("page").iterdir())

    def table(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            *self._page.table(),
            web.get("/healthz", self._healthz),
            web.get("/metrics", self._metrics_page),
            web.get("/api/v1/openapi.json", self._describe),
            web.get("/api/v1/status", self._status),
            web.get("/api/v1/models", self._models),
            *self._model_routes.table(),
            *LineageRoutes(self._models_known, self._document).table(),
            *ChangeRoutes(self._current, self._now_ns).table(),
            *ToldRoutes(self._asker, self._command).table(),
            web.get("/api/v1/sources", self._sources),
            web.get("/api/v1/tags", self._tags_page),
            web.get("/api/v1/incidents", self._incidents),
            web.get("/api/v1/conditions", self._conditions),
            web.get("/api/v1/events", self._events_page),
            web.get("/api/v1/person", self._person),
            web.post("/api/v1/commands/{kind}", self._commands),
        ]

    def _current(self) -> Document:
        document = self._document()
        if not document:
            raise NoDocument
        return document

    # --- for machines ----------------------------------------------------------------------
    async def _healthz(self, _: web.Request) -> web.Response:
        document, now_ns = self._document(), self._now_ns()
        reason = view.stalled(document, now_ns)
        age = view.age_ns(document, now_ns)
        poor = view.degraded(document)
        body = {
            "healthy": not reason,
            "state": "stalled" if reason else "degraded" if poor else "ok",
            "reason": reason or "; ".join(poor),
            "age_s": None if age is None else age / _NS,
            "time_quality": document.get("time_quality") or "unknown",
        }
        return json_response(body, 503 if reason else 200)

    async def _metrics_page(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _describe(self, _: web.Request) -> web.Response:
        version = str(self._document().get("version") or self._openapi["info"]["version"])
        return json_response(
            {**self._openapi, "info": {**self._openapi["info"], "version": version}}
        )

    # --- the document and its parts --------------------------------------------------------
    async def _status(self, request: web.Request) -> web.Response:
        document, now_ns = self._current(), self._now_ns()
        tags = await self._tags.encode(document, history=_history(request))
        models = await encode.array(self._effective(document, now_ns), encode.LARGE)
        asking = await encode.array(view.items(document, "retraining"), encode.LARGE)
        large = ("tags", "models", "retraining")
        head = {key: document[key] for key in document if key not in large}
        head["served_ns"] = now_ns
        parts = f'"models":{models},"retraining":{asking},"tags":{tags}'
        return _json_text(f"{encode.dumps(head)[:-1]},{parts}}}")

    def _effective(self, document: Document, now_ns: int) -> list[dict[str, Any]]:
        return [view.effective_model(model, now_ns) for model in view.items(document, "models")]

    async def _models(self, _: web.Request) -> web.Response:
        document, now_ns = self._current(), self._now_ns()
        return json_response(
            {**stamp_of(document, now_ns), "models": self._effective(document, now_ns)}
        )

    async def _sources(self, _: web.Request) -> web.Response:
        return self._part("sources", view.items(self._current(), "sources"))

    async def _incidents(self, _: web.Request) -> web.Response:
        return self._part("incidents", view.incidents(self._current()))

    async def _conditions(self, _: web.Request) -> web.Response:
        return self._part("conditions", view.items(self._current(), "conditions"))

    def _part(self, key: str, rows: Sequence[Mapping[str, Any]]) -> web.Response:
        return json_response({**stamp_of(self._current(), self._now_ns()), key: rows})

    async def _tags_page(self, request: web.Request) -> web.Response:
        document, now_ns = self._current(), self._now_ns()
        tags = await self._tags.encode(document, history=_history(request))
        stamp = encode.dumps(stamp_of(document, now_ns))
        return _json_text(f'{stamp[:-1]},"tags":{tags}}}')

    async def _events_page(self, request: web.Request) -> web.Response:
        limit_text = request.query.get("limit", str(EVENTS_DEFAULT))
        if not (limit_text.isascii() and limit_text.isdecimal()) or len(limit_text) > 6:
            return problem(400, "limit is no whole number", f"ask for 1 to {EVENTS_MAX} events")
        limit = min(max(int(limit_text), 1), EVENTS_MAX)
        found = self._events(limit, request.query.get("kind") or None)
        rows = await found if inspect.isawaitable(found) else found
        return json_response({"served_ns": self._now_ns(), "events": rows})

    # --- commands --------------------------------------------------------------------------
    async def _person(self, request: web.Request) -> web.Response:
        person = await self._asker(request)
        return json_response({"person": person}) if isinstance(person, str) else person

    async def _commands(self, request: web.Request) -> web.Response:
        person = await self._asker(request)
        if isinstance(person, web.Response) or self._command is None:
            return person if isinstance(person, web.Response) else _no_commands()
        kind = request.match_info["kind"]
        if kind not in COMMANDS:
            return problem(404, "no such command", f"commands: {', '.join(COMMANDS)}")
        body = await _json_object(request)
        if body is None:
            return problem(400, "the body is no JSON object")
        data = command_data(kind, body)
        return json_response(await self._command(kind, {**data, "by": person}))

    async def _asker(self, request: web.Request) -> str | web.Response:
        """The person who asks, or why nobody may act here."""
        uid = peer_uid(request.get_extra_info("socket"))
        if self._people is None or (uid is None and not self._confidential):
            return _no_commands()
        found = _identified(request, uid, self._people())
        guessed = isinstance(found, web.Response) and "Authorization" in request.headers
        if guessed and not await self._attempts.failed(request.remote or f"user {uid}"):
            return problem(429, "too many wrong tokens at once", "wait a minute, then try again")
        return found


def _no_commands() -> web.Response:
    return problem(
        403,
        "this server takes no commands",
        "use the fieldwarden command on the gateway itself",
    )


def _identified(request: web.Request, uid: int | None, people: People) -> str | web.Response:
    """Who asks, or why nobody is known. A token that is shown counts, also on the socket."""
    shown = request.headers.getall("Authorization", [])
    if uid is not None and not shown:
        person = people.by_uid(uid)
        if person is not None:
            return person
        user = user_name(uid)
        if uid == overflow_uid():
            hint = "the agent does not see who you are: its unit has PrivateUsers=yes; or use sudo"
        else:
            hint = (
                f'add [people."Your Name"] with unix_user = "{user}" to the configuration and '
                "reload it (systemctl reload fieldwarden); or use sudo"
            )
        return problem(403, f"you are {user} (user {uid}), who may not act here", hint)
    return by_bearer(request, people, "commands need a token of a named person")


def _history(request: web.Request) -> bool:
    return request.query.get("history", "true").lower() not in ("false", "0", "no")


def _json_text(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


async def _json_object(request: web.Request) -> dict[str, Any] | None:
    try:
        value = json.loads(await request.read())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def paths(table: Iterable[web.RouteDef]) -> set[tuple[str, str]]:
    """(method, OpenAPI path) of each route; a path parameter's pattern is left out."""
    return {(route.method.lower(), route.path.replace(":.+", "")) for route in table}
