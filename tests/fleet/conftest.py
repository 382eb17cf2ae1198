"""Both databases for every test of central as a service.

PostgreSQL is a server of the tests' own, one for each process that runs them; each test gets a
database of its own, copied from one that was migrated once.
"""

from __future__ import annotations

import itertools
import os

import pytest
from sqlalchemy import create_engine, text

from agent.fleet.database import Database
from simulators.postgres import Postgres, programs
from tests.programs import why_not

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; skipped with a reason where it is not installed."""
    if programs() is None:
        pytest.skip(why_not("initdb"))
    with Postgres() as server:
        _administer(server, "CREATE DATABASE template_fieldwarden")
        made = Database(server.url("template_fieldwarden"))
        made.migrate()
        made.close()
        yield server


def _administer(server, statement):
    url = server.url().replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def postgres_url(postgres):
    """URL of a PostgreSQL database that has the tables."""
    name = f"test_{os.getpid()}_{next(_NUMBERS)}"
    _administer(postgres, f"CREATE DATABASE {name} TEMPLATE template_fieldwarden")
    yield postgres.url(name)
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """URL of a database that has the tables, of each kind."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    url = f"sqlite:///{tmp_path}/central.db"
    made = Database(url)
    made.migrate()
    made.close()
    return url


@pytest.fixture
def database(database_url):
    """A database that has the tables, of each kind."""
    found = Database(database_url)
    yield found
    found.close()
