"""Concerns: the active conditions as the verdict of one model sees them.

Looks at the subjects of a model alone (its inputs and outputs, their sources, the model itself), so
that a gateway with many models pays for the one whose verdict is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agent.core.condition import Condition
from agent.core.delays import TRANSPORT
from agent.core.spec import EngineSpec, ModelSpec
from agent.core.verdict import LOST_KINDS, Concern


class Concerns:
    """Builds the concerns of models; holds no state of its own."""

    def __init__(self, spec: EngineSpec) -> None:
        self._source_of = {tag.name: tag.source for tag in spec.tags}
        self._models = {model.name: model for model in spec.models}
        self._needed = {
            model.name: model.required | frozenset(model.outputs) for model in spec.models
        }
        self._subjects = {model.name: self._subjects_of(model) for model in spec.models}

    def _subjects_of(self, model: ModelSpec) -> tuple[tuple[str, bool], ...]:
        """(subject, whether the model can not do without it), sorted."""
        needed = self._needed[model.name]
        found = {f"model/{model.name}": True}
        for tag in (*model.inputs, *model.outputs):
            found[f"tag/{tag}"] = tag in needed
            source = f"source/{self._source_of[tag]}"
            found[source] = found.get(source, False) or tag in needed
        return tuple(sorted(found.items()))

    def of(
        self, name: str, active: Mapping[str, Condition], out_of_service: Collection[str]
    ) -> list[Concern]:
        """What speaks against a model right now, by subject."""
        model = self._models[name]
        concerns: list[Concern] = []
        silent: dict[str, list[str]] = {}
        for subject, required in self._subjects[name]:
            condition = active.get(subject)
            if condition is None or name not in condition.models:
                continue
            lost = bool(TRANSPORT & condition.findings.keys())
            if condition.raised and condition.kind in LOST_KINDS and not condition.findings:
                continue  # data arrive again; ten good scans, not the off-delay, bring trust back
            if condition.raised:
                concerns.append(
                    Concern(condition.id, subject, condition.kind, condition.cause,
                            condition.text, condition.hint, required, model.baseline.provisional,
                            lost)
                )
            elif lost and required:
                tag = subject.partition("/")[2]
                silent.setdefault(self._source_of[tag], []).append(tag)
        raised = {concern.subject for concern in concerns}
        concerns += [
            _silent(source, tags) for source, tags in sorted(silent.items())
            if f"source/{source}" not in raised
        ]
        return concerns + [
            Concern("", f"tag/{tag}", "out of service", "unknown", f"{tag} is out of service",
                    "put it back in service", tag in self._needed[name], False)
            for tag in sorted(set(out_of_service) & {*model.inputs, *model.outputs})
        ]


def _silent(source: str, tags: list[str]) -> Concern:
    """Required inputs that are not usable, before their condition has settled: one reason."""
    named = tags[0] if len(tags) == 1 else f"{tags[0]} and {len(tags) - 1} more"
    return Concern(
        "", f"source/{source}", "missing", "unknown",
        f"{named} of source {source} can not be used right now", "", True, False, True,
    )
