"""``GET /api/v1/changes`` and ``/api/v1/changes/ID``: changes upstream, and what became of them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from agent.status import view
from agent.status.gate import json_response, problem, stamp_of
from agent.status.view import Document


class ChangeRoutes:
    """The handlers; what people decide goes the way of all commands.

    Args:
        document: gives the newest status document.
        now_ns: engine time now.
    """

    def __init__(self, document: Callable[[], Document], now_ns: Callable[[], int]) -> None:
        self._document, self._now_ns = document, now_ns

    def table(self) -> list[web.RouteDef]:
        """Both routes."""
        return [
            web.get("/api/v1/changes", self._all), web.get("/api/v1/changes/{id:.+}", self._one),
        ]  # fmt: skip

    async def _all(self, _: web.Request) -> web.Response:
        document = self._document()
        told = {"contract": document.get("contract"), "changes": view.items(document, "changes")}
        return json_response({**stamp_of(document, self._now_ns()), **told})

    async def _one(self, request: web.Request) -> web.Response:
        document, name = self._document(), request.match_info["id"]
        for one in view.items(document, "changes"):
            if one.get("id") == name:
                return json_response({**stamp_of(document, self._now_ns()), "change": one})
        known = [str(one.get("id")) for one in view.items(document, "changes")]
        hint = f"changes here: {', '.join(known[:10]) or 'none'}"
        return problem(404, "no such change", hint)
