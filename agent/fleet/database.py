"""The database of central: SQLite in one file, or PostgreSQL; opened, migrated, asked the time.

Its clock is the one clock of all workers.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from random import random
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from agent.errors import FieldwardenError, StoreError, UnfitError
from agent.fleet import postgresql
from agent.fleet.columns import added_exactly, moment_of
from agent.fleet.schema import REVISION
from agent.fleet.views import SQLITE

LEAST_POSTGRESQL: Final = 150_000  # as the server numbers its version
_POSTGRESQL: Final = ("postgresql", "postgres", "postgresql+psycopg")
_WRITES: Final = "fieldwarden_writes"
_LOCK: Final = 0x6669656C  # advisory lock of who migrates
_TRIES: Final = 8
_PAUSE_S: Final = 0.02
_AGAIN: Final = {"40001", "40P01", "55P03"}  # serialisation, deadlock, a lock not had in time
_CONTENT: Final = {"DataError", "IntegrityError", "ProgrammingError"}
_READ_ONLY: Final = "25006"  # the server, or where a name or a pooler leads, is no primary any more
_Got = TypeVar("_Got")


def unfit(connection: Connection) -> tuple[str, str] | None:
    """Why a PostgreSQL can not keep what gateways say, and what to do; None: it can."""
    version, encoding = connection.execute(text(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')"
    )).one()  # fmt: skip
    if version < LEAST_POSTGRESQL:
        told = f"is PostgreSQL {version // 10_000}: 15 is the least that will do"
        return told, "upgrade the server"
    if encoding != "UTF8":  # names and texts of gateways are of any script
        hint = "make it anew: CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8'"
        return f"has the encoding {encoding}, which does not hold every text", hint
    return None


class Database:
    """One database; safe to share between threads.

    Args:
        url: ``postgresql://USER@HOST/NAME``, ``sqlite:///FILE`` or the path of a file.
        secret: gives the password for each connection to PostgreSQL, where the URL has none.
        pool_size: connections at most.

    Raises:
        StoreError: no such database can be spoken to here.
    """

    def __init__(
        self, url: str, *, secret: postgresql.Secret | None = None, pool_size: int = 4
    ) -> None:
        self.url = _parsed(url)
        self._given = url
        self.sqlite = self.url.get_backend_name() == "sqlite"
        try:
            if self.sqlite:
                self.engine = _sqlite(self.url)
            else:
                self.engine = postgresql.engine(self.url, pool_size, secret)
        except (ImportError, NoSuchModuleError, SQLAlchemyError) as error:
            raise StoreError(
                "opening the database", self.name, str(error).splitlines()[0],
                'install the extra it needs: pip install "fieldwarden[postgres]"',
            ) from error
        self._driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error

    @property
    def name(self) -> str:
        """For people: without its password."""
        if self.sqlite:
            return self.url.render_as_string(hide_password=True)
        return re.sub(r"(://[^:@/]*):[^/]*@", r"\1:***@", self._given)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads.

        Raises:
            StoreError: the database is away, or refuses.
        """
        with self.failures("reading the database"), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: committed at its end, nothing of it where it raises.

        Raises:
            StoreError: the database is away, or refuses, or is of another version. Other errors
                of the driver, which are of what was to be written, come as they are.
        """
        options = self.engine.execution_options(**{_WRITES: True})
        with self.failures("writing the database"), options.begin() as connection:
            self._of_this_version(connection)
            yield connection

    def _of_this_version(self, connection: Connection) -> None:
        """A service that was not stopped for an upgrade must not write the tables of a newer one.

        Raises:
            UnfitError: another version changed them meanwhile, or nobody has made them.
        """
        if not self.sqlite:  # none is changed while this writes
            postgresql.locked(connection, _LOCK, shared=True)
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if found != REVISION:
            raise UnfitError(
                "writing the database", self.name, f"its tables are of version {found}, and this "
                f"program's are {REVISION}", "stop this service, and start the newer version",
            )  # fmt: skip

    def repeated(self, work: Callable[[Connection], _Got]) -> _Got:
        """`work` in a transaction that writes; anew, whole, where others stood in its way.

        Raises:
            StoreError: see `writing`.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self.writing() as connection:
                    return work(connection)
            except StoreError as error:
                if not left or not _in_the_way(error.__cause__):
                    raise
                time.sleep(_PAUSE_S * (_TRIES - left) * random())
        raise AssertionError("the last try returns or raises")

    @contextlib.contextmanager
    def failures(self, operation: str) -> Iterator[None]:
        """Errors of the database itself as `StoreError`; those of what it is given go through."""
        try:
            yield
        except (DBAPIError, self._driver_error) as error:
            if _of_content(error):
                raise
            if _state_of(error) == _READ_ONLY:
                self.engine.dispose()  # the next connections are made anew: perhaps to the primary
            lines = str(_driver_of(error)).strip().splitlines()
            cause = lines[0] if lines else type(error).__name__
            raise StoreError(operation, self.name, cause, _hint_of(error, cause)) from error
        except SQLAlchemyError as error:
            raise StoreError(operation, self.name, str(error).splitlines()[0]) from error
        except StoreError:
            raise
        except FieldwardenError as error:  # the password can not be had, now
            raise StoreError(error.operation, error.subject, error.cause, error.hint) from error

    def migrate(self) -> None:
        """Make the tables, or bring them to this version; by several processes at once too.

        Raises:
            StoreError: it can not be reached; `UnfitError`: no waiting mends it.
        """
        from agent.fleet.migrations.apply import upgrade  # noqa: PLC0415 - alembic is slow to load

        with self.failures("migrating the database"), self.engine.connect() as connection:
            if not self.sqlite:
                if (why := unfit(connection)) is not None:
                    raise UnfitError("migrating the database", self.name, *why)
                postgresql.locked(connection, _LOCK)  # until all of it is committed
            upgrade(connection, self.name)

    def now(self, connection: Connection | None = None) -> datetime:
        """The database's clock.

        Raises:
            StoreError: it can not be reached.
        """
        if connection is None:
            with self.reading() as own:
                return self.now(own)
        said = f"SELECT {SQLITE.now if self.sqlite else 'clock_timestamp()'}"
        got: Any = connection.exec_driver_sql(said.replace("%", "%%") if not self.sqlite else said
                                              ).scalar_one()  # fmt: skip
        return moment_of(got) if self.sqlite else got

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _parsed(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite", database=url)
    try:
        if url.partition("://")[0] in _POSTGRESQL:
            return postgresql.parsed(url)
        made = make_url(url)
    except (SQLAlchemyError, ValueError) as error:
        hint = "write it like postgresql://central@db.example:5432/name"
        raise StoreError("opening the database", "its URL", str(error), hint) from error
    if made.get_backend_name() != "sqlite":
        raise StoreError(
            "opening the database", made.render_as_string(hide_password=True),
            f"{made.get_backend_name()} is none that is known",
            "give postgresql://USER@HOST/NAME or the path of a file",
        )  # fmt: skip
    return made


def _sqlite(url: URL) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 20, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours
        connection.create_function("added_exactly", 2, added_exactly, deterministic=True)
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON",
                        "cache_size = -64000", "journal_size_limit = 64000000"):  # fmt: skip
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _driver_of(error: BaseException | None) -> BaseException | None:
    """What the driver itself raised."""
    return error.orig if isinstance(error, DBAPIError) else error


def _state_of(error: BaseException | None) -> str:
    """SQLSTATE; empty where the server said none."""
    return getattr(_driver_of(error), "sqlstate", None) or ""


def _of_content(error: BaseException) -> bool:
    """Whether what was written is at fault, and not the database, the disk or the way there."""
    if state := _state_of(error):
        return state[:2] in {"22", "23", "54"}
    return type(_driver_of(error)).__name__ in _CONTENT


WHATEVER: Final = "see that it is there and that its disk has room"
"""The hint where the cause tells no more."""

_HINTS: Final = (  # what is in the cause, or how the SQLSTATE begins
    (("53100", "No space left", "disk is full"),
     "make room on the disk of the database: gateways keep what they have until then"),
    (("statement pooling",), "set pool_mode = transaction (or session) for it in PgBouncer"),
    (("42P", "42703", "no such table", "no such column"),
     "are these central's tables, of this version? --check says so, and a start makes them"),
    (("not a database", "malformed"),
     "it is damaged, or no database: restore a backup (docs/central.md), or move it away"),
    (("25006", "readonly", "read-only"), "may this user write there? is the server a standby?"),
    (("42501", "permission denied"), "make this user the owner of the database"),
    (("53300", "too many", "remaining connection slots", "connection limit"),
     "raise the server's max_connections, or the CONNECTION LIMIT of user or database"),
    (("28", "3D", "authentication failed", "pg_hba.conf", "does not exist"),
     "see user, password and name of the database, and the server's pg_hba.conf"),
    (("40P01", "55P03", "40001"),
     "another program locks tables or rows of central's: see pg_locks for which, and end it"),
    (("57014",), "somebody cancelled it, or it took more than 120 s: what else is the server at?"),
    (("57P", "starting up", "shutting down", "recovery mode", "terminating connection"),
     "it ends, begins or recovers: wait for it, and see the server's log"),
)  # fmt: skip


def _hint_of(error: BaseException, cause: str) -> str:
    """What to do about what the database said."""
    state = _state_of(error)
    return next(
        (hint for words, hint in _HINTS if any(
            state.startswith(word) if word[0].isdigit() else word in cause for word in words
        )),
        WHATEVER,
    )  # fmt: skip


def _in_the_way(error: BaseException | None) -> bool:
    """Whether the same may succeed when it is tried again at once."""
    if _state_of(error) in _AGAIN:
        return True
    found = _driver_of(error)
    return type(found).__name__ == "OperationalError" and "locked" in str(found)
