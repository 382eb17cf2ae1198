"""How much a term's change is: one table, in the words of schema registries.

*additive*: something is there that was not, and nothing that was read is different; *compatible*:
what is read means the same, and covers all that the models were trained on; *breaking*: it may mean
something else. What this table does not know is breaking: nobody has thought of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from agent.decode import unit_names
from agent.decode.number_types import holds

Grade = Literal["additive", "compatible", "breaking"]
Span = tuple[float, float]

ORDER: Final[Sequence[Grade]] = ("additive", "compatible", "breaking")


class Change(NamedTuple):
    """A term that is another one: None where it is absent.

    Attributes:
        trained: the range that all models of the tag were trained on; None where no model was.
        agreed: the term of the same name in the configuration, of one that the source tells.
    """

    was: Any
    now: Any
    trained: Span | None = None
    agreed: Any = None


Rule = Callable[[Change], Grade]

_CODE: Final = re.compile(r"[A-Z0-9]{2,3}")


def breaking(_: Change) -> Grade:
    """Whatever it is now."""
    return "breaking"


def compatible(_: Change) -> Grade:
    """It says nothing of what values mean."""
    return "compatible"


def told_now(change: Change) -> Grade:
    """To tell what was not told before changes nothing; to tell something else does."""
    return "additive" if change.was in (None, "") else "breaking"


def told_or_not(change: Change) -> Grade:
    """The same; and what is not told any more leaves what is read as it was."""
    return "compatible" if change.now in (None, "") else told_now(change)


def unit(change: Change) -> Grade:
    """A unit by another of its spellings is the same; one that is told for the first time must not
    contradict what was agreed, and so trained.
    """
    was, now, agreed = change.was, change.now, change.agreed
    if isinstance(was, str) and isinstance(now, str) and unit_names.same(was, now):
        return "compatible"
    if first_told(change) and agreed and unit_names.contradict(str(now), str(agreed)):
        return "breaking"
    return told_or_not(change)


def unit_code(change: Change) -> Grade:
    """Codes of UNECE Recommendation 20, as OPC UA numbers them (Part 8, 5.6.3), say which unit it
    is; what is none of them is a server's own, and says no more than the unit's name does.
    """
    if _code_of(change.was) and _code_of(change.now):
        return told_or_not(change)
    return "additive" if first_told(change) else "compatible"


def _code_of(number: Any) -> str:
    """Two or three capitals and digits, such as ``CEL``; empty where a number is no such code."""
    if not isinstance(number, int) or not 0 < number < 1 << 24:
        return ""
    text = number.to_bytes(3, "big").lstrip(b"\0").decode("ascii", "replace")
    return text if _CODE.fullmatch(text) else ""


def first_told(change: Change) -> bool:
    """Whether it is told now, and was not before."""
    return change.was in (None, "") and change.now not in (None, "")


def states(change: Change) -> Grade:
    """Names of states: that there are more of them names those that there were as before."""
    was, now = (
        dict(enumerate(one)) if isinstance(one, list) else one for one in (change.was, change.now)
    )
    if isinstance(was, Mapping) and isinstance(now, Mapping) and was.items() <= now.items():
        return "additive"
    return told_or_not(change)


def data_type(change: Change) -> Grade:
    """A type that holds every value of the one before reads the same."""
    if change.was in (None, ""):
        return "additive"
    return "compatible" if holds(change.now, change.was) else "breaking"


def type_or_not(change: Change) -> Grade:
    """The same of the values that come: where none comes nothing is read."""
    return "compatible" if change.now in (None, "") else data_type(change)


def lost(change: Change) -> Grade:
    """What is there only where something is wrong: that it is not any more breaks nothing."""
    return "additive" if change.now in (None, "", True) else "breaking"


def gone(change: Change) -> Grade:
    """What is written in another way is read as before; what is not there any more is not."""
    if change.was in (None, ""):
        return "additive"
    return "breaking" if change.now in (None, "") else "compatible"


def keys(change: Change) -> Grade:
    """Keys of a message beside the one that is read: more of them are more, else others."""
    was, now = change.was or {}, change.now or {}
    if isinstance(was, Mapping) and isinstance(now, Mapping) and was.items() <= now.items():
        return "additive"
    return "compatible"


def json_type(change: Change) -> Grade:
    """A type of JSON. It knows one kind of number, and many programs write 20.0 as 20: the message
    that was heard does not tell whether all that come are whole.
    """
    if {change.was, change.now} == {"integer", "number"}:
        return "compatible"
    return told_now(change)


def value_range(change: Change) -> Grade:
    """A range that still covers what the models were trained on."""
    now = _span(change.now)
    if now is None:
        return "compatible" if change.now is None else "breaking"
    if change.trained is None:
        was = _span(change.was)
        return "compatible" if was is None or _covers(now, was) else "breaking"
    return "compatible" if _covers(now, change.trained) else "breaking"


def faster(change: Change) -> Grade:
    """An interval: scans are as dense as in training, or denser."""
    if change.was is None:
        return "additive"
    is_number = isinstance(change.now, int | float) and isinstance(change.was, int | float)
    return "compatible" if is_number and change.now <= change.was else "breaking"


def _span(value: Any) -> Span | None:
    try:
        low, high = (float(one) for one in value)
    except (TypeError, ValueError):
        return None
    return (low, high) if low < high else None


def _covers(outer: Span, inner: Span) -> bool:
    return outer[0] <= inner[0] and outer[1] >= inner[1]


AGREED: Final[Mapping[str, tuple[str, Rule]]] = {
    "address": ("address", breaking),
    "data_type": ("data type", data_type),
    "unit": ("unit", told_or_not),
    "kind": ("kind", breaking),
    "physical": ("physical range", value_range),
    "interval_s": ("interval", faster),
    "max_silence_s": ("longest silence", compatible),
    "not_available": ('codes for "no value"', breaking),
    "rolls_over_at": ("end of the counter", breaking),
    "period": ("full circle", breaking),
    "description": ("description", compatible),
}
"""Term of a tag in the configuration -> (what people call it, its rule)."""

SERVED: Final[Mapping[str, tuple[str, Rule]]] = {
    "refused": ("refusal", lost),
    "semantics": ("meaning", lost),
    "namespace": ("namespace", told_now),
    "node_class": ("node class", told_now),
    "data_type": ("data type", data_type),
    "variant": ("type of the values", type_or_not),
    "value_rank": ("value rank", told_or_not),
    "unit": ("engineering unit", unit),
    "unit_id": ("code of the engineering unit", unit_code),
    "range": ("engineering range", value_range),
    "states": ("names of the states", states),
    "state_values": ("values of the states", states),
    "true_state": ("name of true", told_or_not),
    "false_state": ("name of false", told_or_not),
    "readable": ("read access", lost),
    "answer": ("form of the answer", lost),
    "json_type": ("JSON type", json_type),
    "time_type": ("JSON type of the time", gone),
    "retained": ("retained or not", compatible),
    "keys": ("keys of the message", keys),
}
"""Term of a tag as its source tells it -> the same."""

SOURCE_AGREED: Final[Mapping[str, tuple[str, Rule]]] = {
    "protocol": ("protocol", breaking),
    "place": ("place", compatible),
    "unit": ("Modbus unit", breaking),
    "interval_s": ("polling interval", faster),
    "security": ("security", compatible),
    "mode": ("security mode", compatible),
}
"""Term of a source in the configuration -> the same."""

SOURCE_SERVED: Final[Mapping[str, tuple[str, Rule]]] = {
    "server_uri": ("server URI", told_now),
    "product_uri": ("product URI", told_now),
    "manufacturer": ("manufacturer", told_now),
    "product": ("product", told_now),
    "version": ("software version", compatible),
    "namespaces": ("namespaces", compatible),
    "vendor": ("vendor", told_now),
    "product_code": ("product code", told_now),
    "revision": ("revision", compatible),
}
"""Term of a source as it tells itself -> the same. Tags are bound to namespaces by their URI."""
