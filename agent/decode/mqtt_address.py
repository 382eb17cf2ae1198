"""MQTT addresses: a topic, a JSON pointer (RFC 6901) to the value, and one to its time; of
Sparkplug B a topic of data, and the name of a metric as pointer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from agent.decode.sparkplug import DATA, NAMESPACE, topic_of
from agent.errors import SourceError

_MAX_TOPIC_BYTES = 65_535  # MQTT 5.0, 1.5.4
_BAD_ESCAPE = re.compile(r"~(?![01])")
_TIME = re.compile(r"\s+time\s+(?=[\"'/#])")
_HINT = (
    "a tag is one topic, then a JSON pointer: 'plant/line1/telemetry /speed', with 'time /ts' after"
    " it where the payload has the time; quote what has blanks in it: 'plant/ks \"/Flow rate\"'"
)

Pointer = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """A topic, where in its payload the value is, and where its time is (None: nowhere).

    `metric`: of Sparkplug B its name, which is the whole pointer then; else empty.
    """

    topic: str
    pointer: Pointer
    time: Pointer | None = None
    metric: str = ""


def parse_address(text: str) -> Address:
    """``"plant/line1/telemetry /speed time /ts"`` -> `Address`.

    A topic or pointer with blanks stands in quotes, single or double; a pointer with a blank may
    also stand as it is where nothing else can be meant.

    Raises:
        SourceError: what is wrong with it, and how it is written.
    """
    try:
        return _parse(text.strip())
    except ValueError as error:
        raise SourceError("reading MQTT address", repr(text), str(error), _HINT) from None


def _parse(text: str) -> Address:
    topic, rest = _topic(text)
    value = ""
    if rest[:1] in {"'", '"'}:
        value, rest = _quoted(rest)
    elif rest[:1] in {"/", "#"}:
        parts = _TIME.split(rest, maxsplit=1)
        value, rest = parts[0], f"time {parts[1]}" if len(parts) > 1 else ""
        if re.search(r"\s/", value):
            raise ValueError("there are two pointers; the one of the time has 'time' before it")
    time = None
    if rest:
        word, _, pointer = rest.partition(" ")
        pointer = pointer.strip()
        if word != "time" or pointer[:1] not in {"'", '"', "/", "#"}:
            raise ValueError(f"{rest!r} is neither a pointer, which begins with '/', nor a time")
        if pointer[:1] in {"'", '"'}:
            pointer, rest = _quoted(pointer)
            if rest:
                raise ValueError(f"nothing can follow the time's pointer, but {rest!r} does")
        time = _tokens(pointer)
    tokens = _tokens(value)
    if topic.startswith(f"{NAMESPACE}/"):
        return _of_metric(topic, tokens, time)
    return Address(topic, tokens, time)


def _of_metric(topic: str, pointer: Pointer, time: Pointer | None) -> Address:
    """Of Sparkplug B; a name with slashes may stand with them, as ``/Inputs/A``."""
    found, name = topic_of(topic), "/".join(pointer)
    if found is None or found.kind not in DATA:
        raise ValueError("of Sparkplug B name the topic of data: spBv1.0/GROUP/DDATA/NODE/DEVICE")
    if not name:
        raise ValueError("the metric is missing: its name follows the topic, after a '/'")
    if time is not None:
        raise ValueError("a metric has its own time: leave out 'time'")
    return Address(topic, (name,), None, name)


def _topic(text: str) -> tuple[str, str]:
    if text[:1] in {"'", '"'}:
        topic, rest = _quoted(text)
    else:
        topic, _, rest = text.partition(" ")
        rest = rest.strip()
        word = rest.split(maxsplit=1)[0] if rest else ""
        if word and word[0] not in "/#'\"" and word != "time":
            raise ValueError("it has blanks that are not in quotes")
    if not topic:
        raise ValueError("it is empty")
    if topic.startswith(("$share/", "$queue/")):
        raise ValueError("a shared subscription gives each message to one of several readers")
    if "+" in topic or "#" in topic:
        raise ValueError("a tag is one topic: '+' and '#' can not be used")
    if "://" in topic:
        raise ValueError("it is a URL; the broker is the source's `host`")
    if "\x00" in topic or len(topic.encode("utf-8", "replace")) > _MAX_TOPIC_BYTES:
        raise ValueError("MQTT allows no such topic")
    return topic, rest


def _quoted(text: str) -> tuple[str, str]:
    """What stands in the quotes that `text` begins with, and what follows them."""
    inside, mark, rest = text[1:].partition(text[0])
    if not mark:
        raise ValueError(f"a quote is not closed: {text[0]}")
    if rest and not rest[0].isspace():
        raise ValueError(f"a blank must follow the quoted {inside!r}")
    return inside, rest.strip()


def _tokens(pointer: str) -> Pointer:
    if pointer.startswith("#"):  # RFC 6901, section 6: as a URI fragment
        pointer = unquote(pointer[1:])
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"the pointer {pointer!r} does not begin with '/'")
    if _BAD_ESCAPE.search(pointer):
        raise ValueError("in a pointer '~' is written ~0, and '/' in a key ~1")
    # RFC 6901, section 4: ~1 first, so that ~01 becomes ~1 and not /.
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def pointer_text(pointer: Pointer) -> str:
    """A pointer as it is written."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in pointer)
