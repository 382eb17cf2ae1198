"""`fieldwarden central CONFIG --check`: everything before going live, and nothing changed by it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, inspect, text

from agent import clock
from agent.cli import cli
from agent.errors import FieldwardenError, StoreError, UnfitError
from agent.fleet.check_database import database as checked
from agent.fleet.configuration import load
from agent.fleet.database import Database
from agent.fleet.prepare import prepare
from agent.mqtt import MqttLink
from simulators.ports import free_port
from tests.fleet.serving import Serving
from tests.mosquitto import Mosquitto

pytest.importorskip("alembic")


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def report(config):
    """Exit code, and the items of the report."""
    found = CliRunner().invoke(cli, ["central", str(config), "--check", "--json"])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.output
    return found.exit_code, [json.loads(line) for line in found.output.splitlines()]


def levels(items, subject):
    return [(one["level"], one["text"], one["hint"]) for one in items if one["subject"] == subject]


def test_a_service_that_can_begin_is_told_so_and_nothing_is_made(tmp_path, broker):
    """No table, no file; what is asked at the broker is asked in a group of its own."""
    service = Serving(tmp_path, broker.port, f"sqlite:///{tmp_path}/state/central.db")
    code, items = report(service.config)
    assert code == 0, items
    assert {one["level"] for one in items} == {"ok"}
    told = "\n".join(one["text"] for one in items)
    for word in ("2 workers (central-1 to central-2)", "made at the first start", "MQTT 5",
                 "may publish", "may subscribe to 5 filters", "is free"):  # fmt: skip
        assert word in told
    assert not (tmp_path / "state").exists()
    assert "$share/central-check/fieldwarden" in broker.log()
    assert "$share/central/" not in broker.log()


def test_a_broker_that_is_not_there_refuses_the_login_or_the_topics_is_a_fault(tmp_path):
    """Each with what to do about it."""
    url = f"sqlite:///{tmp_path}/central.db"
    service = Serving(tmp_path, free_port(), url)
    code, items = report(service.config)
    ((level, said, hint),) = levels(items, "broker")
    assert (code, level) == (1, "fault") and "was not reached" in said and "firewall" in hint

    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    tool = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
    subprocess.run([tool, "-b", "-c", str(passwords), "central", "right"], check=True)
    passwords.chmod(0o644)
    acl.write_text("user central\ntopic read other/#\n", encoding="utf-8")
    acl.chmod(0o644)
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}",
                       f"acl_file {acl}")  # fmt: skip
    broker.start()
    try:
        secret = tmp_path / "secret"
        secret.write_text("wrong", encoding="utf-8")
        secret.chmod(0o600)
        login = f'[broker]\nhost = "127.0.0.1"\nport = {broker.port}\nusername = "central"\n'
        login += 'password_file = "secret"\n'
        service.config.write_text(f"schema = 1\n{login}", encoding="utf-8")
        code, items = report(service.config)
        (fault,) = [one for one in levels(items, "broker") if one[0] == "fault"]
        assert code == 1 and "refuses the login" in fault[1]
        secret.write_text("right", encoding="utf-8")
        code, items = report(service.config)
        (fault,) = [one for one in levels(items, "broker") if one[0] == "fault"]
        assert code == 1 and "Not authorized" in fault[1]
        assert "publish on fieldwarden/1/+/+/central" in fault[2]
    finally:
        broker.stop()


def test_a_broker_that_takes_the_subscription_and_gives_nothing_is_told(tmp_path):
    """mosquitto grants whom it lets read nothing; one message of the check must come back."""
    acl = tmp_path / "acl"
    acl.write_text("topic write fieldwarden/1/+/+/central\n", encoding="utf-8")
    acl.chmod(0o644)
    broker = Mosquitto(tmp_path, f"acl_file {acl}")
    broker.start()
    try:
        service = Serving(tmp_path, broker.port, f"sqlite:///{tmp_path}/central.db")
        _, items = report(service.config)
        (told,) = [one for one in levels(items, "broker") if one[0] == "warning"]
        assert "does not come" in told[1] and "right to read fieldwarden/1/#" in told[2]
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("setting", "word", "hint"),
    [
        ("retain_available false", "Retain", "retain_available true"),
        ("max_qos 0", "QoS", "max_qos 1"),
        ("max_packet_size 2000", "too large", "max_packet_size"),
        ("message_size_limit 2000", "too large", "message_size_limit"),
    ],
)
def test_a_broker_that_does_not_take_what_gateways_send_is_told(tmp_path, setting, word, hint):
    """Kept messages, QoS 1, and some thousand bytes: with what is to be set there."""
    broker = Mosquitto(tmp_path, setting)
    broker.start()
    try:
        service = Serving(tmp_path, broker.port, f"sqlite:///{tmp_path}/central.db")
        code, items = report(service.config)
        (fault,) = [one for one in levels(items, "broker") if one[0] == "fault"]
        assert code == 1 and word in fault[1] and hint in fault[2]
    finally:
        broker.stop()


def test_the_check_leaves_nothing_at_the_broker(tmp_path, broker):
    """What it let the broker keep is gone: nobody who subscribes later is told of it."""
    service = Serving(tmp_path, broker.port, f"sqlite:///{tmp_path}/central.db")
    assert report(service.config)[0] == 0
    kept = []

    async def look():
        link = MqttLink(host="127.0.0.1", port=broker.port, client_id="looks",
                        on_message=kept.append)  # fmt: skip
        link.subscribe([("#", 1)])
        task = asyncio.create_task(link.run())
        await asyncio.sleep(0.7)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(look())
    assert not [one for one in kept if one.retain]


def test_a_broker_that_knows_no_mqtt_5_is_told_as_such(tmp_path, monkeypatch):
    """Some say nothing to a CONNECT of a version that they do not know."""
    monkeypatch.setattr("agent.fleet.check.check.__defaults__", (0.5,))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, items = report(Serving(tmp_path, port, f"sqlite:///{tmp_path}/central.db").config)
    (fault,) = levels(items, "broker")
    assert code == 1 and fault[0] == "fault"
    assert "does not speak MQTT 5" in fault[1] and "mosquitto 1.6 or later" in fault[2]


def test_a_port_that_is_taken_and_a_page_without_encryption_are_told(tmp_path, broker):
    """The first is perhaps the running service; the second can be read on the way."""
    service = Serving(tmp_path, broker.port, f"sqlite:///{tmp_path}/central.db")
    config = service.config.read_text(encoding="utf-8")
    taken = config.replace(f"127.0.0.1:{service.http}", f"127.0.0.1:{broker.port}")
    service.config.write_text(taken, encoding="utf-8")
    code, items = report(service.config)
    ((level, said, hint),) = levels(items, "page")
    assert (code, level) == (0, "warning") and "can not be listened on" in said
    assert "running already" in hint
    service.config.write_text(config.replace("127.0.0.1:" + str(service.http), "0.0.0.0:0"),
                              encoding="utf-8")  # fmt: skip
    _, items = report(service.config)
    assert "without encryption" in levels(items, "page")[0][1]


def test_a_folder_that_is_not_writable_is_a_fault(tmp_path, broker):
    """SQLite's file would be made there."""
    (tmp_path / "taken").write_text("no folder", encoding="utf-8")
    service = Serving(tmp_path, broker.port, f"sqlite:///{tmp_path}/taken/central.db")
    code, items = report(service.config)
    assert code == 1 and "is not writable" in levels(items, "database")[0][1]


def test_tables_of_this_version_of_a_newer_one_and_of_none(tmp_path, database_url):
    """A newer one is a fault: this program must not write them."""
    service = Serving(tmp_path, 1883, database_url)
    items = list(checked(load(service.config)))
    assert {one.level for one in items} == {"ok"}
    assert any("has the tables of this version" in one.text for one in items)
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    found = list(checked(load(service.config)))
    (fault,) = [one for one in found if one.level == "fault"]
    assert "newer version (9999)" in fault.text and "restore a backup" in fault.hint
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()
    found = list(checked(load(service.config)))
    assert any("has no tables yet" in one.text for one in found)


def test_postgresql_that_refuses_is_told_with_what_to_do_and_never_with_the_password(
    tmp_path, postgres_url
):
    """Wrong password, no such database, no right to make tables."""
    service = Serving(tmp_path, 1883, postgres_url)
    secret = tmp_path / "central.secret"
    right = secret.read_text(encoding="utf-8")
    secret.write_text("quite-wrong", encoding="utf-8")
    (fault,) = [one for one in checked(load(service.config)) if one.level == "fault"]
    assert "password authentication failed" in fault.text and "pg_hba.conf" in fault.hint
    assert "quite-wrong" not in fault.text + fault.hint
    secret.write_text(right, encoding="utf-8")
    engine = create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS reader"))
        connection.execute(text(f"CREATE ROLE reader LOGIN PASSWORD '{right}'"))
        assert inspect(connection).has_table("event")
    engine.dispose()
    config = service.config.read_text(encoding="utf-8").replace("fieldwarden@", "reader@")
    service.config.write_text(config, encoding="utf-8")
    found = list(checked(load(service.config)))
    faults = [one for one in found if one.level == "fault"]
    assert any("reader may not make tables" in one.text and "OWNER TO" in one.hint
               for one in faults)  # fmt: skip


@pytest.fixture
def administer(postgres):
    """Statements of the server's superuser, in whichever database; made good afterwards."""

    def run(name, *statements):
        url = postgres.url(name).replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(
            url, isolation_level="AUTOCOMMIT", connect_args={"client_encoding": "UTF8"}
        )
        with engine.connect() as connection:
            for one in statements:
                connection.execute(text(one))
        engine.dispose()

    return run


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_does_not_hold_every_text_is_refused(
    tmp_path, postgres, administer, encoding
):
    """A cluster made under the C locale has SQL_ASCII; gateways' names are of any script."""
    name = f"narrow_{encoding.lower()}"
    administer("postgres", f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'")
    try:
        service = Serving(tmp_path, 1883, postgres.url(name))
        (fault,) = [one for one in checked(load(service.config)) if one.level == "fault"]
        assert encoding in fault.text and "ENCODING 'UTF8'" in fault.hint
        found = Database(postgres.url(name))
        with pytest.raises(UnfitError, match=encoding):
            found.migrate()
        found.close()
        with pytest.raises(FieldwardenError, match=encoding) as told:  # the service ends, and says
            asyncio.run(prepare(load(service.config)))
        assert not isinstance(told.value, StoreError)
    finally:
        administer("postgres", f"DROP DATABASE {name}")


def test_what_the_database_will_not_let_it_do_is_known_before(tmp_path, postgres_url, administer):
    """Only read, too few connections, tables of another user, a clock that is hours off."""
    name = postgres_url.rpartition("/")[2]
    right = (service := Serving(tmp_path, 1883, postgres_url)).config.parent / "central.secret"
    secret = right.read_text(encoding="utf-8")
    config = service.config.read_text(encoding="utf-8").replace("fieldwarden@", "weak@")
    service.config.write_text(config, encoding="utf-8")

    def told():
        found = list(checked(load(service.config)))
        return [one for one in found if one.level != "ok"]

    administer(name, f"CREATE ROLE weak LOGIN PASSWORD '{secret}'",
               f'ALTER DATABASE "{name}" OWNER TO weak')  # fmt: skip
    try:
        (owned,) = [one for one in told() if "belong to another user" in one.text]
        assert owned.level == "fault" and "REASSIGN OWNED" in owned.hint
        administer(name, "ALTER ROLE weak SUPERUSER", "ALTER ROLE weak CONNECTION LIMIT 3")
        (few,) = told()
        assert "of 3 connections of the user" in few.text and "CONNECTION LIMIT" in few.hint
        administer(name, "ALTER ROLE weak CONNECTION LIMIT -1",
                   "ALTER ROLE weak SET default_transaction_read_only = on")  # fmt: skip
        (read,) = told()
        assert read.level == "fault" and "can only be read" in read.text
    finally:
        administer(name, f'ALTER DATABASE "{name}" OWNER TO fieldwarden', "DROP ROLE weak")


@pytest.mark.parametrize(("hours", "word"), [(-3, "ahead of"), (5, "behind")])
def test_a_clock_of_the_database_that_is_off_is_told(tmp_path, postgres_url, monkeypatch, hours,
                                                     word):  # fmt: skip
    """By which of the two, and how much."""
    real = clock.wall_ns
    monkeypatch.setattr(clock, "wall_ns", lambda: real() + hours * 3_600 * 10**9)
    service = Serving(tmp_path, 1883, postgres_url)
    (off,) = [one for one in checked(load(service.config)) if one.level != "ok"]
    assert word in off.text and "NTP" in off.hint


def test_options_of_the_other_mode_are_refused(tmp_path):
    """CONFIG says it itself; without CONFIG there is nothing to check."""
    service = Serving(tmp_path, 1883, f"sqlite:///{tmp_path}/central.db")
    found = CliRunner().invoke(cli, ["central", str(service.config), "--host", "x"])
    assert found.exit_code == 2 and "--host is not for CONFIG" in found.output
    found = CliRunner().invoke(cli, ["central", "--check"])
    assert found.exit_code == 2 and "need CONFIG" in found.output
