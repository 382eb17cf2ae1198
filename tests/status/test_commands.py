"""Writes to the agent need a named person (invariant 7), and are answered once committed."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import tempfile
from pathlib import Path

import pytest

from agent.configuration.schema import Person
from agent.errors import FieldwardenError, StoreError
from agent.status.commands import COMMANDS, LONGEST_NOTE, LONGEST_SHELVING_NS, command_data
from agent.status.local_socket import connected
from agent.status.people import People, user_name
from tests.status.conftest import KNOWN, TOKEN, people, serving, tls_of

ROOT = Path(__file__).parents[2]
ANY = {"subject": "tag/a"}
WHY = {**ANY, "note": "seen"}
STRANGER = 54321  # a Unix user that no configuration names


async def carry_out(kind, data):
    if data.get("subject") == "tag/unknown":
        raise FieldwardenError("acknowledging", "tag/unknown", "no such condition", "see status")
    if data.get("subject") == "tag/slow":
        raise StoreError("carrying out", kind, "it was not committed in time", "try again")
    return {"accepted": kind, "event": data}


async def post(path="acknowledge", *, command=carry_out, listen=None, options=None, **request):
    """(status, answer) of one command to a fresh server."""
    async with (
        serving(
            listen or "127.0.0.1:0", command, **{"people": people, **(options or {})}
        ) as served,
        served.session.post(f"{served.server.url}api/v1/commands/{path}", **request) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_a_known_token_is_carried_out_in_the_persons_name():
    """`by` comes from the token, whatever the body claims; unknown keys go no further."""
    body = {**ANY, "by": "somebody else", "occurrence": {"id": "x"}, "false": True, "note": "n"}
    status, answer = await post(json=body, headers=KNOWN)
    assert status == 200
    taken = {**ANY, "note": "n", "false": True, "by": "Mara Lind"}
    assert answer == {"accepted": "acknowledge", "event": taken}


@pytest.mark.parametrize(
    "header",
    ["", "Bearer wrong", "Bearer", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x",
     f"Bearer {TOKEN[:-1]}", "Bearer " + "x" * 4000, "Bearer \u00e9\u20ac"],
)  # fmt: skip
async def test_nobody_unknown_gets_in(header):
    """401 without a token, with a wrong, cut or long one, with another scheme; nothing is done."""
    status, answer = await post(json=ANY, headers={"Authorization": header}, command=never)
    assert status == 401
    assert "Mara" not in json.dumps(answer)


async def never(kind, data):
    raise AssertionError(f"{kind} must not be carried out: {data}")


async def test_two_authorizations_are_nobodys():
    """What a proxy may have read differently is refused, even where one of them is right."""
    headers = [("Authorization", "Bearer wrong"), ("Authorization", f"Bearer {TOKEN}")]
    status, _ = await post(json=ANY, headers=headers, command=never)
    assert status == 401


@pytest.mark.parametrize(
    "case", [{"command": None}, {"options": {"people": None}}, {"listen": "0.0.0.0:0"}], ids=str
)
async def test_without_people_or_off_loopback_there_are_no_commands(case):
    """Off loopback a token could be read on its way, unless TLS hides it."""
    status, answer = await post(json=WHY, headers=KNOWN, **case)
    assert status == 403
    assert "on the gateway itself" in answer["hint"]


async def test_with_tls_a_token_counts_off_loopback_too(tmp_path):
    """The same address as in the test above, over TLS."""
    options = {"tls": tls_of(tmp_path)}
    status, answer = await post(
        json=WHY, headers=KNOWN, listen="0.0.0.0:0", options=options, ssl=False
    )
    assert (status, answer["event"]["by"]) == (200, "Mara Lind")


# --- the socket ---------------------------------------------------------------------------------


@contextlib.contextmanager
def being(uid):
    """Connect as another Unix user, where the tests may; the kernel notes who connects."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(uid)
    try:
        yield
    finally:
        if own == 0:
            os.seteuid(own)


async def by_socket(path, uid=None, headers=None, body=WHY):
    """(status, answer) of an acknowledgement by a Unix user, as a client of its own thread."""

    def talk():
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = link
        text = json.dumps(body)
        connection.request("POST", "/api/v1/commands/acknowledge", text, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    with being(uid) if uid is not None else contextlib.nullcontext():
        link = connected(path, 10)
    try:
        return await asyncio.to_thread(talk)
    finally:
        link.close()


@contextlib.asynccontextmanager
async def with_socket(path: Path, who: People, command=carry_out):
    async with serving(
        "127.0.0.1:0", command, people=lambda: who, local=(path, "")
    ) as served:  # fmt: skip
        yield served


@pytest.fixture
def place():
    """A folder that every Unix user reaches."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "agent.sock"


async def test_on_the_socket_the_own_user_acts_without_any_configuration(place):
    """The kernel says who it is; the event gets the user's name."""
    async with with_socket(place, People({})):
        status, answer = await by_socket(place)
    assert (status, answer["event"]["by"]) == (200, user_name(os.geteuid()))


async def test_a_person_is_known_by_the_unix_user(place):
    """The configured name goes before the user's own."""
    mara = People({"Mara Lind": Person(unix_user="mara")}, uid_of=lambda _: os.geteuid())
    async with with_socket(place, mara):
        status, answer = await by_socket(place, body={**WHY, "by": "root"})
    assert (status, answer["event"]["by"]) == (200, "Mara Lind")


async def test_a_user_who_is_not_named_may_not_act_and_hears_what_to_add(place):
    """403 with who it is and the lines for the configuration; nothing is carried out."""
    uid = STRANGER if os.geteuid() == 0 else os.geteuid()
    nobody = People({}, own_uid=STRANGER + 1)
    async with with_socket(place, nobody, never):
        place.chmod(0o666)  # the mode alone is not what keeps a stranger out
        status, answer = await by_socket(place, uid)
    assert status == 403
    assert user_name(uid) in answer["detail"]
    assert "unix_user" in answer["hint"]


async def test_a_wrong_token_on_the_socket_does_not_fall_back_to_the_user(place):
    """Who shows a token is judged by it; a right one names its person."""
    async with with_socket(place, people()):
        wrong = await by_socket(place, headers={"Authorization": "Bearer wrong"})
        right = await by_socket(place, headers=KNOWN)
    assert wrong[0] == 401
    assert (right[0], right[1]["event"]["by"]) == (200, "Mara Lind")


async def test_a_crowd_at_the_page_keeps_nobody_from_the_socket(place):
    """The socket has connections of its own."""
    async with with_socket(place, People({})) as served:
        crowd = [await asyncio.open_connection("127.0.0.1", served.server.port) for _ in range(70)]
        status, _ = await by_socket(place)
        for _, writer in crowd:
            writer.close()
    assert status == 200


# --- what is taken of a body --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("acknowledge", {}),
        ("acknowledge", {"subject": ""}),
        ("acknowledge", {"subject": "\x00\n"}),
        ("acknowledge", {"subject": 3}),
        ("acknowledge", {"subject": ["tag/a"]}),
        ("acknowledge", {"subject": "x" * 401}),
        ("acknowledge", {**WHY, "false": "yes"}),
        ("acknowledge", {**WHY, "false": 1}),
        ("acknowledge", {**ANY, "note": "x" * (LONGEST_NOTE + 1)}),
        ("acknowledge", {**ANY, "note": {}}),
        ("acknowledge", ANY),
        ("acknowledge", {**ANY, "note": " \x07 "}),
        ("unshelve", ANY),
        ("shelve", {**ANY, "for_ns": 1}),
        ("shelve", WHY),
        ("shelve", {**WHY, "for_ns": 0}),
        ("shelve", {**WHY, "for_ns": True}),
        ("shelve", {**WHY, "for_ns": 1e12}),
        ("shelve", {**WHY, "for_ns": LONGEST_SHELVING_NS + 1}),
        ("out_of_service", WHY),
        ("out_of_service", {"tag": "a"}),
        ("in_service", {"tag": "a"}),
        ("in_service", {"tag": None, "note": "n"}),
        ("declare", {"note": "x"}),
        ("declare", {"request": "m@1"}),
        ("close", {"request": "m@1", "note": " \x07 "}),
        ("withdraw", {"request": ["m@1"], "note": "x"}),
        ("accept", {"model": "m"}),
        ("rollback", {"request": "m@1", "note": "x"}),
        ("trial", {"model": "m", "note": "x", "baseline": "/b.json"}),
        ("trial", {"model": "m", "note": "x", "baseline": "/b.json", "version": " "}),
        ("trial", {"model": "m", "note": "x", "baseline": "/b\n.json", "version": "2"}),
        ("trial", {"model": "m", "note": "x", "baseline": ["/b"], "version": "2"}),
        ("trial", {"model": "m", "baseline": "/b.json", "version": "2"}),
    ],
)
def test_a_body_that_says_something_else_is_refused(kind, body):
    """Missing, of the wrong kind, too long, without an end."""
    with pytest.raises(FieldwardenError):
        command_data(kind, body)


def test_a_decision_takes_its_request_and_its_reason():
    """And nothing else of the body."""
    body = {"request": "m@1", "note": " new grade\n", "by": "x", "subject": "tag/a", "for_ns": 1}
    for kind in ("declare", "close", "withdraw"):
        assert command_data(kind, body) == {"request": "m@1", "note": "new grade"}


def test_every_kind_is_one_row_of_one_table():
    """What is described to clients, and what orders look for, is the table's."""
    from agent.core.retraining_request import FROM
    from agent.core.truth import KINDS
    from agent.status.told import TOLD

    of_requests = {kind: row.change for kind, row in COMMANDS.items() if row.about == "request"}
    assert of_requests == {kind: state for kind, (state, _) in FROM.items()}
    description = json.loads((ROOT / "agent/status/openapi.json").read_text(encoding="utf-8"))
    command = description["paths"]["/api/v1/commands/{kind}"]["post"]
    assert command["parameters"][0]["schema"]["enum"] == list(COMMANDS)
    assert TOLD == KINDS and COMMANDS.keys().isdisjoint(TOLD)  # told by models, at paths of theirs


@pytest.mark.parametrize("name", ["tag/Druck\u00a0Kessel", "tag/a  b", "tag/\u200bx", "model/\xe4"])
def test_names_are_taken_as_they_are(name):
    """A tag list out of a spreadsheet has no-break spaces in its names, and they are names."""
    assert command_data("acknowledge", {"subject": name, "note": "n"})["subject"] == name


def test_control_characters_do_not_get_into_the_journal():
    """A note is shown in terminals and at central; lone surrogates fit in no UTF-8."""
    data = command_data("acknowledge", {**ANY, "note": "a\x1b[31m\nb\ud800"})
    assert data["note"] == "a [31m b"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("launch", b"{}", 404),
        ("acknowledge", b"[]", 400),
        ("acknowledge", b"{", 400),
        ("acknowledge", b"\xff", 400),
        ("acknowledge", b"[" * 50_000, 400),
        ("acknowledge", b'{"subject":"tag/unknown","note":"n"}', 422),
        ("acknowledge", b'{"subject":"tag/slow","note":"n"}', 503),
        ("acknowledge", b"{}", 422),
        ("acknowledge", b'{"subject":"tag/a"}', 422),
    ],
)
async def test_what_can_not_be_carried_out_is_refused_with_a_reason(path, body, status):
    """Unknown kinds, bodies that are no object, and what the engine refuses."""
    got, answer = await post(path, data=body, headers=KNOWN)
    assert got == status
    assert answer["detail"]


async def test_who_asks_is_told_who_that_is(place):
    """The page asks before it shows its buttons: 200 with the name, 401 or 403 as a command."""
    async with with_socket(place, people()) as served:
        assert await served.json("/api/v1/person", headers=KNOWN) == (200, {"person": "Mara Lind"})
        status, _ = await served.json("/api/v1/person", headers={"Authorization": "Bearer x"})
        assert status == 401
    async with serving("0.0.0.0:0", carry_out, people=people) as served:
        assert (await served.json("/api/v1/person", headers=KNOWN))[0] == 403
