"""`check` says what can be known before going live: faults fail, what may come later warns."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.checking.check import check
from agent.checking.uplink_size import bytes_per_day
from agent.cli import cli
from agent.configuration.certificates import check_pair, read_certificate
from agent.configuration.load import load
from agent.configuration.schema import (
    Configuration,
    Gateway,
    Label,
    ModbusSource,
    Model,
    Owner,
    Tag,
    Upstream,
)
from agent.core.baseline import Baseline, InputBaseline, ModeBaseline
from agent.core.baseline_file import read_baseline, write_baseline
from agent.errors import FieldwardenError
from simulators.ports import free_port
from tests.mosquitto import Mosquitto
from tests.runtime.outputs import configured

ROOT = Path(__file__).parents[2]

HEAD = """\
schema = 1
[gateway]
site = "north"
name = "gw-07"
"""

MODBUS = """
[sources.utilities]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
every = "1s"
timeout = "500ms"
[tags.flow]
source = "utilities"
address = "holding 100 float32"
[tags.level]
source = "utilities"
address = "holding 104 uint16"
[tags.slow]
source = "utilities"
address = "holding 300 uint16"
interval = "10s"
"""

MODEL = """
[models.yield]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "baselines/yield.json"
scan = "1s"
inputs = ["flow", "level"]
"""


@pytest.fixture
def write(tmp_path):
    def _write(*parts):
        path = tmp_path / "config.toml"
        path.write_text(HEAD + "".join(parts), encoding="utf-8")
        return path

    return _write


async def report(path, *, offline=True, timeout_s=10.0):
    return await check(load(path), offline=offline, timeout_s=timeout_s)


def said(items, level=None, subject=""):
    return [
        f"{item.text} {item.hint}"
        for item in items
        if (level is None or item.level == level) and item.subject.startswith(subject)
    ]


@contextlib.asynccontextmanager
async def modbus_device(port, registers):
    """A pymodbus server with these holding registers."""
    words = [
        SimData(start, values=values, datatype=DataType.REGISTERS)
        for start, values in registers.items()
    ]
    rest = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[False] * 8, datatype=DataType.BITS)]
    server = ModbusTcpServer(SimDevice(1, (bits, bits, words, rest)), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


# --- sources -----------------------------------------------------------------------------------


async def test_the_request_plan_is_printed_without_connecting(write):
    """Tags are joined into few reads, by interval; tags of no model are named."""
    items = await report(write(MODBUS.format(port=1), MODEL))
    assert said(items, "ok", "source utilities") == [
        "2 tags in 1 request every 1 s: holding 100..104 (5 registers) ",
        "1 tag in 1 request every 10 s: holding 300..300 (1 registers) ",
    ]
    assert any("slow" in text for text in said(items, "ok", "tags"))


async def test_a_source_that_answers_is_ok_and_one_that_does_not_is_a_warning(write):
    """The agent copes with an absent device, so it does not fail the check."""
    port = free_port()
    path = write(MODBUS.format(port=port), MODEL)
    absent = await report(path, offline=False)
    assert any("was not reached" in text for text in said(absent, "warning", "source utilities"))
    assert not said(absent, "fault")
    async with modbus_device(port, {100: [0] * 8, 300: [1]}):
        present = await report(path, offline=False)
    assert any("answered all requests" in text for text in said(present, "ok", "source utilities"))
    assert not said(present, "fault")


async def test_an_address_that_the_device_does_not_have_is_a_fault(write):
    """The device answered, and said no: that is no matter of waiting."""
    port = free_port()
    async with modbus_device(port, {100: [0] * 8}):
        items = await report(write(MODBUS.format(port=port), MODEL), offline=False)
    (fault,) = said(items, "fault")
    assert said(items, "fault", "tag slow") == [fault]
    assert "the device refuses holding 300: illegal data address" in fault


async def test_broker_upstream_and_mqtt_sources_are_tried(write, tmp_path):
    """With a real broker both are reached."""
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        text = (
            f'[sources.line]\nprotocol = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\n'
            '[tags.speed]\nsource = "line"\naddress = "plant/line /speed"\n'
            f'[upstream]\nhost = "127.0.0.1"\nport = {broker.port}\n'
        )
        items = await report(write(text), offline=False)
    finally:
        broker.stop()
    assert said(items, "ok", "source line")
    assert any("answers" in text for text in said(items, "ok", "upstream"))
    assert not said(items, "fault")
    gone = await report(write(text), offline=False)
    assert len(said(gone, "warning")) == 3  # one of them that there is no contract


async def test_a_source_without_tags_is_pointed_out(write):
    """It would be connected to for nothing."""
    text = '[sources.line]\nprotocol = "mqtt"\nhost = "127.0.0.1"\n[tags]\n'
    items = await report(write(text))
    assert any("no tag is read from it" in text for text in said(items, "warning"))


# --- certificates and passwords ------------------------------------------------------------------


@pytest.fixture
def certify(tmp_path):
    def _certify(name, days, *, start=-1, encoding=serialization.Encoding.PEM):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=start))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:fieldwarden")]),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        (tmp_path / f"{name}.crt").write_bytes(certificate.public_bytes(encoding))
        (tmp_path / f"{name}.key").write_bytes(
            key.private_bytes(
                encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    return _certify


def opcua(extra):
    return (
        '[sources.r]\nprotocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:4840/plant"\n'
        f'security = "Basic256Sha256"\n{extra}\n'
        '[tags.t]\nsource = "r"\naddress = "ns=2;s=T"\n'
    )


@pytest.mark.parametrize(
    ("days", "start", "level", "words"),
    [
        (400, -1, "ok", "is valid for"),
        (10, -1, "warning", "expires in 10 days"),
        (-3, -9, "fault", "expired 3 days ago"),
        (400, 2, "fault", "not valid yet"),
    ],
)
async def test_certificates_are_opened_and_their_time_is_told(
    write, certify, days, start, level, words
):
    """Good, soon to expire, expired, not valid yet."""
    certify("agent", days + 0.1, start=start)
    items = await report(write(opcua('certificate = "agent.crt"\nprivate_key = "agent.key"')))
    assert any(words in text for text in said(items, level, "source r")), items


async def test_a_key_of_another_certificate_is_a_fault(write, certify):
    """PEM and DER; a pair that is none is found before the server refuses it."""
    certify("agent", 400, encoding=serialization.Encoding.DER)
    certify("other", 400)
    items = await report(write(opcua('certificate = "agent.crt"\nprivate_key = "other.key"')))
    assert any("it is not that of" in text for text in said(items, "fault"))
    pair = 'certificate = "agent.crt"\nprivate_key = "agent.key"\n'
    good = await report(write(opcua(f'{pair}server_certificate = "agent.crt"')))
    assert not said(good, "fault")


async def test_security_without_a_certificate_is_a_fault(write):
    """The connection could never be made."""
    items = await report(write(opcua("")))
    assert any("needs the agent's own certificate" in text for text in said(items, "fault"))


def test_what_is_no_certificate_is_refused(tmp_path, certify):
    """Missing, rubbish, a key instead of a certificate, a certificate instead of a key."""
    certify("agent", 400)
    assert read_certificate(tmp_path / "agent.crt").uris == ("urn:fieldwarden",)
    (tmp_path / "rubbish").write_bytes(b"\x00\x01")
    for name in ("none", "rubbish", "agent.key"):
        with pytest.raises(FieldwardenError, match="opening certificate"):
            read_certificate(tmp_path / name)
    for name in ("none", "rubbish", "agent.crt"):
        with pytest.raises(FieldwardenError, match="opening private key"):
            check_pair(tmp_path / "agent.crt", tmp_path / name)


async def test_a_password_that_is_not_there_is_a_fault(write, monkeypatch):
    """But a systemd credential is there only inside the unit: a warning."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    source = (
        '[sources.line]\nprotocol = "mqtt"\nhost = "127.0.0.1"\nusername = "u"\n{}\n'
        '[tags.speed]\nsource = "line"\naddress = "plant/line /speed"\n'
    )
    by_file = await report(write(source.format('password_file = "none"')))
    assert any("No such file" in text for text in said(by_file, "fault"))
    by_unit = await report(write(source.format('password_credential = "x"')))
    assert not said(by_unit, "fault")
    assert any("LoadCredential" in text for text in said(by_unit, "warning"))


# --- baselines ---------------------------------------------------------------------------------


def baseline(*, version="1", inputs=("flow", "level"), provisional=False):
    rows = tuple(
        InputBaseline(
            tag=tag, unit="", centre=0.0, scale=1.0, noise=0.1, interval_ns=10**9, tau=2.0,
            n_eff=1000.0, trained=(-1.0, 1.0), edges=(0.0,), longest_gap=1, r2=0.0,
            provisional=provisional, detectors={},
        )
        for tag in inputs
    )  # fmt: skip
    return Baseline(
        model="yield", model_version=version, interval_ns=10**9,
        modes=(ModeBaseline("", None, rows, {}),), provisional=provisional,
        provisional_text="thresholds are provisional" if provisional else "", mask_ns=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "level", "words"),
    [
        (None, "warning", "fieldwarden fit"),
        (baseline(), "ok", "for version 1"),
        (baseline(provisional=True), "warning", "thresholds are provisional"),
        (baseline(version="0"), "fault", "made for version 0"),
        (baseline(inputs=("flow",)), "fault", "inputs differ"),
    ],
    ids=["absent", "good", "provisional", "other version", "other inputs"],
)
async def test_baselines_must_match_their_model(write, tmp_path, made, level, words):
    """Absent only warns (fit comes after init); one of another version or inputs fails."""
    path = write(MODBUS.format(port=1), MODEL)
    if made is not None:
        write_baseline(tmp_path / "baselines" / "yield.json", made)
    items = await report(path)
    assert any(words in text for text in said(items, level, "model yield")), items


async def test_a_baseline_that_was_changed_by_hand_is_a_fault(write, tmp_path):
    """Its digest does not match any more."""
    file = tmp_path / "baselines" / "yield.json"
    write_baseline(file, baseline())
    assert read_baseline(file).model == "yield"
    file.write_text(file.read_text(encoding="utf-8").replace("0.1", "9.9"), encoding="utf-8")
    items = await report(write(MODBUS.format(port=1), MODEL))
    assert any("digest" in text for text in said(items, "fault", "model yield"))


# --- the uplink --------------------------------------------------------------------------------


def thousand_tags(summary):
    tags = {
        f"area{i // 50}.unit{i % 50}.temp": Tag(source="s", address=f"holding {i}")
        for i in range(1000)
    }
    models = {
        f"model{k}": Model(
            version="1", owner=Owner(team="t", contact="c"), baseline="b", scan=10**9,
            inputs=list(tags)[k * 200 : (k + 1) * 200],
        )
        for k in range(5)
    }  # fmt: skip
    return Configuration(
        schema=1, gateway=Gateway(site="north", name="gw-07", summary=summary), tags=tags,
        sources={"s": ModbusSource(protocol="modbus", host="h")}, models=models,
        upstream=Upstream(host="h"),
    )  # fmt: skip


def test_a_thousand_tags_stay_within_the_promise():
    """Five models of 200 tags: at most 20 MB a day as shipped; half the window costs double."""
    shipped = bytes_per_day(thousand_tags(Gateway(site="s", name="g").summary))
    assert 2_000_000 < shipped.total <= 20_000_000
    half = bytes_per_day(thousand_tags(Gateway(site="s", name="g").summary // 2))
    assert half.summaries == pytest.approx(2 * shipped.summaries, rel=0.1)
    assert half.verdicts == shipped.verdicts


def test_errors_against_labels_are_part_of_what_a_verdict_costs():
    """Also of an output without a tag, whose predictions come by the API; it has no summary."""
    one = configured().model_copy(update={"upstream": Upstream(host="h")})
    model = one.models["m"]
    by_api = Label(of="quality", within=60 * 10**9)
    more = {"outputs": [*model.outputs, "quality"], "labels": [*model.labels, by_api]}
    two = one.model_copy(update={"models": {"m": model.model_copy(update=more)}})
    before, after = bytes_per_day(one), bytes_per_day(two)
    assert after.summaries == before.summaries
    assert 720 * 150 < after.verdicts - before.verdicts < 720 * 500


async def test_the_uplink_is_part_of_the_report(write):
    """With upstream its MB a day, without it that there is none."""
    assert any("none" in text for text in said(await report(write(MODBUS.format(port=1))), "ok"))
    items = await report(write(MODBUS.format(port=1), MODEL, '[upstream]\nhost = "h"\n'))
    (text,) = said(items, "ok", "upstream")
    assert re.match(r"about [\d.]+ MB a day: ", text)


# --- the command -------------------------------------------------------------------------------


def test_exit_code_and_json_follow_from_the_worst_line(write):
    """0 with warnings, 1 with --strict or a fault; one JSON object a line for programs."""
    path = write(MODBUS.format(port=1), MODEL)
    assert CliRunner().invoke(cli, ["check", str(path), "--offline"]).exit_code == 0
    assert CliRunner().invoke(cli, ["check", str(path), "--offline", "--strict"]).exit_code == 1
    result = CliRunner().invoke(cli, ["check", str(path), "--offline", "--json"])
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert {line["level"] for line in lines} == {"ok", "warning"}
    assert all(set(line) == {"level", "subject", "text", "hint"} for line in lines)
    bad = write(opcua(""))
    result = CliRunner().invoke(cli, ["check", str(bad), "--offline"])
    assert result.exit_code == 1
    assert "FAULT" in result.output


# --- the rule of CI ----------------------------------------------------------------------------


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_skipped_test_fails_the_session_in_ci_only(tmp_path, ci, code):
    """What is missing there must be installed, not passed over."""
    (tmp_path / "test_x.py").write_text(
        'import pytest\n@pytest.mark.skip(reason="x")\ndef test_a(): ...\ndef test_b(): ...\n',
        encoding="utf-8",
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.left_out",
         str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == code, result.stdout
    assert "left out: 1 test: x" in result.stdout
    assert ("counts as failed" in result.stdout) is (code == 1)


# --- people --------------------------------------------------------------------------------------


DEVICE = MODBUS.format(port=1)


async def test_it_says_who_may_act_and_through_what(write, tmp_path):
    """Root and the agent's own user always; others by name, role and way."""
    assert "nobody else may" in said(await report(write(DEVICE)), "ok", "people")[0]
    people = """
[status]
socket_group = "root"
[people."Mara Lind"]
role = "process engineer"
unix_user = "root"
token_sha256 = "%s"
""" % ("ab" * 32)
    items = await report(write(DEVICE, people))
    assert str(tmp_path / "state" / "agent.sock") in said(items, "ok", "people")[0]
    assert said(items, "ok", "person Mara Lind") == [
        ("Mara Lind (process engineer) may act as Unix user root on the socket and by token at "
        "http://127.0.0.1:8686 ")
    ]
    assert not said(items, "fault")


async def test_what_keeps_a_person_from_acting_is_told(write, tmp_path):
    """No such user, not in the socket's group, no such group, a token that can not be had."""
    people = """
[status]
socket_group = "no-such-group"
[people.gone]
unix_user = "no-such-user"
[people.far]
unix_user = "daemon"
[people.tokenless]
token_file = "none"
[people.inside]
token_credential = "x"
"""
    items = await report(write(DEVICE, people))
    assert "groupadd" in said(items, "fault", "people")[0]
    assert "no Unix user no-such-user" in said(items, "warning", "person gone")[0]
    assert any("No such file" in text for text in said(items, "fault", "person tokenless"))
    assert any("LoadCredential" in text for text in said(items, "warning", "person inside"))
    grouped = people.replace("no-such-group", "root")
    assert "usermod" in said(await report(write(DEVICE, grouped)), "warning", "person far")[0]
    alone = people.replace('socket_group = "no-such-group"', "")
    assert "socket_group" in said(await report(write(DEVICE, alone)), "warning", "person far")[0]


async def test_a_page_that_everybody_reads_and_a_certificate_that_is_not_there_are_told(write):
    """Off loopback without TLS nobody can act there; TLS needs its files."""
    open_page = await report(write(DEVICE, '[status]\nlisten = "0.0.0.0:8686"\n'))
    assert "can read the page" in said(open_page, "warning", "status page")[0]
    tls = '[status]\nlisten = "0.0.0.0:8686"\ncertificate = "c.pem"\nprivate_key = "k.pem"\n'
    assert "c.pem" in said(await report(write(DEVICE, tls)), "fault", "status page")[0]


@pytest.mark.parametrize(("mode", "told"), [(0o644, True), (0o602, True), (0o640, False)])
async def test_a_token_that_every_user_can_get_at_is_told(write, tmp_path, mode, told):
    """Who can read or write that file can act in the person's name."""
    (tmp_path / "token").write_text("a token of enough length", encoding="utf-8")
    (tmp_path / "token").chmod(mode)
    items = await report(write(DEVICE, '[people.x]\ntoken_file = "token"\n'))
    assert any("chmod o=" in text for text in said(items, "warning", "person x")) == told
