"""One call for a model's own verdict: whatever is there, it is trusted for good reason only."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.boottime import boot_id, boottime_ns
from agent.client import FOLDER, LOCK, Verdict, verdict, verdict_file

NS = 1_000_000_000
ROOT = Path(__file__).parents[1]
HASH = "ab" * 32
NAMESPACE = str(Path("/proc/self/ns/pid").readlink())


def told(**more):
    now = boottime_ns()
    return {
        "schema": 1, "model": "m", "version": "1", "owner": {"team": "t", "contact": "c"},
        "verdict": "trusted", "reasons": [], "causes": [], "baseline_hash": HASH, "sequence": 7,
        "boot_id": boot_id(), "boottime_ns": now, "valid_until_boottime_ns": now + 10 * NS,
        "fresh_until_boottime_ns": now + 5 * NS, "process": {},
    } | more  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A runtime directory whose lock somebody holds: this test."""
    inner = tmp_path / FOLDER
    inner.mkdir()
    with (inner / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield inner


def asked(folder, document, model="m", **options):
    text = document if isinstance(document, str) else json.dumps(document)
    verdict_file(folder, model).write_text(text)
    return verdict(model, folder.parent, **options)


def test_a_verdict_of_now_is_trusted_until_it_expires(folder):
    """Not longer, also where the object is kept; and it says who must act."""
    now = boottime_ns()
    found = asked(folder, told(fresh_until_boottime_ns=now + 3 * NS))
    assert found.trusted and found.verdict == "trusted" and found.reason == ""
    assert (found.owner["contact"], found.baseline, found.sequence) == ("c", HASH, 7)
    assert verdict("m", verdict_file(folder, "m")).trusted  # the very file, or its folder
    assert verdict("m", folder).trusted
    time.sleep(3.01)
    assert not found.trusted
    assert not verdict("m", folder).trusted
    assert asked(folder, told(), version="1", baseline=HASH[:12]).trusted


HOUR = 3600 * NS
WRONG = {
    "expired": lambda now: {"valid_until_boottime_ns": now - 1},
    "stale": lambda now: {"fresh_until_boottime_ns": now - 1},
    "of another boot": lambda _: {"boot_id": "0" * 36},
    "of no boot": lambda _: {"boot_id": ""},
    "of the future": lambda now: {"boottime_ns": now + HOUR, "valid_until_boottime_ns": now + HOUR},
    "of another model": lambda _: {"model": "other"},
    "of another schema": lambda _: {"schema": 2},
    "caution": lambda _: {"verdict": "caution"},
    "an unknown word": lambda _: {"verdict": "TRUSTED"},
    "no word": lambda _: {"verdict": None},
    "of a process that is gone": lambda _: {
        "process": {"pid": os.getpid(), "started": 1, "namespace": NAMESPACE}
    },
}


@pytest.mark.parametrize("case", WRONG)
def test_whatever_is_wrong_with_it_is_a_reason(folder, case):
    """Each by itself, beside what would be trusted."""
    assert asked(folder, told()).trusted
    found = asked(folder, told(**WRONG[case](boottime_ns())))
    assert not found.trusted and found.reason


@pytest.mark.parametrize(("namespace", "trusted"), [(NAMESPACE, False), ("pid:[1]", True)])
def test_a_lock_that_a_child_of_a_dead_agent_holds_says_nothing(folder, namespace, trusted):
    """A lock lasts as long as any process that has inherited it; of another namespace nothing is
    seen.
    """
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(60.0)  # its pid is nobody's by now
    process = {"pid": child.pid, "started": 1, "namespace": namespace}
    found = asked(folder, told(process=process))
    assert found.trusted == trusted
    assert trusted or "does not run any more" in found.reason


@pytest.mark.parametrize("key", sorted(told().keys() - {"process"}))
@pytest.mark.parametrize("value", [None, "x", -1, [], {}, 1e400, "left out"])
def test_a_document_that_is_none_is_not_trusted_and_raises_nothing(folder, key, value):
    """Every member missing, or of another kind; only what says nothing of trust may be odd."""
    document = told(**{key: value})
    if value == "left out":
        del document[key]
    found = asked(folder, document)
    harmless = key in {"owner", "sequence", "causes", "version", "baseline_hash", "reasons"}
    assert harmless or not found.trusted
    assert isinstance(found, Verdict) and isinstance(found.reason, str)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_half_a_file_is_never_trusted(folder, data):
    """Cut anywhere, or with bytes of another in it."""
    text = json.dumps(told()).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    noise = data.draw(st.binary(max_size=8))
    verdict_file(folder, "m").write_bytes(text[:cut] + noise * (noise != text[cut:]))
    assert not verdict("m", folder.parent).trusted


def test_nothing_there_and_nobody_writing_is_not_trusted(folder, tmp_path):
    """No folder, no file, a folder or a pipe in its place, no lock, a lock that nobody holds."""
    assert "verdict" in verdict("m", folder.parent).reason
    assert not verdict("m", tmp_path / "nowhere").trusted
    assert not verdict("m", "").trusted
    assert not verdict("m", "http://127.0.0.1:1").trusted
    assert not verdict("m", "https://127.0.0.1:1").trusted
    assert not verdict("m", "http://[").trusted
    assert not verdict("../m", folder.parent).trusted
    verdict_file(folder, "pipe").parent.joinpath("pipe.json").unlink(missing_ok=True)
    os.mkfifo(verdict_file(folder, "pipe"))
    verdict_file(folder, "inner").mkdir()
    assert not verdict("pipe", folder.parent).trusted
    assert not verdict("inner", folder.parent).trusted
    other = tmp_path / "copy"
    other.mkdir()
    verdict_file(other, "m").write_text(json.dumps(told()))
    assert not verdict("m", other).trusted
    (other / LOCK).touch()
    assert "does not run" in verdict("m", other).reason


@pytest.mark.parametrize("model", ["a/b", "é" * 200, ".", "..", "con trol", "%2F", "a\\b"])
def test_any_name_of_a_model_has_a_file_of_its_own(folder, model):
    """In the folder, and found again."""
    assert verdict_file(folder, model).parent == folder
    assert asked(folder, told(model=model), model).trusted


class _Answers(BaseHTTPRequestHandler):
    """What listens there is another program, an old answer, or an agent elsewhere."""

    document: ClassVar[dict[str, object]] = {}
    echo = True

    def do_GET(self):
        (nonce,) = parse_qs(urlsplit(self.path).query)["nonce"]
        body = json.dumps(self.document | ({"nonce": nonce} if self.echo else {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere():
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    _Answers.echo = True


def test_over_the_network_only_a_fresh_answer_counts(elsewhere):
    """The other machine's clocks mean nothing here; what is repeated, late or old is not taken."""
    there = {"boot_id": "another", "boottime_ns": 5, "nonce": "", "age_s": 0.2, "valid_for_s": 9.0}
    _Answers.document = told(**there)
    found = verdict("m", elsewhere)
    assert found.trusted
    assert found.expires_boottime_ns <= boottime_ns() + 5 * NS
    for wrong in ({"age_s": 6.0}, {"valid_for_s": 0.0}, {"age_s": None}, {"valid_for_s": "nan"},
                  {"model": "n"}, {"age_s": -1e9, "valid_for_s": 1e-9}):  # fmt: skip
        _Answers.document = told(**(there | wrong))
        assert not verdict("m", elsewhere).trusted, wrong
    _Answers.document, _Answers.echo = told(**there), False
    assert "old answer" in verdict("m", elsewhere).reason


def test_nothing_but_the_standard_library_is_needed():
    """In a process that sees no other package."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from agent.client import verdict\n"
        "print(verdict('m', '/nowhere').trusted)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
