"""The vocabulary that every layer shares: quality bits, blocks, entries, events, source states.

Standard library and numpy only. Nothing here does I/O or reads a clock.

Invariants:
- a block's arrival times do not decrease, all are < `sealed_ns`, and all are >= the `sealed_ns`
  of the block before it; so "sealed at T" means "everything that arrived before T has been seen".
  Time goes back, or leaps, only at the commands ``boot`` and ``clock``.
- value and quality go together: a value that could not be had is NaN with a bad quality bit.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
UInt16 = NDArray[np.uint16]


class Quality(enum.IntFlag):
    """Per-sample quality bits. GOOD is no bit at all.

    Sources set the bits above the line in this list, the engine's admission the rest. OPC UA
    status codes (Part 8), NE 43 ranges and Modbus exceptions map onto them.
    """

    GOOD = 0
    BAD = 1  # the device said so (OPC UA Bad_*, Modbus exception, undecodable payload)
    UNCERTAIN = 2  # the device was not sure (OPC UA Uncertain_*); the value still counts
    COMMUNICATION_LOST = 4  # the source lost the device; sent once per tag as the loss is seen
    NOT_A_NUMBER = 8
    REPLAYED = 16  # delivered late from a buffer (backfill, MQTT retained or queued)
    HELD = 32  # the last value of a report-by-exception tag, restated by the engine
    # --- admission -------------------------------------------------------------------------
    OUT_OF_PHYSICAL = 64  # outside the tag's physical range
    STALE = 128  # nothing arrived for longer than the tag's max_silence
    CONTRACT_BROKEN = 256
    MASKED = 512  # in a mode transition, or out of service
    # --- why there is no value, where the protocol said so; set by sources, beside BAD -------
    ADDRESS_REFUSED = 1024  # unknown there (Modbus exception 2, BadNodeIdUnknown)
    WRONG_TYPE = 2048  # what came is not of the type that is configured
    NOT_AUTHORISED = 4096  # the device or broker does not let this agent read it
    NOT_AVAILABLE = 8192  # the device's own code for "no value" (0x8000, NaN by agreement)
    REPEATED = 16384  # the same sample was delivered before; it counts once


NOT_USABLE = np.uint16(
    Quality.BAD
    | Quality.COMMUNICATION_LOST
    | Quality.NOT_A_NUMBER
    | Quality.OUT_OF_PHYSICAL
    | Quality.STALE
    | Quality.CONTRACT_BROKEN
    | Quality.MASKED
    | Quality.ADDRESS_REFUSED
    | Quality.WRONG_TYPE
    | Quality.NOT_AUTHORISED
    | Quality.NOT_AVAILABLE
    | Quality.REPEATED
)
"""A sample with any of these bits never moves a detector's state."""

NO_NEWS = np.uint16(Quality.REPLAYED | Quality.REPEATED)
"""A sample with any of these bits came late or again: it moves no detector, nor does it speak
against its tag."""


@functools.lru_cache(maxsize=1024)
def _quality_names(bits: int) -> tuple[str, ...]:
    names = tuple((flag.name or "").lower() for flag in Quality if flag and bits & flag)
    return names or ("good",)


def quality_names(bits: int) -> list[str]:
    """The names of the bits that are set, lower case; ``["good"]`` where none is."""
    return list(_quality_names(bits))  # kept, for enum takes 10 us and every tag asks


class SourceState(enum.StrEnum):
    """What a source is doing, as status and events show it."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"  # connected, but nothing (not even a keep-alive) arrives
    FAILED = "failed"  # not connected; the reason says why, and it is tried again


class TimeQuality(enum.StrEnum):
    """How far the wall clock, and so engine time, is to be believed."""

    SYNCHRONISED = "synchronised"  # the kernel's clock follows a reference (NTP, PTP)
    UNSYNCHRONISED = "unsynchronised"
    IMPLAUSIBLE = "implausible"  # before this program was made, or many years ahead
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Block:
    """A sealed batch of samples in columns; with no samples it is the tick by which time passes.

    Attributes:
        sequence: position in the journal, from 1, without gaps, across boots.
        sealed_ns: engine time of sealing; see the module's invariants.
        tag: int32[n], index of the tag (given once by the store, never reused).
        source_ns: int64[n], the device's own time, or the arrival time where it gives none.
        arrival_ns: int64[n], engine time, not decreasing.
        value: float64[n], NaN where there is none. Texts and categories are dictionary codes.
        quality: uint16[n], `Quality` bits.
    """

    sequence: int
    sealed_ns: int
    tag: Int32
    source_ns: Int64
    arrival_ns: Int64
    value: Float64
    quality: UInt16

    def __len__(self) -> int:
        return len(self.tag)


@dataclass(frozen=True, slots=True)
class Command:
    """Something that a person, the configuration or a source did, journaled like a block.

    `kind` is one of: ``acknowledge``, ``shelve``, ``unshelve``, ``out_of_service``,
    ``in_service``, ``declare``, ``close``, ``withdraw`` (of a retraining request), ``trial``,
    ``trial_judged`` (its time is over), ``accept``, ``reject``, ``rollback``, ``superseded`` (of
    candidates and what serves; see `agent.core.steward`), ``reload``,
    ``source_state``, ``refused`` (why a source's addresses are), ``text`` (a dictionary entry),
    ``predictions`` and ``labels`` (of a model, sent by its own process),
    ``contract`` (what is different of a source), ``approve``, ``reject_change``, ``revert``,
    ``announce``, ``propose`` and ``assessed`` (of changes upstream; see `agent.core.changes`),
    ``lost`` (what the store or another part could not keep), ``baseline`` (whether the file of a
    model's baseline is another than is judged by), ``boot``
    and ``clock`` (engine time was set anew; see `agent.core.timeline`). `data` is JSON.
    """

    sequence: int
    sealed_ns: int
    kind: str
    data: Mapping[str, Any]


Entry = Block | Command


@dataclass(frozen=True, slots=True)
class Event:
    """Something the engine, or an edge, has to tell; goes to the store and upstream.

    Attributes:
        kind: ``finding``, ``condition``, ``verdict``, ``source``, ``gap``, ``mode``,
            ``configuration``, ``retraining``, ``engine``, ``clock``, ``evidence`` (of late truth),
            ``change`` (upstream).
        time_ns: engine time at which it became true (not when it was computed).
        subject: ``model/<name>``, ``tag/<name>``, ``source/<name>`` or ``gateway``.
        data: JSON-ready detail; the schema is `forward/schemas/event-<kind>.json`.
    """

    kind: str
    time_ns: int
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one entry brought about. An event's identity is (entry sequence, position here)."""

    events: tuple[Event, ...] = ()
    summaries: tuple[Mapping[str, Any], ...] = ()
