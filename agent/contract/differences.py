"""What is different between two contracts, how much, and whom it touches. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agent.contract import grades
from agent.contract.document import Contract, SourceTerms, TagTerms, Terms
from agent.contract.grades import Change, Grade, Rule, Span

_SHOWN = 60  # characters of a term


@dataclass(frozen=True, slots=True)
class Difference:
    """One term that is another one now.

    Attributes:
        subject: ``tag/NAME`` or ``source/NAME``.
        term: which, such as ``served unit``; empty where the whole subject came or went.
        models: those that it touches, by name.
        text: what a person reads.
    """

    subject: str
    source: str
    term: str
    was: Any
    now: Any
    grade: Grade
    models: tuple[str, ...]
    text: str

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in Difference.__slots__} | {
            "models": list(self.models)
        }


def differences(was: Contract, now: Contract) -> list[Difference]:
    """All of them, what breaks first.

    Args:
        was: what was agreed.
        now: as it is.
    """
    found = [*_sources(was, now), *_models(was, now)]
    return sorted(
        found, key=lambda one: (-grades.ORDER.index(one.grade), one.source, one.subject, one.term)
    )


def _sources(was: Contract, now: Contract) -> Iterator[Difference]:
    for name in sorted(was.sources.keys() | now.sources.keys()):
        old, new = was.sources.get(name), now.sources.get(name)
        if old is None or new is None:
            yield _source_whole(was, name, old, new)
            continue
        touched = tuple(sorted({one for tag in old.tags for one in was.models_of(tag)}))
        for part, table, terms in (
            ("", grades.SOURCE_AGREED, (old.agreed, new.agreed)),
            ("served ", grades.SOURCE_SERVED, (old.served, new.served)),
        ):
            for key, change, grade, words in _changed(table, *terms, None):
                yield Difference(
                    f"source/{name}", name, f"{part}{key}", change.was, change.now, grade,
                    touched, f"source {name}: {words}",
                )  # fmt: skip
        yield from _tags(was, name, old, new)


def _source_whole(
    was: Contract, name: str, old: SourceTerms | None, new: SourceTerms | None
) -> Difference:
    gone = old.tags if old is not None else {}
    touched = tuple(sorted({one for tag in gone for one in was.models_of(tag)}))
    grade: Grade = "additive" if old is None else "breaking" if touched else "compatible"
    what = "is new" if old is None else "is not there any more"
    return Difference(
        f"source/{name}", name, "", old and dict(old.agreed), new and dict(new.agreed), grade,
        touched, f"source {name} {what}",
    )  # fmt: skip


def _tags(
    was: Contract, source: str, old: SourceTerms, new: SourceTerms
) -> Iterator[Difference]:
    for tag in sorted(old.tags.keys() | new.tags.keys()):
        models = tuple(was.models_of(tag))
        before, after = old.tags.get(tag), new.tags.get(tag)
        if before is not None and after is not None:
            yield from _tag(tag, source, before, after, models, trained_range(was, tag))
            continue
        grade: Grade = "additive" if before is None else "breaking" if models else "compatible"
        what = "is new" if before is None else "is not there any more"
        yield Difference(
            f"tag/{tag}", source, "", before and dict(before.agreed), after and dict(after.agreed),
            grade, models if before is not None else (), f"{tag} of source {source} {what}",
        )  # fmt: skip


def _tag(
    tag: str, source: str, before: TagTerms, after: TagTerms, models: tuple[str, ...],
    trained: Span | None,
) -> Iterator[Difference]:  # fmt: skip
    for part, table, terms in (
        ("", grades.AGREED, (before.agreed, after.agreed)),
        ("served ", grades.SERVED, (before.served, after.served)),
    ):
        agreed = before.agreed if part else {}
        for key, change, grade, words in _changed(table, *terms, trained, agreed):
            yield Difference(
                f"tag/{tag}", source, f"{part}{key}", change.was, change.now, grade, models,
                f"{tag}: {words}",
            )  # fmt: skip


def _changed(
    table: Mapping[str, tuple[str, Rule]], was: Terms, now: Terms, trained: Span | None,
    agreed: Terms = MappingProxyType({}),
) -> Iterator[tuple[str, Change, Grade, str]]:
    """(key, change, grade, words) of each term that is another one."""
    for key in sorted(was.keys() | now.keys()):
        change = Change(was.get(key), now.get(key), trained, agreed.get(key))
        if change.was == change.now:
            continue
        words, rule = table.get(key, (key, grades.breaking))
        told = f"{words} was {_shown(change.was)}, is {_shown(change.now)}"
        grade = rule(change)
        if grade == "breaking" and grades.first_told(change) and change.agreed:
            told += f", and {_shown(change.agreed)} was agreed"
        yield key, change, grade, told


def _shown(value: Any) -> str:
    if value in (None, ""):
        return "not told"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def trained_range(contract: Contract, tag: str) -> Span | None:
    """The range that the models of a tag were trained on, all together."""
    spans = [
        model.tags[tag]["trained"] for model in contract.models.values()
        if model.tags.get(tag, {}).get("trained")
    ]
    if not spans:
        return None
    return float(min(low for low, _ in spans)), float(max(high for _, high in spans))


def _models(was: Contract, now: Contract) -> Iterator[Difference]:
    """What a model was fitted on, beside what its tags are configured as now."""
    for name, model in sorted(now.models.items()):
        for tag, fitted in sorted(model.tags.items()):
            found = [(source, own.tags[tag]) for source, own in now.sources.items()
                     if tag in own.tags]  # fmt: skip
            for source, terms in found:
                unit, own = fitted.get("unit"), terms.agreed.get("unit")
                if unit and own and unit != own:
                    yield Difference(
                        f"tag/{tag}", source, "fitted unit", unit, own, "breaking", (name,),
                        f"{tag}: model {name} was fitted in {unit}, configured is {own}",
                    )  # fmt: skip
    for name in sorted(was.models.keys() - now.models.keys()):
        yield Difference(
            f"model/{name}", "", "", was.models[name].version, None, "compatible", (name,),
            f"model {name} is not there any more",
        )  # fmt: skip
    for name, model in sorted(now.models.items()):
        known = was.models.get(name)
        if known is None:
            yield Difference(f"model/{name}", "", "", None, model.version, "additive", (name,),
                             f"model {name} is new")  # fmt: skip
        elif (known.version, known.baseline) != (model.version, model.baseline):
            yield Difference(
                f"model/{name}", "", "version", known.version, model.version, "compatible", (name,),
                f"model {name}: version was {known.version} (baseline {known.baseline[:12]}), is "
                f"{model.version} ({model.baseline[:12]})",
            )  # fmt: skip
