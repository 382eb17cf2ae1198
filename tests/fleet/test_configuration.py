"""Central's configuration: every key shown, every fault told at once, secrets kept out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from agent.configuration.connection import Broker
from agent.configuration.people import Person
from agent.configuration.relay import Relay
from agent.errors import ConfigurationError, FieldwardenError
from agent.fleet import configuration
from agent.fleet.configuration import FleetConfiguration, load

SAMPLE = Path(__file__).parents[2] / "configs" / "central.toml"
LEAST = 'schema = 1\n[broker]\nhost = "broker.example"\n'
TABLES = {
    "central": configuration.Central, "broker": Broker, "http": configuration.Http,
    "people": Person, "relay": Relay,
}  # fmt: skip


def written(tmp_path, text):
    path = tmp_path / "central.toml"
    path.write_text(text, encoding="utf-8")
    return path


def told(path):
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return str(caught.value)


def test_the_sample_loads_as_it_is_and_with_every_key_that_is_commented_out():
    """What people copy is right, also where they take a `#` away."""
    load(SAMPLE)
    text = SAMPLE.read_text(encoding="utf-8")
    keys = set(re.findall(r"^#? ?(\w+) = ", text, re.MULTILINE))
    alone = {"ca", "certificate", "private_key", "username", "listen"}
    for key in alone & keys:
        assert re.search(rf"^(# )?{key} = ", text, re.MULTILINE)


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_in_the_sample(table):
    """A key without a line there is a key that nobody knows of."""
    text = SAMPLE.read_text(encoding="utf-8")
    part = re.split(r"^#? ?\[+", text, flags=re.MULTILINE)
    (mine,) = [one for one in part if one.startswith((f"{table}]", f"{table}."))]
    shown = set(re.findall(r"^#? ?(\w+) = ", mine, re.MULTILINE))
    keys = set(TABLES[table].model_fields)
    if table == "people":  # the rest is in configs/reference.toml
        keys = {"role", "token_sha256"}
    assert keys <= shown


def test_the_defaults_that_the_sample_states_are_true():
    """`# default: x` behind a key is what the model says, in the file's own notation."""
    stated, table = 0, ""
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"(?:# )?\[+(\w+)\]", line):
            table = match[1]
        if match := re.match(
            r"(?:# )?(\w+) = .*# default: (\S+?|\"[^\"]*\"|\[[^]]*\])(?:;|$)", line
        ):
            stated += 1
            wanted = tomllib.loads(f"x = {match[2]}")["x"]
            default = TABLES[table].model_fields[match[1]].default
            if isinstance(default, int) and isinstance(wanted, str):
                wanted = configuration.duration_ns(wanted)
            assert default == wanted, match[1]
    assert stated == 14


def test_a_broker_is_enough_and_the_rest_goes_without_saying(tmp_path, monkeypatch):
    """SQLite beside the file, or where systemd says; two workers with names of their own."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    found = load(written(tmp_path, LEAST))
    assert found.database_url() == f"sqlite:///{tmp_path / 'state' / 'central.db'}"
    assert found.client_ids == ["central-1", "central-2"]
    assert not found.is_postgresql and found.http.address == ("127.0.0.1", 8687)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/fieldwarden-central:/other")
    found = load(written(tmp_path, LEAST))
    assert found.database_url() == "sqlite:////var/lib/fieldwarden-central/central.db"


def test_the_password_of_the_database_is_never_in_what_is_shown(tmp_path, monkeypatch):
    """It comes from its own place, and into the address only where the database is opened."""
    monkeypatch.setenv("SECRET", "a/b@c:d")
    database = 'database = "postgresql://central@db.example:5433/fleet?sslmode=require"\n'
    place = 'database_password_env = "SECRET"\n'
    found = load(written(tmp_path, f"{LEAST}[central]\n{database}{place}"))
    wanted = "postgresql://central:a%2Fb%40c%3Ad@db.example:5433/fleet?sslmode=require"
    assert found.database_url() == wanted
    assert "a/b" not in repr(found) and "%2F" not in repr(found)
    monkeypatch.delenv("SECRET")
    with pytest.raises(FieldwardenError, match="SECRET"):
        found.database_url()


FAULTS = [
    ('[central]\ndatabase = "mysql://x/y"\n', "no database that is known; write it like"),
    ('[central]\ndatabase = "postgresql://central@db.example"\n', "no database that is known"),
    ('[central]\ndatabase = "postgresql://c:pw@db.example/x"\n', "database_password_file"),
    ('[central]\ndatabase_password_env = "X"\n', "SQLite has no password"),
    ("[central]\nworker = 3\n", "did you mean 'workers'?"),
    ("[central]\nworkers = 0\n", "central.workers"),
    ('[central]\nname = "a/b"\n', "becomes part of MQTT topics"),
    ("[central]\nkeep_events = 7\n", "has no unit"),
    ('[http]\ncertificate = "x.pem"\n', "TLS needs both certificate and private_key"),
    ('[http]\nlisten = "0.0.0.0:80"\n[people.M]\ntoken_env = "T"\n', "without TLS a token is read"),
    ('[gateway]\nsite = "north"\n', "gateway: unknown key"),
    ('[[relay]]\nname = "d"\nurl = "https://d.example"\nevents = ["x"]\n',
     "relay[0].events[0]: 'x' is none of finding, condition, verdict, "),
]


@pytest.mark.parametrize(("text", "cause"), FAULTS)
def test_a_fault_is_told_with_file_line_and_what_to_do(tmp_path, text, cause):
    """In the words of a gateway's configuration; no password is repeated."""
    central = "" if "[central]" in text else "[central]\n"
    found = told(written(tmp_path, f"{LEAST}{central}{text}"))
    assert cause in found
    assert re.search(r"central\.toml:\d+: ", found) and "c:pw" not in found


def test_all_faults_come_at_once_and_a_gateways_file_is_known_as_one(tmp_path):
    """Nobody mends a file one fault at a time."""
    text = 'schema = 1\n[central]\nworker = 1\n[broker]\nhst = "x"\nca = "y"\n'
    assert "4 faults" in told(written(tmp_path, text))
    gateway = 'schema = 1\n[gateway]\nsite = "north"\n'
    assert "the configuration of a gateway" in told(written(tmp_path, gateway))


def test_a_configuration_made_by_a_program_needs_no_file():
    """Tests and benchmarks make theirs."""
    made = FleetConfiguration(schema=1, broker=Broker(host="127.0.0.1"))
    assert made.file is None and made.central.workers == 2


def test_relays_have_queues_of_their_own(tmp_path):
    """Two of one name would share one; an address that is not encrypted is refused."""
    relay = '[[relay]]\nname = "desk"\nurl = "https://desk.example/"\n'
    assert load(written(tmp_path, LEAST + relay)).relay[0].events == [
        "condition", "retraining", "change",
    ]  # fmt: skip
    assert "'desk' names two targets" in told(written(tmp_path, LEAST + relay + relay))
    plain = relay.replace("https", "http")
    assert "is not encrypted" in told(written(tmp_path, LEAST + plain))
