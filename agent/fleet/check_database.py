"""What `fieldwarden central CONFIG --check` finds at the database; it changes nothing there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, bindparam, inspect, text

from agent import clock
from agent.checking.item import Item, fault_of
from agent.checking.security import open_to_others
from agent.configuration import credentials
from agent.configuration.values import is_loopback
from agent.errors import FieldwardenError
from agent.fleet.columns import us_of
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.database import WHATEVER, Database, unfit
from agent.fleet.migrations.apply import newest
from agent.fleet.postgresql import pooled
from agent.fleet.schema import METADATA

SUBJECT: Final = "database"
_OF_EACH_PROCESS: Final = 6  # connections at most
_MANY_WORKERS: Final = 2  # more do not help SQLite
_CLOCK_S: Final = 60.0  # by which the database's clock may differ from this machine's
_NAMED: Final = 3  # tables of others that are named
_POOLER: Final = (
    "is reached through a pooler (as PgBouncer): session and transaction pooling will do, "
    "statement pooling will not; nothing is left in its sessions, which costs some speed"
)
_AWAY: Final = (
    "is the server there, does the database exist (CREATE DATABASE ...), and does pg_hba.conf let "
    "this user in from here?"
)


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
    reached = False
    try:
        with found.reading() as connection:
            reached = True
            ask = _ask_postgresql if configuration.is_postgresql else _ask_sqlite
            yield from ask(configuration, connection, configuration.database_name)
            yield from _tables(connection, configuration.database_name)
    except FieldwardenError as error:
        away = configuration.is_postgresql and not reached and error.hint == WHATEVER
        hint = _AWAY if away else error.hint
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
    if (why := unfit(connection)) is not None:
        yield Item("fault", SUBJECT, f"{name} {why[0]}", why[1])
    else:
        version = _one(connection, "SHOW server_version")
        yield Item("ok", SUBJECT, f"{name}: PostgreSQL {version}, and takes the login")
    yield from _rights(connection, name)
    yield from _owned(connection, name)
    yield from _encrypted(configuration, connection, name)
    if pooled(connection):
        yield Item("ok", SUBJECT, f"{name} {_POOLER}")
    yield from _connections(configuration, connection)
    yield from _clock(connection, name)
    scale = "SELECT installed_version FROM pg_available_extensions WHERE name = 'timescaledb'"
    if installed := connection.execute(text(scale)).scalar():
        yield Item("ok", SUBJECT, f"TimescaleDB {installed} is installed, and used")


def _rights(connection: Connection, name: str) -> Iterator[Item]:
    """Tables are made, and batches are gathered in temporary ones."""
    user = _one(connection, "SELECT current_user")
    create = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
    temporary = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"
    base = _one(connection, "SELECT current_database()")
    if _one(connection, "SHOW transaction_read_only") == "on":
        standby = _one(connection, "SELECT pg_is_in_recovery()")
        text_ = f"{name} can only be read{': the server is a standby' if standby else ''}"
        hint = "name the primary (?target_session_attrs=read-write finds it among several hosts)"
        reset = f'ALTER ROLE "{user}" RESET default_transaction_read_only, or of the database'
        yield Item("fault", SUBJECT, text_, hint if standby else reset)
    elif not _one(connection, create):
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
    driver: Any = connection.connection.driver_connection
    host = driver.info.host  # of several the one that answered; a pooler, where there is one
    away = bool(host) and not host.startswith("/") and not is_loopback(host)
    if secret and away and not driver.pgconn.ssl_in_use:
        text_ = f"the connection to {name} is not encrypted: anybody on the way can read it"
        yield Item("warning", SUBJECT, text_, "add ?sslmode=verify-full to the address")


def _owned(connection: Connection, name: str) -> Iterator[Item]:
    """Tables that somebody else owns can not be given partitions, nor be changed."""
    rows = connection.execute(text(
        "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v')"
        " AND c.relnamespace = to_regnamespace(current_schema()) AND c.relname IN :names"
        " AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1"
    ).bindparams(bindparam("names", expanding=True)), {"names": [*METADATA.tables]})  # fmt: skip
    if found := [row.relname for row in rows]:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        text_ = f"{name}: {', '.join(found[:_NAMED])}{more} belong to another user"
        hint = "as after a restore by another: REASSIGN OWNED, or restore with --no-owner as this"
        yield Item("fault", SUBJECT, text_, hint)


def _connections(configuration: FleetConfiguration, connection: Connection) -> Iterator[Item]:
    """Whether there are as many as are wanted: of the server, of the database and of the user."""
    wanted = _OF_EACH_PROCESS * (configuration.central.workers + 1)
    for of, most, used in connection.execute(text(_LIMITS)):
        if 0 <= most < used + wanted:
            text_ = f"{used} of {most} connections of the {of} are in use, and up to {wanted} more"
            hint = f"raise {'max_connections' if of == 'server' else 'CONNECTION LIMIT'} of it"
            yield Item("warning", SUBJECT, f"{text_} are wanted", hint)


_LIMITS: Final = (
    "SELECT 'server', current_setting('max_connections')::int"
    " - current_setting('superuser_reserved_connections')::int,"
    " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    " UNION ALL SELECT 'database', datconnlimit,"
    " (SELECT count(*) FROM pg_stat_activity a WHERE a.datname = d.datname)"
    " FROM pg_database d WHERE datname = current_database()"
    " UNION ALL SELECT 'user', rolconnlimit,"
    " (SELECT count(*) FROM pg_stat_activity a WHERE a.usename = r.rolname)"
    " FROM pg_roles r WHERE rolname = current_user"
)


def _clock(connection: Connection, name: str) -> Iterator[Item]:
    """It is the one that counts: what is valid, silent or old, is so by it."""
    there = us_of(_one(connection, "SELECT clock_timestamp()"))
    off_s = (there - clock.wall_ns() // 1_000) / 1e6
    if abs(off_s) > _CLOCK_S:
        way = "ahead of" if off_s > 0 else "behind"
        text_ = f"the clock of {name} is {abs(off_s):,.0f} s {way} this machine's"
        hint = "verdicts expire and old rows go by it: keep both by NTP"
        yield Item("warning", SUBJECT, text_, hint)


def _one(connection: Connection, statement: str) -> Any:
    return connection.execute(text(statement)).scalar_one()
