"""OPC UA: what the nodes of a session are, told before the values that are so.

Three ways to know, each as early as the server shows it:
- read, at each new session before its first values, and now and then (`contract_check`);
- announced: properties such as EngineeringUnits and EURange are monitored in the subscription of
  the values, and what a publish response says of them is told before its values; events of the
  server (model changed, semantics changed), and the bits of a status code that say so;
- in band: the variant type of each value.

Invariants:
- what a value of the same publish response means may be as before or as after a change in it: it is
  told as the worse of both, then as after it;
- where something changed and is not read yet, the tag is told to be in doubt, until it was read;
- what could not be read now stays as it was: no answer is no difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.status_codes import StatusCodes

from agent.decode import opcua as decode
from agent.decode.kinds import Kinds
from agent.sources.opcua_identity import (
    ATTRIBUTES,
    PROPERTIES,
    Facts,
    attribute,
    facts_of,
    identity_of,
    meaning,
    meanings_of,
    properties_of,
    terms_of,
    variant_name,
    variant_of,
)
from agent.sources.opcua_items import Handles, affected_by
from agent.sources.opcua_nodes import Nodes, Refusal
from agent.sources.opcua_reading import Limits, value_in
from agent.sources.telling import How, Teller, Told, worse

DOUBT: Final = {"semantics": "changed, being read"}
_FEW = 2_000  # nodes: of more of them what no property says is known by the checks alone
_PART = 100  # nodes in one read while values come: the loop's other work waits for each
_TOLD = 500  # tags that are told at a time
_SPREAD = 0.5  # of the interval, over which a check is spread
_ASKED_EVERY = 10  # checks, until it is asked again which properties many nodes have
_MOST_DOUBTS = 5  # of a tag between two checks by status codes: some servers always set the bits
_LEAST_BETWEEN_S = 5.0  # checks that events ask for
_AGAIN_S = 1.0


class Watch:
    """What one session's nodes are.

    Args:
        client: connected.
        names: of the tags, by column.
        teller: is told.
        limits: of the server.
        period_s: between two checks.
        gone: is called with nodes that the server does not have any more.
        give_up: is called with the reason where the session must be made anew.
    """

    def __init__(
        self, client: Client, names: Sequence[str], teller: Teller, limits: Limits,
        period_s: float, gone: Callable[[Mapping[int, Refusal]], None],
        give_up: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._client = client
        self._names = names
        self._teller = teller
        self._limits = limits._replace(
            read=min(limits.read, _PART), translate=min(limits.translate, _PART)
        )
        self._period_s = period_s
        self._gone = gone
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self.handles = Handles(len(names))
        self._namespaces: Sequence[str] = ()
        self._nodes: dict[int, ua.NodeId | None] = {}
        self._facts: dict[int, Facts] = {}
        self._kinds: dict[int, Kinds] = {}
        self._properties: dict[tuple[int, str], ua.NodeId] = {}
        self._meanings: Told = {}
        self._doubts: dict[int, int] = {}  # column -> how often it came into doubt
        self._counts: dict[int, int] = {}  # doubts by status codes since the latest check
        self._checks = 0
        self._checked_s = self._loop.time()
        self._is_asked = False
        self._wake = asyncio.Event()

    # --- before the values --------------------------------------------------------------------

    async def begin(self, nodes: Nodes, columns: Collection[int]) -> None:
        """Read and tell what these columns are; before any of their values is asked for.

        Raises:
            UaError: the server refuses to read at all.
        """
        is_first = not self._nodes
        began_ns = self._teller.now_ns()
        identity = await identity_of(self._client)
        self._namespaces = list(nodes.namespaces)
        known = {column: nodes.known.get(column) for column in columns}
        self._nodes |= known
        for column in columns:
            facts = nodes.facts.get(column)
            if facts is not None:
                self._know(column, facts)
                self._kinds[column] = Kinds(variant_of(facts.variant, facts.data_type))
        await self._read_properties(columns)
        how: How = "connected" if is_first else "interval"
        told = list(columns)
        for at in range(0, len(told), _TOLD):
            part = told[at : at + _TOLD]
            self._tell(how, part, None if at else identity, again=is_first)
            await asyncio.sleep(0.0)  # other work of the loop need not wait for all of it
        if is_first:
            self._teller.agreed(began_ns)

    def properties(self, columns: Collection[int]) -> list[tuple[int, str, ua.NodeId]]:
        """(column, name, node) of the properties to monitor, and of few nodes the attributes."""
        wanted = set(columns)
        found = [
            (column, name, node) for (column, name), node in self._properties.items()
            if column in wanted
        ]
        if len(self._nodes) <= _FEW:
            known = {c: node for c, node in self._known(wanted).items() if not self._is_refused(c)}
            found += [(column, name, node) for column, node in known.items() for name in ATTRIBUTES]
        return found

    # --- while values come --------------------------------------------------------------------

    def announced(
        self, items: Iterable[Any], events: Iterable[Any], columns: Collection[int]
    ) -> Told:
        """Take what a publish response says besides values, and tell it.

        Args:
            items: those of properties.
            events: field lists of the server's events.
            columns: of which the response has values.

        Returns:
            What is to be told, as announced, when those values were handed on.
        """
        before: Told = {}
        after: Told = {}
        for item in items:
            place = self.handles.property_of(item.ClientHandle)
            if place is None:
                self._renumbered(value_in(item.Value))
            elif value_in(item.Value) is not None:
                self._meant(*place, value_in(item.Value), before, after)
        for event in events:
            self._happened(event)
        later = {column: terms for column, terms in after.items() if column in columns}
        self._part(before | {c: terms for c, terms in after.items() if c not in later})
        return later

    def _meant(self, column: int, name: str, value: Any, before: Told, after: Told) -> None:
        """A property or attribute has this value now."""
        was_terms = self._teller.told(self._names[column])
        if not self._took(column, name, value):
            return
        now_terms = self._terms(column)
        for key in sorted(was_terms.keys() | now_terms.keys()):
            was, now = was_terms.get(key), now_terms.get(key)
            if now != was:
                told = before.setdefault(column, {})
                told[key] = worse(key, told.get(key, was), now)
                after.setdefault(column, {})[key] = now

    def _took(self, column: int, name: str, value: Any) -> bool:
        """Take the value of a property or attribute; whether it is another than it was."""
        if name in ATTRIBUTES:
            known = self._facts.get(column)
            if known is None:
                return False
            self._facts[column] = known._replace(**attribute(name, value, self._namespaces))
            return self._facts[column] != known
        meanings = self._meanings.setdefault(column, {})
        was = dict(meanings)
        meanings.update(meaning(name, value))
        return was != meanings

    def in_band(self, news: Sequence[decode.News]) -> list[tuple[int, Told]]:
        """What samples say of themselves: (row before which it must be told, what), in order."""
        found: list[tuple[int, Told]] = []
        now_ns = self._teller.now_ns()
        for row, column, variant in news:
            is_typed = variant is not None
            terms = self._typed(column, variant, now_ns) if is_typed else self._doubted(column)
            if terms:
                found.append((row, {column: terms}))
        return found

    def tell(self, told: Told, how: How) -> None:
        """Tell what `announced` gave back, or `in_band` found."""
        self._part(told, how)

    def _typed(self, column: int, variant: Any, now_ns: int) -> dict[str, Any]:
        data_type = self._facts[column].data_type if column in self._facts else ""
        kinds = self._kinds.setdefault(column, Kinds())
        is_other = kinds.came(variant_of(variant_name(variant), data_type), now_ns)
        return {"variant": kinds.told} if is_other else {}

    def _doubted(self, column: int) -> dict[str, Any]:
        self._counts[column] = self._counts.get(column, 0) + 1
        if self._counts[column] > _MOST_DOUBTS:
            return {}
        self._doubt([column])
        return DOUBT

    def _doubt(self, columns: Iterable[int]) -> None:
        for column in columns:
            self._doubts[column] = self._doubts.get(column, 0) + 1
        self._wake.set()

    def _happened(self, event: Any) -> None:
        """An event of the server: the nodes that it names are in doubt, else all is checked."""
        named = affected_by(event)
        found = [
            column for column, node in self._nodes.items() if node is not None and node in named
        ]
        found += [column for (column, _), node in self._properties.items() if node in named]
        if found:
            self._part(dict.fromkeys(found, DOUBT))
            self._doubt(found)
        else:
            self._is_asked = True
            self._wake.set()

    def _renumbered(self, namespaces: Any) -> None:
        """The server's namespaces: where one has another index now, nodes are other ones."""
        if not isinstance(namespaces, list) or namespaces == self._namespaces:
            return
        if namespaces[: len(self._namespaces)] == self._namespaces:
            self._namespaces, self._is_asked = namespaces, True
            self._wake.set()
            return
        self._part(dict.fromkeys(self._nodes, DOUBT))
        self._give_up("the server's namespaces have other indices by now")

    # --- now and then -------------------------------------------------------------------------

    async def run(self) -> None:
        """Read what is in doubt, at once, and everything now and then, until cancelled."""
        due_s = self._loop.time() + self._period_s
        failures = 0
        while True:
            try:
                async with asyncio.timeout(max(0.0, due_s - self._loop.time())):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                if self._doubts:
                    await self._reread()
                wait_s = self._checked_s + _LEAST_BETWEEN_S - self._loop.time()
                if self._is_asked and wait_s > 0:
                    self._loop.call_later(wait_s, self._wake.set)
                elif self._is_asked or self._loop.time() >= due_s:
                    await self._check()
                    due_s = self._loop.time() + self._period_s
                failures = 0
            except Exception:  # noqa: BLE001 - unknown stays so; a lost session is told elsewhere
                await asyncio.sleep(min(_AGAIN_S * 2**failures, self._period_s))
                failures = min(failures + 1, 10)
                self._wake.set()

    async def _reread(self) -> None:
        """Read what is in doubt; what came into doubt again meanwhile stays so."""
        doubts = dict(self._doubts)
        columns = list(doubts)
        await self._read(columns, values=True)
        await self._read_properties(columns)
        for column, count in doubts.items():
            if self._doubts.get(column) == count:
                del self._doubts[column]
        if self._doubts:
            self._wake.set()
        self._tell("announced", columns, None)

    async def _check(self) -> None:
        """Read everything, in parts, over a while."""
        began_ns, self._checked_s = self._teller.now_ns(), self._loop.time()
        self._checks += 1
        is_whole = self._is_asked or len(self._nodes) <= _FEW or not self._checks % _ASKED_EVERY
        how: How = "announced" if self._is_asked else "interval"
        self._is_asked, self._counts = False, {}
        identity = await identity_of(self._client)
        self._renumbered(list(identity.get("namespaces", [])) or None)
        self._teller.whole(how, identity, {})
        columns = sorted(self._nodes)
        pause_s = _SPREAD * self._period_s * _PART / max(len(columns), _PART)
        for at in range(0, len(columns), _PART):
            part = columns[at : at + _PART]
            await self._read(part, values=False)
            if is_whole:
                await self._read_properties(part)
            else:
                await self._read_meanings(part)
            now_ns = self._teller.now_ns()
            for column in part:
                kinds = self._kinds.get(column)
                if kinds is not None and kinds.is_mixed:
                    kinds.came(kinds.latest, now_ns)
            self._tell(how, part, None)
            if at + _PART < len(columns):
                await asyncio.sleep(0.0 if how == "announced" else pause_s)
        self._teller.agreed(began_ns)

    # --- reading ------------------------------------------------------------------------------

    def _known(self, columns: Iterable[int]) -> dict[int, ua.NodeId]:
        return {c: node for c in columns if (node := self._nodes.get(c)) is not None}

    def _know(self, column: int, facts: Facts) -> None:
        """Take what was read, and what could not be read now as it was."""
        was = self._facts.get(column)
        if was is None or facts.status:
            self._facts[column] = facts
        else:
            self._facts[column] = facts._replace(**{
                name: getattr(was, name) for name, value in facts._asdict().items()
                if value in (None, "") and name != "status"
            })  # fmt: skip

    async def _read(self, columns: Sequence[int], *, values: bool) -> None:
        known = self._known(columns)
        found = await facts_of(
            self._client, list(known.values()), self._namespaces, self._limits.read, values=values
        )
        gone: dict[int, Refusal] = {}
        for column, facts in zip(known, found, strict=True):
            if facts.status and not self._is_refused(column):
                code = getattr(StatusCodes, facts.status, 0)
                gone[column] = Refusal(facts.status, decode.status_quality(code))
            self._know(column, facts)
        if gone:
            self._tell("interval", list(gone), None)
            self._gone(gone)

    def _is_refused(self, column: int) -> bool:
        return column not in self._facts or bool(self._facts[column].status)

    async def _read_properties(self, columns: Collection[int]) -> None:
        """Ask which properties there are, and read them."""
        known = {c: node for c, node in self._known(columns).items() if not self._is_refused(c)}
        found = await properties_of(self._client, known, self._facts, self._limits)
        for column in columns:
            for name in PROPERTIES:
                self._properties.pop((column, name), None)
            self._meanings[column] = {}
        self._properties |= found
        await self._read_meanings(columns)

    async def _read_meanings(self, columns: Collection[int]) -> None:
        wanted = {
            (column, name): self._properties[column, name]
            for column in columns for name in PROPERTIES if (column, name) in self._properties
        }
        for column, terms in (
            await meanings_of(self._client, wanted, self._limits.read)
        ).items():
            self._meanings.setdefault(column, {}).update(terms)

    # --- telling ------------------------------------------------------------------------------

    def _tell(
        self, how: How, columns: Iterable[int], identity: Mapping[str, Any] | None, *,
        again: bool = False,
    ) -> None:  # fmt: skip
        """The whole terms of these columns, as far as they are known."""
        tags = {self._names[column]: self._terms(column) for column in columns}
        known = {name: terms for name, terms in tags.items() if terms}
        self._teller.whole(how, identity, known, again=again)

    def _terms(self, column: int) -> dict[str, Any]:
        node, facts = self._nodes.get(column), self._facts.get(column)
        if facts is not None and column in self._kinds:
            facts = facts._replace(variant=self._kinds[column].told)
        terms = terms_of(node, facts, self._namespaces, self._meanings.get(column, {}))
        return terms | DOUBT if column in self._doubts else terms

    def _part(self, told: Told, how: How = "announced") -> None:
        named = {self._names[column]: terms for column, terms in told.items()}
        self._teller.part(named, how)
