"""The promise against what people found: counted from the store, judged by Poisson at 95 %."""

from __future__ import annotations

import math

import jsonschema
import numpy as np
import pytest
from scipy import stats

from agent.configuration.schema import Gateway
from agent.forward.json_payload import schema
from agent.runtime.audit import WINDOW_NS, Audit, at_least, verdict
from agent.store import Batch, Reader, Store
from agent.types import Block, Command, Event
from tests.store.helpers import MB, block

DAY = 86_400 * 10**9
NOW = 1_000 * DAY
GATEWAY = Gateway(site="s", name="g", false_alarms="1 per 30 days")


class Plant:
    """A store whose events are written by hand; times are days before `NOW`."""

    def __init__(self, folder):
        self.path = folder / "fieldwarden.db"
        self.sequence = 0
        self.open()

    def open(self):
        self.store = Store.open(
            self.path, journal_limit_bytes=100 * MB, outbox_limit_bytes=MB, merge=lambda a, _: a
        )

    async def tell(self, days_ago, occurrence, change, **data):
        """Commit an event of a condition, as the agent does; the event."""
        self.sequence += 1
        told = {"id": occurrence, "incident": occurrence, "change": change, **data}
        event = Event("condition", round(NOW - days_ago * DAY), "tag/a", told)
        await self.store.commit(Batch(events=[(self.sequence, 0, event)]))
        return event

    def report(self, now=NOW, gateway=GATEWAY):
        reader = Reader(self.path)
        try:
            return Audit(reader).report(gateway, now)
        finally:
            reader.close()


@pytest.fixture
async def plant(tmp_path):
    one = Plant(tmp_path)
    yield one
    await one.store.close()


async def test_alarms_of_the_last_30_days_count_with_the_last_word_on_each(plant):
    """Older ones do not; what is said twice counts once; what is taken back does not count."""
    await plant.tell(100, "old", "raised")
    for name in ("a", "b", "c", "d"):
        await plant.tell(20, name, "raised")
    await plant.tell(19, "a", "cleared")
    await plant.tell(10, "a", "acknowledged", false=True)
    await plant.tell(9, "a", "acknowledged", false=True)
    await plant.tell(9, "b", "acknowledged", false=True)
    await plant.tell(8, "b", "acknowledged", false=False)
    await plant.tell(7, "c", "acknowledged", false=False)
    await plant.tell(6, "old", "acknowledged", false=True)
    found = plant.report()
    assert found["raised_30_days"] == 4
    assert found["acknowledged_30_days"] == 3
    assert found["acknowledged_false"] == 1
    assert found["watched_days"] == 30
    assert found["promised"] == pytest.approx(1)
    assert not found["exceeded"]
    assert found["text"] == "kept: 1 false in 30 days, 1 promised; 1 not judged by anybody"


async def test_more_than_chance_allows_is_said(plant):
    """Three where one was promised happen by chance in 8 % of months, four in 1.9 %."""
    await plant.tell(100, "old", "raised")
    for count in range(1, 5):
        await plant.tell(20, f"f{count}", "raised")
        await plant.tell(20, f"f{count}", "acknowledged", false=True)
        assert plant.report()["exceeded"] == (count == 4)
    assert plant.report()["text"] == "exceeded: 4 false in 30 days, 1 promised"


async def test_the_count_is_the_same_after_a_restart_and_moves_on_with_time(plant):
    """It is read from the store's events; one audit that lives on sees the same as a new one."""
    reader = Reader(plant.path)
    living = Audit(reader)
    await plant.tell(100, "old", "raised")
    await plant.tell(25, "a", "raised")
    await plant.tell(24, "a", "acknowledged", false=True)
    assert living.report(GATEWAY, NOW)["acknowledged_false"] == 1
    living.count([await plant.tell(20, "b", "raised"), await plant.tell(19, "b", "cleared")])
    assert living.report(GATEWAY, NOW)["raised_30_days"] == 2  # at once
    living.count([await plant.tell(18, "b", "acknowledged", false=True)])
    assert living.report(GATEWAY, NOW)["acknowledged_false"] == 2
    assert living.report(GATEWAY, NOW) == plant.report()
    await plant.store.close()
    plant.open()
    assert living.report(GATEWAY, NOW + 6 * DAY) == plant.report(NOW + 6 * DAY)
    assert plant.report(NOW + 6 * DAY)["acknowledged_false"] == 1
    reader.close()


async def test_only_watched_time_counts_towards_the_promise(plant):
    """A young agent has promised less, and one that was away has not watched."""
    assert plant.report()["watched_days"] == 0
    await plant.tell(12, "a", "raised")
    assert plant.report()["watched_days"] == pytest.approx(12)
    assert plant.report()["promised"] == pytest.approx(0.4)


async def test_time_away_is_not_watched(tmp_path):
    """From the journal's last entry before a boot to the boot itself."""
    plant = Plant(tmp_path)
    first = Event("engine", NOW - 20 * DAY, "gateway", {"change": "x"})
    empty = block(1, n=0)

    def entry(sequence, days_ago):
        at = round(NOW - days_ago * DAY)
        return Block(sequence, at, empty.tag, empty.source_ns, empty.arrival_ns, empty.value,
                     empty.quality)  # fmt: skip

    await plant.store.commit(Batch(entries=[entry(1, 20)], events=[(1, 0, first)]))
    await plant.store.commit(Batch(entries=[entry(2, 15)]))
    for _ in range(4):  # three of them end before their first commit
        await plant.store.close()
        plant.open()
    boot = Command(3, round(NOW - 10 * DAY), "boot", {"boot": 2})
    await plant.store.commit(Batch(entries=[boot]))
    assert plant.report()["watched_days"] == pytest.approx(15)
    await plant.store.close()


@pytest.mark.parametrize("wrong_days", [14 * 365, -50 * 365])
async def test_alarms_told_by_a_wrong_clock_count_by_how_long_ago_they_were(plant, wrong_days):
    """Told in 2040 or 1970, and the clock set 10 days ago: 12 and 40 days ago all the same, for a
    reader of the store and for the audit that was there.
    """
    reader = Reader(plant.path)
    audit = Audit(reader)
    audit.report(GATEWAY, NOW + (wrong_days - 50) * DAY)
    told = [await plant.tell(40 - wrong_days, "old", "raised"),
            await plant.tell(12 - wrong_days, "kept", "raised")]
    plant.sequence += 1
    data = {"change": "set", "shift_ns": -wrong_days * DAY}
    told.append(Event("clock", NOW - 10 * DAY, "gateway", data))
    await plant.store.commit(Batch(events=[(plant.sequence, 0, told[-1])]))
    told.append(await plant.tell(9, "fresh", "raised"))
    audit.count(told)
    for report in (audit.report(GATEWAY, NOW), plant.report()):
        assert report["raised_30_days"] == 2
        assert report["watched_days"] == pytest.approx(30)
    reader.close()


async def test_time_away_is_not_watched_whatever_the_clock_was(tmp_path):
    """The journal ended in 2040, the machine was off for 5 days, and began with the true clock."""
    plant, ahead = Plant(tmp_path), 14 * 365
    empty = block(1, n=0)
    first = Event("engine", NOW + (ahead - 20) * DAY, "gateway", {"change": "x"})
    last = Block(1, NOW + (ahead - 15) * DAY, empty.tag, empty.source_ns, empty.arrival_ns,
                 empty.value, empty.quality)  # fmt: skip
    await plant.store.commit(Batch(entries=[last], events=[(1, 0, first)]))
    await plant.store.close()
    plant.open()
    boot = Command(2, NOW - 10 * DAY, "boot", {"boot": 2, "away_ns": 5 * DAY})
    told = Event("clock", NOW - 10 * DAY, "gateway", {"change": "set", "shift_ns": -ahead * DAY})
    await plant.store.commit(Batch(entries=[boot], events=[(2, 0, told)]))
    assert plant.report()["watched_days"] == pytest.approx(15)
    await plant.store.close()


async def test_time_in_which_the_process_stood_still_is_not_watched(plant):
    """A suspended machine and a stopped process watch nothing, also where the clock was set since,
    and only as far as it lies in the window.
    """
    plant.sequence = 4
    await plant.store.commit(
        Batch(
            events=[
                (1, 0, Event("engine", NOW - (41 - 1_000) * DAY, "gateway", {"change": "x"})),
                (2, 0, clock_event(29 - 1_000, away_ns=6 * DAY)),  # 5 of them before the window
                (3, 0, clock_event(20 - 1_000, away_ns=2 * DAY)),
                (4, 0, clock_event(15, shift_ns=-1_000 * DAY)),
            ]
        )
    )
    assert plant.report()["watched_days"] == pytest.approx(30 - 1 - 2)


def clock_event(days_ago, *, shift_ns=0, away_ns=0):
    told = {"change": "set" if shift_ns else "away", "shift_ns": shift_ns, "away_ns": away_ns}
    return Event("clock", NOW - round(days_ago * DAY), "gateway", told)


async def test_a_changed_promise_counts_at_once(plant):
    """After a reload the figures are those of the new number."""
    await plant.tell(40, "a", "raised")
    reader = Reader(plant.path)
    audit = Audit(reader)
    assert audit.report(GATEWAY, NOW)["promised"] == pytest.approx(1)
    other = Gateway(site="s", name="g", false_alarms="2 per 1 days")
    assert audit.report(other, NOW)["promised"] == pytest.approx(60)
    reader.close()


@pytest.mark.parametrize("expected", [1e-9, 0.03, 1.0, 7.5, 300.0, 20_000.0])
def test_the_chance_is_that_of_poisson(expected):
    """Against scipy, also where exp(-expected) alone is 0."""
    near = (round(expected + k * math.sqrt(expected)) for k in range(4))
    for count in sorted({0, 1, 2, 5, *near}):
        wanted = float(stats.poisson.sf(count - 1, expected))
        assert at_least(count, expected) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert at_least(1, 0.0) == 0.0


def test_the_words_say_kept_or_exceeded_with_the_figures():
    """Short times in hours; what nobody judged is said, for silence is no praise."""
    assert verdict(0, 1.0, 0, 30.0, 1.0)["text"] == "kept: 0 false in 30 days, 1 promised"
    assert verdict(9, 4.0, 0, 2.0, 60.0)["text"] == "exceeded: 9 false in 2 days, 4 promised"
    short = verdict(1, 0.01, 2, 0.3, 1.0)
    assert short["text"] == (
        "kept: 1 false in 7 hours, 1 promised in 30 days; 2 not judged by anybody"
    )
    assert WINDOW_NS == 30 * DAY


@pytest.mark.parametrize(
    ("in_window", "words"),
    [(1.0, "1 promised in 30 days"), (60.0, "1 promised in 12 hours"),
     (0.25, "0.25 promised in 30 days")],
)  # fmt: skip
def test_one_early_false_alarm_breaks_no_promise_but_many_do(in_window, words):
    """In a minute's watch a bare rate would be exceeded by any alarm; that is one in one case."""
    early = in_window / 30 / 1440
    assert stats.poisson.sf(0, early) < 0.05
    one = verdict(1, early, 0, 1 / 1440, in_window)
    assert not one["exceeded"]
    assert words in one["text"]
    assert verdict(4, early, 0, 1 / 1440, in_window)["exceeded"]


def test_looking_all_the_time_says_exceeded_by_chance_in_less_than_5_percent_of_first_months():
    """The promise just kept, looked at after every false alarm of the first 30 days."""
    random = np.random.default_rng(3)
    said = 0
    for _ in range(2_000):
        at = np.cumsum(random.exponential(30.0, 20))
        at = at[at < 30.0]
        said += any(
            verdict(count, day / 30, 0, day, 1.0)["exceeded"] for count, day in enumerate(at, 1)
        )
    assert 0.005 < said / 2_000 < 0.05


async def test_the_alarms_of_one_fault_count_once(plant):
    """Whatever one of them was called false, the incident was; it counts from its first alarm."""
    await plant.tell(3, "a@1", "raised", incident="a@1")
    await plant.tell(2, "b@2", "raised", incident="a@1")
    await plant.tell(1, "c@3", "raised", incident="c@3")
    await plant.tell(1, "b@2", "acknowledged", false=True, incident="a@1")
    report = plant.report()
    assert (report["raised_30_days"], report["acknowledged_false"]) == (2, 1)


async def test_central_is_told_of_it_in_the_described_form_and_at_most_once_a_minute(plant):
    """Whole days, and the same words until a minute has passed, whatever was raised meanwhile."""
    await plant.tell(2, "a", "raised")
    await plant.tell(1, "a", "acknowledged", false=True, by="Mara")
    reader = Reader(plant.path)
    try:
        audit = Audit(reader)
        told = audit.for_central(GATEWAY, NOW)
        described = schema("state")["properties"]["data"]["properties"]["promise"]
        jsonschema.Draft202012Validator(described).validate(told)
        assert told == {
            "false_alarms": "1 per 30 days", "expected_per_30_days": pytest.approx(1.0),
            "watched_days": 2, "raised": 1, "acknowledged": 1, "false": 1, "exceeded": False,
        }  # fmt: skip
        audit.count([await plant.tell(0, "b", "raised")])
        assert audit.for_central(GATEWAY, NOW + 59 * 10**9) is told
        assert audit.for_central(GATEWAY, NOW + 60 * 10**9)["raised"] == 2
    finally:
        reader.close()
