"""MQTT, for `check`: what each topic brings while it is listened to, decoded as the agent does."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent import clock
from agent.configuration.schema import MqttSource
from agent.decode import mqtt as decode
from agent.decode.columns import Dictionary
from agent.decode.mqtt import Address, Columns, Decoder
from agent.decode.mqtt_address import Pointer, pointer_text
from agent.decode.mqtt_document import UNDECODABLE, document_of, resolve
from agent.decode.mqtt_shape import (
    NO_JSON,
    TEXT,
    born,
    json_type,
    keys_of,
    pointers,
)
from agent.decode.sparkplug import Metric
from agent.decode.sparkplug_nodes import Heard, Nodes
from agent.decode.times import read_time
from agent.errors import SourceError
from agent.mqtt import Message
from agent.sources.base import Remark, TagBinding, parse_all
from agent.sources.mqtt import client_id_of, link_to
from agent.sources.probed import Probe, TagProbe, shortened
from agent.types import Quality

_QOS = 1
_KEYS_SHOWN = 30


class _Listening:
    """What was heard: of each tag the latest message that has it, else its topic's latest."""

    def __init__(self, addresses: Mapping[str, Address]) -> None:
        self._addresses = addresses
        self.count = dict.fromkeys((address.topic for address in addresses.values()), 0)
        self._nodes = Nodes(one.topic for one in addresses.values() if one.metric)
        self.subscriptions = list(dict.fromkeys((*self.count, *self._nodes.topics)))
        self.births: dict[tuple[str, str], Metric] = {}  # (topic of data, metric) -> its birth
        self._latest: dict[str, Message] = {}
        self._with: dict[str, Message] = {}
        self.all = asyncio.Event()
        self.states: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
        self.refusal = ""

    def message(self, message: Message) -> None:
        with contextlib.suppress(ValueError):  # no Sparkplug, so it is taken as it is
            if (heard := self._nodes.take(message.topic, message.payload)) is not None:
                for topic in heard.of[:1]:
                    self._take(_as_json(message, topic, heard))
                    if heard.is_birth:
                        self.births |= {(topic, one.name): one for one in heard.metrics}
                return
        self._take(message)

    def _take(self, message: Message) -> None:
        if message.topic in self.count:
            self.count[message.topic] += 1
            self._latest[message.topic] = message
            keys = dict(_keys(message.payload))
            for tag, address in self._addresses.items():
                whole = not address.pointer
                if address.topic == message.topic and (whole or address.pointer in keys):
                    self._with[tag] = message
            if len(self._with) == len(self._addresses):
                self.all.set()

    @property
    def topics(self) -> int:
        """How many topics were heard."""
        return len(self._latest)

    def of(self, tag: str) -> Message | None:
        """The message that says most of a tag."""
        return self._with.get(tag) or self._latest.get(self._addresses[tag].topic)

    def state(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - MqttLink's signature
        if connected and reason != "connected":
            self.refusal = reason
        self.states.put_nowait((connected, reason))


async def probe(
    name: str, config: MqttSource, tags: Mapping[str, TagBinding], timeout_s: float
) -> Probe:
    """Listen until every tag was heard, or time is up; see `agent.sources.SourceKind.probe`."""
    addresses = dict(zip(tags, parse_all(name, tags, decode.parse_address), strict=True))
    heard = _Listening(addresses)
    # Of its own name and without a session: the agent itself may be connected at the same time.
    client_id = f"{client_id_of(name, config, 'check')}-check"
    link = link_to(config, client_id, heard.message, heard.state, keeps_session=False)
    link.subscribe([(topic, _QOS) for topic in heard.subscriptions])
    task = asyncio.create_task(link.run())
    reason = f"no answer within {timeout_s:g} s"
    try:
        async with asyncio.timeout(timeout_s):
            connected, reason = await heard.states.get()
            if not connected:
                raise TimeoutError
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await heard.all.wait()
    except TimeoutError:
        place = f"source {name!r} at {config.host}:{config.port}"
        hint = "is the broker running, and host, port, TLS and login right?"
        raise SourceError("connecting to", place, reason, hint) from None
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    remarks = [Remark("ok", f"{heard.topics} of {len(heard.count)} topics were heard")]
    if heard.refusal:
        hint = "give this user the right to read them at the broker"
        remarks.append(Remark("fault", heard.refusal, hint))
    now_ns = clock.wall_ns()
    found = []
    for tag, address in addresses.items():
        message = heard.of(tag)
        one = _tag(tags[tag], address, message, timeout_s, now_ns)
        if message is not None:
            birth = heard.births.get((address.topic, address.metric))
            if address.metric:
                told = {} if birth is None else born(birth)  # data does not repeat it
                served = {term: value for term, value in told.items() if value is not None}
            else:
                served = _served(address, message, is_text=tags[tag].is_text)
            one = replace(one, served=served)
        found.append(one)
    return Probe(remarks, found)


def _as_json(message: Message, topic: str, heard: Heard) -> Message:
    """A Sparkplug message as JSON, a key a metric, so that all that follows reads it."""
    values = {metric.name: metric.value for metric in heard.metrics}
    return message._replace(topic=topic, payload=json.dumps(values).encode())


def _served(address: Address, message: Message, *, is_text: bool) -> dict[str, Any]:
    """What a message tells besides its value, as the running source tells it."""
    document = document_of(message.payload)
    told: dict[str, Any] = {"retained": bool(message.retain)}
    if document is UNDECODABLE:
        plain = is_text and not address.pointer
        return told | {"json_type": TEXT if plain else NO_JSON}
    told["keys"] = keys_of(document)
    value = resolve(document, address.pointer)
    told["json_type"] = json_type(value)
    if address.time is not None:
        told["time_type"] = json_type(resolve(document, address.time))
    return {term: one for term, one in told.items() if one is not None}


def _tag(
    binding: TagBinding, address: Address, message: Message | None, waited_s: float, now_ns: int
) -> TagProbe:
    if message is None:
        said = f"nothing was heard on {address.topic}"
        return TagProbe(binding.name, said=said, waited_s=waited_s)
    raw = shortened(message.payload[:2048].decode("utf-8", "replace"))
    said = "retained by the broker" if message.retain else ""
    columns = Columns.empty()
    plain = replace(address, metric="")  # see `_as_json`
    decoder = Decoder([plain], [0], [binding.is_text], Dictionary())
    decoder.decode(message.topic, message.payload, 0, columns, now_ns)
    keys = dict(_keys(message.payload))
    if not columns.tag:
        pointers = [pointer_text(pointer) for pointer, value in keys.items() if not _within(value)]
        return TagProbe(
            binding.name,
            quality=int(Quality.BAD | Quality.ADDRESS_REFUSED),
            raw=raw,
            said=f"the message has no {pointer_text(address.pointer) or 'value'}",
            keys=tuple(pointers[:_KEYS_SHOWN]),
            nearest=_nearest(address.pointer, list(keys)),
        )
    value, quality = columns.value[-1], int(columns.quality[-1])
    if quality & Quality.BAD:
        said = "; ".join(filter(None, (said, *decoder.details[:1])))
    given = keys.get(address.pointer, raw)
    if address.pointer in keys:  # not the whole message again for each of its tags
        raw = shortened(json.dumps(given, ensure_ascii=False))
    stamp = columns.source_ns[-1]
    return TagProbe(
        binding.name,
        str(given) if binding.is_text else (None if math.isnan(value) else value),
        quality,
        raw,
        said,
        stamp,
        _time_fault(address, keys, now_ns),
    )


def _time_fault(address: Address, keys: Mapping[Pointer, Any], now_ns: int) -> str:
    """Why the configured time gives none; empty where it does, or none is configured."""
    if address.time is None:
        return ""
    pointer, given = pointer_text(address.time), keys.get(address.time)
    _, fault = read_time(given, now_ns)
    if fault is None:
        return ""
    if address.time in keys:
        return f"{fault.value}: {pointer} is {shortened(json.dumps(given))}"
    near = _nearest(address.time, list(keys))
    more = f"; nearest is {near}" if near else ""
    return f"{fault.value}: the message has no {pointer}{more}"


def _keys(payload: bytes) -> Iterator[tuple[Pointer, Any]]:
    """Every pointer that a payload has, and what it points at; nothing where it is no JSON."""
    document = document_of(payload)
    return iter(()) if document is UNDECODABLE else pointers(document)


def _within(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _nearest(wanted: Pointer, pointers: list[Pointer]) -> str:
    """What is most like it: the same key elsewhere, in other case, or spelled nearly so."""
    texts = {pointer_text(pointer): pointer for pointer in pointers if pointer}
    last = wanted[-1].casefold() if wanted else ""
    same = [text for text, pointer in texts.items() if pointer[-1].casefold() == last]
    near = difflib.get_close_matches(pointer_text(wanted), texts, 1, 0.5)
    return (same or near or [""])[0]
