"""The statements that make the tables and views of `agent.fleet.schema` from nothing.

python -m agent.fleet.statements    # writes those of the first migration anew
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from agent.fleet.schema import METADATA, PARTITIONED
from agent.fleet.views import views_of

_DIALECTS = {"postgresql": postgresql.dialect(), "sqlite": sqlite.dialect()}  # type: ignore[no-untyped-call]
FOLDER = Path(__file__).parent / "migrations" / "versions"


def statements_of(name: str) -> list[str]:
    """For one kind of database, in order."""
    dialect = _DIALECTS[name]
    made = []
    for table in METADATA.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        if name == "postgresql" and table.name in PARTITIONED:
            made.append(f"CREATE TABLE {table.name}_other PARTITION OF {table.name} DEFAULT")
        made += [
            str(CreateIndex(index).compile(dialect=dialect)).strip()
            for index in sorted(table.indexes, key=lambda one: str(one.name))
        ]
    return made + list(views_of(name).values())


def main() -> None:
    """Write the files of the first migration."""
    for name in _DIALECTS:
        text = "".join(f"{one};\n" for one in statements_of(name))
        lines = [line.rstrip() for line in text.splitlines()]
        (FOLDER / f"a0001_{name}.sql").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
