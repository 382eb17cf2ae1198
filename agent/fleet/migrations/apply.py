"""Brings a database to this version of the tables, with alembic and without a file of its own."""

from __future__ import annotations

from pathlib import Path

from alembic.command import upgrade as alembic_upgrade
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from agent.errors import UnfitError

FOLDER = Path(__file__).parent


def newest() -> tuple[str, frozenset[str]]:
    """The latest revision of the tables that this version knows, and all that it knows."""
    script = ScriptDirectory(str(FOLDER))
    return str(script.get_current_head()), frozenset(
        one.revision for one in script.walk_revisions()
    )


def upgrade(connection: Connection, name: str) -> None:
    """Make or change the tables; `name` is the database's, for people.

    Raises:
        UnfitError: a newer version made it.
    """
    configuration = Config()
    configuration.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    try:
        alembic_upgrade(configuration, "head")
    except CommandError as error:
        raise UnfitError(
            "migrating the database", name, str(error),
            "a newer version may have made it: install that version again",
        ) from error
