"""One try to tell a target of an event, and what came of it: hooks and central's relay alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, NamedTuple

from agent.errors import explained
from agent.hooks.form import LaterError, Refused

LIMIT_S: Final = 60.0  # of one delivery, whatever a library does
LONGEST_WAIT_S: Final = 300.0  # between two tries
TOO_OLD: Final = "too old"
REFUSED: Final = "refused"


class Attempt(NamedTuple):
    """What came of one try; `cause` is why it is not taken, empty where it is.

    Attributes:
        over: taken, or refused for good: what is behind it may go.
        wait_s: so many seconds the endpoint asks not to be told again, beside any backoff.
    """

    over: bool
    cause: str = ""
    wait_s: float = 0.0


async def attempted(delivery: Awaitable[None], subject: str, limit_s: float = LIMIT_S) -> Attempt:
    """Await one delivery for `limit_s` seconds; raises nothing but a cancellation of its own."""
    try:
        async with asyncio.timeout(limit_s):
            await delivery
    except Refused as refused:
        return Attempt(True, str(refused))
    except LaterError as later:
        return Attempt(False, later.cause, later.wait_s)
    except Exception as error:  # noqa: BLE001 - whatever it was: it is tried again
        told = explained(error, "telling", subject)
        return Attempt(False, told.cause or type(error).__name__)
    return Attempt(True)
