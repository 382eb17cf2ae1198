"""Sparkplug B: what births said, so that data by alias is read, and which deaths count.

Invariants:
- an alias means what the last birth of its node or device said, and nothing before one was heard;
- the death of an earlier session, which a broker may bring late, ends nothing: it has another bdSeq
  than the birth (Sparkplug 3.0.0, 5.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agent.decode.sparkplug import BIRTHS, DATA, DEATHS, Metric, Topic, payload_of, topic_of

_BD_SEQ = "bdSeq"
_MOST_ALIASES = 200_000


@dataclass(frozen=True, slots=True)
class Heard:
    """One message.

    Attributes:
        of: topics of data that it speaks of: one, or of a node's death all of its own.
        metrics: named, of the type that the birth told; those whose alias nobody told are left out.
        unnamed: how many were left out.
        is_death: nothing is known any more of what it speaks of.
    """

    of: Sequence[str]
    metrics: Sequence[Metric] = ()
    unnamed: int = 0
    is_death: bool = False
    is_birth: bool = False
    time_ms: int = 0


class Nodes:
    """Edge nodes whose messages are listened to.

    Args:
        topics: of data, as addresses name them; None: whatever is heard.
    """

    def __init__(self, topics: Iterable[str] | None = None) -> None:
        found = {text: topic_of(text) for text in topics or ()}
        self._topics = {text: topic for text, topic in found.items() if topic is not None}
        self._aliases: dict[tuple[str, str], dict[int, Metric]] = {}  # (group, node) -> alias -> it
        self._types: dict[str, dict[str, int]] = {}  # topic of data -> name -> data type
        self._sessions: dict[tuple[str, str], object] = {}

    @property
    def topics(self) -> list[str]:
        """All that must be subscribed to: data, births and deaths."""
        found: dict[str, None] = {}
        for topic in self._topics.values():
            kinds = ("DDATA", "DBIRTH", "DDEATH") if topic.device else ("NDATA",)
            found |= dict.fromkeys(topic.text(kind) for kind in kinds)
            node = topic._replace(device="")
            found |= dict.fromkeys(node.text(kind) for kind in ("NBIRTH", "NDEATH"))
        return list(found)

    def take(self, text: str, data: bytes) -> Heard | None:
        """Read a message; None where its topic is none of an edge node.

        Raises:
            ValueError: the payload can not be read.
        """
        topic = topic_of(text)
        if topic is None:
            return None
        payload = payload_of(data)
        key = topic.group, topic.node
        if topic.kind in DEATHS:
            return self._death(topic, key, payload.metrics)
        if topic.kind in BIRTHS:
            self._birth(topic, key, payload.metrics)
        named = [self._named(topic, key, metric) for metric in payload.metrics]
        return Heard(
            [topic.data], [metric for metric in named if metric is not None],
            sum(metric is None for metric in named), is_birth=topic.kind in BIRTHS,
            time_ms=payload.time_ms,
        )  # fmt: skip

    def _birth(self, topic: Topic, key: tuple[str, str], metrics: Sequence[Metric]) -> None:
        aliases = self._aliases.setdefault(key, {})
        if not topic.device:  # a new session: what was told before counts no more
            aliases.clear()
            told = [metric.value for metric in metrics if metric.name == _BD_SEQ]
            self._sessions[key] = told[-1] if told else None
        self._types[topic.data] = {metric.name: metric.type for metric in metrics}
        for metric in metrics:
            if metric.alias is not None and metric.name and len(aliases) < _MOST_ALIASES:
                aliases[metric.alias] = metric

    def _named(self, topic: Topic, key: tuple[str, str], metric: Metric) -> Metric | None:
        if metric.name or topic.kind not in DATA or metric.alias is None:
            known = self._types.get(topic.data, {}).get(metric.name, 0)
            return replace(metric, value=metric.of_type(known)) if metric.name else None
        birth = self._aliases.get(key, {}).get(metric.alias)
        if birth is None:
            return None
        return replace(metric, name=birth.name, value=metric.of_type(birth.type))

    def _death(self, topic: Topic, key: tuple[str, str], metrics: Sequence[Metric]) -> Heard:
        if topic.device:
            return Heard([topic.data], is_death=True)
        told = [metric.value for metric in metrics if metric.name == _BD_SEQ]
        known = self._sessions.get(key)
        if known is not None and told and told[-1] != known:
            return Heard([])
        own = [text for text, one in self._topics.items() if (one.group, one.node) == key]
        return Heard(own, is_death=True)
