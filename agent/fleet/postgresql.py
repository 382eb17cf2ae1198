"""How PostgreSQL is spoken to: several hosts, a pooler in between, a server that went away.

- `database` may name several hosts, as libpq's URLs do (34.1.1.2 of its manual): whichever answers,
  and is what `target_session_attrs` asks for, is taken.
- a pooler such as PgBouncer, in transaction mode, gives each transaction another session of the
  server. So nothing here outlives a transaction but tables: settings are those of the transaction,
  locks too, statements are not prepared and temporary tables go with it. Without a pooler they are
  of the session, which costs less.
- a server that is gone without a goodbye, or a network that drops packets, is noticed by TCP.
- the password is read for each connection, so it may be changed while the service runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

DEFAULT_PORT: Final = "5432"
POOLED: Final = "fieldwarden_pooled"  # of a connection: a pooler stands between it and the server
_SETTINGS: Final = {
    "lock_timeout": "20s", "statement_timeout": "120s",
    "idle_in_transaction_session_timeout": "60s", "TimeZone": "UTC", "jit": "off",
}  # fmt: skip
_OPTIONS: Final = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
_LOCAL: Final = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items())
_REFUSED: Final = "unsupported startup parameter"  # PgBouncer's words for `options`
_TCP: Final = {
    "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}  # fmt: skip
_RECYCLE_S: Final = 1_800

Secret = Callable[[], str | None]


def parsed(url: str) -> URL:
    """A URL for psycopg; several hosts become what SQLAlchemy takes.

    Raises:
        ValueError: it is no URL.
        SQLAlchemyError: the same.
    """
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    if "," not in place:
        return make_url(url).set(drivername="postgresql+psycopg")
    hosts, ports = zip(*map(_host_and_port, place.split(",")), strict=True)
    more = urlencode({"host": ",".join(hosts), "port": ",".join(ports)}, quote_via=quote)
    query = "&".join(filter(None, (parts.query, more)))
    return make_url(f"postgresql+psycopg://{user}{at}{parts.path}?{query}")


def _host_and_port(text: str) -> tuple[str, str]:
    """Of ``host``, ``host:port``, ``[::1]:port``."""
    host, bracket, rest = text.rpartition("]")
    if bracket:
        return unquote(host.lstrip("[")), rest.lstrip(":") or DEFAULT_PORT
    host, _, port = text.partition(":")
    return unquote(host), port or DEFAULT_PORT


def engine(url: URL, pool_size: int, secret: Secret | None = None) -> Engine:
    """Connections to it.

    Args:
        url: from `parsed`.
        pool_size: connections at most, and two more.
        secret: gives the password for each connection; None: it is in the URL, if anywhere.
    """
    made = create_engine(
        url, pool_size=pool_size, max_overflow=2, pool_pre_ping=True, pool_recycle=_RECYCLE_S,
        # Whatever the database's own encoding is: texts come as such.
        connect_args={
            "connect_timeout": 10, "options": _OPTIONS, "client_encoding": "UTF8", **_TCP,
        },
    )  # fmt: skip

    @event.listens_for(made, "do_connect")
    def connect(dialect: Any, _record: Any, args: Any, parameters: dict[str, Any]) -> Any:
        if secret is not None and (given := secret()) is not None:
            parameters = {**parameters, "password": given}
        try:
            return dialect.connect(*args, **parameters)
        except dialect.loaded_dbapi.OperationalError as error:
            if _REFUSED not in str(error):
                raise
        return dialect.connect(*args, **{k: v for k, v in parameters.items() if k != "options"})

    @event.listens_for(made, "connect")
    def connected(connection: Any, record: Any) -> None:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        connection.rollback()
        if pid != connection.info.backend_pid:
            record.info[POOLED] = True
            connection.prepare_threshold = None

    @event.listens_for(made, "begin")
    def begun(connection: Connection) -> None:
        if connection.info.get(POOLED):
            connection.exec_driver_sql(_LOCAL)

    return made


def pooled(connection: Connection) -> bool:
    """Whether a pooler stands in between: what is of a session must not be relied on."""
    return bool(connection.info.get(POOLED))


def locked(connection: Connection, key: int, *, shared: bool = False) -> None:
    """Wait for an advisory lock, which is held until the transaction ends."""
    way = "_shared" if shared else ""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock{way}({key})")
