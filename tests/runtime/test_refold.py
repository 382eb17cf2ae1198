"""A start after a kill: nothing is told twice, and nothing that is judged otherwise goes untold."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.configuration.load import load
from agent.core.baseline_file import write_baseline
from agent.core.engine import Engine
from agent.runtime.app import Agent
from agent.runtime.assemble import baselines_of, build_spec
from agent.runtime.refold import placed
from agent.store import Batch, Reader, Store
from agent.types import Event
from tests.core.small import SECOND, START, TAGS, baseline, block, cut, normal
from tests.store.helpers import MB

events = st.builds(
    Event, kind=st.sampled_from(["condition", "verdict"]), time_ns=st.integers(1, 3),
    subject=st.sampled_from(["tag/a", "tag/b"]),
    data=st.fixed_dictionaries({"x": st.integers(0, 1)}),
)  # fmt: skip
runs = st.lists(st.tuples(st.integers(1, 3), events), max_size=8).map(
    lambda found: [(n, sum(m == n for m, _ in found[:i]), e) for i, (n, e) in enumerate(found)]
)


def rows(found):
    names = ("sequence", "position", "kind", "time_ns", "subject", "data")
    return [
        dict(zip(names, (n, at, e.kind, e.time_ns, e.subject, e.data), strict=True))
        for n, at, e in found
    ]


@settings(deadline=None)  # a busy machine may stop a run for longer than any limit
@given(old=runs, new=runs)
def test_every_event_has_a_place_of_its_own_and_the_same_one_again(old, new):
    """Only what is the very same event shares a place with one that is told already."""
    found, fresh = placed(new, rows(old))
    assert [event for _, _, event in found] == [event for _, _, event in new]
    assert len({(n, at) for n, at, _ in found}) == len(found)
    known = {(n, at): event for n, at, event in old}
    shared = [(n, at) for n, at, _ in found if (n, at) in known]
    assert all(known[n, at] == event for n, at, event in found if (n, at) in known)
    entries = {n for n, _, _ in old}
    assert fresh == sum(n in entries for n, _, _ in found) - len(shared)
    every = {**known, **{(n, at): event for n, at, event in found}}
    stored = [(*place, every[place]) for place in sorted(every)]
    assert placed(found, rows(stored))[1] == 0
    assert placed(old, rows(old))[1] == 0


def test_an_event_that_says_more_than_before_is_the_same_event():
    """An update of the program that adds a fact to its events tells none of them again."""
    one = Event("condition", 5, "tag/a", {"id": "tag/a@5", "change": "raised"})
    more = replace(one, data={**one.data, "shelved": False, "models": ["m"]})
    other = replace(one, data={"id": "tag/a@5", "change": "cleared", "shelved": False})
    assert placed([(3, 0, more)], rows([(3, 4, one)])) == ([(3, 4, more)], 0)
    assert placed([(3, 0, more), (3, 1, one)], rows([(3, 0, one), (3, 1, more)])) == (
        [(3, 1, more), (3, 0, one)], 0,
    )  # fmt: skip
    assert placed([(3, 0, other)], rows([(3, 4, one)])) == ([(3, 5, other)], 1)
    assert placed([(3, 0, one)], rows([(3, 4, more)])) == ([(3, 5, one)], 1)


CONFIG = """\
schema = 1
[gateway]
site = "s"
name = "g"
[sources.one]
protocol = "mqtt"
host = "127.0.0.1"
[upstream]
host = "127.0.0.1"
[models.m]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "m.json"
scan = "1s"
inputs = ["a", "b", "c"]
""" + "".join(f'[tags.{tag}]\nsource = "one"\naddress = "t /{tag}"\n' for tag in TAGS)


async def killed(folder):
    """A store whose agent died after a fault, without a snapshot; the configuration."""
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    write_baseline(folder / "m.json", baseline())
    configuration = load(folder / "config.toml")
    store = Store.open(
        configuration.store_path, journal_limit_bytes=MB, outbox_limit_bytes=MB, merge=None
    )
    ids = store.tag_ids(TAGS)
    engine = Engine(build_spec(configuration, ids, baselines_of(configuration)))
    values = normal(300)
    values[150:, 1] += 30.0
    for number, entry in enumerate(cut(block(values), [START + 100 * SECOND]), 1):
        told = engine.step(replace(entry, sequence=number)).events
        places = [(number, at, event) for at, event in enumerate(told)]
        await store.commit(Batch(entries=[replace(entry, sequence=number)], events=places))
    await store.close()
    return configuration


def told_of(configuration):
    reader = Reader(configuration.store_path)
    try:
        return reader.events(10_000, after=(0, -1))
    finally:
        reader.close()


@pytest.mark.parametrize("refitted", [False, True])
async def test_a_start_after_a_kill_tells_what_it_judges_otherwise(tmp_path, refitted):
    """With the baseline of before nothing is told; refitted meanwhile, every condition is."""
    configuration = await killed(tmp_path)
    before = told_of(configuration)
    if refitted:
        write_baseline(tmp_path / "m.json", baseline(centre=0.5, scale=1.5))
    agent = Agent(configuration)
    await agent.open()
    try:
        after = told_of(configuration)
        assert [event for event in after if event in before] == before
        ids = {event["data"].get("id") for event in after}
        raised = [c for c in agent.engine.judge.conditions.active.values() if c.raised]
        assert raised and {c.id for c in raised} <= ids
        assert (len(after) > len(before)) == refitted
        causes = [
            json.loads(row.payload)["cause"]
            for row in agent.reader.pending() if row.stream == "event"
        ]  # fmt: skip
        fresh = [e for e in after if e not in before and e["kind"] != "finding"]
        assert sorted(causes) == sorted(f"{e['sequence']}.{e['position']}" for e in fresh)
    finally:
        await agent.close()
