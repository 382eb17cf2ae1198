"""Another gateway of the same name: what proves it, what hints at it, and what does not."""

from __future__ import annotations

import pytest

from agent.forward.clash import FLAPS_S, HINTS, OVER_S, PROOF, Clash

HINT = "perhaps another client takes over the name c: two gateways are named north/gw"


def ends(clash, count, every_s, *, busy=False, lived_s=1.0, start_s=0.0):
    """So many connections that end soon, one each `every_s`."""
    for number in range(count):
        now_s = start_s + number * every_s
        clash.ended("connection reset", lived_s, busy=busy, now_s=now_s)


@pytest.mark.parametrize("every_s", [0.25, 1.0, 2.5])
def test_a_link_that_flaps_for_a_minute_is_no_clash(every_s):
    """However often: the next connection is tried as soon as ever."""
    clash = Clash("north/gw", "c", "s")
    ends(clash, int(FLAPS_S / every_s), every_s)
    assert not clash.text


def test_ends_that_go_on_are_a_hint_until_a_connection_lasts():
    """With nothing under way; one that was busy begins the count anew."""
    clash = Clash("north/gw", "c", "s")
    ends(clash, HINTS, FLAPS_S / (HINTS - 1))
    assert HINT in clash.text
    clash.lasts(OVER_S)
    assert not clash.text
    ends(clash, HINTS - 1, FLAPS_S)
    ends(clash, 1, 0.0, busy=True)
    assert not clash.text


def test_what_the_broker_says_is_proof_at_once():
    """MQTT 5: another client took over the session."""
    clash = Clash("north/gw", "c", "s")
    clash.ended(PROOF, 1.0, busy=False, now_s=0.0)
    assert "another client took over the name c" in clash.text


def test_a_state_of_another_store_is_proof_once_this_one_spoke():
    """Before, it is an old one; our own is none."""
    clash = Clash("north/gw", "c", "s")
    clash.heard("other", 1, 1)
    clash.spoke()
    clash.heard("s", 1, 2)
    assert not clash.text
    clash.heard("other", 1, 3)
    assert "another client took over" in clash.text
