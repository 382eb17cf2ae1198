"""OPC UA sessions: how one is made and closed, and why one is not made.

Invariants:
- with security, only the server certificate that the configuration names is trusted. (asyncua
  trusts any by default.)
- a session that ended is not made anew by asyncua behind our back: what it may serve is judged
  again each time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.ua.uaerrors import UaError

from agent import clock
from agent.configuration.certificates import read_certificate
from agent.configuration.credentials import password
from agent.configuration.schema import OpcUaSource
from agent.errors import FieldwardenError, SourceError
from agent.sources.opcua_advice import Offer, advice

_SESSION_TIMEOUT_MS = 60_000
_CLOSE_S = 2.0

_POLICIES: dict[str, Any] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
FAILURES = (OSError, TimeoutError, UaError, ValueError, FieldwardenError)


async def _secure(name: str, config: OpcUaSource, client: Client) -> None:
    """Security policy, certificates and login, as configured."""
    if config.security != "None":
        needed = ("certificate", "private_key", "server_certificate")
        if missing := [key for key in needed if not getattr(config, key)]:
            cause = f"security {config.security} needs {', '.join(missing)}"
            hint = "name the files in this source's table; the server's certificate is pinned"
            raise SourceError("securing", f"source {name!r}", cause, hint)
        # Servers compare the URI in our certificate with the session's.
        uris = read_certificate(Path(config.certificate)).uris
        client.application_uri = uris[0] if uris else client.application_uri
        await client.set_security(
            _POLICIES[config.security],
            config.certificate,
            config.private_key,
            server_certificate=config.server_certificate,
            mode=getattr(ua.MessageSecurityMode, config.mode),
        )
    if config.username:
        client.set_user(config.username)
        client.set_password(password(config) or "")


@contextlib.asynccontextmanager
async def session(name: str, config: OpcUaSource, timeout_s: float) -> AsyncIterator[Client]:
    """A connected session that is closed on the way out, whatever happened."""
    client = Client(
        config.endpoint,
        timeout=timeout_s,
        watchdog_intervall=max(5.0, timeout_s),
        auto_reconnect=False,
    )
    client.name = client.description = "Fieldwarden"
    client.session_timeout = _SESSION_TIMEOUT_MS
    try:
        await _secure(name, config, client)
        async with asyncio.timeout(2 * timeout_s):
            await client.connect()
        yield client
    finally:
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(_CLOSE_S):
                await client.disconnect()
        if client.uaclient.protocol is not None:
            client.disconnect_socket()


async def explained(
    config: OpcUaSource, error: BaseException, timeout_s: float
) -> tuple[str, str]:
    """(cause, hint) of a connection that was not made, as far as the server tells."""
    offers = [] if config.security == "None" else await _offers(config, timeout_s)
    return advice(config, error, offers, clock.wall_ns())


async def _offers(config: OpcUaSource, timeout_s: float) -> list[Offer]:
    """What the server offers to everybody who asks; nothing where it does not say."""
    client = Client(config.endpoint, timeout=timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            found = await client.connect_and_get_server_endpoints()
    except Exception:  # noqa: BLE001 - it only helps to explain another failure
        return []
    return [
        Offer(
            str(one.SecurityPolicyUri).rpartition("#")[2],
            str(one.SecurityMode.name).rstrip("_"),
            bytes(one.ServerCertificate or b""),
        )
        for one in found
    ]
