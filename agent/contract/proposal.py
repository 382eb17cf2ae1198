"""A change that somebody plans, or that was seen, as a document: what will be served otherwise.

It is a TOML file for `fieldwarden change propose`, and JSON where it is journaled. Every key is a
row of `TAG_KEYS` or `SOURCE_KEYS`; `agent.contract.effects` says what each does to samples.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from agent.configuration.rules import nearest
from agent.configuration.schema import Configuration, Tag
from agent.contract.proposal_keys import (
    MOST_TEXT,
    NOT_WITH,
    SOURCE_KEYS,
    TAG_KEYS,
    About,
    Check,
    UnfitError,
)
from agent.decode import parse_address
from agent.errors import ConfigurationError, FieldwardenError

LIMIT_BYTES: Final = 2_000_000
"""Of its file."""

_TOP: Final = ("text", "who", "planned", "tags", "sources")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A checked document.

    Attributes:
        text: what is going to happen, for people.
        who: does it.
        planned_ns: when, ns since 1970; 0: not said.
        tags: by name, see `TAG_KEYS`.
        sources: by name, see `SOURCE_KEYS`.
    """

    text: str
    who: str
    planned_ns: int = 0
    tags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, as it is journaled; `checked` takes it again."""
        told: dict[str, Any] = {"text": self.text, "who": self.who}
        if self.planned_ns:
            told["planned"] = datetime.fromtimestamp(self.planned_ns // 10**9, UTC).isoformat()
        return told | {
            name: {key: dict(keys) for key, keys in sorted(table.items())}
            for name, table in (("tags", self.tags), ("sources", self.sources)) if table
        }  # fmt: skip

    def touched(self, configuration: Configuration) -> tuple[list[str], list[str]]:
        """(sources, tags) that it names, by name, and those of whole sources."""
        tags = set(self.tags) | {one["swap_with"] for one in self.tags.values()
                                 if "swap_with" in one}  # fmt: skip
        for name, keys in self.sources.items():
            tags |= set(_of_source(configuration, name, keys))
        sources = set(self.sources) | {configuration.tags[tag].source for tag in tags}
        return sorted(sources), sorted(tags)


def _of_source(
    configuration: Configuration, name: str, keys: Mapping[str, Any]
) -> Iterator[str]:
    """The tags of a source that a change of the whole source may touch."""
    only = set(keys) == {"renamed"}
    for tag, item in configuration.tags.items():
        if item.source == name and (not only or renamed(item, configuration, keys["renamed"])):
            yield tag


def renamed(tag: Tag, configuration: Configuration, keys: Mapping[str, str]) -> bool:
    """Whether the value of a tag, or its time, stands behind one of these keys of a payload."""
    address = parse_address(configuration.sources[tag.source].protocol, tag.address)
    return bool(set(keys).intersection(getattr(address, "pointer", ())))


# --- a whole document -----------------------------------------------------------------------------


def parsed(content: bytes, path: str, configuration: Configuration) -> Proposal:
    """A proposal from its file.

    Raises:
        FieldwardenError: it is no TOML.
        ConfigurationError: every fault of it, at once.
    """
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = "configs/change.toml shows every key"
        cause = f"it is no TOML: {error}"
        raise FieldwardenError("reading the change", path, cause, hint) from None
    return checked(document, path, configuration)


def checked(document: Mapping[str, Any], path: str, configuration: Configuration) -> Proposal:
    """A proposal from a document, of TOML or of `Proposal.to_json`.

    Raises:
        ConfigurationError: every fault of it, at once.
    """
    faults = [
        _fault(path, key, "there is no such key", nearest(key, _TOP))
        for key in sorted(document.keys() - set(_TOP))
    ]
    tags = _section(document, "tags", TAG_KEYS, configuration, path, faults)
    sources = _section(document, "sources", SOURCE_KEYS, configuration, path, faults)
    text, who = (_said(document, key, path, faults) for key in ("text", "who"))
    planned_ns = _planned(document.get("planned"), path, faults)
    if not tags and not sources and not faults:
        cause, hint = "nothing changes", 'write a table [tags."NAME"] or [sources.NAME]'
        faults.append(_fault(path, "tags", cause, hint))
    faults += _swaps(tags, path)
    if faults:
        raise ConfigurationError(path, faults)
    return Proposal(text, who, planned_ns, tags, sources)


def _fault(path: str, key: str, cause: str, hint: str = "") -> FieldwardenError:
    return FieldwardenError("reading the change", f"{path}: {key}", cause, hint)


def _section(
    document: Mapping[str, Any], section: Literal["tags", "sources"], known: Mapping[str, Check],
    configuration: Configuration, path: str, faults: list[FieldwardenError],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Checked tables by name; what is wrong joins `faults`."""
    tables = document.get(section, {})
    there: Mapping[str, Any] = getattr(configuration, section)
    if not isinstance(tables, Mapping):
        faults.append(_fault(path, section, "it is no table", f'write [{section}."NAME"]'))
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, keys in tables.items():
        place = f"{section}.{name}"
        if name not in there:
            what = f"the configuration has no {section[:-1]} {name!r}"
            faults.append(_fault(path, place, what, nearest(name, there)))
        elif not isinstance(keys, Mapping) or not keys:
            faults.append(_fault(path, place, "it says nothing", f"write: {', '.join(known)}"))
        else:
            about = About(configuration, section, name)
            found[name] = _keys(keys, known, about, f"{path}: {place}", faults)
    return found


def _keys(
    keys: Mapping[str, Any], known: Mapping[str, Check], about: About, place: str,
    faults: list[FieldwardenError],
) -> dict[str, Any]:  # fmt: skip
    found = {}
    for key, value in keys.items():
        if key not in known:
            faults.append(_fault(place, key, "there is no such key", nearest(key, known)))
            continue
        beside = sorted(set(keys).intersection(NOT_WITH.get(key, ())))
        if beside:
            cause = f"it can not stand beside {', '.join(beside)}"
            faults.append(_fault(place, key, cause, "say it in one way"))
            continue
        try:
            found[key] = known[key](value, about)
        except UnfitError as error:
            faults.append(_fault(place, key, error.cause, error.hint))
    return found


def _said(
    document: Mapping[str, Any], key: str, path: str, faults: list[FieldwardenError]
) -> str:
    value = document.get(key)
    if isinstance(value, str) and value.strip() and len(value) <= MOST_TEXT:
        return value.strip()
    cause = "it is missing" if value is None else f"it is no text of 1 to {MOST_TEXT} characters"
    what = {"text": "what is going to happen", "who": "who does it"}[key]
    faults.append(_fault(path, key, cause, f'say {what}: {key} = "..."'))
    return ""


def _planned(value: Any, path: str, faults: list[FieldwardenError]) -> int:
    if value is None:
        return 0
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        if not isinstance(value, str | datetime) or at.tzinfo is None:
            raise ValueError
        return round(at.timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        hint = "write planned = 2026-12-03T06:00:00Z, or with an offset such as +01:00"
        faults.append(_fault(path, "planned", f"{value} is no time with its offset", hint))
        return 0


def _swaps(tags: Mapping[str, Mapping[str, Any]], path: str) -> Iterator[FieldwardenError]:
    """A tag trades places with one other tag at most."""
    seen: dict[str, str] = {}
    for name, keys in sorted(tags.items()):
        other = keys.get("swap_with")
        if other is None:
            continue
        for one, beside in ((name, other), (other, name)):
            if seen.setdefault(one, beside) != beside:
                cause = f"{one} trades places with {seen[one]} and with {beside}"
                yield _fault(path, f"tags.{name}.swap_with", cause, "name one of them")
