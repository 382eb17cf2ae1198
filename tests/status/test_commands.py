"""Writes to the agent need a named person (invariant 7), and are answered once committed."""

from __future__ import annotations

import pytest

from agent.errors import FieldwardenError
from tests.status.conftest import serving

KNOWN = {"Authorization": "Bearer s3cret"}


async def carry_out(kind, data):
    if data.get("condition") == "c-9":
        raise FieldwardenError("acknowledging", "c-9", "no such condition", "see /conditions")
    return {"kind": kind, **data}


def person(token):
    return {"s3cret": "mara"}.get(token)


async def post(path="acknowledge", *, command=carry_out, identify=person, listen=None, **request):
    """(status, answer) of one command to a fresh server."""
    async with (
        serving(listen or "127.0.0.1:0", command, identify=identify) as served,
        served.session.post(f"{served.server.url}api/v1/commands/{path}", **request) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_a_known_token_is_carried_out_in_the_persons_name():
    """`by` comes from the token, whatever the body claims."""
    status, answer = await post(json={"condition": "c-1", "by": "somebody else"}, headers=KNOWN)
    assert status == 200
    assert answer == {"kind": "acknowledge", "condition": "c-1", "by": "mara"}


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Bearer", "s3cret", "Basic s3cret"])
async def test_nobody_unknown_gets_in(header):
    """401 without a token, with a wrong one, with another scheme."""
    status, _ = await post(json={}, headers={"Authorization": header})
    assert status == 401


@pytest.mark.parametrize(
    "options", [{"command": None}, {"identify": None}, {"listen": "0.0.0.0:0"}], ids=str
)
async def test_without_identity_or_off_loopback_there_are_no_commands(options):
    """Off loopback commands would need TLS, which this server does not have."""
    status, answer = await post(json={}, headers=KNOWN, **options)
    assert status == 403
    assert "on the gateway itself" in answer["hint"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("launch", b"{}", 404),
        ("acknowledge", b"[]", 400),
        ("acknowledge", b"{", 400),
        ("acknowledge", b"\xff", 400),
        ("acknowledge", b"[" * 50_000, 400),
        ("acknowledge", b'{"condition":"c-9"}', 422),
    ],
)
async def test_what_can_not_be_carried_out_is_refused_with_a_reason(path, body, status):
    """Unknown kinds, bodies that are no object, and what the engine refuses."""
    got, answer = await post(path, data=body, headers=KNOWN)
    assert got == status
    assert answer["detail"]
