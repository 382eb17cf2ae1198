"""A status server over loopback with a made-up document, and its client."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import subprocess
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from agent.configuration.schema import Person
from agent.status.api import StatusServer
from agent.status.people import People
from tests.status.fake_status import T0, FakeModels, document, events

TOKEN = "one-token-of-maras"
MARA = People({"Mara Lind": Person(token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest())})
KNOWN = {"Authorization": f"Bearer {TOKEN}"}


def people():
    """Who may act: root and the own user on a socket, Mara by her token."""
    return MARA


def tls_of(folder):
    """A server's context with a certificate that nobody vouches for."""
    certificate, key = folder / "c.pem", folder / "k.pem"
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gateway"]
    command = ["openssl", "req", *words, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@dataclass
class Served:
    """A running server: change `document` or `now_ns`, and the next answer shows it."""

    document: dict[str, Any] = field(default_factory=document)
    now_ns: int = T0 + 500_000_000
    server: StatusServer | None = None
    session: aiohttp.ClientSession | None = None

    def __post_init__(self):
        self.models = FakeModels(lambda: self.document)

    async def get(self, path, **kwargs):
        """(status, headers, body as text)."""
        async with self.session.get(self.server.url.rstrip("/") + path, **kwargs) as answer:
            return answer.status, answer.headers, await answer.text()

    async def post(self, path, text):
        async with self.session.post(self.server.url.rstrip("/") + path, data=text) as answer:
            return answer.status, await answer.json(content_type=None)

    async def json(self, path, **kwargs):
        async with self.session.get(self.server.url.rstrip("/") + path, **kwargs) as answer:
            return answer.status, await answer.json(content_type=None)


@contextlib.asynccontextmanager
async def serving(listen="127.0.0.1:0", command=None, **options):
    served = Served()
    served.server = StatusServer(
        listen,
        lambda: served.document,
        options.pop("events", events),
        command,
        models=served.models,
        now_ns=lambda: served.now_ns,
        **options,
    )
    await served.server.start()
    try:
        async with aiohttp.ClientSession() as served.session:
            yield served
    finally:
        await served.server.stop()


@pytest.fixture
async def served():
    async with serving() as running:
        yield running
