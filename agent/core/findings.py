"""Findings: what a detector's flag is evidence of, whose it is, and the delays that it has."""

from __future__ import annotations

from dataclasses import replace

from agent.core import identity
from agent.core.attribution import Attribution
from agent.core.charts import Charts
from agent.core.condition import Condition, Finding
from agent.core.delays import UNDECIDED, on_delay_ns, on_delay_of_sample
from agent.core.evidence import Active, EvidenceReader
from agent.core.flag import Flag
from agent.core.identity import FindingKey, Subject
from agent.core.loop_evidence import LoopReader
from agent.core.spec import EngineSpec


class Findings:
    """Makes findings of flags.

    Attributes:
        owner: whose a finding is that is not the subject's it was found on.
        joint_up: the joint charts whose flags are up.
        users: tag -> the models that use it.
    """

    def __init__(
        self, spec: EngineSpec, charts: Charts, evidence: EvidenceReader, loops: LoopReader,
        attribution: Attribution,
    ) -> None:
        self._spec, self._charts, self._evidence = spec, charts, evidence
        self._loops, self._attribution = loops, attribution
        self.owner: dict[FindingKey, Subject] = {}
        self.joint_up: set[FindingKey] = set()
        self.users: dict[str, list[str]] = {tag.name: [] for tag in spec.tags}
        for model in spec.models:
            for name in model.tags:
                self.users[name].append(model.name)

    def of(self, flag: Flag, active: Active) -> Finding:
        """The finding that a flag of a tag, an input or a model's joint charts makes."""
        if flag.scope == "joint":
            return self._of_joint(flag, active)
        return self._of_tag(flag) if flag.scope == "tag" else self._of_input(flag, active)

    def _of_tag(self, flag: Flag) -> Finding:
        tag, key = self._spec.tags[flag.row], FindingKey(flag.detector)
        return Finding(
            identity.tag(tag.name), key, flag.up, flag.time_ns, flag.score, self.users[tag.name],
            tag.interval_ns, on_delay_ns(tag.interval_ns, key.traits.on_delay),
        )

    def _of_input(self, flag: Flag, active: Active) -> Finding:
        key = self._loops.key(flag.row, flag.detector)
        if flag.up and self.owner.get(key) not in active:
            self.owner.pop(key, None)
        tag = self._spec.tags[self._spec.rows[flag.row].tag].name
        own = self._loops.home(key, identity.tag(tag))
        interval_ns = self._charts.parameters.baseline(flag.row).interval_ns
        return Finding(
            self.owner.get(key, own), key, flag.up, flag.time_ns, flag.score, [key.model],
            interval_ns,
            on_delay_ns(interval_ns, min(key.traits.on_delay, on_delay_of_sample(interval_ns))),
            stay_ns=self._evidence.stay_ns(flag.row, key),
            looks_back_ns=self._evidence.looks_back_ns(flag.row, key),
        )

    def _of_joint(self, flag: Flag, active: Active) -> Finding:
        """It is the model's until that is told whose it is; from its raising on, as it comes.

        At once it is a tag's whose condition is open, where that explains it: one fault is one.
        """
        model = self._spec.models[flag.row]
        key, home = FindingKey(flag.detector, model.name), identity.model(model.name)
        about = tuple(model.inputs[column] for column in flag.about)
        if flag.up:
            self.joint_up.add(key)
            self.owner.pop(key, None)
            told = active.get(home) or Condition(home, [model.name], model.scan_ns, flag.time_ns)
            late = replace(told, seen={key: flag.score}, about=about)
            owner = self._attribution.owner(late, flag.time_ns, active)
            if told.raised or (owner != home and owner in active):
                self.owner[key] = owner
        else:
            self.joint_up.discard(key)
        traits = key.traits
        delay = traits.on_delay if traits.on_delay_agreed is None else traits.on_delay_agreed
        delay_ns = on_delay_ns(model.scan_ns, UNDECIDED if len(about) > 1 else delay)
        return Finding(
            self.owner.get(key, home), key, flag.up, flag.time_ns, flag.score, [model.name],
            model.scan_ns, delay_ns, about=about,
        )
