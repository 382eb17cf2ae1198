"""`check` tries the uplink as the agent will use it, and says who can see its secrets."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.central.receipt import Receipt
from agent.central.subscriber import Central
from agent.checking.check import check
from agent.configuration.load import load
from agent.mqtt import MqttLink
from simulators.ports import free_port
from tests.mosquitto import Mosquitto

HEAD = """\
schema = 1
[gateway]
site = "north"
name = "gw-07"
[sources.line]
protocol = "modbus"
host = "127.0.0.1"
port = 1
[tags.speed]
source = "line"
address = "holding 0"
[models.m]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "m.json"
scan = "1s"
inputs = ["speed"]
"""
PREFIX = "fieldwarden/1/north/gw-07"


@pytest.fixture
def report(tmp_path):
    async def _report(text, *, offline=False):
        path = tmp_path / "config.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        items = await check(load(path), offline=offline, timeout_s=10.0)
        return [item for item in items if item.subject in {"upstream", "status page"}]

    return _report


def upstream(port, more=""):
    return f'[upstream]\nhost = "127.0.0.1"\nport = {port}\n{more}'


def said(items, level):
    return [f"{item.text} {item.hint}" for item in items if item.level == level]


@contextlib.contextmanager
def mosquitto(folder, *lines, users=()):
    if users:
        (folder / "users").write_text("", encoding="utf-8")
        for name, password in users:
            subprocess.run(
                ["mosquitto_passwd", "-b", str(folder / "users"), name, password],
                check=True, capture_output=True,
            )  # fmt: skip
        (folder / "users").chmod(0o600)
        lines = ("allow_anonymous false", f"password_file {folder}/users", *lines)
    broker = Mosquitto(folder, *lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


# --- rights --------------------------------------------------------------------------------------


async def test_every_topic_is_tried_and_leaves_no_trace(report, tmp_path):
    """The broker takes all; central neither counts what was tried nor finds it later."""
    heard, central = [], Central()
    with mosquitto(tmp_path) as broker:
        link = MqttLink(
            host="127.0.0.1", port=broker.port, client_id="c", on_message=heard.append
        )
        link.subscribe([("fieldwarden/#", 1)])
        task = asyncio.create_task(link.run())
        while not link.connected:
            await asyncio.sleep(0.01)
        items = await report(upstream(broker.port))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert not said(items, "fault")
    assert any("takes the login (MQTT 5)" in text for text in said(items, "ok"))
    topics = {"state", "event", "summary", "gap", "verdict/m"}
    assert {m.topic for m in heard} == {f"{PREFIX}/{below}" for below in topics}
    assert not [m for m in heard if m.retain]
    assert [central.take(m.payload, Receipt(0, m.topic)) for m in heard] == [None] * len(heard)
    assert (central.unreadable, central.gateways) == (0, {})


async def test_a_topic_that_is_refused_is_a_fault_with_the_brokers_reason(report, tmp_path):
    """Each one by itself: the right to publish events says nothing of verdicts."""
    allowed = ("event", "summary", "state", "central")
    acl = [f"topic readwrite {PREFIX}/{below}" for below in allowed]
    (tmp_path / "acl").write_text("\n".join(acl), encoding="utf-8")
    with mosquitto(tmp_path, f"acl_file {tmp_path}/acl") as broker:
        items = await report(upstream(broker.port))
    faults = said(items, "fault")
    assert len(faults) == 2
    for topic, fault in zip(("gap", "verdict/m"), faults, strict=True):
        assert f"refuses {PREFIX}/{topic}: Not authorized" in fault
        assert "right to publish" in fault


@pytest.mark.parametrize(("password", "right"), [("s3cret", True), ("wrong", False)])
async def test_the_password_is_tried(report, tmp_path, password, right):
    """Taken or refused; and the way there is not encrypted, which is told too."""
    (tmp_path / "secret").write_text(password, encoding="utf-8")
    (tmp_path / "secret").chmod(0o640)
    with mosquitto(tmp_path, users=[("gw", "s3cret")]) as broker:
        items = await report(
            upstream(broker.port, 'username = "gw"\npassword_file = "secret"\n')
        )
    faults = said(items, "fault")
    assert bool(faults) is not right
    if not right:
        assert "refuses the login: Not authorized" in faults[0]
        assert "password" in faults[0]
    assert any("sent without encryption" in text for text in said(items, "warning"))
    assert not [text for text in said(items, "warning") if "every user" in text]
    assert "s3cret" not in str(items)


async def test_what_is_no_broker_is_a_fault_and_what_is_absent_a_warning(report):
    """A listener that hangs up is not "not there now"."""

    async def hang_up(_reader, writer):
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        items = await report(upstream(server.sockets[0].getsockname()[1]))
    assert any("takes no connection" in text for text in said(items, "fault"))
    absent = await report(upstream(free_port()))
    assert any("was not reached" in text for text in said(absent, "warning"))
    assert not said(absent, "fault")


# --- secrets and certificates --------------------------------------------------------------------


@pytest.mark.parametrize(("trusted", "days"), [("own", 300), ("other", 300), ("own", -3)])
async def test_encryption_is_tried(report, tmp_path, trusted, days):
    """Trusted or not: a certificate of the broker that is not trusted, or expired, is a fault."""
    certify(tmp_path, "own", days)
    certify(tmp_path, "other", 300)
    files = (f"certfile {tmp_path}/own.crt", f"keyfile {tmp_path}/own.key")
    text = f'[upstream]\nhost = "localhost"\ntls = true\nca = "{trusted}.crt"\nport = '
    with mosquitto(tmp_path, *files) as broker:
        items = await report(f"{text}{broker.port}\n")
    faults = said(items, "fault")
    if (trusted, days) == ("own", 300):
        assert not faults
        assert any("takes the login" in told for told in said(items, "ok"))
    else:
        assert any("could not be reached securely" in fault for fault in faults)
        assert any("certificate" in fault for fault in faults)


def certify(folder, name, days):
    """A self-signed certificate and its key, valid for so many days from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90)).not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )  # fmt: skip
    (folder / f"{name}.key").chmod(0o640)
    return f'certificate = "{name}.crt"\nprivate_key = "{name}.key"\n'


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [(-10, "fault", "expired 10 days ago"), (20.5, "warning", "expires in 20 days"),
     (300.5, "ok", "is valid for 300 days")],
)  # fmt: skip
async def test_own_certificates_are_looked_at_wherever_they_are_used(
    report, tmp_path, days, level, words
):
    """Of the page, of the uplink, and the authority that the uplink trusts."""
    pair = certify(tmp_path, "own", days)
    text = f"[status]\n{pair}" + upstream(1, f'tls = true\n{pair}ca = "own.crt"\n')
    items = await report(text, offline=True)
    told = [item for item in items if item.level == level and words in item.text]
    assert {item.subject for item in told} == {"status page", "upstream"}
    authority = [item for item in items if "authority" in item.text]
    assert [item.level for item in authority] == ([] if level == "ok" else [level])


async def test_secrets_that_every_user_can_read_are_told(report, tmp_path):
    """Password and private keys, wherever they are named."""
    pair = certify(tmp_path, "own", 300)
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    text = f"[status]\n{pair}" + upstream(
        1, f'tls = true\nusername = "u"\npassword_file = "secret"\n{pair}'
    )
    for name in ("secret", "own.key"):
        (tmp_path / name).chmod(0o644)
    warned = said(await report(text, offline=True), "warning")
    assert len([text for text in warned if "own.key" in text and "every user" in text]) == 2
    assert len([text for text in warned if "/secret," in text and "every user" in text]) == 1
    for name in ("secret", "own.key"):
        (tmp_path / name).chmod(0o640)
    assert not [text for text in said(await report(text, offline=True), "warning")
                if "every user" in text]  # fmt: skip
