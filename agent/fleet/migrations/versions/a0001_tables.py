"""The first tables and views.

The statements are in a file for each kind of database, as they were when this was written:
`agent.fleet.schema` may have gone on since.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


_HYPERTABLES = {"event": "time", "summary": "start_at"}


def upgrade() -> None:
    """Make them; with TimescaleDB, where the database has it, its tables in place of partitions."""
    bind = op.get_bind()
    name = bind.dialect.name
    script = (Path(__file__).parent / f"a0001_{name}.sql").read_text(encoding="utf-8")
    timescale = name == "postgresql" and bind.exec_driver_sql(
        "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"
    ).first()
    for statement in script.split(";\n"):
        text = statement.strip()
        if timescale:
            text = "" if " PARTITION OF " in text else text.split("\n PARTITION BY ")[0]
        if text:
            bind.exec_driver_sql(text if name == "sqlite" else text.replace("%", "%%"))
    if timescale:
        for table, column in _HYPERTABLES.items():
            bind.exec_driver_sql(
                f"SELECT create_hypertable('{table}', '{column}',"
                " chunk_time_interval => INTERVAL '1 day', create_default_indexes => false)"
            )
