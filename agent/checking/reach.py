"""Whether anything listens at a place: asked first, so that absence is told from refusal."""

from __future__ import annotations

import asyncio

from agent.errors import cause_of


async def unreachable(host: str, port: int, timeout_s: float) -> str:
    """Why no TCP connection is made; empty where one is."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return cause_of(error)
    writer.close()
    return ""
