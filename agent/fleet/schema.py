"""The tables of central's database; docs/central-schema.md is made from them.

Who writes them is `agent.fleet.ledger`, under a lock on the gateway's row; other tools may read all
of it, best through the views of `agent.fleet.views`. Times are UTC; those that a gateway told are
by its clock, those of `heard_at` and `expires_at` by the database's.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from agent.fleet.columns import Exact, Id, Json, Moment

METADATA: Final = MetaData()
REVISION: Final = "0001"  # the last of `agent.fleet.migrations`, whose loading takes a while
HOT: Final[dict[str, Any]] = {"postgresql_with": {"fillfactor": 60}}
"""Rows that are written again and again keep room for their next version on their own page."""


def _column(name: str, kind: Any, told: str, **more: Any) -> Column[Any]:
    more = {"nullable": False, **more}
    return Column(name, kind, comment=told, **more)


def _text(name: str, told: str, **more: Any) -> Column[Any]:
    return _column(name, Text, told, **{"server_default": "", **more})


def _count(name: str, told: str, **more: Any) -> Column[Any]:
    return _column(name, BigInteger, told, **{"server_default": text("0"), **more})


def _gateway(*, key: bool = True) -> Column[Any]:
    return Column(
        "gateway_id", BigInteger, ForeignKey("gateway.id", ondelete="CASCADE"),
        primary_key=key, nullable=False, autoincrement=False, comment="the gateway",
    )  # fmt: skip


def _said(*, key: bool = False) -> tuple[Column[Any], ...]:
    """Which run of which store, and the number of the message."""
    return (
        _column("store", Text, "id of the gateway's store", primary_key=key),
        _column("boot", BigInteger, "run of the agent on that store"),
        _column("seq", BigInteger, "number of the message in its stream of that run"),
    )


GATEWAY: Final = Table(
    "gateway", METADATA,
    Column("id", Id, primary_key=True, comment="number of the row"),
    _column("site", Text, "site"),
    _column("gateway", Text, "name within the site"),
    _text("store", "id of the store that counts: the one that spoke of itself last"),
    _column("boot", BigInteger, "run that `online` is of", nullable=True),
    _column("online", Boolean, "whether it is there; null: nobody said", nullable=True),
    _text("reason", "why it is there or not"),
    _column("since", Moment, "since when, by the gateway's clock", nullable=True),
    _text("time_quality", "how far its clock can be believed"),
    _text("version", "of the agent"),
    _column("heard_at", Moment, "when it was heard of last", nullable=True),
    _count("births", "how many runs have told that they began"),
    _text("contract_hash", "SHA-256 of the contract's terms; empty: none"),
    _text("contract_made", "when the contract was made, as told"),
    _count("held_tags", "tags whose samples count for nothing until somebody decides"),
    _count("open_changes", "changes upstream that nobody has decided on"),
    _column("changes", Json, "the worst of them, as told", server_default="[]"),
    _column("contract_said_at", Moment, "gateway's time of that", nullable=True),
    _column("contract_heard_at", Moment, "when that was heard", nullable=True),
    _column("promise", Json, "how its promise on false alarms stands, as told", nullable=True),
    _column("clash", Json, "stores alive under this one name", server_default="[]"),
    _column("clash_until", Moment, "until when that holds", nullable=True),
    _column("turns", Json, "who spoke when, which `clash` is found from", server_default="{}"),
    _text("life_store", "store heard of last"),
    _count("life_boot", "its run"),
    _count("life_turn", "number of the last change of those two"),
    _column("past", Json, "counts of runs no longer remembered", server_default="{}"),
    UniqueConstraint("site", "gateway"),
    comment="every gateway that was ever heard of", sqlite_autoincrement=True, **HOT,
)  # fmt: skip

PRESENCE: Final = Table(
    "presence", METADATA, _gateway(), *_said(key=True),
    _column("online", Boolean, "whether the agent is there"),
    _text("reason", "why it is there or not"),
    _column("since", Moment, "since when, by the gateway's clock", nullable=True),
    _text("version", "of the agent"),
    _column("heard_at", Moment, "when that was heard"),
    _column("contract", Json, "contract of its last birth", nullable=True),
    _column("promise", Json, "how its promise stands, of its last birth", nullable=True),
    comment="what was said last of each store being there", **HOT,
)  # fmt: skip

LIFE: Final = Table(
    "life", METADATA, _gateway(),
    _column("store", Text, "id of the store", primary_key=True),
    _column("boot", BigInteger, "run of the agent on it", primary_key=True, autoincrement=False),
    _column("birth", BigInteger, "order in which births came; null: none came", nullable=True),
    _count("turn", "order in which runs were heard of"),
    comment="the runs of each gateway whose numbers are remembered", **HOT,
)  # fmt: skip

MARK: Final = Table(
    "mark", METADATA, _gateway(),
    _column("store", Text, "id of the store", primary_key=True),
    _column("boot", BigInteger, "run of the agent on it", primary_key=True, autoincrement=False),
    _column("stream", Text, "event, summary, gap, verdict or state", primary_key=True),
    _text("received", "numbers that arrived or were covered: JSON [[first, last], ...]",
          server_default="[]"),
    _text("lost", "numbers that the gateway dropped", server_default="[]"),
    _text("earlier", "numbers that an earlier central acknowledged", server_default="[]"),
    _text("told", "ranges within which are some that the gateway dropped", server_default="[]"),
    _text("announced", "ranges within which the gateway still holds some", server_default="[]"),
    _count("count", "messages, each once"),
    _count("duplicates", "messages that had arrived before"),
    _count("missing", "numbers that nothing explains"),
    _count("awaited", "numbers announced that did not arrive yet"),
    comment="which numbers of each stream arrived: what every message is told apart by", **HOT,
)  # fmt: skip
Index("mark_open", MARK.c.gateway_id, postgresql_where=(MARK.c.missing > 0) | (MARK.c.awaited > 0),
      sqlite_where=(MARK.c.missing > 0) | (MARK.c.awaited > 0))  # fmt: skip

MODEL: Final = Table(
    "model", METADATA, _gateway(), *_said(key=True)[:1],
    _column("model", Text, "name of the model", primary_key=True),
    *_said()[1:],
    _text("version", "of the model"),
    _column("owner", Json, "who answers for it", nullable=True),
    _text("verdict", "as told: trusted, caution, untrusted or unassessable"),
    _column("since", Moment, "since when, by the gateway's clock", nullable=True),
    _column("reasons", Json, "why, as told", server_default="[]"),
    _text("text", "the reasons in one line"),
    _column("data", Json, "all that was told", server_default="{}"),
    _column("heard_at", Moment, "when that was heard"),
    _column("expires_at", Moment, "until when it may be believed"),
    _column("watched", Boolean, "whether it is in the gateway's configuration"),
    comment="what was told last of each model; what that is worth now is in model_now", **HOT,
)  # fmt: skip

CONDITION: Final = Table(
    "condition", METADATA, _gateway(), *_said(key=True)[:1],
    _column("id", Text, "id of the condition", primary_key=True),
    *_said()[1:],
    _column("open", Boolean, "not cleared yet"),
    _text("incident", "incident that it is part of"),
    _text("cause", "sensor, integration, process, model or unknown"),
    _text("text", "what a person is told"),
    _column("models", Json, "models that it touches", server_default="[]"),
    _column("raised_at", Moment, "when it was raised, by the gateway's clock", nullable=True),
    _column("data", Json, "all that was told", server_default="{}"),
    _column("heard_at", Moment, "when that was heard", nullable=True),
    comment="conditions as told last; those that have cleared keep no words", **HOT,
)  # fmt: skip
Index("condition_open", CONDITION.c.gateway_id, postgresql_where=CONDITION.c.open,
      sqlite_where=CONDITION.c.open)  # fmt: skip

REQUEST: Final = Table(
    "request", METADATA, _gateway(), *_said(key=True)[:1],
    _column("id", Text, "id of the request or trial", primary_key=True),
    *_said()[1:],
    _text("model", "model that it is for"),
    _text("state", "as told"),
    _column("open", Boolean, "somebody has to decide, to train or to wait"),
    _text("owner", "who has to"),
    _column("since", Moment, "since when, by the gateway's clock", nullable=True),
    _text("answers", "request that a trial is of"),
    _text("text", "what a person is told"),
    _text("hint", "what to do"),
    _column("criteria", Json, "why it is asked for", server_default="[]"),
    _column("data", Json, "all that was told", server_default="{}"),
    _column("heard_at", Moment, "when that was heard", nullable=True),
    comment="retraining requests and trials as told last", **HOT,
)  # fmt: skip
Index("request_open", REQUEST.c.gateway_id, postgresql_where=REQUEST.c.open,
      sqlite_where=REQUEST.c.open)  # fmt: skip

SERIES: Final = Table(
    "series", METADATA,
    Column("id", Id, primary_key=True, comment="number of the row"),
    _gateway(key=False),
    _column("model", Text, "name of the model"),
    _column("tag", Text, "input, or output that has labels"),
    _column("baseline", Text, "baseline that it is measured against"),
    _column("centre", Double, "of the baseline, in `unit`"),
    _column("scale", Double, "one standard deviation of the baseline, in `unit`"),
    _text("unit", "of the tag"),
    _column("per_hour", Boolean, "a counter: what is summed is how far it goes in an hour"),
    UniqueConstraint("gateway_id", "model", "tag", "baseline", "centre", "scale"),
    comment="what summaries are of; sums count 1/1024 of `scale`, from `centre`",
    sqlite_autoincrement=True,  # a worker remembers numbers: none is given twice
)  # fmt: skip

_SUMS = (
    _count("count", "samples"),
    _count("good", "samples of good quality"),
    _column("sum", Exact, "of good samples, in 1/1024 standard deviations", server_default="0"),
    _column("sum_sq", Exact, "of their squares", server_default="0"),
    _column("min", BigInteger, "least good sample; null: none was good", nullable=True),
    _column("max", BigInteger, "greatest good sample", nullable=True),
    _count("scans", "scans in which it was known"),
    _count("extrapolating", "scans with it outside of training"),
    _count("jointly", "scans with the model's inputs far from training together"),
)


def _sums() -> tuple[Column[Any], ...]:
    return tuple(column._copy() for column in _SUMS)  # noqa: SLF001 - SQLAlchemy's way to copy one


SUMMARY: Final = Table(
    "summary", METADATA,
    _column("start_at", Moment, "begin of the window"),
    _column("end_at", Moment, "its end"),
    _column("series_id", BigInteger, "what it is of (series.id)"),
    _column("gateway_id", BigInteger, "who told it (gateway.id)"),
    *_said(), *_sums(),
    _column("histogram", Json, "good samples by bin of the baseline"),
    _column("losses", Json, "of an output: what its labels add up to", nullable=True),
    _column("heard_at", Moment, "when it was heard"),
    Index("summary_series", "series_id", "start_at"),
    Index("summary_message", "gateway_id", "seq"),
    Index("summary_time", "start_at", postgresql_using="brin"),
    postgresql_partition_by="RANGE (start_at)",
    comment="windows of inputs, exact and additive; a coarse one has replaced those it covers",
)  # fmt: skip

TOTAL: Final = Table(
    "total", METADATA,
    _column("series_id", BigInteger, "what it is of (series.id)", primary_key=True,
            autoincrement=False),
    _column("day", Date, "UTC day in which the windows began", primary_key=True),
    _count("windows", "how many"),
    *_sums(),
    comment="windows added up by day; kept longer than they are", **HOT,
)  # fmt: skip

EVENT: Final = Table(
    "event", METADATA,
    _column("time", Moment, "when it became true, by the gateway's clock"),
    _column("gateway_id", BigInteger, "who told it (gateway.id)"),
    *_said(),
    _text("kind", "finding, condition, verdict, source, ..."),
    _text("subject", "gateway, model/NAME, tag/NAME or source/NAME"),
    _column("historical", Boolean, "older than 60 s when it was sent"),
    _column("data", Json, "by kind, see docs/asyncapi.yaml"),
    _column("heard_at", Moment, "when it was heard"),
    Index("event_gateway", "gateway_id", "time"),
    Index("event_time", "time", postgresql_using="brin"),
    postgresql_partition_by="RANGE (time)",
    comment="what happened; its CloudEvents id is STORE-BOOT-SEQ",
)  # fmt: skip
GAP: Final = Table(
    "gap", METADATA, _gateway(),
    _column("store", Text, "id of the store", primary_key=True),
    _column("boot", BigInteger, "run whose numbers they are", primary_key=True,
            autoincrement=False),
    _column("of", Text, "event or summary", primary_key=True),
    _column("reason", Text, "why the gateway dropped them", primary_key=True),
    _text("ranges", "of numbers: JSON [[first, last], ...]", server_default="[]"),
    _count("count", "how many of them"),
    _column("told_at", Moment, "when that was heard last"),
    comment="numbers that a gateway dropped and central will never have",
)  # fmt: skip

RELAY: Final = Table(
    "relay", METADATA,
    Column("id", Id, primary_key=True, comment="number of the row"),
    _column("target", Text, "relay of the configuration"),
    _column("name", Text, "id of the delivery: SOURCE/ID"),
    _column("payload", LargeBinary, "CloudEvent as it came"),
    _column("queued_at", Moment, "when it was queued"),
    _text("why", "empty: waits; else a dead letter, and why"),
    Index("relay_waiting", "target", "why", "id"),
    comment="events on their way to webhooks", sqlite_autoincrement=True,
)  # fmt: skip

RELAY_TARGET: Final = Table(
    "relay_target", METADATA,
    _column("target", Text, "relay of the configuration", primary_key=True),
    _text("holder", "process that sends"),
    _column("until", Moment, "until when it has the right to", nullable=True),
    _count("attempts", "in vain, of the first one that waits"),
    _column("next_at", Moment, "when the next attempt is due", nullable=True),
    _text("trouble", "what the last attempt met"),
    _count("delivered", "events"),
    _text("dropped", "counts by reason, JSON", server_default="{}"),
    comment="how each relay gets on",
)  # fmt: skip

WORKER: Final = Table(
    "worker", METADATA,
    _column("name", Text, "client id on the broker", primary_key=True),
    _column("heard_at", Moment, "its last sign of life"),
    _count("rows", "written since it began"),
    _count("messages", "that were new since it began"),
    _count("duplicates", "dropped since it began"),
    _count("unreadable", "dropped since it began"),
    _text("trouble", "what keeps it from storing"),
    comment="the processes that write this database", **HOT,
)  # fmt: skip

HORIZON: Final = Table(
    "horizon", METADATA,
    _column("of", Text, "event, summary or total", primary_key=True),
    _column("kept_from", Moment, "older rows were deleted"),
    comment="how far back rows reach",
)  # fmt: skip

PARTITIONED: Final = {"event": "time", "summary": "start_at"}
"""Tables in daily partitions on PostgreSQL, and the column they are cut by."""
