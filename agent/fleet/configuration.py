"""The configuration of central as a service: one TOML file, every fault at once.

What it has in common with a gateway's is the same class: broker, page, people.
`configs/central.toml` shows every key; a test keeps the two together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, ValidationError

from agent.configuration import credentials
from agent.configuration.connection import Broker, Login, Served
from agent.configuration.draft import alone, explain, parse
from agent.configuration.people import Person
from agent.configuration.relay import Relays
from agent.configuration.rules import Fault, login_faults, people_faults, secret_faults
from agent.configuration.values import (
    Duration,
    FilePath,
    Listen,
    Section,
    TopicLevel,
    duration_ns,
)

POSTGRESQL: Final = "postgresql"
_WRITE_IT = (
    "write it like postgresql://central@db.example/fieldwarden or sqlite:///central.db; without "
    "the key it is a file in the state directory"
)

_BESIDE: Final = (
    "keep the user name there, and name the database_password_file, database_password_env or "
    "database_password_credential that holds the password"
)


def _database(value: str) -> str:
    if not value:
        return value
    parts = urlsplit(value)
    if parts.scheme == POSTGRESQL and parts.path.strip("/"):
        return value
    if parts.scheme == "sqlite" and value.startswith("sqlite:///") and parts.path.strip("/"):
        return value
    raise ValueError(f"{value!r} is no database that is known; {_WRITE_IT}")


class Central(Section):
    """`[central]`: who this service is, its database, its workers, how long it remembers."""

    name: TopicLevel = "central"  # of its workers at the broker: NAME-1, NAME-2, ...
    group: TopicLevel = "central"  # services of one group share the messages: one database
    state_directory: FilePath = ""  # default: $STATE_DIRECTORY, else ./state beside the file
    database: Annotated[str, AfterValidator(_database)] = ""  # default: SQLite, central.db there
    database_password_file: FilePath = ""  # a file that holds the password and nothing else
    database_password_env: str = ""  # the environment variable that holds it
    database_password_credential: str = ""  # the systemd credential (LoadCredential=) with it
    workers: int = Field(default=2, ge=1, le=64)  # processes that take messages in
    keep_events: Duration = duration_ns("90d")
    keep_summaries: Duration = duration_ns("30d")
    keep_totals: Duration = duration_ns("730d")

    @property
    def events_ns(self) -> int:
        """How long events are kept, in nanoseconds."""
        return self.keep_events

    @property
    def summaries_ns(self) -> int:
        """How long windows of summaries are kept, in nanoseconds."""
        return self.keep_summaries

    @property
    def totals_ns(self) -> int:
        """How long daily totals are kept, in nanoseconds."""
        return self.keep_totals

    @property
    def database_login(self) -> Login:
        """Where the password of the database is."""
        return Login(
            password_file=self.database_password_file, password_env=self.database_password_env,
            password_credential=self.database_password_credential,
        )  # fmt: skip


class Http(Served):
    """`[http]`: the fleet page, its API and metrics."""

    listen: Listen = "127.0.0.1:8687"


class FleetConfiguration(Section):
    """The whole file; `file` is where it was read from."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_number: Literal[1] = Field(alias="schema")
    central: Central = Central()
    broker: Broker
    http: Http = Http()
    people: dict[str, Person] = Field(default={}, max_length=256)  # who may see and act, by name
    relay: Relays = Field(default=[])  # webhooks that events of the gateways go on to

    _file: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Keep where the file is, for processes that read it again."""
        self._file = (context or {}).get("file")

    @property
    def file(self) -> Path | None:
        """The file that this was read from, None where a program made it."""
        return self._file

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is PostgreSQL; else it is SQLite."""
        return urlsplit(self.central.database).scheme == POSTGRESQL

    @property
    def database_name(self) -> str:
        """The database as people are told of it, without a password."""
        return self.central.database

    def database_url(self) -> str:
        """The database with its password, for `agent.fleet.database.Database`; never logged.

        Raises:
            FieldwardenError: the password can not be had.
        """
        secret = self.database_secret()
        if secret is None or not self.is_postgresql:
            return self.central.database
        parts = urlsplit(self.central.database)
        user, _, place = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}:{quote(secret, safe='')}@{place}"))

    def database_secret(self) -> str | None:
        """The password as it is now, which may be another one later; None where none is named.

        Raises:
            FieldwardenError: it can not be had.
        """
        return credentials.password(self.central.database_login)

    @property
    def client_ids(self) -> list[str]:
        """Names of the workers at the broker, where each has a session that is kept."""
        return [self.client_id(number) for number in range(1, self.central.workers + 1)]

    def client_id(self, number: int) -> str:
        """Name of one worker at the broker, from 1."""
        return f"{self.central.name}-{number}"


def load(path: Path | str) -> FleetConfiguration:
    """Read, validate and cross-check central's configuration; paths in it become absolute.

    Raises:
        ConfigurationError: the file is missing or has faults; all of them are in it.
    """
    file = Path(path)
    draft = parse(file)
    if "gateway" in draft.raw and "central" not in draft.raw:
        hint = f"run it: fieldwarden run {path}; central's begins like configs/central.toml"
        raise alone(file, "it is the configuration of a gateway, not of central", hint)
    _fill_in(draft.raw, file.resolve().parent)
    context = {"directory": file.resolve().parent, "file": file.resolve()}
    configuration = None
    try:
        configuration = FleetConfiguration.model_validate(draft.raw, context=context)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            explain(draft, details, FleetConfiguration, {})
    except (RecursionError, OverflowError, ValueError) as error:
        raise alone(file, str(error) or type(error).__name__, "see configs/central.toml") from None
    for path_, cause, hint in _faults(draft.raw):
        draft.fault(path_, cause, hint)
    if draft.faults or configuration is None:
        raise draft.error()
    return configuration


def _fill_in(raw: dict[str, Any], folder: Path) -> None:
    """The state directory, and where the file of SQLite is."""
    central = raw.setdefault("central", {})
    if not isinstance(central, dict):
        return
    of_unit = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    state = central.setdefault("state_directory", of_unit or "state")
    database = central.get("database", "")
    if not database and isinstance(state, str):
        central["database"] = f"sqlite:///{folder / state / 'central.db'}"
    elif isinstance(database, str) and database.startswith("sqlite:///"):
        name = database.removeprefix("sqlite:///")
        central["database"] = f"sqlite:///{folder / name}" if name else database


def _faults(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Between the parts of the file, on its raw tables."""
    if isinstance(broker := raw.get("broker"), Mapping):
        yield from login_faults(("broker",), broker)
    yield from people_faults(raw, "http")
    for path, cause, hint in secret_faults((), raw):
        told = _BESIDE if path == ("central", "database") else hint
        yield path, cause, told
    central = raw.get("central")
    if isinstance(central, Mapping):
        yield from _database_faults(central)


def _database_faults(central: Mapping[str, Any]) -> Iterator[Fault]:
    keys = [f"database_password_{place}" for place in ("file", "env", "credential")]
    places = [key for key in keys if central.get(key)]
    if len(places) > 1:
        cause = f"the password has {len(places)} places"
        yield ("central", places[1]), cause, "keep one of them"
    database = central.get("database")
    if not places or not isinstance(database, str):
        return
    parts = urlsplit(database)
    if parts.scheme != POSTGRESQL:
        yield ("central", places[0]), "SQLite has no password", "leave it out, or name PostgreSQL"
    elif not parts.username:
        cause = "a password needs a user name"
        yield ("central", "database"), cause, "write it like postgresql://central@db.example/name"
