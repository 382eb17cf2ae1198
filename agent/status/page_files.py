"""The files of a page, read once, and the two routes that serve them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import web

from agent.status.gate import problem

_TYPES: Final = {
    "html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml",
}  # fmt: skip


class PageFiles:
    """`index.html` at `/`, and every file below `/page/`.

    Args:
        files: of the page; those of other kinds are left out.
    """

    def __init__(self, files: Iterable[Traversable]) -> None:
        self._files = {
            file.name: (file.read_text("utf-8"), content_type)
            for file in files
            if (content_type := _TYPES.get(file.name.rpartition(".")[2]))
        }

    def table(self) -> list[web.RouteDef]:
        """Both routes."""
        return [web.get("/", self._index), web.get("/page/{file}", self._file)]

    async def _index(self, _: web.Request) -> web.Response:
        return self._served("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        return self._served(request.match_info["file"])

    def _served(self, name: str) -> web.Response:
        found = self._files.get(name)
        if found is None:
            return problem(404, "no such file")
        return web.Response(text=found[0], content_type=found[1], charset="utf-8")
