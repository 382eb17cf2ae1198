"""What the parts of a configuration must promise each other.

The rules work on the file's raw tables, so that they still speak when single values are wrong:
a person sees every fault at once. What a value must be by itself is said in `schema`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.configuration.schema import SOURCE_TABLES, SourceSection
from agent.configuration.values import is_loopback, masked
from agent.decode import parse_address, unfit_codes
from agent.errors import SourceError

KeyPath = tuple[str | int, ...]
Fault = tuple[KeyPath, str, str]
"""Key path, cause, hint."""

_UNSAFE = re.compile(r"[/+#$\s\x00-\x1f\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def nearest(name: str, valid: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` where one is near, else what there is, else nothing."""
    names = list(valid)
    if near := difflib.get_close_matches(name, names, n=1):
        return f"did you mean {near[0]!r}?"
    return f"there is: {', '.join(sorted(names)[:12])}" if names else ""


def is_usable_name(name: str) -> bool:
    """Whether a tag or a person can be called so: something to see, 200 characters, no control."""
    return bool(name.strip()) and len(name) <= 200 and not _CONTROL.search(name)


def cross_faults(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Every fault between the parts of a configuration, in no particular order."""
    sources, tags = _tables(raw, "sources"), _tables(raw, "tags")
    yield from _names(raw)
    yield from _tag_faults(sources, tags)
    yield from _edit_faults(raw)
    yield from _kind_faults(tags)
    yield from _session_faults(sources)
    for name, model in _tables(raw, "models").items():
        yield from _model_faults(("models", name), model, tags)
        yield from _person_faults(("models", name), model, "reviewers", _tables(raw, "people"))
    if isinstance(contract := raw.get("contract"), Mapping):
        for side in ("owner", "integration"):
            yield from _person_faults(("contract",), contract, side, _tables(raw, "people"))
    yield from _loop_faults(_tables(raw, "loops"), tags)
    logins = [(("sources", name), source) for name, source in sources.items()]
    if isinstance(upstream := raw.get("upstream"), Mapping):
        logins.append((("upstream",), upstream))  # type: ignore[arg-type]
    for path, table in logins:
        yield from login_faults(path, table)
    yield from people_faults(raw, "status")
    yield from _hook_faults(raw)
    yield from secret_faults((), raw)
    yield from _code_faults(sources, tags)


def _tables(raw: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    found = raw.get(key)
    if not isinstance(found, Mapping):
        return {}
    return {name: table for name, table in found.items() if isinstance(table, Mapping)}


def _kind_of(source: Mapping[str, Any]) -> type[SourceSection] | None:
    """The table that a source's `protocol` asks for; None where there is none of that name."""
    return SOURCE_TABLES.get(str(source.get("protocol")))


def _texts(table: Mapping[str, Any], key: str) -> list[str]:
    found = table.get(key)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _names(raw: Mapping[str, Any]) -> Iterator[Fault]:
    for kind in ("sources", "models"):
        for name in _tables(raw, kind):
            if not name or _UNSAFE.search(name):
                yield (kind, name), "no blank, '/', '+', '#' or '$' in this name", ""
    for kind, whose in (("tags", "a tag's"), ("people", "a person's")):
        for name in _tables(raw, kind):
            if not is_usable_name(name):
                cause = f"{whose} name has 1 to 200 characters, none of them control"
                yield (kind, name), cause, ""


def _tag_faults(
    sources: Mapping[str, Mapping[str, Any]], tags: Mapping[str, Mapping[str, Any]]
) -> Iterator[Fault]:
    seen: dict[tuple[str, object], str] = {}
    for name, tag in tags.items():
        source, address = tag.get("source"), tag.get("address")
        if not isinstance(source, str):
            continue
        if source not in sources:
            yield ("tags", name, "source"), f"no source {source!r}", nearest(source, sources)
            continue
        protocol = str(sources[source].get("protocol"))
        if not isinstance(address, str) or protocol not in SOURCE_TABLES:
            continue
        if address.startswith(EDIT):
            continue  # told by `_edit_faults`
        try:
            # "coil 3" and "coil  3 bool" are one place.
            place = (source, parse_address(protocol, address))
        except SourceError as error:
            yield ("tags", name, "address"), f"{error.subject}: {error.cause}", error.hint
            continue
        if place in seen:
            cause = f"{address!r} of source {source!r} is already tag {seen[place]!r}"
            yield ("tags", name, "address"), cause, "drop one of them, or mend its address"
        seen.setdefault(place, name)


EDIT = "EDIT"
"""What a value begins with that `init` could not know, or that a person must confirm."""


def _edit_faults(raw: Mapping[str, Any]) -> Iterator[Fault]:
    for kind in ("sources", "tags", "models"):
        for name, table in _tables(raw, kind).items():
            for key, value in table.items():
                if isinstance(value, str) and value.startswith(EDIT):
                    told = value.removeprefix(EDIT).lstrip(": ") or "it is not known yet"
                    hint = "write what is meant here"
                    if key == "description":
                        hint = "compare the address; where it is right, take EDIT away here"
                    yield (kind, name, key), f"still to be edited: {told}", hint


_COUNTERS = ("totaliser", "counter", "run hours")
_OF_KINDS = {"rolls_over_at": _COUNTERS, "period": ("angle",)}


def _kind_faults(tags: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
    """Keys that mean something of other kinds of tags only."""
    for name, tag in tags.items():
        for key, kinds in _OF_KINDS.items():
            if tag.get(key) is not None and tag.get("kind", "") not in kinds:
                hint = "write kind = " + " or ".join(f'"{kind}"' for kind in kinds)
                yield ("tags", name, key), f"only a tag of another kind has {key}", hint


def _loop_faults(
    loops: Mapping[str, Mapping[str, Any]], tags: Mapping[str, Any]
) -> Iterator[Fault]:
    for name, loop in loops.items():
        if not is_usable_name(name):
            yield ("loops", name), "a loop's name has 1 to 200 characters, none of them control", ""
        seen: dict[str, str] = {}
        for part, tag in loop.items():
            if not isinstance(tag, str) or not tag:
                continue
            if tag not in tags:
                yield ("loops", name, part), f"no tag {tag!r}", nearest(tag, tags)
            if tag in seen:
                cause = f"{tag!r} is also the loop's {seen[tag]}"
                yield ("loops", name, part), cause, "a tag is one part of a loop"
            seen.setdefault(tag, part)


def _session_faults(sources: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
    """Two clients of one id throw each other out, for ever."""
    seen: dict[tuple[Any, Any, str], str] = {}
    for name, source in sources.items():
        client, kind = source.get("client_id"), _kind_of(source)
        if kind is None or not kind.has_session or not isinstance(client, str) or not client:
            continue
        port = source.get("port", kind.model_fields["port"].default)
        place = (source.get("host"), port, client)
        if place in seen:
            cause = f"{client!r} is already the client_id of source {seen[place]!r}"
            yield ("sources", name, "client_id"), cause, "leave it out, or give each its own"
        seen.setdefault(place, name)


def _model_faults(
    path: KeyPath, model: Mapping[str, Any], tags: Mapping[str, Any]
) -> Iterator[Fault]:
    inputs, outputs = _texts(model, "inputs"), _texts(model, "outputs")
    labels = model.get("labels") if isinstance(model.get("labels"), list) else []
    by_api = [one.get("of") for one in labels or () if isinstance(one, Mapping)]  # needs no tag
    for key, names in (("inputs", inputs), ("outputs", outputs)):
        for index, name in enumerate(names):
            if name not in tags and not (key == "outputs" and name in by_api):
                yield (*path, key, index), f"no tag {name!r}", nearest(name, tags)
            if name in names[:index]:
                yield (*path, key, index), f"{name!r} is there twice", "drop one"
    for index, name in enumerate(_texts(model, "optional")):
        if name not in inputs:
            cause = f"{name!r} is no input of this model"
            yield (*path, "optional", index), cause, nearest(name, inputs)
    for index, name in enumerate(outputs):
        if name in inputs:
            cause = f"{name!r} is both input and output of this model"
            yield (*path, "outputs", index), cause, "a tag has one role in a model"
    mode = model.get("mode")
    mode_tag = mode.get("tag") if isinstance(mode, Mapping) else None
    if isinstance(mode_tag, str) and mode_tag not in tags:
        yield (*path, "mode", "tag"), f"no tag {mode_tag!r}", nearest(mode_tag, tags)
    listed = model.get("labels")
    for index, label in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(label, Mapping):
            yield from _label_faults(
                (*path, "labels", index), label, [*inputs, *outputs], model, tags
            )


def _person_faults(
    path: KeyPath, table: Mapping[str, Any], key: str, people: Mapping[str, Any]
) -> Iterator[Fault]:
    for index, name in enumerate(_texts(table, key)):
        if name not in people:
            hint = nearest(name, people) or f'add [people."{name}"]'
            yield (*path, key, index), f"no person {name!r} under [people]", hint


def _label_faults(
    path: KeyPath,
    label: Mapping[str, Any],
    taken: list[str],
    model: Mapping[str, Any],
    tags: Mapping[str, Any],
) -> Iterator[Fault]:
    tag, of = label.get("tag"), label.get("of")
    outputs = _texts(model, "outputs")
    if isinstance(tag, str):
        if tag and tag not in tags:
            yield (*path, "tag"), f"no tag {tag!r}", nearest(tag, tags)
        if tag in taken:
            cause = f"{tag!r} is already an input or output of this model"
            yield (*path, "tag"), cause, "a label is the truth, from elsewhere and later"
    if isinstance(of, str) and of not in outputs:
        yield (*path, "of"), f"{of!r} is no output of this model", nearest(of, outputs)


def login_faults(path: KeyPath, table: Mapping[str, Any]) -> Iterator[Fault]:
    """Of a table with a login and TLS: places of its password, certificates without TLS."""
    places = [
        key for key in ("password_file", "password_env", "password_credential") if table.get(key)
    ]
    if len(places) > 1:
        yield (*path, places[1]), f"the password has {len(places)} places", "keep one of them"
    if places and not table.get("username"):
        yield (*path, places[0]), "a password needs a username", "add `username`"
    if table.get("private_key") and not table.get("certificate"):
        yield (*path, "private_key"), "a private key needs its certificate", "add `certificate`"
    kind = _kind_of(table)
    needs_tls = kind is None or not kind.has_own_security
    if needs_tls and (table.get("ca") or table.get("certificate")) and not table.get("tls"):
        yield (*path, "tls"), "certificates are given but TLS is off", "add tls = true"


# --- secrets in plain sight ---------------------------------------------------------------------

_PLACES = frozenset({"endpoint", "host", "url"})
_ALONE = (
    "write the place alone, `username` beside it, and name the password_file, password_env or "
    "password_credential that holds the password"
)


def secret_faults(path: KeyPath, value: Any) -> Iterator[Fault]:
    """A login inside a URL or host; the fault does not repeat it."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from secret_faults((*path, str(key)), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from secret_faults((*path, index), item)
    elif isinstance(value, str) and ("@" in value and path and path[-1] in _PLACES):
        yield path, "a login never stands in an address: anybody could read it", _ALONE
    elif isinstance(value, str) and masked(value) != value:
        yield path, "a password never stands in an address: anybody could read it", _ALONE


def _code_faults(
    sources: Mapping[str, Mapping[str, Any]], tags: Mapping[str, Mapping[str, Any]]
) -> Iterator[Fault]:
    """Codes for "not available" that no register of the tag can hold."""
    for name, tag in tags.items():
        codes, source = tag.get("not_available"), sources.get(str(tag.get("source")))
        codes = codes.split() if isinstance(codes, str) else codes
        if not codes or not isinstance(codes, list) or source is None:
            continue
        protocol, path = str(source.get("protocol")), ("tags", name, "not_available")
        if protocol not in SOURCE_TABLES:
            continue
        if not SOURCE_TABLES[protocol].has_registers:
            yield path, "only values that are read from registers have raw codes", "leave it out"
            continue
        try:
            bad = unfit_codes(protocol, str(tag.get("address")), codes)
        except (SourceError, ValueError):
            continue  # told of the address, or of the code by itself
        for code in bad:
            cause = f"the registers of {tag.get('address')!r} can not hold {code!r}"
            yield path, cause, 'write the bits, like "0x8000", or the value before it is scaled'


# --- hooks --------------------------------------------------------------------------------------

_SECRET_PLACES = ("secret_file", "secret_env", "secret_credential")


def _hook_faults(raw: Mapping[str, Any]) -> Iterator[Fault]:
    models = _tables(raw, "models")
    for name, hook in _tables(raw, "hooks").items():
        path: KeyPath = ("hooks", name)
        places = [key for key in _SECRET_PLACES if hook.get(key)]
        if len(places) > 1:
            yield (*path, places[1]), f"the secret has {len(places)} places", "keep one of them"
        for index, model in enumerate(_texts(hook, "models")):
            if model not in models:
                yield (*path, "models", index), f"no model {model!r}", nearest(model, models)
        one = hook.get("model")
        if isinstance(one, str) and one not in models:
            yield (*path, "model"), f"no model {one!r}", nearest(one, models)


# --- people -----------------------------------------------------------------------------------

_TOKEN_PLACES = ("token_sha256", "token_file", "token_env", "token_credential")


def people_faults(raw: Mapping[str, Any], served: str) -> Iterator[Fault]:
    """How people are known, and whether their tokens are safe on what table `served` serves."""
    people = _tables(raw, "people")
    seen: dict[tuple[str, object], str] = {}
    for name, person in people.items():
        path = ("people", name)
        places = [key for key in _TOKEN_PLACES if person.get(key)]
        if len(places) > 1:
            yield (*path, places[1]), f"the token has {len(places)} places", "keep one of them"
        if not places and not person.get("unix_user") and "token" not in person:
            hint = 'add unix_user = "...", or token_sha256 = "..." (make one: fieldwarden token)'
            yield path, "nothing tells who this is", hint
        for key in ("unix_user", *_TOKEN_PLACES):
            place = (key, value) if isinstance(value := person.get(key), str) and value else None
            if place in seen:
                cause = f"it is already that of {seen[place]!r}"
                yield (*path, key), cause, "one identity belongs to one person"
            elif place is not None:
                seen[place] = name
    with_token = [name for name, one in people.items() if any(map(one.get, _TOKEN_PLACES))]
    yield from _served_faults(raw, served, with_token)


def _served_faults(
    raw: Mapping[str, Any], section: str, with_token: list[str]
) -> Iterator[Fault]:
    status = raw.get(section)
    if not isinstance(status, Mapping):
        return
    if bool(status.get("certificate")) != bool(status.get("private_key")):
        missing = "certificate" if status.get("private_key") else "private_key"
        yield (section, missing), "TLS needs both certificate and private_key", f"add `{missing}`"
    listen = status.get("listen")
    if not with_token or not isinstance(listen, str) or status.get("certificate"):
        return
    if not is_loopback(listen.rpartition(":")[0].strip("[]")):
        cause = f"{listen} can be reached from elsewhere: without TLS a token is read on the way"
        hint = (
            "listen on 127.0.0.1, or give certificate and private_key, or remove the token of "
            + ", ".join(map(repr, with_token[:3]))
        )
        yield (section, "listen"), cause, hint
