"""What every request goes through: whose name it came under, how large, and the answer's headers.

Errors are RFC 9457 problem documents with the cause and a hint, for machines and people alike.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from agent.configuration.values import is_loopback
from agent.errors import FieldwardenError, StoreError
from agent.status import encode
from agent.status.connections import Guard, Limits

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOG = logging.getLogger(__name__)

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "fieldwarden",
}


def json_response(value: Any, status: int = 200) -> web.Response:
    """`value` as strict JSON."""
    return web.Response(text=encode.dumps(value), status=status, content_type="application/json")


def problem(status: int, detail: str, hint: str = "") -> web.Response:
    """An error as `application/problem+json`."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "hint": hint}
    response = web.Response(
        text=encode.dumps(body), status=status, content_type="application/problem+json"
    )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "1"
    return response

_WORTH_IT: Final = 1_400  # bytes; less is one packet anyway


class HostCheck:
    """Refuses requests that a browser was led to by a name which is not ours (DNS rebinding).

    A page on the internet can let its own name resolve to this machine and would then read the
    plant's status as if it were its own. Such a request carries that name in `Host`, so names
    that nobody gave to this machine are refused. Addresses can not be rebound and are accepted.
    Over TLS any name is: a browser goes on only where the certificate is of that name, and it is
    the one place that says by which names this machine is known.

    Args:
        host: what the server listens on; on loopback only loopback names are accepted.
        names: further names under which people reach this machine.
        tls: whether the page is served over TLS.
    """

    def __init__(self, host: str, names: Iterable[str] = (), *, tls: bool = False) -> None:
        self._tls = tls
        self._loopback = is_loopback(host)
        self._names = {"localhost", *(name.lower() for name in names)}
        if not self._loopback:
            own = socket.gethostname().lower()
            self._names |= {own, f"{own}.local"}

    def accepts(self, header: str) -> bool:
        """Whether a `Host` header names this machine."""
        try:
            name = (urlsplit(f"//{header}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._names or (self._tls and name):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._loopback


class Gate:
    """The outermost middleware.

    Args:
        find: gives a transport's guard, which gets told when a request begins and ends.
        limits: of body size.
        hosts: the check of the `Host` header.
        count: called with a route's template and the status code of each answer.
    """

    def __init__(
        self,
        find: Callable[[asyncio.BaseTransport | None], Guard | None],
        limits: Limits,
        hosts: HostCheck,
        count: Callable[[str, int], None],
    ) -> None:
        self._find, self._limits = find, limits
        self._hosts, self._count = hosts, count

    def middleware(self) -> Any:
        """The aiohttp middleware (aiohttp keeps its type private)."""

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            guard = self._find(request.transport)
            if guard is not None:
                guard.begin()
            try:
                response = self._refused(request) or await _answer(request, handler)
            finally:
                if guard is not None:
                    guard.end()
            _compress(request, response)
            response.headers.update(SECURITY_HEADERS)
            resource = request.match_info.route.resource
            self._count(resource.canonical if resource else "unknown", response.status)
            return response

        return gate

    def _refused(self, request: web.Request) -> web.Response | None:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            return problem(400, "a request needs exactly one Host header")
        if not self._hosts.accepts(hosts[0]):
            return problem(
                421,
                "this name does not belong to the status page",
                "open it by address, or as localhost through a tunnel",
            )
        if (request.content_length or 0) > self._limits.body_bytes:
            response = problem(413, f"a body may have {self._limits.body_bytes} bytes")
            response.force_close()
            return response
        return None


def _compress(request: web.Request, response: web.StreamResponse) -> None:
    """Have aiohttp compress a large answer, in its own executor, for who can read that.

    The status of 1,000 tags is 240 kB, 25 compressed. Nothing secret is ever in an answer, so its
    length tells nobody anything (BREACH).
    """
    accepted = request.headers.get("Accept-Encoding", "")
    if not isinstance(response, web.Response) or "gzip" not in accepted:
        return
    if isinstance(response.body, bytes) and len(response.body) >= _WORTH_IT:
        response.enable_compression(web.ContentCoding.gzip)
        response.headers["Vary"] = "Accept-Encoding"


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        response = problem(413, "the body is too large")
        response.force_close()
        return response
    except web.HTTPMethodNotAllowed as error:
        response = problem(405, f"{error.method} is not supported here")
        response.headers["Allow"] = error.headers["Allow"]
        return response
    except web.HTTPException as error:
        return problem(error.status, error.text or error.reason)
    except StoreError as error:
        return problem(503, f"{error.operation} {error.subject}: {error.cause}", error.hint)
    except FieldwardenError as error:
        return problem(422, f"{error.operation} {error.subject}: {error.cause}", error.hint)
    except Exception:  # noqa: BLE001 - see below
        # One broken answer must not take the page away, and no traceback goes to a client.
        _LOG.exception("answering %s", request.match_info.route)
        return problem(500, "the agent could not answer; its log says why")


def stamp_of(document: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    """Which state of the agent an answer comes from."""
    keys = ("site", "gateway", "boot", "sequence", "time_ns")
    return {"served_ns": now_ns, **{key: document.get(key) for key in keys}}
