"""`fieldwarden status` in a terminal, with a live and with a dead agent."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from agent.status.change_lines import held_tags
from agent.status.error_lines import measured
from agent.status.retraining_lines import lines, report
from agent.status.terminal import VERDICT_SIGNS, plain, render
from agent.status.view import VERDICTS
from tests.status.fake_changes import change
from tests.status.fake_status import HOSTILE, T0, document


def shown(whole, width=120, age_s=1.0, *, color=False, running=None):
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, color_system="truecolor" if color else None
    )
    console.print(render(whole, width=width, age_s=age_s, running=running))
    return out.getvalue()


def test_verdicts_come_first_and_worst_first_with_reason_hint_and_owner():
    """What a person needs at 3 a.m. is at the top, in words."""
    text = shown(document())
    order = [text.index(w) for w in ("UNTRUSTED", "NOT ASSESSABLE", "CAUTION", " TRUSTED")]
    assert order == sorted(order)
    assert text.index("TRUSTED  energy") < text.index("Open incidents (4 of 6 conditions)")
    assert "has shown exactly 81.3 degC" in text
    assert "do: Check transmitter TT-101" in text
    assert "process-data@plant.example" in text
    assert "NOT RUNNING" not in text


@pytest.mark.parametrize("width", [80, 250])
def test_conditions_of_one_fault_stand_below_their_first(width):
    """One row for the incident, with its models; its other conditions are no rows of their own."""
    text = shown(document(), width=width)
    lines = text[text.index("Open incidents"):text.index("Cleared, not")].splitlines()
    words = " ".join(" ".join(lines).split())
    first = words.index("reactor.temperature is stuck")
    assert words.index("high reactor.temperature") < first + 6
    members = ("+ feed.flow is lower", "+ the inputs no longer", "and 1 that cleared")
    assert [words.count(one) for one in members] == [1, 1, 1]
    assert "feed.flow spiked" not in words
    assert all(first < words.index(one) < words.index("cooling.flow is out") for one in members)
    assert "models: energy, yield" in words
    assert sum(line.lstrip().startswith(("high", "medium", "low")) for line in lines) == 4
    assert "outside of training in the last day: cooling.flow 12 %" in " ".join(text.split())


def test_an_incident_of_very_many_conditions_is_still_readable():
    """A lost bus of 300 tags: the first ones are named, the rest counted."""
    whole = document()
    one = whole["conditions"][1]
    whole["conditions"] = [
        {**one, "id": f"c-{i}", "text": f"tag {i} is stuck", "incident": "c-0"} for i in range(300)
    ]
    text = shown(whole)
    assert "Open incidents (1 of 300 conditions)" in text
    assert "tag 0 is stuck" in text
    assert text.count("is stuck") <= 20
    assert "and 287 more" in text


def test_a_dead_agent_is_said_first_and_old_verdicts_are_not_shown_as_valid():
    """The store's last document, ten minutes old: nothing is trusted, and the past is marked."""
    text = shown(document(), age_s=600)
    assert text.index("not running since 2026-03-01T02:00:00Z (10 min ago)") < text.index("yield")
    assert "last known state" in text
    assert "✔" not in text
    assert "✘ UNTRUSTED" not in text
    assert text.count("◆ NOT ASSESSABLE") == 4
    assert "before that: trusted" in text
    assert "before that: untrusted" in text


def test_an_agent_that_stands_still_is_not_called_dead_and_says_what_keeps_it():
    """A full disk: it runs, the reason and what to do come first, nothing is trusted."""
    trouble = {"text": "committing to s.db: database or disk is full", "hint": "free some space"}
    text = shown(document() | {"trouble": trouble}, age_s=60, running=True)
    assert text.index("STANDS STILL") < text.index("disk is full") < text.index("yield")
    assert "do: free some space" in text
    assert "NOT RUNNING" not in text
    assert "✔" not in text
    assert "no progress" in shown(document(), age_s=60, running=True)


def test_what_of_a_reload_was_not_applied_is_told_with_what_to_do():
    """Nothing stands there where the configuration is applied as it is."""
    told = {"text": "reloading upstream: a change of it needs a restart", "hint": "restart it"}
    text = shown(document() | {"reload": told | {"waiting": ["upstream"]}})
    assert "Configuration: reloading upstream: a change of it needs a restart" in text
    assert "do: restart it" in text
    assert "Configuration:" not in shown(document() | {"reload": {}})


def test_of_a_dead_agent_nothing_is_said_to_be_live_or_connected():
    """What its sources and its uplink do now nobody knows."""
    whole = document()
    whole["sources"] = [source | {"state": "live"} for source in whole["sources"]]
    whole["outbox"] |= {"configured": True, "connected": True, "pending": 1, "reason": ""}
    dead, alive = shown(whole, age_s=600.0), shown(whole)
    assert "was live" not in alive and "Uplink: connected; 1 message waits" in alive
    assert dead.count("was live") == len(whole["sources"])
    assert "●" in alive and "●" not in dead
    assert "Uplink: was connected" in dead


def test_a_quiet_agent_that_is_still_fresh_is_not_called_dead():
    """Up to ten seconds are the rhythm of commits and of the terminal."""
    assert "NOT RUNNING" not in shown(document(), age_s=9.9)
    assert "NOT RUNNING" in shown(document(), age_s=10.1)


@pytest.mark.parametrize("width", [40, 70, 89, 90, 120, 250])
def test_no_line_is_wider_than_the_terminal(width):
    """Also narrow ones, and names with wide characters."""
    whole = document(40)
    whole["tags"][1]["name"] = "温度." * 30
    for line in shown(whole, width=width).splitlines():
        assert Console(width=500).measure(line).maximum <= width


def test_names_from_the_plant_are_neither_markup_nor_control_codes():
    """`[red]` stays text, and an escape sequence is shown, not obeyed."""
    whole = document()
    whole["conditions"][0]["text"] = f"[bold red]{HOSTILE}[/] \x1b[2J\x07\u202ereversed"
    whole["models"][0]["name"] = "[blink]m[/blink]"
    text = shown(whole, width=200)
    assert "[blink]m[/blink]" in text
    assert "[bold red]<img" in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J" in text


def test_meaning_does_not_hang_on_colour():
    """With and without colours the words are the same; each verdict has an own sign and word."""
    coloured = shown(document(), color=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == shown(document())
    assert set(VERDICT_SIGNS) == set(VERDICTS)
    for place in (0, 1):
        assert len({sign[place] for sign in VERDICT_SIGNS.values()}) == 4


def test_many_poor_tags_are_cut_with_the_number_of_the_rest():
    """A lost source of 1,000 tags does not scroll the verdicts away."""
    whole = document(1000) | {"changes": []}
    for tag in whole["tags"]:
        tag.update(quality=4, quality_names=["communication_lost"])
    text = shown(whole)
    assert "1,000 of 1,000" in text
    assert "and 960 more" in text
    assert len(text.splitlines()) < 120


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_somebody_did_to_a_condition_is_shown_at_every_width(width):
    """A shelved or acknowledged condition must not look as if nobody had seen it."""
    whole = document()
    for condition in whole["conditions"]:
        condition["state"] = "active"
    before = shown(whole, width=width)
    whole["conditions"][0]["state"] = "shelved"
    whole["conditions"][1]["state"] = "acknowledged"
    after = shown(whole, width=width)
    for state in ("shelved", "acknowledged"):
        assert after.count(state) == before.count(state) + 1


def test_good_tags_are_one_line_and_nothing_to_do_is_said():
    """Silence is worded, so that it can not be mistaken for missing data."""
    whole = document(0)
    whole.update(conditions=[], models=[], sources=[], outbox={"configured": False})
    text = shown(whole)
    assert "Open incidents: none" in text
    assert "all of good quality" in text
    assert "no models are configured" in text
    assert "Sources: none are configured" in text
    assert "Uplink: none is configured" in text


def test_an_empty_store_is_said():
    """A state directory where the agent never ran."""
    assert "never ran" in shown({})


def test_plain_keeps_what_can_be_printed():
    """Umlauts and ideographs are text; control and format characters are not."""
    assert plain("Kühlung 温度") == "Kühlung 温度"
    assert plain("a\nb\x9bc") == "a\\x0ab\\x9bc"
    assert plain(None) == ""


def test_a_status_of_before_the_machine_was_started_trusts_nothing():
    """Nobody knows its age: it says so, and says when by its own clock."""
    text = shown(document(), age_s=None)
    assert "not running since 2026-03-01T02:00:00Z (before this machine was started)" in text
    assert text.count("◆ NOT ASSESSABLE") == 4


def test_a_clock_that_is_not_to_be_believed_is_told():
    """A synchronised one is no news."""
    assert "Clock: not synchronised" in shown(document() | {"time_quality": "unsynchronised"})
    assert "can not be right" in shown(document() | {"time_quality": "implausible"})
    assert "Clock:" not in shown(document() | {"time_quality": "synchronised"})


def test_a_request_for_retraining_says_why_and_what_to_do():
    """Only those that wait for somebody; all of one of them in words, names made harmless."""
    whole = shown(document(), 200)
    assert "x0a" not in whole  # a line break is no control character of a name
    text = " ".join(whole.split())
    assert "Retraining yield@1772329000: open: at least 2 of 3 inputs shifted" in text
    assert "to do: find out whether the plant changed" in text
    assert "energy@1771000000" not in text
    told = "\n".join(plain(line) for line in report(document()["retraining"][1]))
    for part in ("closed", "by Mara Lind: exchanger fouled", "+3.10 sd", "91.2 degC", "72.1",
                 "and 2 more inputs moved", "to now: stuck on tag/x (sensor)"):
        assert part in told
    many = document() | {"retraining": 9 * document()["retraining"][:1]}
    assert lines(many)[-1] == "and 4 more: fieldwarden retraining list CONFIG"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_errors_and_requests_stand_at_their_model_in_plain_words(width):
    """What labels say beside training, what is estimated, what is odd; at every width."""
    words = " ".join(shown(document(), width=width).split())
    assert (
        "errors of yield.predicted: errors grew: mean loss (absolute) 0.82 over the latest 20 of "
        "1,143 labels; 0.5 in training estimated from inputs alone: 0.52 (0.4 to 0.6)"
    ) in words
    assert "asks for retraining: yield@1772329000, open; see below" in words
    assert "errors of kw: mean loss (absolute) 0.49 over" in words
    assert "errors of kw.spare" not in words  # nothing but that there are none
    assert "kw.spare was never assessed: no label of lab came for it" in words
    assert "energy@1771000000" not in words


def test_of_a_model_with_many_outputs_the_troubled_ones_are_told():
    """The others are counted."""
    whole = document()
    good, poor = whole["models"][1]["errors"]
    one = whole["models"][1]
    one["errors"] = [{**good, "output": f"o{i}"} for i in range(9)] + [poor]
    text = " ".join(shown(whole).split())
    assert text.index("kw.spare was never assessed") < text.index("errors of o0")
    assert "errors of o4" not in text
    assert "and errors of 5 more outputs: see the status page" in text


def test_one_label_is_told_as_one():
    """And where training had no labels there is nothing to compare with."""
    assert measured({"labels": 0}) == "no label was compared with a prediction yet"
    one = {"labels": 1, "recent_labels": 1, "recent_loss": 0.5, "loss": "squared"}
    assert measured(one) == "mean loss (squared) 0.5 over 1 label; training had none"


def test_each_open_change_has_a_line_with_whose_turn_it_is():
    """What holds comes first; what has ended or is in force is not open; names do no harm."""
    whole = document()
    whole["changes"].append(change("lab-9", "rejected", T0, text="put it \x1b[31mback"))
    text = " ".join(shown(whole).split())
    assert (
        "Change utilities-3: assessed, held, for 16 min: tag cooling.flow: unit was m3/h, is l/min "
        "(models yield, energy); to be approved by integration "
        "assessment: 12 % of scans of yield would get another verdict to do: look at it"
    ) in text
    assert "to be approved by owner and integration assessed to 42 % to do: look at it" in text
    assert "Change line-4: detected, would be held" in text
    assert "Change reactor-5: announced, for 16 min: calibration of TT-101" in text
    assert "put it \\x1b[31mback" in text
    assert "utilities-1:" not in text and "utilities-2:" not in text
    assert text.index("Change lab-9") < text.index("Change line-4")
    assert "touched by a change upstream: utilities-3, assessed; see below" in text
    assert held_tags(whole) == 1
    whole["changes"] = [change(f"s-{n}", "detected", T0) for n in range(8)]
    assert "and 3 more: fieldwarden change list CONFIG" in shown(whole)


def test_a_tag_says_once_what_its_quality_and_its_condition_both_are():
    """A held tag is "contract broken" by its samples and by its condition."""
    whole = document()
    whole["tags"][0] |= {
        "quality": 16384, "quality_names": ["contract_broken"], "condition": "contract broken",
    }  # fmt: skip
    (line,) = [one for one in shown(whole).splitlines() if "contract broken" in one]
    assert line.count("contract broken") == 1
