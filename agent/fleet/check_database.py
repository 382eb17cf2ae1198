"""What `fieldwarden central CONFIG --check` finds at the database; it changes nothing there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, inspect, text

from agent.checking.item import Item, fault_of
from agent.checking.security import open_to_others
from agent.configuration import credentials
from agent.configuration.values import is_loopback
from agent.errors import FieldwardenError
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.database import Database
from agent.fleet.migrations.apply import newest

SUBJECT: Final = "database"
LEAST_POSTGRESQL: Final = 150_000  # as the server numbers its version
_OF_EACH_PROCESS: Final = 6  # connections at most
_MANY_WORKERS: Final = 2  # more do not help SQLite


def database(configuration: FleetConfiguration) -> Iterator[Item]:
    """Whether it is there, of a version that will do, and lets this user do what is needed."""
    central = configuration.central
    yield from open_to_others(SUBJECT, central.database_password_file, "log in with it")
    if not configuration.is_postgresql:
        faults = list(_folder(configuration))
        yield from faults
        if any(item.level == "fault" for item in faults):
            return
        if not _file(configuration).exists():
            yield Item("ok", SUBJECT, f"{_file(configuration)} is made at the first start")
            return
    try:
        found = Database(configuration.database_url())
    except FieldwardenError as error:
        yield fault_of(SUBJECT, error)
        return
    try:
        with found.reading() as connection:
            ask = _ask_postgresql if configuration.is_postgresql else _ask_sqlite
            yield from ask(configuration, connection, configuration.database_name)
            yield from _tables(connection, configuration.database_name)
    except FieldwardenError as error:
        hint = error.hint
        if configuration.is_postgresql:
            hint = (
                "is the server there, does the database exist (CREATE DATABASE ...), and does "
                "pg_hba.conf let this user in from here?"
            )
        yield Item("fault", SUBJECT, f"{configuration.database_name}: {error.cause}", hint)
    finally:
        found.close()


def _tables(connection: Connection, name: str) -> Iterator[Item]:
    if not inspect(connection).has_table("alembic_version"):
        yield Item("ok", SUBJECT, f"{name} has no tables yet: they are made at the first start")
        return
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    last, known = newest()
    if found == last:
        yield Item("ok", SUBJECT, f"{name} has the tables of this version ({found})")
    elif found in known:
        text_ = f"{name} has tables of an earlier version ({found}), changed at the next start"
        yield Item("warning", SUBJECT, text_, "make a backup first: docs/central.md")
    else:
        text_ = f"{name} has tables of a newer version ({found}) than this program knows ({last})"
        yield Item("fault", SUBJECT, text_, "install the newer version again, or restore a backup")


# --- SQLite -----------------------------------------------------------------------------------


def _file(configuration: FleetConfiguration) -> Path:
    return Path(configuration.central.database.removeprefix("sqlite:///"))


def _folder(configuration: FleetConfiguration) -> Iterator[Item]:
    file = _file(configuration)
    present = next((one for one in (file.parent, *file.parent.parents) if one.exists()), file)
    if not present.is_dir() or not os.access(present, os.W_OK):
        hint = "make it writable for this user, or set state_directory under [central]"
        yield Item("fault", SUBJECT, f"{present} is not writable from here", hint)
    if configuration.central.workers > _MANY_WORKERS:
        text_ = f"{configuration.central.workers} workers share SQLite, which one writes at a time"
        yield Item("warning", SUBJECT, text_, "take 1 or 2 workers, or PostgreSQL")


def _ask_sqlite(_: FleetConfiguration, connection: Connection, name: str) -> Iterator[Item]:
    version = connection.execute(text("SELECT sqlite_version()")).scalar()
    yield Item("ok", SUBJECT, f"{name}: SQLite {version}")


# --- PostgreSQL -------------------------------------------------------------------------------


def _ask_postgresql(
    configuration: FleetConfiguration, connection: Connection, name: str
) -> Iterator[Item]:
    number = int(_one(connection, "SHOW server_version_num"))
    version = _one(connection, "SHOW server_version")
    if number < LEAST_POSTGRESQL:
        text_ = f"{name} is PostgreSQL {version}: 15 is the least that will do"
        yield Item("fault", SUBJECT, text_, "upgrade the server")
    else:
        yield Item("ok", SUBJECT, f"{name}: PostgreSQL {version}, and takes the login")
    yield from _rights(connection, name)
    yield from _encrypted(configuration, connection, name)
    yield from _connections(configuration, connection)
    scale = "SELECT installed_version FROM pg_available_extensions WHERE name = 'timescaledb'"
    if installed := connection.execute(text(scale)).scalar():
        yield Item("ok", SUBJECT, f"TimescaleDB {installed} is installed, and used")


def _rights(connection: Connection, name: str) -> Iterator[Item]:
    """Tables are made, and batches are gathered in temporary ones."""
    user = _one(connection, "SELECT current_user")
    create = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
    temporary = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"
    base = _one(connection, "SELECT current_database()")
    if not _one(connection, create):
        text_ = f"{user} may not make tables in {name}"
        yield Item("fault", SUBJECT, text_, f'ALTER DATABASE "{base}" OWNER TO "{user}"')
    elif not _one(connection, temporary):
        text_ = f"{user} may not make temporary tables in {name}"
        yield Item("fault", SUBJECT, text_, f'GRANT TEMPORARY ON DATABASE "{base}" TO "{user}"')
    else:
        yield Item("ok", SUBJECT, f"{user} may make tables, also temporary ones")


def _encrypted(
    configuration: FleetConfiguration, connection: Connection, name: str
) -> Iterator[Item]:
    secret = credentials.password(configuration.central.database_login)
    host = connection.engine.url.host or ""
    encrypted = _one(connection, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    if secret and not encrypted and host and not host.startswith("/") and not is_loopback(host):
        text_ = f"the connection to {name} is not encrypted: anybody on the way can read it"
        yield Item("warning", SUBJECT, text_, "add ?sslmode=verify-full to the address")


def _connections(configuration: FleetConfiguration, connection: Connection) -> Iterator[Item]:
    most = int(_one(connection, "SHOW max_connections"))
    used = int(_one(connection, "SELECT count(*) FROM pg_stat_activity"))
    wanted = _OF_EACH_PROCESS * (configuration.central.workers + 1)
    if used + wanted > most:
        text_ = f"{used} of {most} connections are in use, and up to {wanted} are wanted"
        yield Item("warning", SUBJECT, text_, "raise max_connections of the server")


def _one(connection: Connection, statement: str) -> Any:
    return connection.execute(text(statement)).scalar_one()
