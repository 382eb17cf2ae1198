"""Who is known: by the kernel's word or by a token's hash, and by nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket

import pytest

from agent.configuration.credentials import token_digest
from agent.configuration.schema import Person
from agent.errors import FieldwardenError
from agent.status.people import People, overflow_uid, peer_uid, user_name

TOKEN = "sixteen or more characters"


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def test_root_and_the_agents_own_user_are_known_without_configuration():
    """Nobody else is."""
    people = People({}, own_uid=4711)
    assert people.by_uid(0) == "root"
    assert people.by_uid(4711) == "uid 4711"
    assert people.by_uid(4712) is None
    assert not people.has_tokens


def test_a_unix_user_is_the_person_that_the_configuration_names():
    """Also where it is root, or the agent's own user."""
    uids = {"mara": 4711, "root": 0}
    people = People(
        {"Mara Lind": Person(unix_user="mara"), "Jo": Person(unix_user="root")},
        own_uid=4711, uid_of=uids.get,
    )  # fmt: skip
    assert (people.by_uid(4711), people.by_uid(0)) == ("Mara Lind", "Jo")


def test_the_number_for_unknown_users_is_nobody():
    """A user namespace shows it for everybody that it does not map: it must not become a person."""
    nobody = overflow_uid()
    people = People({"n": Person(unix_user="nobody")}, own_uid=nobody, uid_of=lambda _: nobody)
    assert people.by_uid(nobody) is None


def test_a_unix_user_that_is_not_there_keeps_nobody_else_out(caplog):
    """The guard goes on; the log says who can not act."""
    people = People({"a": Person(unix_user="gone"), "b": Person(token_sha256=digest(TOKEN))},
                    uid_of=lambda _: None)  # fmt: skip
    assert people.by_token(TOKEN) == "b"
    assert "no Unix user gone" in caplog.text


@pytest.mark.parametrize("place", ["token_sha256", "token_file", "token_env", "token_credential"])
def test_a_token_is_known_from_each_of_its_places(place, tmp_path, monkeypatch):
    """The hash in the file; or a file, a variable, a systemd credential that holds the token."""
    (tmp_path / "t").write_text(TOKEN + "\n", encoding="utf-8")
    monkeypatch.setenv("T", TOKEN)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    value = {"token_sha256": digest(TOKEN), "token_file": str(tmp_path / "t"), "token_env": "T",
             "token_credential": "t"}[place]  # fmt: skip
    people = People({"Mara": Person(**{place: value}), "Jo": Person(token_sha256=digest("other"))})
    assert people.by_token(TOKEN) == "Mara"
    assert people.by_token("other") == "Jo"
    for wrong in ("", TOKEN[:-1], TOKEN + "x", digest(TOKEN), "\udcff", TOKEN + "x" * 5000):
        assert people.by_token(wrong) is None


def test_a_token_that_can_not_be_had_or_can_be_guessed_is_nobodys(tmp_path, caplog):
    """An empty token must never match an empty header."""
    for text in ("", "1234"):
        (tmp_path / "t").write_text(text, encoding="utf-8")
        person = Person(token_file=str(tmp_path / "t"))
        with pytest.raises(FieldwardenError):
            token_digest(person)
        people = People({"Mara": person})
        assert people.by_token(text) is None and not people.has_tokens
    assert "can not act by token" in caplog.text


def test_an_identity_of_two_persons_is_neithers(tmp_path, caplog):
    """The file of one holds the token of the other; two names of one Unix user; root stays root."""
    (tmp_path / "t").write_text(TOKEN, encoding="utf-8")
    uids = {"mara": 4711, "ml": 4711, "root": 0, "toor": 0, "jo": 4712}
    people = People({
        "Mara": Person(unix_user="mara", token_sha256=digest(TOKEN)),
        "Jo": Person(unix_user="ml", token_file=str(tmp_path / "t")),
        "A": Person(unix_user="root"), "B": Person(unix_user="toor"),
        "C": Person(unix_user="jo", token_sha256=digest("another token of C")),
    }, own_uid=4713, uid_of=uids.get)  # fmt: skip
    assert people.by_token(TOKEN) is None
    assert people.by_uid(4711) is None
    assert people.by_uid(0) == "root"
    assert people.by_uid(4712) == people.by_token("another token of C") == "C"
    assert "['Mara', 'Jo'] can act by their token" in caplog.text


async def test_the_peer_of_a_unix_socket_is_told_by_the_kernel(tmp_path):
    """Over TCP there is none."""
    seen = []

    async def note(reader, writer):
        seen.append(peer_uid(writer.get_extra_info("socket")))
        writer.close()

    async with await asyncio.start_unix_server(note, tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        await reader.read()
        writer.close()
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        assert peer_uid(tcp) is None
    assert seen == [os.geteuid()]
    assert peer_uid(None) is None


def test_users_have_names_or_numbers():
    """For texts that people read."""
    assert user_name(0) == "root"
    assert user_name(54321) == "uid 54321"
