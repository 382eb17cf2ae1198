"""A report on a running agent is signed: it stands in the account, and in the next report."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest

from agent.store import Reader
from tests.end_to_end.guarded import GuardedGateway
from tests.end_to_end.test_acting import ME


@pytest.fixture
def gateway(tmp_path):
    made = GuardedGateway(tmp_path)
    yield made
    made.close()


def test_a_report_that_was_read_is_signed_and_the_next_one_shows_it(gateway):
    """By the command and over HTTP; a file that is no report, or of elsewhere, is not."""
    gateway.start()
    gateway.wait("trust the model", lambda: gateway.ask("m/verdict")["verdict"] == "trusted")
    file = gateway.folder / "r.json"
    gateway.run("report", "--since", "1h", "--out", str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    said = gateway.run("review", str(file), "--reason", "a quiet hour")
    assert f"by {ME}" in said and digest in said
    about = json.loads(file.read_text())
    body = {
        "model": "m", "report": digest, "since_ns": about["asked_since_ns"], "note": "and again",
        "until_ns": about["until_ns"],
    }  # fmt: skip
    status, answer = gateway.post("review", body)
    assert (status, answer["event"]["data"]["by"]) == (200, "Control room")
    status, answer = gateway.post("review", {**body, "until_ns": 4 * 10**18})
    assert status == 422 and "has not passed" in answer["detail"]
    assert "no report" in gateway.run("review", str(gateway.config), "--reason", "x", code=1)
    gateway.run("report", "--since", "1h", "--out", str(file))
    signed = json.loads(file.read_text())["reviews"]
    assert [(one["by"], one["note"], one["report"]) for one in signed] == [
        (ME, "a quiet hour", digest), ("Control room", "and again", digest),
    ]  # fmt: skip
    with contextlib.closing(Reader(gateway.folder / "state" / "fieldwarden.db")) as reader:
        records = [one for one in reader.account() if one["kind"] == "review"]
        assert reader.account_proof().faults == ()
    assert [one["evidence"] for one in records] == [digest, digest]
