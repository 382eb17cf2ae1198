"""How many bytes a day go to central ops: typical messages are made, put on the wire and counted.

Counted are the payloads, MQTT's own bytes and TCP/IP's, both ways, without TLS. An alarm more or
less a day changes nothing at this scale; an outage adds what it holds up, not more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.configuration.schema import Configuration, Model
from agent.core.kernels.tally import BINS, UNITS_PER_SD
from agent.core.seen import Seen
from agent.core.summary import summary_of
from agent.forward import FORMS, Identity, PayloadForm
from agent.runtime.errors_told import in_short
from agent.runtime.outgoing import REFRESH_NS, VALID_NS
from agent.store import OutboxMessage
from agent.store.reader import OutboxRow
from agent.types import Event

_DAY_NS = 86_400 * 1_000_000_000
_SECOND_NS = 1_000_000_000
_OVERHEAD_BYTES = 2 * 52 + 12 + 4  # TCP/IP of a message and of its PUBACK, MQTT's headers
_EVENTS_A_DAY = 50  # of all models: a bad day; condition, verdict and source events
_TYPICAL_TIME_NS = 1_800_000_000_123_456_789  # as many digits as the years to come need
_TYPICAL_SEQUENCE = 100_000
_TYPICAL_UPTIME_NS = 10_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class UplinkSize:
    """Bytes a day, by what they are for."""

    summaries: int
    verdicts: int
    events: int

    @property
    def total(self) -> int:
        """Bytes a day altogether."""
        return self.summaries + self.verdicts + self.events


def bytes_per_day(configuration: Configuration) -> UplinkSize:
    """What the forwarder would send in a normal day."""
    if configuration.upstream is None:
        return UplinkSize(0, 0, 0)
    form = FORMS[configuration.upstream.format]
    windows = _DAY_NS / configuration.gateway.summary
    rng = np.random.default_rng(0)  # any sample of typical values will do
    summaries = verdicts = 0.0
    for name, model in configuration.models.items():
        signals = (*model.inputs, *model.outputs)  # an output may come by the API, without a tag
        known = [tag for tag in signals if tag in configuration.tags]
        made = [_summary(configuration, name, tag, rng) for tag in known]
        messages = form.summary_messages(made)
        summaries += windows * sum(_size(configuration, form, each) for each in messages)
        verdict = _size(configuration, form, _verdict(form, name, model))
        verdicts += _DAY_NS / REFRESH_NS * verdict
    events = _EVENTS_A_DAY * _size(configuration, form, _event(configuration, form))
    return UplinkSize(round(summaries), round(verdicts), round(events))


def _size(configuration: Configuration, form: PayloadForm, message: OutboxMessage) -> int:
    gateway = configuration.gateway
    sender = Identity(gateway.site, gateway.name, "0123456789abcdef")
    row = OutboxRow(
        id=1,
        boot=10,
        stream=message.stream,
        seq=_TYPICAL_SEQUENCE,
        topic=message.topic,
        payload=message.payload,
        time_ns=message.time_ns,
        retain=message.retain,
        expiry_s=message.expiry_s,
        covers=[],
    )
    sent = form.wire(row, sender, message.time_ns)
    return len(sent.payload) + len(sent.topic.encode()) + _OVERHEAD_BYTES


def _summary(
    configuration: Configuration, name: str, tag: str, rng: np.random.Generator
) -> dict[str, Any]:
    settings = configuration.tags[tag]
    every = configuration.sources[settings.source].interval_ns or _SECOND_NS
    window = configuration.gateway.summary
    count = max(1, window // (settings.interval or every))
    counts: Mapping[str, Any] = {
        "count": count,
        "good": count,
        "sum": round(rng.normal() * count**0.5 * UNITS_PER_SD),
        "sum_sq": round(count * UNITS_PER_SD**2 * rng.uniform(0.8, 1.2)),
        "min": rng.normal(-3.0, 0.3),
        "max": rng.normal(3.0, 0.3),
    }
    histogram = rng.multinomial(min(count, 2**31), np.full(BINS, 1.0 / BINS))
    end = _TYPICAL_TIME_NS // window * window
    return summary_of(
        name, tag, "0" * 64, rng.normal(50.0, 30.0), rng.uniform(0.1, 9.0), end - window, end,
        counts, histogram, Seen(count, 0, 0),
    )  # fmt: skip


def _verdict(form: PayloadForm, name: str, model: Model) -> OutboxMessage:
    return form.verdict_message(
        name,
        "trusted",
        [],
        time_ns=_TYPICAL_TIME_NS,
        since_ns=_TYPICAL_TIME_NS,
        valid_until_ns=_TYPICAL_TIME_NS + VALID_NS,
        version=model.version,
        provisional=False,
        baseline="0" * 12,
        baseline_hash="0" * 64,
        owner={"team": model.owner.team, "contact": model.owner.contact},
        causes=[],
        sequence=_TYPICAL_SEQUENCE,
        boot_id="0" * 36,
        boottime_ns=_TYPICAL_UPTIME_NS,
        valid_until_boottime_ns=_TYPICAL_UPTIME_NS,
        account={"number": _TYPICAL_SEQUENCE, "hash": "0" * 64},
        errors=in_short([_errors(label.of, label.loss) for label in model.labels]),
        retraining=[],
    )


def _errors(output: str, loss: str) -> dict[str, Any]:
    """As `agent.runtime.errors_told` tells of an output whose labels come."""
    value = 0.12345678901234567
    estimate = {"loss": value, "low": value, "high": value}
    return {
        "output": output, "loss": loss, "labels": _TYPICAL_SEQUENCE, "recent_loss": value,
        "recent_labels": 20, "expected_loss": value, "raised": False, "not_assessed": "",
        "estimated": estimate,
    }  # fmt: skip


def _event(configuration: Configuration, form: PayloadForm) -> OutboxMessage:
    tag = next(iter(configuration.tags), "tag")
    data = {"change": "raised", "kind": "stuck", "tag": tag, "text": "x" * 150, "hint": "x" * 100}
    return form.event_message(1, 0, Event("condition", _TYPICAL_TIME_NS, f"tag/{tag}", data))
