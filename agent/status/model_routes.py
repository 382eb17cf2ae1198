"""What is asked of one model: its verdict, checked inputs, any vector beside training, its past.

Reading only: nothing that is asked here changes what the agent judges by, or what it has judged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from aiohttp import web

from agent.status import view
from agent.status.gate import json_response, problem

VECTORS_MAX: Final = 256
NONCE_MAX: Final = 64
_SHOWN: Final = 60  # characters of a value that is refused
_NS: Final = 1e9


class Models(Protocol):
    """What is known of the guarded models as of the last fold."""

    def names(self) -> list[str]:
        """All of them."""

    def verdict(self, name: str) -> Mapping[str, Any] | None:
        """What a model is worth, with `valid_until_ns` and `time_ns`; None: no such model."""

    async def history(self, name: str) -> dict[str, Any] | None:
        """Its verdicts and losses over time, as far as they are kept; None: no such model."""

    def inputs(self, name: str) -> list[dict[str, Any]] | None:
        """Its checked inputs in its own order; None: no such model."""

    async def lineage(self, tags: Collection[str]) -> Mapping[str, Any]:
        """Sources, tags, models and outputs as a picture, and what a change of tags reaches."""

    def check(
        self, name: str, vectors: Sequence[Mapping[str, float | None]], mode: str | None
    ) -> dict[str, Any] | None:
        """Vectors beside training; None: no such model.

        Raises:
            FieldwardenError: a vector is none of this model.
        """


class ModelRoutes:
    """The handlers below ``/api/v1/models/<name>/``.

    Args:
        models: who knows.
        now_ns: engine time now.
    """

    def __init__(self, models: Models, now_ns: Callable[[], int]) -> None:
        self._models, self._now_ns = models, now_ns

    def table(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/api/v1/models/{name:.+}/verdict", self._verdict),
            web.get("/api/v1/models/{name:.+}/inputs", self._inputs),
            web.get("/api/v1/models/{name:.+}/history", self._past),
            web.post("/api/v1/models/{name:.+}/check", self._check),
        ]

    async def _verdict(self, request: web.Request) -> web.Response:
        found = self._models.verdict(request.match_info["name"])
        if found is None:
            return self._unknown()
        return json_response(self._told(found, request))

    async def _inputs(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found, inputs = self._models.verdict(name), self._models.inputs(name)
        if found is None or inputs is None:
            return self._unknown()
        return json_response({**self._told(found, request), "inputs": inputs})

    async def _past(self, request: web.Request) -> web.Response:
        found = await self._models.history(request.match_info["name"])
        return self._unknown() if found is None else json_response(
            {"served_ns": self._now_ns(), **found}
        )

    async def _check(self, request: web.Request) -> web.Response:
        try:
            vectors = vectors_of(await request.read())
        except ValueError as error:
            return problem(
                400, f"no vectors: {error}",
                "send a JSON object of input and number, or a list of such objects",
            )
        mode = request.query.get("mode")
        found = self._models.check(request.match_info["name"], vectors, mode)
        return self._unknown() if found is None else json_response(found)

    def _unknown(self) -> web.Response:
        known = ", ".join(self._models.names()[:10])
        return problem(404, "no such model", f"models here: {known or 'none'}")

    def _told(self, model: Mapping[str, Any], request: web.Request) -> dict[str, Any]:
        """A verdict as it may be told now; `nonce` comes back, so that no old answer is taken."""
        now_ns = self._now_ns()
        shown = view.effective_model(model, now_ns)
        until, at = shown.get("valid_until_ns"), shown.get("time_ns")
        shown.pop("process", None)
        return shown | {
            "causes": list(dict.fromkeys(str(why.get("cause")) for why in shown["reasons"])),
            "served_ns": now_ns,
            "age_s": None if at is None else max(0.0, (now_ns - at) / _NS),
            "valid_until": None if until is None else view.utc(until),
            "valid_for_s": 0.0 if until is None else max(0.0, (until - now_ns) / _NS),
            "nonce": request.query.get("nonce", "")[:NONCE_MAX],
        }


def vectors_of(body: bytes) -> list[dict[str, float | None]]:
    """The vectors of a request's body: one object, or a list of them.

    Raises:
        ValueError: it is something else, or a value is no finite number.
    """
    try:
        told = json.loads(body, parse_constant=_no_number, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    vectors = [told] if isinstance(told, dict) else told
    if not isinstance(vectors, list) or not all(isinstance(one, dict) for one in vectors):
        raise ValueError("neither an object nor a list of objects")
    if not 0 < len(vectors) <= VECTORS_MAX:
        raise ValueError(f"{len(vectors)} of them, where 1 to {VECTORS_MAX} may be")
    return [{name: _finite(name, value) for name, value in one.items()} for one in vectors]


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an input is named twice in one vector")
    return found


def _finite(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name[:_SHOWN]!r} is no number")  # noqa: TRY004 - of a request's body
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name[:_SHOWN]!r} is no finite number")
    return number
