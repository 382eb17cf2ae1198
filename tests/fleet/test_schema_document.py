"""docs/central-schema.md says what the tables are."""

from __future__ import annotations

from pathlib import Path

from agent.fleet.described import document
from agent.fleet.schema import METADATA
from agent.fleet.views import COLUMNS

PAGE = Path(__file__).parent.parent.parent / "docs" / "central-schema.md"


def test_the_page_is_made_from_the_tables():
    """python -m agent.fleet.described > docs/central-schema.md."""
    assert PAGE.read_text(encoding="utf-8") == document()


def test_every_table_view_and_column_has_a_meaning():
    """A sentence each, for who has never seen the program."""
    told = document()
    for table in METADATA.tables.values():
        assert table.comment and f"### `{table.name}`: " in told
        assert all(column.comment for column in table.columns)
    assert all(f"### `{name}`: " in told for name in COLUMNS)
