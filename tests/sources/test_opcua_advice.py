"""Certificates that are wrong, untrusted or expired: each with its cause and what to do."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import Server, ua
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from agent.configuration.schema import OpcUaSource
from agent.errors import SourceError
from agent.sources import SOURCES
from agent.sources.opcua_advice import advice


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Certificates of agent, server and a stranger, and an expired one of the agent."""
    made = tmp_path_factory.mktemp("certificates")
    for name, days in (("agent", 300), ("server", 300), ("stranger", 300), ("expired", -3)):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        uris = [x509.UniformResourceIdentifier(f"urn:test:{name}"), x509.DNSName("localhost")]
        certificate = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(uris), critical=False)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        (made / f"{name}.der").write_bytes(certificate.public_bytes(Encoding.DER))
        (made / f"{name}.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    (made / "trusted").mkdir()
    (made / "trusted" / "server.der").write_bytes((made / "server.der").read_bytes())
    return made


@contextlib.asynccontextmanager
async def plant(port, folder, *, trusts=None, policies=None):
    """A secured server that trusts whom its folder names, or everybody."""
    server = Server()
    await server.init()
    await server.set_application_uri("urn:test:server")
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    server.set_security_policy(policies or [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(str(folder / "server.der"))
    await server.load_private_key(str(folder / "server.pem"))
    if trusts is not None:
        store = TrustStore([trusts], [])
        await store.load()
        options = (
            CertificateValidatorOptions.BASIC_VALIDATION
            | CertificateValidatorOptions.TRUSTED
        )
        server.set_certificate_validator(CertificateValidator(options, store))
    index = await server.register_namespace("urn:test:plant")
    await server.nodes.objects.add_variable(
        ua.NodeId("a", index), ua.QualifiedName("a", index), 1.0
    )
    async with server:
        yield


def config(port, folder, *, own="agent", pinned="server", **more):
    settings = {"security": "Basic256Sha256", **more}
    return OpcUaSource(
        protocol="opcua", endpoint=f"opc.tcp://127.0.0.1:{port}/plant",
        certificate=str(folder / f"{own}.der"), private_key=str(folder / f"{own}.pem"),
        server_certificate=str(folder / f"{pinned}.der"), **settings,
    )  # fmt: skip


async def said(harness, source):
    bindings = harness.bind({"a": "ns=2;s=a"})
    with pytest.raises(SourceError) as caught:
        await SOURCES["opcua"].probe("s", source, bindings, 1.0)
    error = caught.value
    assert error.cause not in {"AssertionError", "TimeoutError", ""}
    assert " " in error.cause
    assert error.hint
    return f"{error.cause} {error.hint}"


async def test_another_server_certificate_than_the_named_one(harness, free_port, folder):
    """It names the file that is to be got anew."""
    async with plant(free_port, folder):
        text = await said(harness, config(free_port, folder, pinned="stranger"))
    assert "uses another certificate than" in text and "stranger.der" in text


async def test_a_certificate_that_the_server_does_not_trust(harness, free_port, folder):
    """It names the file that the server is to be given."""
    async with plant(free_port, folder, trusts=folder / "trusted"):
        text = await said(harness, config(free_port, folder))
    assert "does not trust" in text and "agent.der" in text


async def test_an_expired_certificate(harness, free_port, folder):
    """The server refuses it; `check` has said so on paper too."""
    async with plant(free_port, folder, trusts=folder / "trusted"):
        text = await said(harness, config(free_port, folder, own="expired"))
    assert "expired.der has expired" in text


async def test_a_mode_that_the_server_does_not_offer(harness, free_port, folder):
    """What to set is in the hint."""
    async with plant(free_port, folder):
        text = await said(harness, config(free_port, folder, mode="Sign"))
    assert "does not offer Basic256Sha256 in mode Sign" in text
    assert "it offers Basic256Sha256 SignAndEncrypt" in text


async def test_what_is_no_opc_ua_server(harness, free_port, folder):
    """It hangs up, or never answers."""

    async def hang_up(_reader, writer):
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", free_port)
    async with server:
        for security in ("None", "Basic256Sha256"):
            await said(harness, config(free_port, folder, security=security))


@pytest.mark.parametrize("error", [AssertionError(), TimeoutError(), ValueError("x"), OSError()])
@pytest.mark.parametrize("security", ["None", "Basic256Sha256"])
def test_no_exception_is_a_cause_by_its_name_alone(folder, error, security):
    """Whatever the library raises, there is a sentence and something to do."""
    cause, hint = advice(config(1, folder, security=security), error)
    assert cause != type(error).__name__
    assert hint
