"""Control loops: what a person may write, and what each of its tags is."""

from __future__ import annotations

import pytest

from agent.configuration.load import load
from agent.configuration.loops import Loop, parts_of
from agent.errors import ConfigurationError

TEXT = """
schema = 1
[gateway]
site = "s"
name = "g"
[sources.line]
protocol = "mqtt"
host = "127.0.0.1"
{tags}
[loops."TIC-1"]
{loop}
"""
TAGS = "\n".join(
    f'[tags."{name}"]\nsource = "line"\naddress = "t /{name}"' for name in ("pv", "sp", "out")
)


def read(tmp_path, loop):
    path = tmp_path / "config.toml"
    path.write_text(TEXT.format(tags=TAGS, loop=loop), encoding="utf-8")
    return load(path)


def test_a_loop_is_read(tmp_path):
    """Each tag is known by its part."""
    configuration = read(tmp_path, 'pv = "pv"\nsp = "sp"\nout = "out"')
    assert configuration.loops["TIC-1"] == Loop(pv="pv", sp="sp", out="out")
    assert parts_of(configuration.loops)["out"] == ("TIC-1", "controller output")


@pytest.mark.parametrize(
    ("loop", "said"),
    [
        ('pv = "pw"', "no tag 'pw'"),
        ('pv = "pv"\nsp = "pv"', "'pv' is also the loop's pv"),
        ('sp = "sp"', "loops.TIC-1.pv"),
        ('pv = "pv"\nsetpoint = "sp"', "setpoint"),
    ],
)
def test_what_is_no_loop_is_refused_with_its_place(tmp_path, loop, said):
    """With the name of the loop and what is wrong."""
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, loop)
    assert "TIC-1" in str(refused.value)
    assert said in str(refused.value)


def test_an_outer_loops_output_is_the_inner_ones_set_point_and_a_measurement_is_one_anywhere():
    """Cascades name one tag twice, and no tag is two things."""
    loops = {
        "TIC-1": Loop(pv="t.pv", sp="t.sp", out="f.sp"),
        "FIC-2": Loop(pv="f.pv", sp="f.sp", out="f.out"),
        "XIC-3": Loop(pv="f.out", out="x"),
    }
    parts = parts_of(loops)
    assert parts["f.sp"] == ("TIC-1", "controller output")
    assert parts["f.out"] == ("XIC-3", "measurement")
    assert "" not in parts
