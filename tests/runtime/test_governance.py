"""What sources tell beside the contract, in a whole agent: held in the same call, over restarts."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest

from agent.configuration.load import load
from agent.contract.document import Contract, TagTerms, text_of
from agent.contract.made import baselines, made
from agent.core.baseline_file import write_baseline
from agent.core.change import Change
from agent.errors import FieldwardenError
from agent.runtime import change_orders
from agent.runtime.app import Agent
from agent.sources.base import Served
from agent.status.change_bodies import map_of
from agent.types import Block, Quality
from tests import small_site
from tests.core import small
from tests.runtime.test_reload import CONFIG, Service, bring, read_again, running, trained
from tests.waiting import PATIENCE_S

HELD, MASKED = int(Quality.CONTRACT_BROKEN), int(Quality.MASKED)
NAMES = ("Ann", "Ben", "Cy")
PEOPLE = "".join(f'[people.{name}]\nunix_user = "{name.lower()}"\n' for name in NAMES)
SIDES = '[contract]\nowner = ["Ann"]\nintegration = ["Ben"]\n'
UNITS = CONFIG.replace('address = "t /b"\n', 'address = "t /b"\nunit = "degC"\n')
HOLD = UNITS.replace('host = "127.0.0.1"\n', 'host = "127.0.0.1"\nhold = "hold"\n')


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(HOLD, encoding="utf-8")
    trained(tmp_path)
    return path


def agree(file, **served) -> Contract:
    """Write the contract; `served` are terms by tag."""
    configuration = load(file)
    found = made(configuration, baselines(configuration), {}, "2026-11-01")
    (source,) = found.sources.values()
    tags = {
        name: TagTerms(terms.agreed, served.get(name, {"json_type": "number"}))
        for name, terms in source.tags.items()
    }
    found = dataclasses.replace(
        found, sources={"one": dataclasses.replace(source, tags=tags)}
    )  # fmt: skip
    file.with_name("config.contract.json").write_text(text_of(found), encoding="utf-8")
    return found


def tells(agent, partial=False, **tags) -> None:
    """The source says what it serves of these tags."""
    agent.governance.served(Served("one", "interval", None, tags, 5, partial))


def append(agent, **values) -> None:
    ids = agent.governance.ids
    index = np.array([ids[name] for name in values], np.int32)
    good = np.zeros(len(values), np.uint16)
    agent.intake.append(index, None, np.array(list(values.values())), good)


def journaled(agent, tag) -> list[tuple[float, int]]:
    """(value, quality) of a tag's samples; what the gate itself said is left out."""
    index = agent.governance.ids[tag]
    return [
        (float(value), int(bits))
        for entry in agent.reader.journal(1) if isinstance(entry, Block)
        for i, value, bits in zip(entry.tag, entry.value, entry.quality, strict=True)
        if i == index and not np.isnan(value)
    ]


async def folded(agent) -> None:
    """All that was brought so far is folded and committed."""
    last = agent.engine.sequence + 1
    done = asyncio.get_running_loop().create_future()
    agent.intake.command("note", {}, on_commit=lambda: done.set_result(None))
    async with asyncio.timeout(PATIENCE_S):
        await done
    assert agent.store.last_sequence >= last


async def order(agent, kind, by="Ann", **data):
    return (await agent.orders.carry_out(kind, {"note": "why", "by": by, **data}))["event"]["data"]


def change(agent, name="one-1"):
    return next(one for one in agent.view.document()["changes"] if one["id"] == name)


TEXT, NUMBER = {"json_type": "text"}, {"json_type": "number"}


async def test_nothing_comes_between_what_is_told_and_what_is_held(file):
    """Samples of one block: those before the call count, those after it do not."""
    agree(file)
    async with running(file) as agent:
        assert agent.intake.gate is None  # it costs nothing
        append(agent, b=1.0, a=1.0)
        tells(agent, b=TEXT)
        append(agent, b=2.0, a=2.0)
        tells(agent, b=NUMBER)
        append(agent, b=3.0, a=3.0)
        await folded(agent)
        assert journaled(agent, "b")[-3:] == [(1.0, 0), (2.0, HELD), (3.0, 0)]
        assert {bits for _, bits in journaled(agent, "a")} == {0}
        assert agent.intake.gate is None
        one = change(agent)
        assert (one["state"], one["tags"]) == ("ended", ["b"])
        assert one["models"][0]["name"] == "m" and one["since_ns"] == 5
        assert agent.view.document()["contract"]["hash"] == agent.governance.found.contract.digest


async def test_in_band_terms_that_were_never_told_are_as_agreed(file):
    """A part of the terms is compared alone; one that is gone is taken away."""
    agree(file, b={"json_type": "number", "keys": ["b"]})
    async with running(file) as agent:
        tells(agent, partial=True, b={"keys": ["b", "x"]})
        assert agent.intake.gate is None
        tells(agent, partial=True, b={"json_type": None})
        await folded(agent)
        assert change(agent)["hold"] == "held"


async def test_a_source_only_reports_in_its_first_time(file):
    """30 days from its first contract on; then the same difference is held, without being told."""
    file.write_text(UNITS, encoding="utf-8")
    agree(file)
    async with running(file) as agent:
        tells(agent, b=TEXT)
        append(agent, b=2.0)
        await folded(agent)
        assert change(agent)["hold"] == "would hold" and agent.intake.gate is None
        for changes in (agent.engine.judge.changes, agent.governance._ahead):
            changes.sources["one"]["first_ns"] -= 31 * 86_400 * 10**9
        agent.governance._looked_ns = 0
        await folded(agent)
        append(agent, b=3.0)
        await folded(agent)
        assert change(agent)["hold"] == "held"
        assert journaled(agent, "b")[-2:] == [(2.0, 0), (3.0, HELD)]


async def test_a_restart_holds_from_its_first_sample(file):
    """The gate is made of the folded state, before any source runs."""
    agree(file)
    async with running(file) as agent:
        tells(agent, b=TEXT)
        await folded(agent)
    again = Agent(load(file))
    await again.open()
    try:
        bits = again.intake.gate.bits
        assert bits[again.governance.ids["b"]] == HELD and np.count_nonzero(bits) == 1
        assert set(again.engine.judge.changes.holding()) == {"b"}
    finally:
        again.service = Service()
        await again.close()


async def test_both_sides_approve_and_the_edge_converts_until_it_is_taken_back(file):
    """By names of units; whoever is of neither side may not; it is converted after a restart."""
    file.write_text(HOLD + PEOPLE + SIDES, encoding="utf-8")
    agree(file, b={"unit": "degC"})
    async with running(file) as agent:
        tells(agent, b={"unit": "degF"})
        append(agent, b=212.0)
        await folded(agent)
        with pytest.raises(FieldwardenError, match="Cy approves for neither side"):
            await order(agent, "approve", "Cy", change="one-1", map=None)
        with pytest.raises(FieldwardenError, match="no such change"):
            await order(agent, "approve", change="one-9", map=None)
        told = await order(agent, "approve", change="one-1", map="suggested")
        assert (told["change"], told["needs"]) == ("approved by one side", ["integration"])
        append(agent, b=212.0)
        told = await order(agent, "approve", "Ben", change="one-1", map="suggested")
        assert told["change"] == "approved" and told["state"] == "approved"
        append(agent, b=212.0)
        await folded(agent)
        values = journaled(agent, "b")
        assert values[-3:-1] == [(212.0, HELD)] * 2
        assert values[-1] == (pytest.approx(100.0), 0)
        part = change(agent)["map"]["b"]
        assert part["unit"] == "degF" and part["factor"] == pytest.approx(5 / 9)
    async with running(file) as agent:
        append(agent, b=32.0)
        await folded(agent)
        assert journaled(agent, "b")[-1] == (pytest.approx(0.0, abs=1e-9), 0)
        await order(agent, "revert", change="one-1")
        append(agent, b=32.0)
        await folded(agent)
        assert journaled(agent, "b")[-1] == (32.0, HELD)
        assert change(agent)["state"] == "detected"
        await order(agent, "reject_change", change="one-1")
        assert (change(agent)["state"], change(agent)["hold"]) == ("rejected", "held")


async def test_a_tag_that_moved_is_read_elsewhere(file):
    """Its binding is another one, also after a reload; two that traded places are put back."""
    agree(file)
    async with running(file) as agent:
        tells(agent, b=TEXT, a=TEXT)
        await folded(agent)
        with pytest.raises(FieldwardenError, match="b:"):
            await order(agent, "approve", change="one-1", map={"b": {"address": ""}})
        part = {"b": {"address": "t /moved"}}
        await order(agent, "approve", change="one-1", map=part)
        assert agent.feeds._wanted["one"][1]["b"].tag.address == "t /moved"
        assert agent.configuration.tags["b"].address == "t /b"
        await read_again(agent)
        assert agent.feeds._wanted["one"][1]["b"].tag.address == "t /moved"
        await order(agent, "revert", change="one-1")
        assert agent.feeds._wanted["one"][1]["b"].tag.address == "t /b"
        swap = {"a": {"swap_with": "b"}}
        await order(agent, "approve", change="one-1", map=swap)
        append(agent, a=5.0, b=7.0)
        await folded(agent)
        assert (journaled(agent, "a")[-1], journaled(agent, "b")[-1]) == ((7.0, 0), (5.0, 0))


async def test_planned_maintenance_masks_and_holds_nothing(file):
    """Samples of its window; what is different in it is held only behind it."""
    agree(file)
    async with running(file) as agent:
        now = agent.engine.time_ns
        await order(agent, "announce", tags=["b"], source="", from_ns=now - 10**9,
                    until_ns=now + 60 * 10**9)  # fmt: skip
        tells(agent, b=TEXT)
        append(agent, b=2.0, a=2.0)
        await folded(agent)
        assert journaled(agent, "b")[-1] == (2.0, MASKED)
        (model,) = agent.view.document()["models"]
        assert "planned maintenance" in [one["kind"] for one in model["reasons"]]
        name = next(o["id"] for o in agent.view.document()["changes"] if o["state"] == "announced")
        await order(agent, "revert", change=name)
        append(agent, b=3.0)
        await folded(agent)
        assert journaled(agent, "b")[-1] == (3.0, HELD)


async def test_what_is_proposed_waits_for_a_decision(file):
    """With the document that the replay takes, and the map that it will need."""
    agree(file)
    async with running(file) as agent:
        document = {"text": "new transmitter", "who": "Jan", "tags": {"b": {"unit": "degF"}}}
        told = await order(agent, "propose", change=document)
        assert (told["state"], told["tags"], told["models"]) == ("proposed", ["b"], ["m"])
        one = change(agent, told["id"])
        assert one["document"]["tags"] == {"b": {"unit": "degF"}}
        assert one["expires_ns"] - one["found_ns"] == 30 * 86_400 * 10**9
        assert agent.intake.gate is None


async def test_a_damaged_contract_is_told_and_the_agent_runs_on(file, caplog):
    """Ungoverned, and it says so; a sound file is taken up by a reload."""
    agree(file)
    path = file.with_name("config.contract.json")
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound.replace("2026-11-01", "2026-11-01").replace("number", "text"), "utf-8")
    async with running(file) as agent:
        assert "no change upstream is held" in caplog.text
        shown = agent.view.document()["contract"]
        assert shown["hash"] == "" and "changed by hand" in shown["text"]
        assert not agent.governance.governs
        tells(agent, b=TEXT)
        assert agent.intake.gate is None
        path.write_text(sound, encoding="utf-8")
        links = dict(agent.feeds._links)
        await read_again(agent)
        assert agent.governance.governs and links["one"] is not agent.feeds._links["one"]
        tells(agent, b=TEXT)
        assert agent.intake.gate is not None
        await folded(agent)
        path.write_text("{}", encoding="utf-8")
        await read_again(agent)
        await folded(agent)
        assert agent.intake.gate is not None  # what is held stays so while nobody knows better
        path.unlink()
        await read_again(agent)
        await folded(agent)
        assert agent.intake.gate is None and agent.view.document()["contract"] is None


async def test_a_contract_made_anew_ends_what_it_agrees_to(file):
    """And a tag that is gone takes its change with it."""
    agree(file)
    async with running(file) as agent:
        tells(agent, b=TEXT)
        await folded(agent)
        agree(file, b=TEXT)
        await read_again(agent)
        await folded(agent)
        assert change(agent)["state"] == "ended" and agent.intake.gate is None


async def test_what_is_configured_otherwise_is_a_change_too(file):
    """An address that was edited after the contract was made."""
    agree(file)
    file.write_text(HOLD.replace('"t /b"', '"t /other"'), encoding="utf-8")
    async with running(file) as agent:
        one = change(agent)
        assert (one["how"], one["tags"], one["hold"]) == ("configuration", ["b"], "held")
        bring(agent)
        await folded(agent)
        assert journaled(agent, "b")[-1] == (0.0, HELD)


OPCUA = HOLD.replace('protocol = "mqtt"\nhost = "127.0.0.1"\n',
                     'protocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:1"\n')  # fmt: skip


@pytest.mark.parametrize(("came", "part", "told"), [
    (5.0, None, (5.0, int(Quality.HELD))), (None, None, (0.0, int(Quality.HELD))),
    (5.0, {"b": {"factor": 2.0}}, (10.0, int(Quality.HELD))),
    (None, {"b": {"factor": 2.0}}, (0.0, 0)),
])  # fmt: skip
async def test_a_tag_that_reports_changes_only_has_its_last_value_told_again(
    file, came, part, told
):
    """As it counts again; where nothing came since, nobody knows what a map would make of it."""
    text = OPCUA
    for name in ("a", "b", "c", "mode"):
        text = text.replace(f'"t /{name}"', f'"ns=2;s={name}"')
    file.write_text(text, encoding="utf-8")
    agree(file)
    async with running(file) as agent:
        await folded(agent)
        tells(agent, b=TEXT)
        if came is not None:
            append(agent, b=came)
        await folded(agent)
        await order(agent, "approve", change="one-1", map=part)
        await folded(agent)
        assert journaled(agent, "b")[-1] == told


async def test_after_a_restart_what_is_told_of_another_term_releases_nothing(file):
    """A source tells in parts: what it has not told anew stays as it was told last."""
    agree(file)
    async with running(file) as agent:
        tells(agent, partial=True, b=TEXT)
        await folded(agent)
    async with running(file) as agent:
        tells(agent, partial=True, b={"keys": {"/b": "string"}})
        append(agent, b=2.0)
        await folded(agent)
        assert journaled(agent, "b")[-1] == (2.0, HELD)
        tells(agent, partial=True, b=NUMBER)
        append(agent, b=3.0)
        await folded(agent)
        assert journaled(agent, "b")[-1] == (3.0, 0)


async def test_a_unit_that_is_proposed_is_converted_only_once_it_is_told(file):
    """Approved before it comes, nothing is converted; as it comes, nothing is held."""
    agree(file, b={"unit": "degC"})
    async with running(file) as agent:
        document = {"text": "new transmitter", "who": "Jan", "tags": {"b": {"unit": "degF"}}}
        name = (await order(agent, "propose", change=document))["id"]
        await order(agent, "approve", change=name, map="suggested")
        append(agent, b=20.0)
        tells(agent, partial=True, b={"unit": "degF"})
        append(agent, b=50.0)
        tells(agent, partial=True, b={"unit": "degC"})
        append(agent, b=30.0)
        await folded(agent)
        (first, *rest) = journaled(agent, "b")[-3:]
        assert first == (20.0, 0) and rest[0] == (pytest.approx(10.0), 0)
        assert rest[1] == (30.0, 0)


async def test_of_two_tags_that_were_swapped_both_are_held(file):
    """What a source tells of one of them is of what comes as the other."""
    agree(file)
    async with running(file) as agent:
        tells(agent, a=TEXT)
        await folded(agent)
        await order(agent, "approve", change="one-1", map={"a": {"swap_with": "b"}})
        append(agent, a=1.0, b=2.0, c=3.0)
        tells(agent, b=TEXT)
        append(agent, a=5.0, b=7.0, c=3.0)
        await folded(agent)
        assert journaled(agent, "a")[-2:] == [(2.0, 0), (7.0, HELD)]
        assert journaled(agent, "b")[-2:] == [(1.0, 0), (5.0, HELD)]
        assert journaled(agent, "c")[-2:] == [(3.0, 0), (3.0, 0)]


@pytest.mark.parametrize(("part", "match"), [
    ({"a": {"swap_with": "b"}, "b": {"swap_with": "c"}}, "b is to be swapped with"),
    ({"a": {"factor": 10**400}}, "converts nothing"),
])  # fmt: skip
async def test_maps_that_can_not_be(file, part, match):
    """What comes as one tag is given to one; no number is too large to be refused."""
    agree(file)
    async with running(file) as agent:
        tells(agent, a=TEXT)
        await folded(agent)
        with pytest.raises(FieldwardenError, match=match):
            await order(agent, "approve", change="one-1", **map_of("approve", {"map": part}))


async def test_an_address_that_says_its_type_is_given_whole(tmp_path):
    """Of Modbus a type alone would change nothing of how registers are read."""
    text = small_site.text(address=lambda _, place: f"holding {2 * place} float32 ABCD",
                           source='protocol = "modbus"\nhost = "127.0.0.1"')  # fmt: skip
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    write_baseline(tmp_path / "m.json", dataclasses.replace(small.baseline(), digest=""))
    configuration = load(file)
    one = Change("line-1", "detected", "", "line", ("a",), (), "breaking", [], "", 1)
    source = configuration.tags["a"].source
    one.source = source
    with pytest.raises(FieldwardenError, match="its address says the type"):
        change_orders._map(one, {"a": {"data_type": "int16"}}, configuration)


async def test_thousands_of_tags_are_told_one_after_the_other(file):
    """Each is held from its own first changed sample on, and the loop does not stand still."""
    more = "".join(f'[tags.x{i}]\nsource = "one"\naddress = "t /x{i}"\n' for i in range(500))
    file.write_text(HOLD.replace("[models", more + "[models", 1), encoding="utf-8")
    agree(file)
    async with running(file) as agent:
        for i in range(500):
            tells(agent, partial=True, **{f"x{i}": TEXT})
            append(agent, **{f"x{i}": 1.0})
        tells(agent, partial=True, x499=NUMBER, x7=NUMBER)
        await folded(agent)
        assert all(journaled(agent, f"x{i}")[-1] == (1.0, HELD) for i in (0, 250, 498))
        assert len(agent.engine.judge.changes.known) <= 10
        append(agent, x7=2.0, x8=2.0, x498=2.0, x499=2.0)
        await folded(agent)
        latest = {i: journaled(agent, f"x{i}")[-1][1] for i in (7, 8, 498, 499)}
        assert latest == {7: 0, 8: HELD, 498: HELD, 499: 0}


async def test_what_the_intake_refuses_is_held_and_told_later(file, monkeypatch):
    """Too many commands wait: no changed sample counts for that."""
    agree(file)
    async with running(file) as agent:
        monkeypatch.setattr(agent.intake, "_max_commands", 0)
        tells(agent, b=TEXT)
        append(agent, b=2.0, a=2.0)
        monkeypatch.undo()
        await folded(agent)
        assert (journaled(agent, "b")[-1], journaled(agent, "a")[-1]) == ((2.0, HELD), (2.0, 0))
        await folded(agent)
        assert change(agent)["hold"] == "held"
