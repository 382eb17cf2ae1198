"""How an event is posted to an endpoint over HTTP, and what its answers mean.

Where a secret is configured the request is signed as Standard Webhooks 1.0 has it: `webhook-id`,
`webhook-timestamp` (seconds), and `webhook-signature`, "v1," and the base64 of HMAC-SHA256 over
"id.timestamp.body". The id is the same however often a message is posted: who gets it twice knows
that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from agent.clock import wall_ns
from agent.configuration.credentials import signing_secret
from agent.configuration.hooks import Endpoint
from agent.errors import FieldwardenError, cause_of
from agent.forward.json_payload import EVENT_CONTENT
from agent.hooks.form import LaterError, Refused

TIMEOUT_S: Final = 20.0
_LATER: Final = frozenset({401, 403, 404, 405, 407, 408, 409, 421, 423, 425, 429})
"""Refusals that somebody may mend, or that time does: the message waits."""

LONGEST_ASKED_S: Final = 3_600.0  # whatever an endpoint asks for
_KEY_PREFIX: Final = "whsec_"  # of Standard Webhooks: the rest is base64


class Poster:
    """One endpoint; its secret is read for each message, so that a changed file counts at once.

    Args:
        endpoint: its table.
        timeout_s: seconds of one request.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float = TIMEOUT_S) -> None:
        self._endpoint, self._timeout_s = endpoint, timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def post(self, name: str, body: bytes) -> None:
        """Return once a CloudEvent (structured JSON) is taken; `name` is the message's id.

        Raises:
            Refused: it will never be.
            LaterError, FieldwardenError, OSError, aiohttp.ClientError, TimeoutError: it was not,
                and may be.
        """
        told = {"Content-Type": EVENT_CONTENT, **signed(self._endpoint, name, body)}
        if self._session is None or self._session.closed:  # a deliverer that failed begins again
            self._session = _session(self._endpoint, self._timeout_s)
        async with self._session.post(
            self._endpoint.url, data=body, headers=told, allow_redirects=False
        ) as answer:
            status, headers = answer.status, answer.headers
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in _LATER:
            raise Refused(f"it answered {status}")
        cause = _cause_of(status, headers)
        raise LaterError("posting to", self._endpoint.url, cause, _asked_s(headers))

    async def close(self) -> None:
        """Nothing more comes."""
        if self._session is not None:
            await self._session.close()


def _cause_of(status: int, headers: Mapping[str, str]) -> str:
    """Why a message waits. A redirect is not followed: what is signed is for one address only."""
    place = headers.get("Location", "")
    if not 300 <= status < 400 or not place:
        return f"it answered {status}"
    return f"it answered {status}, a redirect to {place[:200]!r}: give that as url, if it is right"


def _asked_s(headers: Mapping[str, str]) -> float:
    """Seconds of Retry-After (RFC 9110, 10.2.3), a number or a date; 0 where there is none."""
    said = headers.get("Retry-After", "").strip()
    try:
        wait_s = float(said) if said.isdecimal() else (
            parsedate_to_datetime(said).timestamp() - wall_ns() / 1e9
        )  # fmt: skip
    except (ValueError, OverflowError, OSError):
        return 0.0
    return min(max(wait_s, 0.0), LONGEST_ASKED_S)


def signed(endpoint: Endpoint, name: str, body: bytes) -> dict[str, str]:
    """The headers that name a message, and sign it where there is a secret.

    Raises:
        FieldwardenError: the secret can not be had.
    """
    stamp = str(wall_ns() // 1_000_000_000)
    headers = {"webhook-id": name, "webhook-timestamp": stamp}
    if (secret := signing_secret(endpoint)) is not None:
        digest = hmac.digest(_key(secret), f"{name}.{stamp}.".encode() + body, hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _key(secret: str) -> bytes:
    if secret.startswith(_KEY_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
        except ValueError:
            pass  # it only begins so
    return secret.encode()


def _session(endpoint: Endpoint, timeout_s: float) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=endpoint.ca or None)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1, ssl=context),
        timeout=aiohttp.ClientTimeout(total=timeout_s), raise_for_status=False,
    )


async def ask(endpoint: Endpoint, timeout_s: float) -> str:
    """Whether an endpoint answers HTTP; no event is sent.

    Raises:
        FieldwardenError: the secret can not be had, or nothing answers.
    """
    secret = signing_secret(endpoint)
    try:
        async with (
            _session(endpoint, timeout_s) as session,
            session.options(endpoint.url, allow_redirects=False) as answer,
        ):
            status, headers = answer.status, answer.headers
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise FieldwardenError(
            "asking", endpoint.url, cause_of(error),
            "it is tried again until `max_age`; check the address, firewall and certificates",
        ) from None
    if 300 <= status < 400:
        raise FieldwardenError("asking", endpoint.url, _cause_of(status, headers))
    return f"answers HTTP (OPTIONS: {status}); {'signed' if secret else 'not signed: no secret'}"
