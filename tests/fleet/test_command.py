"""`fieldwarden fleet`: from central's database, and from its page."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.people import Person
from agent.errors import StoreError
from agent.fleet import reading
from agent.fleet.configuration import load
from agent.fleet.database import Database
from agent.fleet.web import FleetServer, serve
from simulators.fleet_seed import Seed, fill
from simulators.ports import free_port
from tests.waiting import PATIENCE_S

TOKEN = "a-token-of-mara"


@pytest.fixture
def central(tmp_path):
    """A configuration whose database has 30 gateways, 10 of them in trouble."""
    path = tmp_path / "central.toml"
    path.write_text(
        f'schema = 1\n[central]\ndatabase = "sqlite:///{tmp_path}/central.db"\n'
        '[broker]\nhost = "127.0.0.1"\n', encoding="utf-8",
    )  # fmt: skip
    return path


@pytest.fixture
def filled(central, tmp_path):
    database = Database(f"sqlite:///{tmp_path}/central.db")
    database.migrate()
    fill(database, Seed(30, 10))
    yield database
    database.close()


@contextmanager
def page(database):
    """Its page, in a thread of its own, for those who have the token."""
    ready, ended = threading.Event(), asyncio.Event()
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    server = FleetServer("127.0.0.1:0", database, {"Mara": Person(token_sha256=digest)})
    loop = asyncio.new_event_loop()

    async def serve():
        await server.start()
        ready.set()
        await ended.wait()
        await server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield server.url
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(PATIENCE_S)
        loop.close()


def run(*words, **env):
    return CliRunner().invoke(cli, ["fleet", *map(str, words)], env=env)


def told(*words, **env):
    result = run(*words, "--json", **env)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_database_and_page_tell_the_same_by_the_same_words(central, filled):
    """All of it, and what is chosen of it."""
    with page(filled) as url:
        for words in ((), ("--only", "untrusted"), ("--site", "north"), ("--search", "energy"),
                      ("--only", "caution", "--only", "unassessable")):  # fmt: skip
            one = told(central, *words)
            other = told(url, "--token-env", "MARA", *words, MARA=TOKEN)
            named = [(each["site"], each["gateway"]) for each in one["gateways"]]
            assert named == [(each["site"], each["gateway"]) for each in other["gateways"]]
            assert one["total"] == len(named) > 0
            for each, same in zip(one["gateways"], other["gateways"], strict=True):
                verdicts = [(model["model"], model["verdict"]) for model in each["models"]]
                assert verdicts == [(model["model"], model["verdict"]) for model in same["models"]]
        result = run(url)
        assert result.exit_code == 1 and "--token-file" in result.output
    result = run(url)
    assert result.exit_code == 1 and "is central running there" in result.output


def test_a_table_for_people_has_the_worst_first_and_all_of_them_in_a_pipe(central, filled):
    """A pipe has no height."""
    result = run(central)
    assert result.exit_code == 0
    assert "30 gateways" in result.output and "more, " not in result.output
    only = run(central, "--only", "untrusted").output
    assert "caution" not in only.splitlines()[-3]
    assert only.count("untrusted") > 2


def test_a_database_that_is_not_there_is_told(central):
    """With what makes it."""
    result = run(central)
    assert result.exit_code == 1 and "fieldwarden central" in result.output


def test_watching_goes_on_where_the_database_is_away_for_a_while_and_a_pipe_gets_each(
    central, filled, monkeypatch
):
    """Whoever left it on a wall finds it right again; only the first try may say what is wrong."""
    real, turn = reading.of_database, [0]

    def of_database(config):
        read = real(config)

        def sometimes(asked):
            if turn[0] in {1, 4}:
                raise StoreError("reading", "the database", "it is away")
            return read(asked)

        return sometimes

    def sleep(_seconds):
        turn[0] += 1
        if turn[0] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(reading, "of_database", of_database)
    monkeypatch.setattr(time, "sleep", sleep)
    result = run(central, "--watch")
    assert result.exit_code == 0
    assert result.output.count("30 gateways") == 2
    assert result.output.count("it is tried again") == 1
    turn[0] = 4
    result = run(central, "--watch")
    assert result.exit_code == 1 and "it is away" in result.output


@pytest.mark.parametrize(
    "url", ["ftp://central", "http://", "http://[::1", "http://central:x", "http://a b",
            "https://\x1b[2J", "http://127.0.0.1:0", "http://127.0.0.1:99999", "://"],
)  # fmt: skip
def test_an_address_that_is_none_is_told_in_words(url):
    """What is mistyped is no fault of the program."""
    result = run(url)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "write it like https://central.example:8687" in result.output
    assert result.output.replace("\n", "").isprintable()


def certificate_for(folder):
    """(certificate, key) of 127.0.0.1, which nobody but itself vouches for."""
    certificate, key = folder / "page.pem", folder / "page.key"
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=central",
             "-addext", "subjectAltName=IP:127.0.0.1"]  # fmt: skip
    command = ["openssl", "req", *words, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_a_configured_page_is_served_over_tls_and_read_by_who_trusts_it(central, filled, tmp_path):
    """`serve` as the service calls it; an authority that does not know it is told so."""
    certificate, key = certificate_for(tmp_path)
    port = free_port()
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    with central.open("a", encoding="utf-8") as file:
        file.write(
            f'[http]\nlisten = "127.0.0.1:{port}"\ncertificate = "{certificate}"\n'
            f'private_key = "{key}"\n[people."Mara"]\nrole = "central operations"\n'
            f'token_sha256 = "{digest}"\n'
        )
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    served = serve(load(central), filled, stop)
    thread = threading.Thread(target=loop.run_until_complete, args=(served,))
    thread.start()
    try:
        address = f"https://127.0.0.1:{port}"
        token = tmp_path / "token"
        token.write_text(TOKEN, encoding="utf-8")
        words = (address, "--token-file", token)
        assert answered(address, certificate) == 401
        assert told(*words, "--ca", certificate)["fleet"]["gateways"] == 30
        result = run(*words)
        assert result.exit_code == 1 and "certificate by --ca" in result.output
        token.write_text("of-somebody-else", encoding="utf-8")
        result = run(*words, "--ca", certificate)
        assert result.exit_code == 1 and "nobody's there" in result.output
        result = run(address.replace("https", "http"))
        assert result.exit_code == 1 and "http or https" in result.output
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        loop.close()


def answered(address, authority):
    """The status of the answer to somebody without a token, once there is one."""
    context, deadline = ssl.create_default_context(cafile=authority), time.monotonic() + PATIENCE_S
    while True:
        try:
            with urlopen(f"{address}/api/v1/fleet", context=context, timeout=5) as answer:
                return answer.status
        except HTTPError as error:
            return error.code
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
