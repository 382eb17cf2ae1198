"""Loops at one instant: what the traces of a model's inputs say of its control loops, in words.

A loop's condition stands at its measurement, as people call a loop by it: what is found of its
output is a sign of the loop, and no output is ever faulty as an instrument. Holds no state.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

import numpy as np

from agent.core import identity
from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.diagnosis import Diagnosis
from agent.core.figures import beside_set_point, give_or_take, likelier
from agent.core.identity import FindingKey, Place, Subject
from agent.core.kernels.base import Words
from agent.core.loop_diagnosis import SEVERAL_LEAPT, LoopFault, LoopModel
from agent.core.loop_traces import Loop, Seen
from agent.core.spec import EngineSpec

_OF_INSTRUMENT = frozenset({"stuck", "noise", "spikes", "out of physical range"})
"""Kinds that one measurement's own samples show, whatever its loop does."""

_VAGUE = 4
"""Most rank of a name while its loop may explain it otherwise."""

_SETTLED = 5
"""Most rank of a name that only what has settled tells: it replaces none that single samples
showed, which the traces may not hold any more.
"""

_CONVERTED = 8
"""Rank of a name of what became of a value on its way here; above, nothing usable arrives."""


class LoopReader:
    """Reads the loops of all models from charts."""

    def __init__(self, spec: EngineSpec, charts: Charts) -> None:
        self._spec, self._charts = spec, charts
        self._loops = tuple(_loops_of(spec, model) for model in range(len(spec.models)))
        self._index = {model.name: index for index, model in enumerate(spec.models)}
        self._model = lru_cache(maxsize=None)(self._made)

    def _made(self, model: int, mode: int) -> LoopModel | None:
        joint = self._spec.models[model].baseline.modes[mode].joint
        document = joint.get("loops")
        return LoopModel(document, self._loops[model]) if document else None

    def _present(self, model: int) -> LoopModel | None:
        return self._model(model, self._charts.modes.index(model))

    # --- whose a finding is ---------------------------------------------------------------------

    def home(self, key: FindingKey, own: Subject) -> Subject:
        """Where a finding is told that nothing else is known of; `own` where it names no tag."""
        model = self._index.get(key.model)
        return self.at(model, key.of) if key.of and model is not None else own

    def at(self, model: int, tag: str) -> Subject:
        """Where the condition of an input stands: a loop's output has it at its measurement."""
        inputs = self._spec.models[model].inputs
        for loop in self._loops[model]:
            if loop.out >= 0 and inputs[loop.out] == tag:
                return identity.tag(inputs[loop.pv])
        return identity.tag(tag)

    def key(self, row: int, detector: str) -> FindingKey:
        """Names a finding on a chart row; with its tag, where it may be told at another."""
        place = self._spec.rows[row]
        of = self._spec.tags[place.tag].name if self._loops[place.model] else ""
        return FindingKey(detector, self._spec.models[place.model].name, of)

    def owner(self, condition: Condition, now: int) -> Subject | None:
        """Whose a condition is by what its model's loops show; None where they show nothing."""
        model = self._of(condition)
        fault = self._fault(model, condition, now) if model is not None else None
        if model is None or fault is None or fault.kind == SEVERAL_LEAPT:
            return None
        inputs = self._spec.models[model].inputs
        if fault.column >= 0:
            return identity.tag(inputs[fault.column])
        if len(fault.candidates) == 1:
            return self.at(model, inputs[fault.candidates[0]])
        return identity.model(self._spec.models[model].name)

    def _of(self, condition: Condition) -> int | None:
        """The model whose loops say what a condition is: the first that has loops."""
        found = sorted({self._index[key.model] for key in condition.seen if key.model})
        return next((model for model in found if self._present(model) is not None), None)

    # --- what it is -----------------------------------------------------------------------------

    def _fault(self, model: int, condition: Condition, now: int) -> LoopFault | None:
        loops = self._present(model)
        inputs = self._spec.models[model].inputs
        of = {key.of for key in condition.seen if not key.joint and key.of}
        flagged = [column for column, name in enumerate(inputs) if name in of]
        if of and not flagged:  # an output of the model: nothing of its loops
            return None
        return loops.fault(self._seen(model, now), flagged) if loops is not None else None

    def _seen(self, model: int, now: int) -> Seen:
        rows = self._spec.rows_of(model)
        traces = [self._charts.traces.of_input(row, now) for row in rows]
        leaps = [self._charts.traces.leaps_of(row, now) for row in rows]
        items = [self._charts.parameters.baseline(row) for row in rows]
        blocks = min(len(means) for _, means in traces)
        return Seen(
            [fine for fine, _ in traces],
            np.stack([means[len(means) - blocks :] for _, means in traces], axis=1),
            np.stack([each[len(each) - blocks - 1 :] for each in leaps], axis=1),
            np.array([item.noise / item.scale for item in items]),
            np.array([item.centre for item in items]), np.array([item.scale for item in items]),
            np.array([item.trained for item in items]),
        )  # fmt: skip

    def named(self, condition: Condition, plain: Diagnosis, now: int) -> Diagnosis:
        """The name of a condition, given what it would be called without knowledge of loops."""
        model = self._of(condition)
        if model is None or plain.rank > _CONVERTED:
            return plain
        fault = self._fault(model, condition, now)
        if plain.rank == _CONVERTED and not (fault and fault.cause == "process"):
            return plain  # a record that is converted moves no output
        inputs = self._spec.models[model].inputs
        whole = condition.subject.place is Place.MODEL
        if fault is not None and fault.column >= 0:
            name = inputs[fault.column]
            if whole or condition.subject == identity.tag(name):
                return self._decided(model, fault, plain.rank, whole=whole)
        own = self._spec.tag_of.get(condition.subject.name)
        of_loop = whole or (own is not None and bool(own.loop))
        if not of_loop or (plain.cause == "sensor" and plain.kind in _OF_INSTRUMENT):
            return plain
        if own is not None and own.loop_part in {"set point", "loop mode"}:
            return plain
        return self._undecided(plain, [inputs[c] for c in fault.candidates] if fault else [])

    def _decided(self, model: int, fault: LoopFault, least: int, *, whole: bool) -> Diagnosis:
        name = self._spec.models[model].inputs[fault.column]
        row = self._spec.rows_of(model)[fault.column]
        item = self._charts.parameters.baseline(row)
        tag = self._spec.tag_of[name]
        words = _WORDS[fault.kind]
        facts = {
            "tag": name, "loop": tag.loop, "source": tag.source,
            "size": give_or_take(fault.size * item.scale, fault.error * item.scale, tag.unit),
            "reads": beside_set_point(fault.reads, fault.set_point, tag.unit),
            "value": f"{fault.reads:.5g} {tag.unit}".rstrip(), "sure": likelier(fault.sure),
            "trained": f"{item.trained[0]:.5g} to {item.trained[1]:.5g} {tag.unit}".rstrip(),
        }
        return Diagnosis(
            words.kind, words.cause, words.text.format(**facts), words.hint.format(**facts),
            max(words.rank if fault.shown else min(words.rank, _SETTLED), least),
            (name,) if whole else (),
        )

    def _undecided(self, plain: Diagnosis, candidates: Collection[str]) -> Diagnosis:
        """What behind a controller can not be told apart is called unknown."""
        among = f"; it may be {' or '.join(candidates)}" if candidates else ""
        return replace(
            plain, cause="unknown", text=f"{plain.text}{among}", rank=min(plain.rank, _VAGUE),
            hint="compare the measurement with a second instrument; look at the valve and the load",
        )


_WORDS = {words.kind: words for words in (
    Words(
        "loop mode", "process", "{tag} is switched to {value}, a mode that training never had",
        "somebody operates loop {loop} by hand, or its controller gave up: find out why", 6,
    ),
    Words(
        "set point moved", "process",
        "{tag} was moved to {value}, in training it was {trained}; what follows it moves, too",
        "find out who, or which loop above {loop}, moved it; the model may not know this region", 6,
    ),
    Words(
        "stuck", "sensor", "{tag} repeats {value} while loop {loop} is controlled by it",
        "check the transmitter at once: the controller is blind", 6,
    ),
    Words(
        "noise", "sensor", "{tag} is noisier than in training, about its set point",
        "check wiring, shielding and grounding", 6,
    ),
    Words(
        "bias", "sensor",
        "{tag} is off by about {size}: the controller of {loop} holds the reading at its set "
        "point, so the true value moved{sure}",
        "calibrate or replace the transmitter; exclude this window from any training", 6,
    ),
    Words(
        "not what the controller reads", "integration",
        "{tag} left its set point, and its controller does not answer: it must read "
        "another value{reads}",
        "compare {tag} at source {source} with the controller's own display: unit, scale, address",
        8,
    ),
    Words(
        "output without effect", "process",
        "{tag} does not come back to its set point, though the output of {loop} moved as never "
        "before{reads}",
        "look at the valve of {loop} and what drives it, and whether the load is beyond its reach",
        6,
    ),
    Words(
        "oscillation", "process",
        "{tag} swings about its set point as it never did, and the output of {loop} with it"
        "{reads}",
        "look at the valve of {loop} (stiction), then at the tuning of its controller", 6,
    ),
    Words(
        "load", "process",
        "the output of {loop} moved to hold {tag}; what depends on {tag} stayed, so it reads "
        "right{sure}",
        "look at the valve of {loop}, its supply, fouling, and the load", 5,
    ),
)}  # fmt: skip


def _loops_of(spec: EngineSpec, model: int) -> tuple[Loop, ...]:
    """The loops of which a model has the measurement, by column."""
    if not any(mode.joint.get("loops") for mode in spec.models[model].baseline.modes):
        return ()
    columns: dict[str, dict[str, int]] = {}
    for column, name in enumerate(spec.models[model].inputs):
        tag = spec.tag_of[name]
        if tag.loop:
            columns.setdefault(tag.loop, {})[tag.loop_part] = column
    return tuple(
        Loop(
            name, parts["measurement"], parts.get("set point", -1),
            parts.get("controller output", -1), parts.get("loop mode", -1),
        )
        for name, parts in columns.items() if "measurement" in parts
    )
