"""Who asks, by the token of a request's `Authorization`."""

from __future__ import annotations

from aiohttp import web

from agent.status.gate import problem
from agent.status.people import People


def by_bearer(request: web.Request, people: People, needed: str) -> str | web.Response:
    """The person whose token was shown; else the answer, which says what is `needed`."""
    shown = request.headers.getall("Authorization", [])
    scheme, _, token = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
    person = people.by_token(token.strip()) if scheme.lower() == "bearer" else None
    if person is not None:
        return person
    hint = "" if people.has_tokens else "nobody has a token yet: see [people] of the configuration"
    response = problem(401, needed, hint)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response
