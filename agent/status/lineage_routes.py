"""``GET /api/v1/lineage``: sources, tags, models and outputs as a picture; what changes reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from agent.status import view
from agent.status.gate import json_response, problem
from agent.status.model_routes import Models
from agent.status.view import Document

_NAMED_MOST: Final = 100  # changes and tags in one question


class LineageRoutes:
    """The handler.

    Args:
        models: who knows.
        document: gives the newest status document, an empty one before the first commit.
    """

    def __init__(self, models: Models, document: Callable[[], Document]) -> None:
        self._models, self._document = models, document

    def table(self) -> list[web.RouteDef]:
        """The one route."""
        return [web.get("/api/v1/lineage", self._lineage)]

    async def _lineage(self, request: web.Request) -> web.Response:
        wanted = request.query.getall("change", [])
        tags = request.query.getall("tag", [])
        if len(wanted) + len(tags) > _NAMED_MOST:
            return problem(400, f"more than {_NAMED_MOST} changes and tags are named")
        known = {str(one.get("id")): one for one in view.items(self._document(), "changes")}
        for change in wanted:
            if change not in known:
                hint = f"changes here: {', '.join(list(known)[:10]) or 'none'}"
                return problem(404, "no such change", hint)
            tags += [str(tag) for tag in known[change].get("tags") or ()]
        return json_response(await self._models.lineage(tags))
