"""Types of columns that mean the same on PostgreSQL and on SQLite."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, Numeric
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
LATEST_US = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // _US
"""No time is later: neither Python's calendar nor what reads the database goes further."""


def moment_of(us: int) -> datetime:
    """The time of `us` microseconds since 1970, UTC."""
    return EPOCH + timedelta(microseconds=us)


def us_of(moment: datetime) -> int:
    """Microseconds since 1970 of a time with a zone."""
    return (moment - EPOCH) // _US


class Moment(TypeDecorator[datetime]):
    """A time: `timestamptz` on PostgreSQL, microseconds since 1970 (UTC) on SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type."""
        return dialect.type_descriptor(
            BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True)
        )

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """From a time with a zone."""
        return value if value is None or dialect.name != "sqlite" else us_of(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """To a time in UTC."""
        if value is None:
            return None
        return moment_of(value) if dialect.name == "sqlite" else value.astimezone(UTC)


class _Untyped(UserDefinedType[Any]):
    """A column of SQLite that keeps what it is given: BLOB is its word for no affinity."""

    cache_ok = True

    def get_col_spec(self, **_more: Any) -> str:
        """As in CREATE TABLE."""
        return "BLOB"


class Exact(TypeDecorator[int]):
    """A whole number of any size: NUMERIC on PostgreSQL; on SQLite INTEGER, beyond 64 bits TEXT."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type."""
        return dialect.type_descriptor(_Untyped() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """From a whole number."""
        return value if value is None or dialect.name != "sqlite" else stored_exactly(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002
        """To a whole number."""
        return None if value is None else int(value)


def stored_exactly(value: int) -> int | str:
    """A whole number as SQLite keeps it without rounding."""
    return value if -(2**63) <= value < 2**63 else str(value)


def added_exactly(one: int | str | None, other: int | str | None) -> int | str:
    """The sum of two that `stored_exactly` wrote; SQLite's own is a float beyond 64 bits."""
    return stored_exactly(int(one or 0) + int(other or 0))


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Id = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts by itself there
