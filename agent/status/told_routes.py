"""``POST /api/v1/models/<m>/predictions`` and ``/labels``: what a model's own process tells.

Who tells must be known, as with any command: a Unix user on the agent's socket, or a token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from agent.status.gate import json_response, problem
from agent.status.told import told_items

Asker = Callable[[web.Request], Awaitable[str | web.Response]]
Handler = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

ITEMS_PER_S: Final = 1_000.0
"""Predictions and labels together that are taken each second, in the mean; twice that at once."""


class ToldRoutes:
    """The handlers.

    Args:
        asker: gives who asks, or the answer that nobody may.
        handler: takes what was told, and answers once it is committed; None: nothing is taken.
    """

    def __init__(self, asker: Asker, handler: Handler | None) -> None:
        self._asker, self._handler = asker, handler
        self._left, self._at_s = 2.0 * ITEMS_PER_S, 0.0

    def table(self) -> list[web.RouteDef]:
        """Both routes."""
        return [
            web.post("/api/v1/models/{name:.+}/predictions", self._predictions),
            web.post("/api/v1/models/{name:.+}/labels", self._labels),
        ]

    async def _predictions(self, request: web.Request) -> web.Response:
        return await self._told("predictions", request)

    async def _labels(self, request: web.Request) -> web.Response:
        return await self._told("labels", request)

    async def _told(self, kind: str, request: web.Request) -> web.Response:
        person = await self._asker(request)
        if isinstance(person, web.Response) or self._handler is None:
            return person if isinstance(person, web.Response) else problem(403, "nothing is taken")
        items = told_items(kind, await request.read())
        if not self._within_pace(len(items)):
            hint = "send fewer, or wait a second; nothing of it was taken"
            return problem(429, f"more than {ITEMS_PER_S:g} a second", hint)
        data = {"model": request.match_info["name"], "by": person, "items": items}
        return json_response(await self._handler(kind, data))

    def _within_pace(self, items: int) -> bool:
        now_s = asyncio.get_running_loop().time()
        left = self._left + (now_s - self._at_s) * ITEMS_PER_S
        self._left, self._at_s = min(left, 2.0 * ITEMS_PER_S), now_s
        if items > self._left:
            return False
        self._left -= items
        return True
