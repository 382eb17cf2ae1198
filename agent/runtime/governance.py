"""Reality beside the contract: what sources tell is compared, journaled, and held at the edge.

Invariants:
- what a source tells is compared in the call in which it tells it: the command ``contract`` and the
  gate are there before any sample that the source hands on afterwards.
- the folded state is the authority. What was journaled but is not folded yet is folded ahead, in a
  copy, which the gate is made of; where nothing is on its way, the copy is the engine's own.
- what is not journaled at once, as much comes or the intake refuses it, is held until it is.
- without a contract nothing is compared and there is no gate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from agent.configuration.schema import Configuration, Tag
from agent.contract import made
from agent.contract.beside import Found
from agent.contract.differences import differences
from agent.contract.document import Contract, SourceTerms, TagTerms, Terms
from agent.core import change as life
from agent.core.changes import Changes
from agent.core.steward import Steward
from agent.intake import Intake
from agent.runtime.contract_told import contract_told
from agent.runtime.gating import Gating
from agent.sources.base import Served

logger = logging.getLogger(__name__)

_LOOK_NS: Final = 10 * 1_000_000_000
"""How often policies are looked at: a source's first time may be over."""

_PATIENCE: Final = 30
"""Folds after which what is folded ahead is given up, where the engine never got it."""

_AT_ONCE: Final = 8
"""Commands on what sources told between two folds; more is held, and told together."""

_SERVED: Final = "served "
_FORM: Final = frozenset({"served data_type", "served node_class", "served value_rank"})
_REREAD_AFTER: Final = frozenset({"approve", "revert"})
Json = dict[str, Any]


class Governed(Protocol):
    """The agent, as far as changes concern it. A reload replaces both."""

    @property
    def configuration(self) -> Configuration:
        """As it is applied."""

    @property
    def engine(self) -> Steward:
        """As of the last fold."""


@dataclass(slots=True)
class _Source:
    """A source that is under contract: what it told, what it told other than agreed before a start,
    and what of it is different, by subject.
    """

    agreed: SourceTerms
    configured: SourceTerms
    identity: Terms | None = None
    tags: dict[str, Terms] = field(default_factory=dict)
    recalled: dict[str, Json] = field(default_factory=dict)
    found: dict[str, list[Json]] = field(default_factory=dict)
    sent: tuple[Any, ...] = ()


class Governance:
    """Compares, journals, and sets the intake's gate.

    Args:
        agent: that runs.
        intake: gets commands, and the gate.
        ids: the store's id of each tag.
        found: the contract's file.

    Attributes:
        ids: the store's id of each tag.
        found: as it was read last.
        gating: sets the gate, and says how tags are to be read.
    """

    def __init__(
        self, agent: Governed, intake: Intake, ids: Mapping[str, int], found: Found
    ) -> None:
        self._agent, self._intake, self.ids = agent, intake, ids
        self.found = found
        self.gating = Gating(intake)
        self._sources: dict[str, _Source] = {}
        self._ahead = Changes(agent.engine.spec)
        self._seen: tuple[int, int] = (0, -1)  # the engine's changes, and their version
        self._late = self._looked_ns = self._commands = 0
        self._behind: dict[str, tuple[str, int]] = {}  # source -> how and since, not journaled yet
        self._keys: tuple[tuple[int, int, str], set[life.Key]] = ((0, -1, ""), set())
        self._central: tuple[tuple[int, int, int], Json | None] = ((0, -1, 0), None)
        intake.gate_over = self._set_gate
        self._take_folded()
        self._begin()

    # --- start and reload -------------------------------------------------------------------------

    def _begin(self) -> None:
        """Compare what is configured, on top of what is known."""
        contract = self.found.contract
        if self.found.error is not None:
            logger.error("no change upstream is held: %s", self.found.error)
        self._sources = {}
        if contract is not None:
            configured = made.made(self._agent.configuration, {}, {}, "")
            self._sources = {
                name: _Source(terms, configured.sources[name])
                for name, terms in contract.sources.items() if name in configured.sources
            }
        for name in self._sources:
            self._recall(name)
            self._tell(name, "configuration", 0)
        if self.found.error is None:  # else nothing is known of what was agreed
            for name in set(self._ahead.sources) - set(self._sources):
                self.decide("contract", {"source": name, "how": "no contract", "contract": ""})
        self._set_gate()

    def reloaded(self, ids: Mapping[str, int], found: Found) -> bool:
        """Configuration and contract may be others; the engine has taken them.

        Returns:
            Whether sources are to be asked from now on what they serve, or not any more.
        """
        governed = self.governs
        self.ids, self.found = ids, found
        known = self._sources
        ahead, self._ahead = self._ahead, Changes(self._agent.engine.spec)
        self._ahead.from_json(ahead.to_json())
        self._begin()
        for name, own in self._sources.items():
            if name in known and known[name].tags:
                own.identity, own.tags = known[name].identity, known[name].tags
                self._compare(name, list(own.tags))
                self._tell(name, "configuration", 0)
        return governed != self.governs

    def _recall(self, name: str) -> None:
        """What was different as the source told last stays so until it tells anew."""
        own = self._sources[name]
        told = [
            *self._ahead.sources.get(name, {}).get("differences", ()),
            *(each for one in self._ahead.known.values() if one.source == name and one.in_force
              for each in one.differences),
        ]  # fmt: skip
        self._compare(name, sorted(own.agreed.tags.keys() | own.configured.tags.keys()))
        for one in told:
            tag = one["subject"].partition("/")[2] if one["subject"].startswith("tag/") else ""
            if not one["term"].startswith(_SERVED) or (tag and tag not in own.configured.tags):
                continue
            term = one["term"].removeprefix(_SERVED)
            agreed = own.agreed.tags[tag].served if tag in own.agreed.tags else own.agreed.served
            known = own.found.setdefault(one["subject"], [])
            if agreed.get(term) != one["now"] and one not in known:
                known.append(dict(one))
                if tag:  # a source that tells another term of it first has not told this one anew
                    own.recalled.setdefault(tag, {})[term] = one["now"]

    # --- what sources tell ------------------------------------------------------------------------

    @property
    def governs(self) -> bool:
        """Whether there is a contract."""
        return self.found.contract is not None

    def served(self, told: Served) -> None:
        """Compare what a source tells; what is held is so when this returns."""
        own = self._sources.get(told.source)
        if own is None:
            return
        changed = []
        for tag, terms in told.tags.items():
            if tag not in own.configured.tags:
                continue
            merged = self._merged(own, tag, terms, partial=told.partial)
            if own.tags.get(tag) != merged:
                own.tags[tag] = merged
                changed.append(tag)
        is_other = told.identity is not None and told.identity != own.identity
        if is_other:
            own.identity = dict(told.identity or {})
        if changed or is_other:
            self._compare(told.source, changed)
        at_once = is_other or self._commands < _AT_ONCE
        if not at_once or not self._tell(told.source, told.how, told.since_ns):
            self._wait(told, changed)

    def _wait(self, told: Served, changed: list[str]) -> None:
        """Hold what is different now, and journal it with what else comes until the next fold."""
        own, name = self._sources[told.source], told.source
        self._behind.setdefault(name, (told.how, told.since_ns))
        policy = self._agent.configuration.sources[name].compatibility
        if self._hold(name) != "hold" or policy == "none":
            return
        state = (id(self._ahead), self._ahead.version, name)
        if state != self._keys[0]:
            self._keys = (state, self._ahead.present(name))
        if self._breaks(own, f"source/{name}"):
            changed = list(own.configured.tags)
        else:
            changed = [tag for tag in changed if self._breaks(own, f"tag/{tag}")]
        known = {tag: self.ids[tag] for tag in changed if tag in self.ids}
        if not self.gating.hold(known, self._latest):
            self._set_gate()

    def _breaks(self, own: _Source, subject: str) -> bool:
        """Whether anything breaks that is not known of yet."""
        found = [one for one in own.found.get(subject, ()) if one["grade"] == "breaking"]
        return any(life.key_of(one) not in self._keys[1] for one in found)

    def _catch_up(self) -> None:
        """Journal what waits; what could not be journaled stays held, and waits on."""
        self._commands = 0
        behind, self._behind = self._behind, {}
        for name, (how, since_ns) in behind.items():
            if name in self._sources and not self._tell(name, how, since_ns):
                self._behind[name] = how, since_ns
        if not self._behind:
            self.gating.ahead.clear()
        if behind:
            self._set_gate()

    @staticmethod
    def _merged(own: _Source, tag: str, terms: Terms, *, partial: bool) -> Terms:
        if not partial:
            return dict(terms)
        agreed = own.agreed.tags[tag].served if tag in own.agreed.tags else {}
        before = own.tags.get(tag, {**agreed, **own.recalled.get(tag, {})})
        return {key: value for key, value in {**before, **terms}.items() if value is not None}

    def _compare(self, name: str, tags: list[str]) -> None:
        """What is different of a source itself and of these tags, in place of what was."""
        own, contract = self._sources[name], self.found.contract
        if contract is None:
            return
        was = SourceTerms(
            own.agreed.agreed, own.agreed.served,
            {tag: own.agreed.tags[tag] for tag in tags if tag in own.agreed.tags},
        )
        served = own.agreed.served if own.identity is None else own.identity
        now = SourceTerms(
            own.configured.agreed, served,
            {
                tag: TagTerms(own.configured.tags[tag].agreed, self._served_of(own, tag))
                for tag in tags if tag in own.configured.tags
            },
        )
        for subject in (f"source/{name}", *(f"tag/{tag}" for tag in tags)):
            own.found.pop(subject, None)
        for one in differences(_of(contract, name, was), _of(contract, name, now)):
            if one.source == name:
                told = one.to_json()
                if one.subject == f"source/{name}":  # only the tags named were compared
                    told["models"] = _users(contract, own)
                own.found.setdefault(one.subject, []).append(told)

    @staticmethod
    def _served_of(own: _Source, tag: str) -> Terms:
        if tag in own.tags:
            return own.tags[tag]
        return own.agreed.tags[tag].served if tag in own.agreed.tags else {}

    def _tell(self, name: str, how: str, since_ns: int) -> bool:
        """Journal all differences of a source, if they are others; False: refused."""
        own, contract = self._sources[name], self.found.contract
        configuration = self._agent.configuration
        known = self._ahead.sources.get(name, {})
        found = [one for _, group in sorted(own.found.items()) for one in group]
        told = {
            "contract": contract.digest if contract else "", "differences": found,
            "compatibility": configuration.sources[name].compatibility, "hold": self._hold(name),
            "needs": list(dict.fromkeys(configuration.contract.approvals)),
        }  # fmt: skip
        if all(known.get(key) == value for key, value in told.items()):
            return True
        self._commands += 1
        return self.decide("contract", {"source": name, "how": how, "since_ns": since_ns, **told})

    def _hold(self, name: str) -> str:
        """What a source's policy does right now: in its first time it only reports."""
        configuration = self._agent.configuration
        chosen = configuration.sources[name].hold
        now = self._intake.now_ns()
        first_ns = int(self._ahead.sources.get(name, {}).get("first_ns", now))
        is_first = now - first_ns < configuration.contract.report_first
        return chosen or ("report" if is_first else "hold")

    # --- what people decide -----------------------------------------------------------------------

    def decide(
        self, kind: str, data: Mapping[str, Any], on_commit: Callable[[], None] | None = None
    ) -> bool:
        """Journal a command on changes, and do at the edge what follows from it, at once.

        Returns:
            Whether it was taken; too many may wait.
        """
        if not self._intake.command(kind, data, on_commit=on_commit):
            return False
        now = self._intake.now_ns()
        self._ahead.command(kind, now, data, 1)
        self._fire(now)
        self._set_gate()
        one = self._ahead.known.get(str(data.get("change", "")))
        if kind in _REREAD_AFTER and one is not None and _is_of_form(one):
            self.gating.rebound(one.source)
        return True

    def folded(self) -> None:
        """The engine has folded what was sealed: its state is what counts."""
        engine = self._agent.engine
        changes = engine.judge.changes
        seen = (id(changes), changes.version)
        if changes.taken < self._ahead.taken and self._late < _PATIENCE:
            self._late += 1
        elif seen != self._seen or self._late >= _PATIENCE:
            self._take_folded()
            self._set_gate()
        self._catch_up()
        if engine.time_ns - self._looked_ns >= _LOOK_NS or engine.time_ns < self._looked_ns:
            self._looked_ns = engine.time_ns
            for name in self._sources:
                self._tell(name, "policy", 0)

    def _take_folded(self) -> None:
        engine = self._agent.engine
        changes = engine.judge.changes
        self._seen, self._late = (id(changes), changes.version), 0
        self._ahead = Changes(engine.spec)
        self._ahead.from_json(changes.to_json())

    def _fire(self, now: int) -> None:
        while self._ahead.next_due_ns <= now:
            self._ahead.fire(now)

    def _set_gate(self) -> None:
        self._fire(self._intake.now_ns())
        self.gating.set(self._ahead, self._agent.configuration, self.ids, self._latest)

    def _latest(self, tag: str) -> tuple[float, int] | None:
        engine = self._agent.engine
        row = engine.spec.row_of_tag.get(tag)
        if row is None or not engine.latest()["arrival_ns"][row]:
            return None
        return float(engine.latest()["value"][row]), int(engine.latest()["quality"][row])

    def bound(self, name: str, tag: Tag) -> Tag:
        """A tag as its source is to read it: by the maps in force, else as configured."""
        return self.gating.bound(name, tag)

    # --- looking in -------------------------------------------------------------------------------

    def for_central(self) -> Json | None:
        """What central is told of the contract; the same one while nothing of it is different."""
        changes = self._agent.engine.judge.changes
        state = (id(changes), changes.version, id(self.found))
        if state != self._central[0]:
            told = contract_told(self.contract_shown(), changes.shown())
            self._central = (state, told)
        return self._central[1]

    def contract_shown(self) -> Json | None:
        """Of the status document; None where there is none."""
        contract, error = self.found.contract, self.found.error
        told = {"hash": "", "made": "", "path": self.found.file, "text": "", "hint": ""}
        if contract is not None:
            return told | {"hash": contract.digest, "made": contract.made}
        if error is None:
            return None
        text = f"no change upstream is held: {error.cause}"
        return told | {"text": text, "hint": error.hint}


def _is_of_form(one: life.Change) -> bool:
    """Whether it is about how a tag is read: its source may have left it for that."""
    return any(each["term"] in _FORM for each in one.differences)


def _users(contract: Contract, own: _Source) -> list[str]:
    """The models with any tag of a source, by name."""
    tags = own.agreed.tags.keys()
    return sorted(
        name for name, model in contract.models.items() if not tags.isdisjoint(model.tags)
    )


def _of(contract: Contract, name: str, terms: SourceTerms) -> Contract:
    """A contract of one source alone, with the models of the whole."""
    return Contract(contract.site, contract.gateway, {name: terms}, contract.models)
