"""A source's contract in the Open Data Contract Standard (ODCS) v3.1.0, both ways. Pure.

A source is a contract, a tag a property of its one schema object. What ODCS has a word for stands
there: `physicalName` the address, `physicalType` what the source serves, `logicalTypeOptions` the
physical range, `team` the owners of the models. All else is in `customProperties`, under its own
name in camel case, so that nothing is lost on the way back.

Source: https://bitol-io.github.io/open-data-contract-standard/v3.1.0/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from agent.contract.document import Contract, ModelTerms, SourceTerms, TagTerms, Terms
from agent.errors import FieldwardenError

VERSION: Final = "v3.1.0"
_OBJECT: Final = "samples"
_SERVED: Final = "served"
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*")
_NUMBERS: Final = frozenset({
    "sbyte", "byte", "int16", "uint16", "int32", "uint32", "int64", "uint64", "integer",
})  # fmt: skip


def documents(contract: Contract) -> dict[str, dict[str, Any]]:
    """Source -> its contract, JSON-ready, as ODCS wants it."""
    return {name: _document(contract, name, source) for name, source in contract.sources.items()}


def _document(contract: Contract, name: str, source: SourceTerms) -> dict[str, Any]:
    models = {
        model: terms for model, terms in contract.models.items()
        if not source.tags.keys().isdisjoint(terms.tags)
    }
    host, _, port = str(source.agreed.get("place", "")).rpartition(":")
    told = {
        "apiVersion": VERSION, "kind": "DataContract", "version": contract.digest[:12],
        "id": f"{contract.site}/{contract.gateway}/{name}", "name": name, "status": "active",
        "domain": contract.site, "dataProduct": contract.gateway,
        "description": {
            "purpose": f"Samples of source {name} for the models of gateway {contract.gateway}.",
        },
        "servers": [{
            "server": name, "type": "custom", "description": f"{host}:{port}",
            "customProperties": _custom(source.agreed, source.served),
        }],
        "schema": [{
            "name": _OBJECT, "logicalType": "object", "physicalType": "stream",
            "properties": [
                _property(contract, tag, terms) for tag, terms in sorted(source.tags.items())
            ],
        }],
        "customProperties": [
            {"property": "models", "value": {name: _model(one) for name, one in models.items()}},
            {"property": "made", "value": contract.made},
        ],
    }  # fmt: skip
    owners = sorted({model.owner for model in models.values()})
    if owners:
        told["team"] = {"name": owners[0], "members": [{"username": one} for one in owners]}
    return told


def _model(model: ModelTerms) -> dict[str, Any]:
    tags = {tag: dict(terms) for tag, terms in sorted(model.tags.items())}
    return {
        "version": model.version, "owner": model.owner, "baseline": model.baseline, "tags": tags
    }


def _property(contract: Contract, tag: str, terms: TagTerms) -> dict[str, Any]:
    agreed = dict(terms.agreed)
    told: dict[str, Any] = {
        "name": tag, "logicalType": _logical(terms),
        "required": any(
            model.tags.get(tag, {}).get("role") == "input" for model in contract.models.values()
        ),
    }  # fmt: skip
    for key, word in (("address", "physicalName"), ("description", "description")):
        if isinstance(agreed.get(key), str):
            told[word] = agreed.pop(key)
    if kind := terms.served.get("data_type") or terms.served.get("json_type"):
        told["physicalType"] = str(kind)
    span = agreed.get("physical")
    if told["logicalType"] in {"number", "integer"} and isinstance(span, list) and len(span) == 2:
        told["logicalTypeOptions"] = {"minimum": span[0], "maximum": span[1]}
        del agreed["physical"]
    if custom := _custom(agreed, terms.served):
        told["customProperties"] = custom
    return told


def _logical(terms: TagTerms) -> str:
    kinds = (terms.served.get("data_type"), terms.served.get("json_type"),
             terms.agreed.get("data_type"))  # fmt: skip
    kind = next((str(one).lower() for one in kinds if one), "")
    if kind in {"string", "text", "localizedtext"}:
        return "string"
    if kind in {"bool", "boolean"}:
        return "boolean"
    return "integer" if kind in _NUMBERS else "number"


def _custom(agreed: Terms, served: Terms) -> list[dict[str, Any]]:
    named = {_camel(key): value for key, value in sorted(agreed.items())}
    named |= {_camel(key, _SERVED): value for key, value in sorted(served.items())}
    return [{"property": key, "value": value} for key, value in named.items()]


def _camel(key: str, prefix: str = "") -> str:
    """``interval_s`` -> ``intervalS``; what would not come back so stays, behind a colon."""
    first, *rest = f"{prefix}_{key}".strip("_").split("_")
    name = first + "".join(word.capitalize() for word in rest)
    back = _snake(name) == (bool(prefix), key) and _SNAKE.fullmatch(key)
    return name if back else f"{prefix}:{key}"


def _snake(name: str) -> tuple[bool, str]:
    """(whether it is served, the key); the way back from `_camel`."""
    if ":" in name:
        prefix, _, key = name.partition(":")
        return prefix == _SERVED, key
    words = re.sub(r"([A-Z])", r"_\1", name).lower()
    served = words.startswith(f"{_SERVED}_")
    return served, words.removeprefix(f"{_SERVED}_") if served else words


# --- the way back ---------------------------------------------------------------------------------


def contract_from(documents: Iterable[Mapping[str, Any]]) -> Contract:
    """The contract of a gateway from those of its sources.

    Raises:
        FieldwardenError: one is no ODCS contract of a source, or they are of several gateways.
    """
    sources: dict[str, SourceTerms] = {}
    models: dict[str, ModelTerms] = {}
    of: set[tuple[str, str]] = set()
    twins: list[str] = []
    made = ""
    for number, document in enumerate(documents, 1):
        subject = f"contract {number}"
        try:
            name = str(document["name"])
            subject = f"that of source {name}"
            if name in sources:
                twins.append(name)
            of.add((str(document["domain"]), str(document["dataProduct"])))
            sources[name] = _source(document)
            extra = _values(document.get("customProperties", ()))
            models |= {key: _model_from(one) for key, one in extra.get("models", {}).items()}
            made = max(made, str(extra.get("made", "")))
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise _error(subject, _cause(error)) from None
    if len(of) != 1:
        raise _error("the contracts", f"they are of {len(of)} gateways, not of one")
    if twins:
        raise _error(f"those of source {twins[0]}", "only one of them can count")
    site, gateway = next(iter(of))
    return Contract(site, gateway, sources, models, made)


def _cause(error: Exception) -> str:
    """What is wrong with a document, for who wrote it."""
    if isinstance(error, KeyError):
        return f"it lacks the key {error.args[0]}"
    is_told = isinstance(error, ValueError)
    return str(error) if is_told else f"a part of it is of another form: {error}"


def _source(document: Mapping[str, Any]) -> SourceTerms:
    if document["kind"] != "DataContract":
        raise ValueError(f"its kind is {document['kind']!r}, not DataContract")
    (server,) = document["servers"]
    agreed, served = _terms(server.get("customProperties", ()))
    (table,) = document["schema"]
    return SourceTerms(
        agreed, served, {str(one["name"]): _tag(one) for one in table.get("properties", ())}
    )


def _tag(told: Mapping[str, Any]) -> TagTerms:
    agreed, served = _terms(told.get("customProperties", ()))
    for key, word in (("address", "physicalName"), ("description", "description")):
        if word in told:
            agreed[key] = str(told[word])
    if span := told.get("logicalTypeOptions"):
        agreed["physical"] = [span["minimum"], span["maximum"]]
    return TagTerms(agreed, served)


def _values(custom: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(one["property"]): one["value"] for one in custom}


def _terms(custom: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    agreed: dict[str, Any] = {}
    served: dict[str, Any] = {}
    for name, value in _values(custom).items():
        is_served, key = _snake(name)
        (served if is_served else agreed)[key] = value
    return agreed, served


def _model_from(told: Mapping[str, Any]) -> ModelTerms:
    for key in ("version", "owner", "baseline"):
        if not isinstance(told[key], str):
            raise ValueError(f"{key} of a model is no text: {told[key]!r}")  # noqa: TRY004 - of a file
    return ModelTerms(
        told["version"], told["owner"], told["baseline"],
        {tag: dict(terms) for tag, terms in told["tags"].items()},
    )  # fmt: skip


def _error(subject: str, cause: str) -> FieldwardenError:
    hint = "give what fieldwarden contract export --format odcs wrote, edited or not"
    return FieldwardenError("reading ODCS contracts:", subject, cause, hint)
