"""MQTT, for `init`: topics, payload shapes, and births of Sparkplug B, as they are heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agent import clock
from agent.configuration.schema import MqttSource
from agent.decode.mqtt_address import Address, Pointer, parse_address, pointer_text
from agent.decode.mqtt_document import MAX_PAYLOAD_BYTES
from agent.decode.sparkplug import NAMESPACE, TEXTS, TYPES, Metric
from agent.decode.sparkplug_nodes import Nodes
from agent.decode.times import read_time
from agent.errors import SourceError
from agent.mqtt import Message
from agent.sources.found import Found, FoundTag, Tell, Wish, counted_out, unique
from agent.sources.mqtt import client_id_of, link_to

_QOS = 0  # nothing is missed that would not come again
_MOST_ELEMENTS = 16  # of a list; a longer one is no list of signals
_DEEPEST = 8
_MOST_ARRIVALS = 50
_TOLD_EVERY_S = 2.0
_REGULAR = 0.5  # of an interval: half of the arrivals are within so much of it
_TIME_KEYS = frozenset({
    "ts", "time", "timestamp", "t", "datetime", "date", "utc", "sourcetimestamp", "timestampms",
    "eventtime", "measuredat", "sampletime",
})
_UNIT_KEYS = frozenset({"unit", "units", "uom", "engunit", "einheit"})


def keys(place: str) -> dict[str, Any]:
    """Keys of the source's table from HOST or HOST:PORT."""
    host, _, port = place.rpartition(":")
    is_port = bool(host) and port.isdigit() and (":" not in host or host.startswith("["))
    return {"host": host.strip("[]"), "port": int(port)} if is_port else {"host": place.strip("[]")}


@dataclass(slots=True)
class _Leaf:
    """One place in the payloads of a topic, or one metric: what came there."""

    kind: str = ""
    unit: str = ""
    arrivals_ns: list[int] = field(default_factory=list)
    description: str = ""


class _Heard:
    """Everything that was heard, by (topic, pointer)."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self.leaves: dict[tuple[str, Pointer], _Leaf] = {}
        self.times: dict[str, Counter[Pointer]] = {}  # topic -> pointers that had a time of now
        self.messages = 0
        self.topics: set[str] = set()
        self.left_out: dict[str, set[str]] = {}  # why -> topics
        self.nodes = Nodes()
        self.unnamed: set[str] = set()
        self.state: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
        self.refusal = ""

    def told_state(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - MqttLink's
        if connected and reason != "connected":
            self.refusal = reason
        self.state.put_nowait((connected, reason))

    def message(self, message: Message) -> None:
        """Take in one message, hostile or not."""
        self.messages += 1
        if len(self.leaves) >= self._wish.most:
            return
        if message.topic.startswith(f"{NAMESPACE}/"):
            self._sparkplug(message)
        elif not self._wish.is_sparkplug:
            self._json(message)

    def _omit(self, why: str, topic: str) -> None:
        self.left_out.setdefault(why, set()).add(topic)

    def _sparkplug(self, message: Message) -> None:
        if not self._wish.is_sparkplug:
            self._omit("that bring Sparkplug B: --sparkplug reads them", message.topic)
            return
        try:
            heard = self.nodes.take(message.topic, message.payload)
        except ValueError as error:
            self._omit(f"whose payload is no Sparkplug message ({error})", message.topic)
            return
        if heard is None or heard.is_death or not heard.of:
            return
        topic = heard.of[0]
        self.topics.add(topic)
        if heard.unnamed:
            self.unnamed.add(topic)
        elif heard.is_birth:
            self.unnamed.discard(topic)
        for metric in heard.metrics:
            self._metric(topic, metric, is_birth=heard.is_birth)

    def _metric(self, topic: str, metric: Metric, *, is_birth: bool) -> None:
        kind = TYPES.get(metric.type, "")
        is_own = metric.name.startswith(("bdSeq", "Node Control/", "Device Control/"))
        if is_own or kind == "DateTime" or (metric.type and not kind):
            return
        leaf = self.leaves.setdefault((topic, (metric.name,)), _Leaf())
        leaf.kind = leaf.kind or ("text" if kind in TEXTS else kind)
        told = {key.casefold().replace(" ", ""): one for key, one in metric.properties.items()}
        leaf.unit = leaf.unit or str(told.get("engunit") or told.get("engineeringunits") or "")
        text = metric.description or told.get("documentation") or told.get("description") or ""
        leaf.description = leaf.description or str(text)
        if not is_birth:
            self._arrived(leaf)

    def _arrived(self, leaf: _Leaf) -> None:
        if len(leaf.arrivals_ns) < _MOST_ARRIVALS:
            leaf.arrivals_ns.append(clock.monotonic_ns())

    def _json(self, message: Message) -> None:
        if len(message.payload) > MAX_PAYLOAD_BYTES or not message.payload:
            return
        try:
            document = json.loads(message.payload)
        except (ValueError, RecursionError):
            document = self._text(message)
            if document is None:
                return
        self.topics.add(message.topic)
        found = list(_leaves((), document))
        times = [pointer for pointer, value in found if _is_time(pointer, value)]
        if times:
            self.times.setdefault(message.topic, Counter()).update(times)
        units = {pointer[:-1]: value for pointer, value in found if _is_unit(pointer, value)}
        for pointer, value in found:
            if value is None or _is_time(pointer, value) or _is_unit(pointer, value):
                continue
            if len(self.leaves) >= self._wish.most:
                return
            leaf = self.leaves.setdefault((message.topic, pointer), _Leaf())
            leaf.kind = "text" if _is_text(value) else leaf.kind
            leaf.unit = leaf.unit or units.get(pointer[:-1], "")
            if not message.retain:
                self._arrived(leaf)

    def _text(self, message: Message) -> str | None:
        try:
            text = message.payload[:1024].decode().strip()
        except UnicodeDecodeError:
            text = ""
        if text and text.isprintable():
            return text
        self._omit("whose payload is neither JSON nor text", message.topic)
        return None


def _leaves(at: Pointer, value: Any) -> Iterator[tuple[Pointer, Any]]:
    """Every place that has a value of its own."""
    if isinstance(value, dict) and len(at) < _DEEPEST:
        for key, inner in value.items():
            yield from _leaves((*at, str(key)), inner)
    elif isinstance(value, list) and len(value) <= _MOST_ELEMENTS and len(at) < _DEEPEST:
        for index, inner in enumerate(value):
            yield from _leaves((*at, str(index)), inner)
    elif not isinstance(value, dict | list):
        yield at, value


def _key(pointer: Pointer) -> str:
    return "".join(sign for sign in pointer[-1].casefold() if sign.isalnum()) if pointer else ""


def _is_time(pointer: Pointer, value: Any) -> bool:
    """Whether a value is a time of now: by its key, and by what it says."""
    if _key(pointer) not in _TIME_KEYS:
        return False
    return read_time(value, clock.wall_ns())[1] is None


def _is_unit(pointer: Pointer, value: Any) -> bool:
    return isinstance(value, str) and _key(pointer) in _UNIT_KEYS


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


async def browse(name: str, config: MqttSource, wish: Wish, tell: Tell) -> Found:
    """Listen for as long as is wished; see `agent.sources.SourceKind.browse`."""
    heard = _Heard(wish)
    filters = wish.under or ((f"{NAMESPACE}/#",) if wish.is_sparkplug else ("#",))
    client_id = f"{client_id_of(name, config, 'init')}-init"
    link = link_to(config, client_id, heard.message, heard.told_state, keeps_session=False)
    link.subscribe([(one, _QOS) for one in filters])
    task = asyncio.create_task(link.run())
    reason = f"no answer within {wish.timeout_s:g} s"
    try:
        async with asyncio.timeout(wish.timeout_s):
            connected, reason = await heard.state.get()
            if not connected:
                raise TimeoutError
        await _listen(heard, wish, tell)
    except TimeoutError:
        place = f"{config.host}:{config.port}"
        hint = "is the broker running, and host, port, TLS and login right (--set KEY=VALUE)?"
        raise SourceError("connecting to", place, reason, hint) from None
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return _found(heard, wish, filters, f"{config.host}:{config.port}")


async def _listen(heard: _Heard, wish: Wish, tell: Tell) -> None:
    """Until time is up; the progress is told every two seconds."""
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    while (left_s := begin_s + wish.listen_s - loop.time()) > 0:
        await asyncio.sleep(min(_TOLD_EVERY_S, left_s))
        tell(
            f"{loop.time() - begin_s:.0f} of {wish.listen_s:g} s: {heard.messages} messages, "
            f"{len(heard.topics)} topics, {len(heard.leaves)} values"
        )


def _found(heard: _Heard, wish: Wish, filters: tuple[str, ...], place: str) -> Found:
    if not heard.leaves:
        cause = heard.refusal or f"nothing was heard on {', '.join(filters)} in {wish.listen_s:g} s"
        if heard.unnamed:
            cause = f"values by alias came in {wish.listen_s:g} s, and no birth that names them"
        if heard.left_out:
            cause += f": only topics {', '.join(heard.left_out)}"
        hint = "listen for longer (--listen 10min), or to other topics (--under 'plant/#')"
        if wish.is_sparkplug:
            hint += "; births come when a node connects, or when its host asks for a rebirth"
        raise SourceError("listening to", place, cause, hint)
    left_out = {why: len(topics) for why, topics in heard.left_out.items()}
    notes = counted_out(left_out, "topics")
    if heard.refusal:
        notes.append(heard.refusal)
    if heard.unnamed:
        notes.append(
            f"{len(heard.unnamed)} topics bring values by alias, and no birth was heard that names "
            f"them, such as {min(heard.unnamed)}: listen while the node connects, or have its host "
            "ask for a rebirth"
        )
    if len(heard.leaves) >= wish.most:
        notes.append(f"stopped at {wish.most} values: listen to less (--under), or take --most")
    tags = []
    for (topic, pointer), leaf in sorted(heard.leaves.items()):
        address = _address(topic, pointer, heard, is_metric=wish.is_sparkplug)
        if address is None:
            notes.append(f"left out: {topic} {pointer_text(pointer)}: no address can say that")
            continue
        tags.append(_tag(topic, pointer, leaf, address))
    names = unique([tag.name for tag in tags])
    return Found([replace(tag, name=name) for tag, name in zip(tags, names, strict=True)], notes)


def _tag(topic: str, pointer: Pointer, leaf: _Leaf, address: str) -> FoundTag:
    parts = topic.split("/")
    if parts[0] == NAMESPACE:
        parts = [parts[1], *parts[3:]]
    name = ".".join(part for part in (*parts, *pointer) if part)
    also = ("/".join((topic, *pointer)), *pointer[-1:])
    return FoundTag(
        _line(name)[:190], address, unit=_line(leaf.unit), data_type=leaf.kind,
        interval_ns=_interval_ns(leaf.arrivals_ns), description=_line(leaf.description),
        also=also,
    )  # fmt: skip


def _address(topic: str, pointer: Pointer, heard: _Heard, *, is_metric: bool) -> str | None:
    """As the configuration writes it; None where its grammar has no way to."""
    times = heard.times.get(topic)
    time = times.most_common(1)[0][0] if times and len(times) == 1 else None
    text = _quoted(topic)
    text += f" {_quoted(pointer_text(pointer))}" if pointer else ""
    text += f" time {_quoted(pointer_text(time))}" if time is not None else ""
    metric = pointer[0] if is_metric else ""
    try:
        same = parse_address(text) == Address(topic, pointer, time, metric)
    except SourceError:
        return None
    return text if same else None


def _quoted(text: str) -> str:
    if not any(sign.isspace() or sign in "\"'" for sign in text):
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'


def _interval_ns(arrivals_ns: list[int]) -> int | None:
    """The usual time between two, to two digits; None where there is none that is usual."""
    steps = np.diff(np.array(arrivals_ns, np.float64))
    if len(steps) < 3:
        return None
    usual = float(np.median(steps))
    if usual <= 0 or np.mean(np.abs(steps - usual) <= _REGULAR * usual) < 0.5:
        return None
    return max(1_000_000, round(float(f"{usual / 1e9:.2g}") * 1e9))


def _line(text: str) -> str:
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
