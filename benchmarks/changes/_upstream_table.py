"""The changes, and what must come of each: worked out from the plant, not from the agent's code.

`by`: ``protocol``, where the source tells of it by itself (a term, a refusal, another type, another
shape, another identity), else ``values``. `tags`: all that read otherwise by it, so the models that
it touches are those of these tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from _upstream_plants import IDENTITY, TAGS_SERVED, URI, address, models_of, topic

Order = Mapping[str, Any]
Grade = Literal["additive", "compatible", "breaking"]

T, P, L, C = "reactor.temperature", "reactor.pressure", "reactor.level", "reactor.concentration"
J, V, F = "jacket.outlet_temperature", "coolant.valve", "feed.flow"
N, A, SPARE, STEAM = "pump.speed", "pump.current", "ambient.temperature", "steam.pressure"
ALL: Final = TAGS_SERVED


@dataclass(frozen=True)
class Change:
    """One change upstream.

    Attributes:
        name: of its line.
        protocol: of the plant that it is made in.
        orders: to the simulator, obeyed between the same two rows.
        grade: which it is.
        by: what shows it.
        tags: that read otherwise by it.
        source: what the simulated source is besides, see `Definition`.
    """

    name: str
    protocol: str
    orders: tuple[Order, ...]
    grade: Grade = "breaking"
    by: Literal["protocol", "values"] = "protocol"
    tags: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Protocol and name."""
        return f"{self.protocol}: {self.name}"

    @property
    def touched(self) -> set[tuple[str, str, str]]:
        """(name, version, owner) of the models that it touches."""
        return models_of(self.tags)


def _terms(tag: str, **what: object) -> Order:
    return {"do": "terms", "tag": tag, **what}


def _rescale(tag: str, factor: float, offset: float = 0.0) -> Order:
    return {"do": "rescale", "tag": tag, "factor": factor, "offset": offset}


def _opc(name: str, *orders: Order, tags: tuple[str, ...] = (), **more: Any) -> Change:
    return Change(name, "opcua", orders, tags=tags, **more)


def _server(**what: object) -> Order:
    return {"do": "replace", "identity": what}


_NODE = f"nsu={URI};s="
_OTHER = "urn:plant:utilities"
_OPCUA: Final = (
    # what a client is told, or refused
    _opc("node renamed", {"do": "rename", "tag": T, "to": f"{_NODE}Reactor.TT101"}, tags=(T,)),
    _opc("node renamed, announced",
         {"do": "rename", "tag": C, "to": f"{_NODE}Reactor.Conc", "announce": True}, tags=(C,)),
    _opc("node removed", {"do": "remove", "tag": P}, tags=(P,)),
    _opc("node removed, announced", {"do": "remove", "tag": F, "announce": True}, tags=(F,)),
    _opc("node of no model removed", {"do": "remove", "tag": STEAM}, tags=(STEAM,)),
    _opc("Float to Int32", _terms(P, data_type="Int32"), tags=(P,)),
    _opc("Double to Float", _terms(T, data_type="Float"), tags=(T,)),
    _opc("Double to Int16", _terms(L, data_type="Int16"), tags=(L,)),
    _opc("Double to String", _terms(J, data_type="String"), tags=(J,)),
    _opc("Double to Boolean", _terms(V, data_type="Boolean"), tags=(V,)),
    _opc("Int32 to UInt32", _terms(N, data_type="UInt32"), tags=(N,)),
    _opc("scalar to array", _terms(T, array=True), tags=(T,)),
    _opc("unit told anew, values follow",
         _terms(T, unit="degF"), _rescale(T, 1.8, 32.0), tags=(T,)),
    _opc("unit told anew, values follow, announced",
         _terms(P, unit="psi", announce=True), _rescale(P, 14.503774), tags=(P,)),
    _opc("unit told anew, values stay", _terms(L, unit="m"), tags=(L,)),
    _opc("unit told anew, announced, values stay", _terms(J, unit="K", announce=True), tags=(J,)),
    _opc("unit of a tag of no model", _terms(STEAM, unit="kPa"), _rescale(STEAM, 100.0),
         tags=(STEAM,)),
    _opc("unit and range told anew, values follow",
         _terms(F, unit="l/min", span=[0, 333]), _rescale(F, 16.6667), tags=(F,)),
    _opc("range narrower than trained", _terms(T, span=[76.9, 77.1]), tags=(T,)),
    _opc("range beside what was trained", _terms(L, span=[70, 100]), tags=(L,)),
    _opc("reading not allowed any more", _terms(C, readable=False), tags=(C,)),
    _opc("server of another application URI", _server(server_uri="urn:other:server"), tags=ALL),
    _opc("server of another product",
         _server(product_uri="urn:other:product", product="Other server",
                 manufacturer="Other Works"), tags=ALL),
    _opc("namespace gone", _server(namespaces=[_OTHER]), tags=ALL),
    # what means the same
    _opc("restarted as it was", {"do": "restart"}, grade="compatible"),
    _opc("newer software", _server(version="1.1.0"), grade="compatible"),
    _opc("namespaces reordered", _server(namespaces=[_OTHER, URI]), grade="compatible"),
    _opc("namespace added", _server(namespaces=[URI, _OTHER]), grade="additive"),
    _opc("range wider", _terms(T, span=[-100, 400]), grade="compatible"),
    _opc("range narrower, trained covered", _terms(T, span=[0, 150]), grade="compatible"),
    _opc("Float to Double", _terms(P, data_type="Double"), grade="compatible"),
    _opc("Int32 to Double", _terms(N, data_type="Double"), grade="compatible"),
    _opc("description changed", _terms(T, text="TT-101"), grade="compatible"),
    _opc("node added", {"do": "new", "address": f"{_NODE}Reactor.New"}, grade="additive"),
    _opc("node added, announced",
         {"do": "new", "address": f"{_NODE}Reactor.New", "announce": True}, grade="additive"),
    _opc("unit told for the first time", _terms(SPARE, unit="degC"), grade="additive"),
    # what nobody tells
    _opc("degC to degF, silently", _rescale(T, 1.8, 32.0), by="values", tags=(T,)),
    _opc("degC to K, silently", _rescale(J, 1.0, 273.15), by="values", tags=(J,)),
    _opc("scale by 10", _rescale(C, 10.0), by="values", tags=(C,)),
    _opc("sign", _rescale(T, -1.0), by="values", tags=(T,)),
    _opc("two tags swapped", {"do": "swap", "tag": T, "other": J}, by="values", tags=(T, J)),
    _opc("whole numbers", {"do": "round", "tag": T}, by="values", tags=(T,)),
    _opc("rounded", {"do": "round", "tag": J, "step": 0.5}, by="values", tags=(J,)),
    _opc("old values repeated", {"do": "repeat", "tag": L, "rows": 20}, by="values", tags=(L,)),
    _opc("resampled", {"do": "resample", "tag": J, "every": 5}, by="values", tags=(J,)),
    _opc("clock an hour ahead", *(_terms(tag, stamp="3600") for tag in ALL), by="values",
         tags=ALL),
    _opc("told at a fifth of the rate", {"do": "rate", "every": 5, "tag": T}, by="values",
         tags=(T,)),
)  # fmt: skip


def _modbus(name: str, *orders: Order, tags: tuple[str, ...] = (), **more: Any) -> Change:
    return Change(name, "modbus", orders, tags=tags, **more)


def _device(**what: object) -> Order:
    return {"do": "replace", "identity": {**IDENTITY["modbus"], **what}}


def _first(tag: str) -> int:
    return int(address("modbus", tag).split()[1])


def _refuse(tag: str, count: int, exception: int = 2) -> Order:
    return {"do": "refuse", "first": _first(tag), "count": count, "exception": exception}


_UNTOLD = {"identity": {}}
_MODBUS: Final = (
    _modbus("registers refused", _refuse(J, 2), tags=(J,)),
    _modbus("block refused", _refuse(T, 8), tags=(T, P, L, C)),
    _modbus("registers of no model refused", _refuse(STEAM, 2), tags=(STEAM,)),
    _modbus("all refused", _refuse(T, 40), tags=ALL),
    _modbus("device of another vendor", _device(vendor="Other Works", product_code="X1"), tags=ALL),
    _modbus("device of another product", _device(product_code="PW-30"), tags=ALL),
    _modbus("device that does not tell what it is", {"do": "replace", "identity": {}}, tags=ALL),
    _modbus("restarted as it was", {"do": "restart"}, grade="compatible"),
    _modbus("newer revision", _device(revision="V1.1"), grade="compatible"),
    _modbus("restarted, without function 43", {"do": "restart"}, grade="compatible",
            source=_UNTOLD),
    _modbus("tells itself for the first time", _device(), grade="additive", source=_UNTOLD),
    _modbus("registers that nobody reads refused",
            {"do": "refuse", "first": 300, "count": 10}, grade="compatible"),
    _modbus("input registers shifted, which nobody reads",
            {"do": "shift", "area": "input", "by": 1}, grade="compatible"),
    _modbus("registers shifted by one", {"do": "shift", "by": 1}, by="values", tags=ALL),
    _modbus("registers shifted by one down", {"do": "shift", "by": -1}, by="values", tags=ALL),
    _modbus("register inserted amid the map", {"do": "insert", "first": _first(V), "by": 1},
            by="values", tags=ALL[ALL.index(V):]),
    _modbus("registers shifted by two", {"do": "shift", "by": 2}, by="values", tags=ALL),
    _modbus("words swapped", {"do": "words", "tag": T}, by="values", tags=(T,)),
    _modbus("words swapped of all floats",
            *({"do": "words", "tag": tag} for tag in (T, P, L, C)), by="values", tags=(T, P, L, C)),
    _modbus("bytes swapped", {"do": "bytes", "tag": F}, by="values", tags=(F,)),
    _modbus("bytes swapped of an integer", {"do": "bytes", "tag": N}, by="values", tags=(N,)),
    _modbus("float32 to int32", {"do": "retype", "tag": L, "to": "int32"}, by="values", tags=(L,)),
    _modbus("int16 of another scale", {"do": "retype", "tag": A, "to": "int16", "scale": 0.1},
            by="values", tags=(A,)),
    _modbus("scale by 1000", _rescale(C, 1000.0), by="values", tags=(C,)),
    _modbus("bar to kPa", _rescale(P, 100.0), by="values", tags=(P,)),
    _modbus("degC to degF, silently", _rescale(J, 1.8, 32.0), by="values", tags=(J,)),
    _modbus("% to a fraction", _rescale(V, 0.01), by="values", tags=(V,)),
    _modbus("two registers swapped", {"do": "swap", "tag": T, "other": J}, by="values",
            tags=(T, J)),
    _modbus("two other registers swapped", {"do": "swap", "tag": L, "other": V}, by="values",
            tags=(L, V)),
    _modbus("whole numbers", {"do": "round", "tag": T}, by="values", tags=(T,)),
    _modbus("old values repeated", {"do": "repeat", "tag": T, "rows": 20}, by="values", tags=(T,)),
    _modbus("resampled", {"do": "resample", "tag": F, "every": 5}, by="values", tags=(F,)),
    _modbus("scale, without function 43", _rescale(T, 0.1), by="values", tags=(T,),
            source=_UNTOLD),
)  # fmt: skip


def _mqtt(name: str, *orders: Order, tags: tuple[str, ...] = (), **more: Any) -> Change:
    return Change(name, "mqtt", orders, tags=tags, **more)


def _of(part: str) -> tuple[str, ...]:
    return tuple(tag for tag in ALL if topic(tag) == f"plant/{part}")


_REACTOR, _PUMP = "plant/reactor", "plant/pump"
_UNITS = {"units": "units"}
_MQTT: Final = (
    _mqtt("key renamed", {"do": "key", "tag": T, "to": "/temp"}, tags=(T,)),
    _mqtt("key in another case", {"do": "key", "tag": P, "to": "/Pressure"}, tags=(P,)),
    _mqtt("key dropped", {"do": "key", "tag": L}, tags=(L,)),
    _mqtt("key of no model dropped", {"do": "key", "tag": STEAM}, tags=(STEAM,)),
    _mqtt("values nested", *({"do": "key", "tag": tag, "to": f"/values/{tag.split('.')[1]}"}
                             for tag in _of("reactor")), tags=_of("reactor")),
    _mqtt("one value nested", {"do": "type", "tag": C, "to": "object"}, tags=(C,)),
    _mqtt("number to text", {"do": "type", "tag": T, "to": "text"}, tags=(T,)),
    _mqtt("number to truth value", {"do": "type", "tag": V, "to": "bool"}, tags=(V,)),
    _mqtt("number to array", {"do": "type", "tag": J, "to": "array"}, tags=(J,)),
    _mqtt("payload no JSON", {"do": "payload", "topic": _PUMP, "to": "no_json"}, tags=_of("pump")),
    _mqtt("array instead of object", {"do": "payload", "topic": _REACTOR, "to": "array"},
          tags=_of("reactor")),
    _mqtt("list of values instead of object", {"do": "payload", "topic": _PUMP, "to": "list"},
          tags=_of("pump")),
    _mqtt("number to text, the value another", {"do": "type", "tag": F, "to": "text"},
          _rescale(F, 16.6667), tags=(F,)),
    _mqtt("key added", {"do": "add", "topic": _REACTOR, "key": "batch", "value": "B-17"},
          grade="additive"),
    _mqtt("object added", {"do": "add", "topic": _PUMP, "key": "meta", "value": {"fw": [1, 2]}},
          grade="additive"),
    _mqtt("retained now", {"do": "retain", "topic": _REACTOR, "to": True}, grade="compatible"),
    _mqtt("not retained any more", {"do": "retain", "topic": _REACTOR, "to": False},
          grade="compatible", source={"retained": True}),
    _mqtt("another topic", {"do": "extra_topic", "topic": "plant/other"}, grade="additive"),
    _mqtt("a topic below", {"do": "extra_topic", "topic": f"{_REACTOR}/more"}, grade="additive"),
    _mqtt("publisher restarted", {"do": "restart"}, grade="compatible"),
    _mqtt("a key that nobody reads dropped", {"do": "drop", "topic": _REACTOR, "key": "batch"},
          grade="compatible", source={"added": {_REACTOR: {"batch": "B-16"}}}),
    _mqtt("unit told, values follow", {"do": "unit", "tag": T, "to": "degF"},
          _rescale(T, 1.8, 32.0), by="values", tags=(T,), source=_UNITS),
    _mqtt("unit not told, values change", _rescale(J, 1.0, 273.15), by="values", tags=(J,)),
    _mqtt("scale by 0.001", _rescale(L, 0.001), by="values", tags=(L,)),
    _mqtt("sign", _rescale(T, -1.0), by="values", tags=(T,)),
    _mqtt("two keys swapped", {"do": "swap", "tag": T, "other": L}, by="values", tags=(T, L)),
    _mqtt("whole numbers", {"do": "round", "tag": J}, by="values", tags=(J,)),
    _mqtt("rounded", {"do": "round", "tag": T, "step": 0.5}, by="values", tags=(T,)),
    _mqtt("old values repeated", {"do": "repeat", "tag": C, "rows": 20}, by="values", tags=(C,)),
    _mqtt("resampled", {"do": "resample", "tag": T, "every": 5}, by="values", tags=(T,)),
    _mqtt("time stamps an hour behind",
          {"do": "stamp", "topic": _REACTOR, "to": "hour_behind"}, by="values",
          tags=_of("reactor")),
    _mqtt("sent at a fifth of the rate", {"do": "rate", "every": 5}, by="values", tags=ALL),
)  # fmt: skip

CHANGES: Final = (*_OPCUA, *_MODBUS, *_MQTT)
"""All of them."""
