"""Register maps as vendors write them: what they say is read, what they leave open is asked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.cli import cli
from agent.configuration.load import load
from agent.decode.modbus import parse_address
from agent.errors import FieldwardenError
from agent.sources.found import Wish
from agent.sources.modbus_browse import found_in
from agent.sources.modbus_rows import read
from simulators.ports import free_port
from tests.waiting import PATIENCE_S, START_S

ROOT = Path(__file__).parents[2]


@pytest.fixture
def addresses(tmp_path):
    """Read a map's text; {name: address}, or the error's text."""

    def _read(text, **answers):
        path = tmp_path / "map.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        told = {key.replace("_", "-"): (value,) if isinstance(value, str) else value
                for key, value in answers.items()}  # fmt: skip
        found = found_in(read(path, told.get("column", ())), Wish(answers=told), str(path))
        return {tag.name: tag.address for tag in found.tags}

    return _read


def asked(addresses, text, **answers):
    with pytest.raises(FieldwardenError) as error:
        addresses(text, **answers)
    return f"{error.value.cause} | {error.value.hint}"


HEXADECIMAL = (
    "Name,Address (hex),Object type,Datatype,Byte order\n"
    "A,0x0064,IR,FLOAT32,LSW first\nB,0,IR,REAL,big endian\n"
)
MAPS = [
    ("Name,Address,Function,Type\nA,0,3,S16\nB,1,04,uint16\n",
     {"A": "holding 0 int16", "B": "input 1 uint16"}),
    ("Parameter;Register;Format;Factor;Einheit\nA;40001;U16;0,1;V\nB;30005;Short;x10;A\n",
     {"A": "holding 0 uint16 scale 0.1", "B": "input 4 int16 scale 10"}),
    ("Acme 5000\n\nTag\tPDU address\tFC\tData Type\tDivisor\nA\t100\t03\tINT 16\t100\n",
     {"A": "holding 100 int16 scale 0.01"}),
    ("Signal,Register number,Register type,Type,Decimals\nA,101,Holding Register,WORD,2\n",
     {"A": "holding 100 uint16 scale 0.01"}),
    (HEXADECIMAL,
     {"A": "input 100 float32 CDAB", "B": "input 0 float32 ABCD"}),
    ("Name,Address,Type,Length\nA,4x0101,INT,2\nB,4x0103,INT,1\n", {"B": "holding 102 int16"}),
    ("Name,Modbus Address,Type\nA,%MW100,INT16\nCoil,%M3,BOOL\n",
     {"A": "holding 100 int16", "Coil": "coil 3"}),
    ("Name,Address,Type,Words\nA,400001-400002,Float,\n", {}),
    ("Name,Offset,Area,Type,Resolution\nA,7,holding,U16,0.1 °C\nB,8,holding,U16,1/100\n",
     {"A": "holding 7 uint16 scale 0.1", "B": "holding 8 uint16 scale 0.01"}),
    ("Name,Address,Type\nA,00001,\nB,10003,\nC,40005,U16\n",
     {"A": "coil 0", "B": "discrete 2", "C": "holding 4 uint16"}),
    ("Name,Address,FC,Type\nA,0,3,uint16\nReserved,1,3,uint16\nText,2,3,STRING\nSet,8,6,U16\n,9,3,\n",
     {"A": "holding 0 uint16"}),
    ("Name,Type,Address,Data type\nA,Holding,0,U16\nB,Input,5,U16\n",
     {"A": "holding 0 uint16", "B": "input 5 uint16"}),
    ("Name,Address,FC,Type,Scale\nA,0,3,U16,0.1\nB,1,3,U16,10\n",
     {"A": "holding 0 uint16 scale 0.1", "B": "holding 1 uint16 scale 10"}),
    ("Name,Register dec,Register hex,FC,Type\nA,16,0x0010,3,U16\nB,0,0x0000,3,U16\n",
     {"A": "holding 16 uint16", "B": "holding 0 uint16"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), MAPS)
def test_what_a_map_says_is_read(addresses, text, wanted):
    """In its spelling, with its separator; what is no number is left out."""
    found = addresses(text, word_order="CDAB")
    assert wanted.items() <= found.items()
    for address in found.values():
        parse_address(address)
    if "Reserved" in text:
        assert set(found) == {"A"}


QUESTIONS = [
    ("Name,Address,FC,Type\nA,101,3,U16\n", "--addresses 1-based", "holding 100 uint16"),
    ("Name,Address,FC,Type\nA,101,3,U16\n", "--addresses 0-based", "holding 101 uint16"),
    ("Name,Address,FC,Type\nA,40101,3,U16\n", "--addresses modicon", "holding 100 uint16"),
    ("Name,Address,FC,Type\nA,40101,3,U16\n", "--addresses 0-based", "holding 40101 uint16"),
    ("Name,Address,Type\nA,40000,U16\n", "--addresses modicon-0", "holding 0 uint16"),
    ("Name,Address,Type\nA,0,U16\n", "--area input", "input 0 uint16"),
    ("Name,Address,FC,Type\nA,0,3,DINT\n", "--word-order DCBA", "holding 0 int32 DCBA"),
    ("Name,Address,FC,Type,Endian\nA,0,3,DINT,Little endian\n", "--word-order CDAB",
     "holding 0 int32 CDAB"),
    ("Name,Address,FC,Type\nA,0,3,INT\n", "--type INT=int16", "holding 0 int16"),
    ("Name,Address,FC\nA,0,3\n", "--type none=uint16", "holding 0 uint16"),
    ("Name,Address,FC,Type\nA,0,3,Q15\n", "--type Q15=TYPE", None),
    ("Name,Address,FC,Type,Scale\nA,0,3,U16,10\n", "--scale divide", "holding 0 uint16 scale 0.1"),
    ("Name,Address,FC,Type,Scale\nA,0,3,U16,10\n", "--scale multiply", "holding 0 uint16 scale 10"),
    ("Name,Address,FC,Type,Scale\nA,0,3,S_WORD,-2\n", "--scale power",
     "holding 0 int16 scale 0.01"),
    ("Name,Address,FC,Type\nA,1A,3,U_WORD\n", "--digits hex", "holding 26 uint16"),
    ("Name,Address,Register,FC,Type\nA,0,9,3,U16\n", "--column address='Register'", None),
    ("Name,Where,FC,Type\nA,0,3,U16\n", "--column address=HEADING", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "option", "address"), QUESTIONS)
def test_what_can_be_meant_two_ways_is_asked_and_the_answer_counts(
    addresses, text, option, address
):
    """The option that answers it stands in the error."""
    assert option in asked(addresses, text)
    if address is not None:
        name, _, value = option.lstrip("-").partition(" ")
        more = {} if "addresses" in name else {"addresses": "0-based"}
        assert addresses(text, **more, **{name.replace("-", "_"): value}) == {"A": address}


def test_all_questions_come_at_once(addresses):
    """Nobody runs it five times."""
    text = "Name,Address,Type,Scale\nA,101,INT,10\nB,103,DINT,1\n"
    told = asked(addresses, text)
    for option in ("--addresses", "--area", "--word-order", "--type INT=int16", "--scale"):
        assert option in told


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("A,0,3,U16,4", "does not take 4 registers"), ("A,x,3,U16,", "address is no number"),
        ("A,0.3,3,U16,", "single bits"), ("A,0,3,BCD,", "no number"),
    ],
)  # fmt: skip
def test_a_row_that_contradicts_itself_is_left_out_and_said(tmp_path, row, why):
    """Not read as something that it may not be."""
    path = tmp_path / "map.csv"
    path.write_text(f"Name,Address,FC,Type,Words\nOK,7,3,U16,1\nZ,0,3,U16,1\n{row}\n", "utf-8")
    found = found_in(read(path, ()), Wish(), str(path))
    assert [tag.name for tag in found.tags] == ["OK", "Z"]
    assert any(why in note for note in found.notes)


def test_numbers_that_share_registers_are_told(tmp_path):
    """As where a map counts values, not registers."""
    path = tmp_path / "map.csv"
    path.write_text("Name,Offset,FC,Type\nA,0,3,FLOAT\nB,1,3,FLOAT\n", encoding="utf-8")
    found = found_in(read(path, ()), Wish(answers={"word-order": ("ABCD",)}), str(path))
    assert "share registers" in found.notes[-1] and "A and B" in found.notes[-1]


def test_devices_of_one_map_become_sources(tmp_path):
    """One for each unit identifier."""
    path, out = tmp_path / "map.csv", tmp_path / "config.toml"
    path.write_text("Name,Slave ID,Offset,FC,Type\nA,1,0,3,U16\nB,7,0,3,U16\n", encoding="utf-8")
    done = CliRunner().invoke(
        cli, ["init", "--modbus-map", str(path), "--set", "host=10.0.0.7", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    sources = load(out).sources
    assert {name: source.unit for name, source in sources.items()} == {
        "plant-unit-1": 1, "plant-unit-7": 7
    }  # fmt: skip


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(CELLS, max_size=6)))
def test_whatever_a_file_holds_there_are_tags_or_an_error(tmp_path, rows):
    """Nothing else leaves it."""
    path = tmp_path / "odd.csv"
    lines = ["Name,Address,FC,Type,Scale,Words", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    try:
        found = found_in(read(path, ()), Wish(), str(path))
    except FieldwardenError:
        return
    for tag in found.tags:
        parse_address(tag.address)


async def test_a_map_becomes_a_configuration_that_a_device_answers(tmp_path):
    """A simulator serves it; `check` passes, and the contract has no difference afterwards."""
    port, path, out = free_port(), tmp_path / "map.csv", tmp_path / "config.toml"
    path.write_text(
        "Name,Register,Type,Word order,Factor,Unit\nflow,40101,FLOAT32,word swapped,1,m3/h\n"
        "temperature,30008,S16,,0.1,degC\nenergy,40103,UDINT,big endian,1,kWh\n", "utf-8",
    )  # fmt: skip

    async def run(*words):
        done = await asyncio.to_thread(CliRunner().invoke, cli, list(words))
        return done.exit_code, done.output

    code, told = await run("init", "--modbus-map", str(path), "--out", str(out))
    assert code == 0, told
    code, told = await run("check", str(out), "--offline")
    assert code == 1 and "sources.plant.host: still to be edited" in told
    text = out.read_text("utf-8").replace('host = "EDIT"', f'host = "127.0.0.1"\nport = {port}')
    out.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "simulators", "plant", str(out), "--interval", "0.5"]
    device = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        await asyncio.wait_for(device.stdout.readline(), START_S)
        code, told = await run("check", str(out))
        assert code == 0 and "holding 100..103" in told, told
        assert (await run("contract", "snapshot", str(out)))[0] == 0
        code, told = await run("contract", "diff", str(out))
        assert code == 0 and "nothing differs" in told
    finally:
        device.terminate()
        await asyncio.wait_for(device.wait(), PATIENCE_S)
