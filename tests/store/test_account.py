"""The account: what is in it, what breaks it, and what only a hash that lies elsewhere finds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import cli
from agent.store import Batch, Reader, account
from agent.store.account import (
    BEGIN,
    COLUMNS,
    evidence_of,
    hash_of,
    is_accounted,
    proof_of,
)
from agent.store.codec import encode
from tests.store.helpers import command, event, open_store

ROOT = Path(__file__).parents[2]
CONFIG = """\
schema = 1
[gateway]
site = "north"
name = "gw-07"
state_directory = "state"
[sources.line]
protocol = "mqtt"
host = "127.0.0.1"
[tags.a]
source = "line"
address = "plant/a"
"""


def told(number):
    """A verdict, then acts of people, then what nobody decided."""
    reason = {"text": f"a is stuck, \N{SNOWMAN} {number}", "cause": "sensor"}
    return [
        event(number, "verdict", verdict="untrusted", was="trusted", reasons=[reason]),
        event(number, "condition", change="acknowledged", by="Mara", note="seen", score=0.1),
        event(number, "condition", change="raised", text="a is stuck"),
        event(number, "configuration", change="out_of_service", by="Olaf"),
    ]


def batch(number):
    return Batch(
        entries=[command(number)],
        events=[(number, place, one) for place, one in enumerate(told(number))],
    )


@pytest.fixture
async def folder(tmp_path):
    """A configuration whose store accounts for five entries."""
    (tmp_path / "config.toml").write_text(CONFIG)
    store = open_store(tmp_path / "state" / "fieldwarden.db")
    for number in range(1, 6):
        await store.commit(batch(number))
    await store.commit(Batch(events=batch(3).events))  # folded again: nothing is new
    await store.close()
    return tmp_path


def records(folder):
    reader = Reader(folder / "state" / "fieldwarden.db")
    with contextlib.closing(reader):
        return list(reader.account())


def run(folder, *words, code=0):
    done = CliRunner().invoke(cli, ["audit", words[0], str(folder / "config.toml"), *words[1:]])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def change(folder, *statements):
    path = folder / "state" / "fieldwarden.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_every_verdict_and_every_act_is_a_record_once(folder):
    """Who, when, why, and the hash of the very entry that it came of."""
    found = records(folder)
    assert [record["number"] for record in found] == list(range(1, 16))
    assert [(one["who"], one["why"]) for one in found[:3]] == [
        ("agent", "a is stuck, \N{SNOWMAN} 1"), ("Mara", "seen"), ("Olaf", "out_of_service"),
    ]  # fmt: skip
    assert (found[1]["entry"], found[1]["position"], found[1]["time_ns"]) == (1, 1, 1)
    assert json.loads(found[1]["data"]) == told(1)[1].data
    assert found[0]["evidence"] == evidence_of(*encode(command(1)))
    assert found[2]["evidence"] == evidence_of(*encode(command(1)))  # nothing was told before it
    assert found[0]["previous"] == BEGIN
    assert "15 records, numbers 1 to 15, are whole" in run(folder, "verify")
    assert f"head: 15 {found[-1]['hash']}" in run(folder, "verify", "--anchor", found[4]["hash"])
    assert "Mara: model/yield acknowledged: seen" in run(folder, "show", "--last", "3")
    assert len(run(folder, "show", "--json").split('"number"')) == 16


def test_reasons_that_change_while_the_verdict_stays_are_no_record():
    """A value at the edge of its range changes them several times a second."""
    assert is_accounted(event(1, "verdict", verdict="caution", was="trusted"))
    assert is_accounted(event(1, "verdict", verdict="caution", was=""))
    assert not is_accounted(event(1, "verdict", verdict="caution", was="caution"))
    assert is_accounted(event(1, "retraining", change="opened"))
    assert not is_accounted(event(1, "condition", change="raised"))


TAMPERING = {
    "altered": ("UPDATE account SET why = 'false alarm' WHERE number = 7", "record 7 was altered"),
    "altered evidence": (
        "UPDATE account SET evidence = '' WHERE number = 4", "record 4 was altered"),
    "removed": ("DELETE FROM account WHERE number = 7", "record 7 was removed"),
    "removed at the beginning": (
        "DELETE FROM account WHERE number < 4", "records 1 to 3 were removed"),
    "removed at the end": (
        "DELETE FROM account WHERE number > 11", "records 12 to 15 were removed from the end"),
    "all removed": ("DELETE FROM account", "records 1 to 15 were removed from the end"),
    "one that came between": (
        f"INSERT INTO account SELECT -1, {', '.join(COLUMNS[1:])} FROM account WHERE number = 2",
        "was altered"),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERING)
def test_what_was_changed_in_the_store_is_found_and_where(folder, case):
    """By whoever has no other copy."""
    statement, fault = TAMPERING[case]
    change(folder, statement)
    assert fault in run(folder, "verify", code=1)


def test_two_records_that_changed_places_are_found(folder):
    """With their numbers, or without."""
    swap = [
        f"UPDATE account SET number = {to} WHERE number = {at}" for at, to in
        ((6, 100), (7, 6), (100, 7))
    ]
    change(folder, *swap)
    said = run(folder, "verify", code=1)
    assert "record 6 was altered" in said and "record 7 was altered" in said


def rehash(found):
    """The chain as somebody would write it who knows how."""
    previous = BEGIN
    for number, record in enumerate(found, 1):
        record |= {"number": number, "previous": previous}
        record["hash"] = previous = hash_of(record)
    return found


def test_a_chain_that_was_written_anew_is_found_by_what_went_upstream(folder):
    """Truncated or rewritten with all hashes right: only the anchor tells, and it does."""
    found = records(folder)
    anchor = found[9]["hash"]
    rewritten = rehash([record | {"who": "nobody"} for record in found])
    values = ", ".join("?" * len(COLUMNS))
    path = folder / "state" / "fieldwarden.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM account")
        connection.executemany(
            f"INSERT INTO account VALUES ({values})",
            [[record[name] for name in COLUMNS] for record in rewritten],
        )
    assert "are whole" in run(folder, "verify")
    assert "rewritten, or cut off" in run(folder, "verify", "--anchor", anchor, code=1)
    counted = "UPDATE counter SET value = 8 WHERE name = 'account'"
    change(folder, "DELETE FROM account WHERE number > 8", counted)
    assert "are whole" in run(folder, "verify")
    assert "cut off before it" in run(folder, "verify", "--anchor", anchor, code=1)
    assert "no hash of a record" in run(folder, "verify", "--anchor", "abc", code=1)


@pytest.mark.parametrize("first", [1, 5, 10, 15])
def test_whatever_is_rewritten_from_some_record_on_is_found_by_an_anchor_behind_it(folder, first):
    """And an anchor before it shows what it can show: all up to there is as it was."""
    found = records(folder)
    anchors = [record["hash"] for record in found]
    changed = [one | ({"why": "x"} if one["number"] >= first else {}) for one in found]
    made = rehash(changed)
    assert not proof_of(made, newest=15).faults
    for number, anchor in enumerate(anchors, 1):
        assert bool(proof_of(made, newest=15, anchor=anchor).faults) == (number >= first)


async def test_an_act_stands_on_what_the_person_saw(tmp_path):
    """Of several events of one condition the last before the act, and not another condition's."""
    path = tmp_path / "fieldwarden.db"
    store = open_store(path)
    seen = event(2, change="changed", id="a@1", score=2.5, text="\N{DEGREE SIGN}")
    told = [
        event(1, change="raised", id="a@1", score=1.0), seen, event(3, change="raised", id="b@1"),
        event(4, change="acknowledged", id="a@1", by="Mara", note="seen"),
        event(5, "review", change="reviewed", id="r", by="Mara", note="ok", evidence="f" * 64),
    ]
    events = [(number, 0, one) for number, one in enumerate(told, 1)]
    await store.commit(Batch(entries=[command(n) for n in range(1, 6)], events=events))
    await store.close()
    with contextlib.closing(Reader(path)) as reader:
        act, review = reader.account()
        (row,) = [one for one in reader.events() if one["sequence"] == 2]
    body = {name: row[name] for name in ("kind", "subject", "time_ns", "data")}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    assert act["evidence"] == hashlib.sha256(text.encode()).hexdigest()
    assert json.loads(act["data"])["acted_on"] == {"entry": 2, "position": 0}
    assert review["evidence"] == "f" * 64


@given(st.data())
def test_no_change_of_any_field_and_no_other_order_passes(data):
    """Whatever is done to one record, or to their order."""
    made = rehash([
        {name: f"{name} {number}" for name in COLUMNS}
        | {"number": number, "time_ns": number, "entry": number, "position": 0}
        for number in range(1, 6)
    ])  # fmt: skip
    assert not proof_of(made, newest=5, anchor=made[2]["hash"]).faults
    other = [dict(record) for record in made]
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(COLUMNS))
        record = other[data.draw(st.integers(0, 4))]
        kind = st.integers(-9, 99) if isinstance(record[name], int) else st.text(max_size=5)
        record[name] = data.draw(kind.filter(lambda value: value != record[name]))
    else:
        other = data.draw(st.permutations(other).filter(lambda order: order != made))
    assert proof_of(other, newest=5).faults


async def test_the_oldest_go_and_the_rest_is_known_to_be_whole(tmp_path, monkeypatch):
    """Bounded, and what goes on after a restart goes on in the same chain."""
    monkeypatch.setattr(account, "KEPT", 6)
    monkeypatch.setattr("agent.store.writer.COMMITS_PER_TRIM", 1)
    path = tmp_path / "fieldwarden.db"
    for run_number in range(2):
        store = open_store(path)
        for number in range(1, 4):
            await store.commit(batch(3 * run_number + number))
        head = store.account_head
        await store.close()
    with contextlib.closing(Reader(path)) as reader:
        proof = reader.account_proof(head.hash)
    assert (proof.faults, proof.head, proof.records) == ((), head, 6)
    assert head.number == 18


async def test_a_store_that_goes_while_it_is_used_takes_no_number_twice(tmp_path):
    """It goes on from what could still be read."""
    path = tmp_path / "fieldwarden.db"
    store = open_store(path)
    await store.commit(batch(1))
    path.unlink()
    path.with_name(path.name + "-wal").unlink()
    await store.commit(Batch(entries=[command(2)]))
    await store.commit(batch(3))
    await store.close()
    with contextlib.closing(Reader(path)) as reader:
        numbers = [record["number"] for record in reader.account()]
        proof = reader.account_proof()
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert proof.faults == ()


def test_the_program_in_the_document_verifies_an_export(folder, tmp_path):
    """Exactly the block that is printed, at most 40 lines, in a process that has nothing else."""
    page = (ROOT / "docs" / "account.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(block.splitlines()) <= 40
    program, file = tmp_path / "verify.py", tmp_path / "account.jsonl"
    program.write_text(block)
    assert "15 records in" in run(folder, "export", str(file))
    found = records(folder)

    def verified(lines, *anchor):
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        command_line = [sys.executable, "-I", "-S", str(program), str(file), *anchor]
        done = subprocess.run(command_line, capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, done.stdout

    whole = [json.loads(line) for line in file.read_text().splitlines()]
    head = f"head: 15 {found[-1]['hash']}\n"
    assert verified(whole) == verified(whole, found[3]["hash"]) == (0, head)
    assert verified(whole[4:])[0] == 0  # older ones went, and it says after which hash
    for wrong in (
        [*whole[:3], whole[3] | {"who": "nobody"}, *whole[4:]],
        [*whole[:3], *whole[4:]],
        [*whole[:3], whole[4], whole[3], *whole[5:]],
        [*whole[:3], whole[2], *whole[3:]],
    ):
        code, said = verified(wrong)
        assert code == 1 and "NOT WHOLE" in said
    assert verified(rehash([one | {"who": "x"} for one in found]), whole[3]["hash"])[0] == 1
    assert verified(whole[:8], whole[9]["hash"])[0] == 1
