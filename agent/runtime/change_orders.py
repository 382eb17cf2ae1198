"""What people may do with a change upstream: who approves for which side, and by which map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from agent.configuration import units
from agent.configuration.rules import nearest
from agent.configuration.schema import Configuration, Tag
from agent.contract import effects, proposal
from agent.core import change as life
from agent.core.change import Change
from agent.core.steward import Steward
from agent.decode import parse_address
from agent.errors import FieldwardenError
from agent.runtime.governance import Governance

_LIST: Final = "see: fieldwarden change list CONFIG"
_UNIT_TERM: Final = "served unit"
Map = dict[str, dict[str, Any]]


class Known(Protocol):
    """The agent as far as changes are concerned."""

    @property
    def configuration(self) -> Configuration:
        """As it is applied."""

    @property
    def engine(self) -> Steward:
        """As of the last fold."""

    @property
    def governance(self) -> Governance:
        """It has the ids of tags."""


def meant(kind: str, data: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The data of a command, as it is journaled.

    Raises:
        FieldwardenError: there is no such change, or it can not be done with it, or not by whom.
    """
    rules = known.configuration.contract
    needs = list(dict.fromkeys(rules.approvals))
    more = {"expires_after_ns": rules.proposals_expire, "needs": needs}
    if kind == "propose":
        return {**data, "change": _proposed(data["change"], known), **more}
    if kind == "announce":
        return {**data, "tags": _announced(data, known)}
    one = _change(kind, str(data["change"]), known)
    if kind == "revert":
        if one.state in life.UNDECIDED or not one.live:
            raise _no(kind, one.id, f"it is {one.state}: nothing of it is to be taken back", _LIST)
        return {**data, "change": one.id}
    if one.state not in life.UNDECIDED:
        raise _no(kind, one.id, f"it is {one.state} already", _LIST)
    if kind == "reject_change":
        return {**data, "change": one.id}
    if (asked := data.get("revision", one.revision)) != one.revision:
        cause = f"it is not as it was seen: revision {asked}, and by now {one.revision}"
        raise _no(kind, one.id, cause, f"see: fieldwarden change show CONFIG {one.id}")
    sides = rules.sides_of(str(data["by"]))
    if not sides:
        asked = sorted({name for side in one.lacking for name in rules.persons(side)})
        hint = f"ask one of: {', '.join(asked)}" if asked else ""
        raise _no(kind, one.id, f"{data['by']} approves for neither side", hint)
    return {**data, "change": one.id, "sides": sides, "needs": needs,
            "map": _map(one, data["map"], known.configuration)}  # fmt: skip


def is_of(event: Mapping[str, Any], change: str, data: Mapping[str, Any]) -> bool:
    """Whether an event is what a command brought about."""
    told = event["data"]
    signed = (told.get("by"), told.get("note")) == (data["by"], data["note"])
    if event["kind"] != "change" or not signed:
        return False
    if isinstance(data.get("change"), str) and told.get("id") != data["change"]:
        return False
    return bool(told.get("change") in {change, f"{change} by one side"})


def _change(kind: str, asked: str, known: Known) -> Change:
    changes = known.engine.judge.changes.known
    if asked not in changes:
        raise _no(kind, asked, "there is no such change", nearest(asked, list(changes)) or _LIST)
    return changes[asked]


# --- maps -----------------------------------------------------------------------------------------


def _map(one: Change, asked: Any, configuration: Configuration) -> Map | None:
    """The map with numbers, checked against the tags that there are."""
    if asked is None:
        return None
    wanted = suggested(one, configuration) if asked == "suggested" else asked
    if not wanted:
        cause = "nobody knows a map for it: what its source tells does not say how to convert"
        raise _no("approve", one.id, cause, "give the map, as in docs/changes.md")
    _in_pairs(one, wanted)
    return {tag: _part(one, tag, part, configuration) for tag, part in wanted.items()}


def _in_pairs(one: Change, wanted: Map) -> None:
    """Two tags trade places: what comes as one tag can not be given to two."""
    with_: dict[str, str] = {}
    for tag, part in wanted.items():
        if other := part.get("swap_with"):
            for name, its in ((tag, other), (other, tag)):
                if with_.setdefault(name, its) != its:
                    cause = f"{name} is to be swapped with {with_[name]} and with {its}"
                    raise _no("approve", one.id, cause, "give each tag one other")


def suggested(one: Change, configuration: Configuration) -> Map:
    """The map that is known for a change: found in values, proposed, or by units that are told."""
    if one.suggested:
        return {tag: dict(part) for tag, part in one.suggested.items()}
    return {
        each["subject"].partition("/")[2]: {"unit": str(each["now"])}
        for each in one.differences
        if each["term"] == _UNIT_TERM and each["subject"].startswith("tag/")
        and each["subject"][4:] in configuration.tags
    }


def _part(
    one: Change, tag: str, part: Mapping[str, Any], configuration: Configuration
) -> dict[str, Any]:
    tags = configuration.tags
    if tag not in tags:
        raise _no("approve", one.id, f"its map names {tag}, which is no tag", nearest(tag, tags))
    source = tags[tag].source
    if source != one.source:
        cause = f"its map names {tag}, which is of source {source}, not of {one.source}"
        raise _no("approve", one.id, cause, f"its tags: {', '.join(one.tags[:8])}")
    other = part.get("swap_with")
    if other is not None and (other not in tags or tags[other].source != source or other == tag):
        raise _no("approve", one.id, f"{tag} can not be swapped with {other}", nearest(other, tags))
    address = part.get("address", tags[tag].address)
    try:
        place = parse_address(configuration.sources[source].protocol, address)
    except FieldwardenError as error:
        raise _no("approve", one.id, f"{tag}: {error.cause}", error.hint) from None
    if "data_type" in part and hasattr(place, "type"):  # it would be read as before
        cause = f"{tag}: its address says the type that it is read as"
        raise _no("approve", one.id, cause, f"give the address with it, such as {address!r}")
    return _with_numbers(one, tag, dict(part), tags[tag])


def _with_numbers(one: Change, tag: str, part: dict[str, Any], agreed: Tag) -> dict[str, Any]:
    """With factor and offset where only the unit is told: agreed = served * factor + offset."""
    if "unit" not in part or {"factor", "offset"} & part.keys():
        return part
    found = units.conversion(part["unit"], agreed.unit)
    if found is None:
        cause = f"{tag}: {part['unit']!r} can not be converted to {agreed.unit or 'no unit'!r}"
        raise _no("approve", one.id, cause, "give factor and offset")
    return part | {"factor": found[0], "offset": found[1]}


# --- what is told ahead ---------------------------------------------------------------------------


def _proposed(document: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The document that is folded: what it touches, and the map that it will need."""
    configuration = known.configuration
    checked = proposal.checked(document, "the change", configuration)
    sources, tags = checked.touched(configuration)
    if len(sources) != 1:
        cause = f"it is about {len(sources)} sources: {', '.join(sources[:4])}"
        raise FieldwardenError("proposing", "a change", cause, "propose one for each source")
    found = _foretold(checked, sources[0], known)
    effect, _ = effects.effect_of(checked, configuration, known.governance.ids)
    wanted = effects.suggested_map(effect)
    return {
        "source": sources[0], "tags": tags, "text": checked.text, "document": checked.to_json(),
        "map": {tag: dict(part) for tag, part in (wanted or {}).items()},
        **({"differences": found} if found else {}),
    }  # fmt: skip


def _foretold(
    checked: proposal.Proposal, source: str, known: Known
) -> list[dict[str, Any]]:
    """The units that the source will tell, where it tells units: a map waits for these."""
    contract = known.governance.found.contract
    agreed = contract.sources.get(source) if contract is not None else None
    found = []
    for tag, keys in sorted(checked.tags.items()):
        terms = agreed.tags.get(tag) if agreed is not None else None
        was, now = (terms.served.get("unit") if terms else None), keys.get("unit")
        if contract is not None and was and now and was != now:
            found.append({
                "subject": f"tag/{tag}", "source": source, "term": _UNIT_TERM, "was": was,
                "now": now, "grade": "breaking", "models": list(contract.models_of(tag)),
                "text": f"{tag}: engineering unit was {was}, is {now}",
            })
    return found


def _announced(data: Mapping[str, Any], known: Known) -> list[str]:
    configuration = known.configuration
    if source := data.get("source"):
        if source not in configuration.sources:
            hint = nearest(source, configuration.sources)
            raise _no("announce", source, "there is no such source", hint)
        return [name for name, tag in configuration.tags.items() if tag.source == source]
    for name in data["tags"]:
        if name not in configuration.tags:
            raise _no("announce", name, "there is no such tag", nearest(name, configuration.tags))
    if data["until_ns"] <= known.engine.time_ns:
        raise _no("announce", "it", "its window is over already", "")
    return list(dict.fromkeys(data["tags"]))


def _no(kind: str, subject: str, cause: str, hint: str) -> FieldwardenError:
    return FieldwardenError(f"carrying out {kind} on", subject, cause, hint)
