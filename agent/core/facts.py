"""The facts that hold: what is outside of what models were trained on right now, and since when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agent.core import delays, identity
from agent.core.charts import input_key
from agent.core.condition import Condition
from agent.core.extrapolation import INPUT, JOINT, Fact, input_text, joint_text
from agent.core.flag import Flag
from agent.core.identity import Place, Subject
from agent.core.kernels.base import Symptom
from agent.core.modes import Modes
from agent.core.names import MENDED
from agent.core.output_diagnosis import JUDGED
from agent.core.spec import EngineSpec
from agent.core.tag_evidence import LEAVES_RANGE
from agent.core.verdict import Concern, fact

_AFTER_NS = delays.settling_ns(0.0)
"""For so long what a model gave outside of its training is in the charts of its outputs."""

_LONG = 1 << 61

SCOPES = frozenset({INPUT, JOINT})


class Facts:
    """Holds facts by (model, position of the input; -1: all inputs together)."""

    def __init__(self, spec: EngineSpec, modes: Modes) -> None:
        self._spec, self._modes = spec, modes
        self._holding: dict[tuple[int, int], Fact] = {}
        self._over: dict[int, int] = {}  # when the last fact of a model ended

    def take(self, flag: Flag) -> tuple[str, Subject]:
        """A fact begins, grows or ends; (the model that it is of, the tag; or the model again)."""
        model, position = flag.row, -1
        if flag.scope == INPUT:
            place = self._spec.rows[flag.row]
            model, position = place.model, place.position
        key = (model, position)
        if flag.up:
            known = self._holding.get(key)
            self._holding[key] = Fact(known.since_ns if known else flag.time_ns, flag.score)
        else:
            self._holding.pop(key, None)
            self._over[model] = flag.time_ns
        own = self._spec.models[model]
        name = own.inputs[position] if position >= 0 else ""
        return own.name, identity.tag(name) if name else identity.model(own.name)

    def holds(self, row: int) -> bool:
        """Whether an input is outside of its trained range, by its row."""
        place = self._spec.rows[row]
        return (place.model, place.position) in self._holding

    def of(self, model: int) -> list[Concern]:
        """What there is to say of a model, by input."""
        found = sorted(key for key in self._holding if key[0] == model)
        return [self._concern(key) for key in found]

    def holds_of(self, condition: Condition) -> bool:
        """Whether the tag of a condition is out of its range in each model that it touches."""
        name = condition.subject.name
        models = [
            (index, model) for index, model in enumerate(self._spec.models)
            if model.name in condition.models and name in model.inputs
        ]
        return bool(models) and all(
            (index, model.inputs.index(name)) in self._holding for index, model in models
        )

    def tell_all_of(self, condition: Condition, cause: str, now: int) -> bool:
        """Whether facts tell all that a condition of a tag says.

        Of an input that is out of its range: that it is. Of what a model gives: that it is given
        what it was not trained on, or was until a moment ago. Not that it stands still.
        """
        if condition.subject.place is not Place.TAG or cause in MENDED:
            return False
        if models := self._as_output(condition):
            return all(
                any(place[0] == model for place in self._holding)
                or now - self._over.get(model, -_LONG) < _AFTER_NS
                for model in models
            )
        return all(
            key.symptom in LEAVES_RANGE for key in condition.seen
        ) and self.holds_of(condition)

    def _as_output(self, condition: Condition) -> list[int]:
        """The models of which a tag is an output, where their charts found all that was found."""
        models = {
            model.name: index for index, model in enumerate(self._spec.models)
            if condition.subject.name in model.charted
        }
        name = condition.subject.name
        judged = all(
            key.model in models and key.symptom in JUDGED and (
                key.symptom is not Symptom.FLAT
                or name in self._spec.models[models[key.model]].classes
            ) for key in condition.seen
        )
        return sorted({models[key.model] for key in condition.seen}) if judged else []

    def _concern(self, key: tuple[int, int]) -> Concern:
        model, position = key
        spec, holding = self._spec.models[model], self._holding[key]
        if position < 0:
            return fact(identity.model(spec.name), joint_text(holding))
        item = spec.baseline.modes[self._modes.index(model)].inputs[position]
        name = spec.inputs[position]
        return fact(identity.tag(name), input_text(item, name, holding))

    def forget(self, model: int) -> None:
        """A model is judged anew."""
        self._holding = {key: held for key, held in self._holding.items() if key[0] != model}
        self._over.pop(model, None)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        self._holding = {
            key: Fact(held.since_ns + shift_ns, held.far) for key, held in self._holding.items()
        }
        self._over = {model: time_ns + shift_ns for model, time_ns in self._over.items()}

    def to_json(self) -> list[list[Any]]:
        """[model, tag or "", since in ns, how far], in a fixed order; of a model with outputs also
        [model, None, when the last one ended, 0].
        """
        over = [
            [self._spec.models[index].name, None, time_ns, 0.0]
            for index, time_ns in sorted(self._over.items()) if self._spec.models[index].charted
        ]
        return over + [
            [model.name, model.inputs[position] if position >= 0 else "", held.since_ns, held.far]
            for (index, position), held in sorted(self._holding.items())
            for model in [self._spec.models[index]]
        ]

    def from_json(
        self, document: Sequence[Sequence[Any]], kept: Mapping[str, Collection[str]]
    ) -> None:
        """Take what `to_json` gave, as far as the kernel's state of it is kept."""
        self._holding.clear()
        self._over.clear()
        rows = {model.name: (index, model) for index, model in enumerate(self._spec.models)}
        for name, tag, since_ns, far in document:
            if name not in rows:
                continue
            index, model = rows[name]
            if tag is None and name in kept["model"]:
                self._over[index] = int(since_ns)
            elif tag == "" and name in kept["model"]:
                self._holding[index, -1] = Fact(int(since_ns), float(far))
            elif tag in model.inputs and input_key(name, tag) in kept["input"]:
                self._holding[index, model.inputs.index(tag)] = Fact(int(since_ns), float(far))
