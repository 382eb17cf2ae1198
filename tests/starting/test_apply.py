"""A list of tags into a configuration, without any source: what is written, and what is refused."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.load import load
from agent.errors import FieldwardenError
from agent.starting.apply import plan
from agent.starting.tables import settings, table_text

CONFIG = """\
schema = 1
[gateway]
site = "north"
name = "gw"
[sources.a]
protocol = "mqtt"
host = "127.0.0.1"
[sources.b]
protocol = "mqtt"
host = "127.0.0.1"
[tags.own]  # here by hand
source = "a"
address = "t /own"  # where it is
"""
LIST = "name,source,address,unit\none,a,t /1,bar\ntwo,a,t /2,\nthree,b,t /3,K\n"


@pytest.fixture
def config(tmp_path):
    """A configuration with a list of three tags, of two sources."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.replace("[gateway]", 'tag_lists = ["l.csv"]\n[gateway]'), "utf-8")
    (tmp_path / "l.csv").write_text(LIST, encoding="utf-8")
    return path


def wish(config, text):
    path = config.with_name("tags.csv")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def run(*words):
    done = CliRunner().invoke(cli, ["contract", "apply", *map(str, words), "--offline"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def test_tags_change_where_they_stand_and_others_stay(config):
    """Of the list in the list, of the file in the file; what it lacks stays until that is asked."""
    tags = wish(config, "name,source,address,unit\ntwo,a,t /22,m\nnew,a,t /9,\nown,a,t /own,s\n")
    made = plan(config, tags)
    assert made.staying == 1
    assert made.texts[config.with_name("l.csv")] == (
        "name,source,address,unit\none,a,t /1,bar\ntwo,a,t /22,m\nthree,b,t /3,K\nnew,a,t /9,\n"
    )
    assert made.texts[config].endswith(
        '[tags.own]  # here by hand\nunit = "s"\nsource = "a"\naddress = "t /own"  # where it is\n'
    )
    without = plan(config, tags, remove=True).configuration.tags
    assert list(without) == ["own", "two", "three", "new"]
    assert config.with_name("l.csv").read_text("utf-8") == LIST


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffname;source;address;unit\r\nnew;a;t /9;K\r\n".encode(),
        b"name , source,address,unit,\nnew, a ,t /9,K,\n,,,\n",
    ],
)
def test_what_a_spreadsheet_makes_of_a_list_is_read(config, text):
    """Semicolons, a byte order mark, blanks, empty columns and rows."""
    if b"unit," in text:
        text = text.replace(b"unit,\n", b"unit\n").replace(b"K,\n", b"K\n")
    code, told = run(config, wish(config, text))
    assert code == 0, told
    assert load(config).tags["new"].unit == "K" and len(load(config).tags) == 5


def test_the_list_itself_may_be_edited_in_place(config):
    """Then only the contract is written, and what was taken out of it is gone."""
    path = config.with_name("l.csv")
    assert run(config, path)[0] == 0
    path.write_text(LIST.replace("two,a,t /2,\n", ""), encoding="utf-8")
    code, told = run(config, path)
    assert code == 0 and "compatible two of source a is not there any more" in told
    assert "l.csv: written" not in told and "config.contract.json: written" in told
    assert "two" not in load(config).tags
    assert "nothing differs" in run(config, path)[1]


def test_a_configuration_without_a_list_gets_one(tmp_path):
    """Named above the first table."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    assert run(config, wish(config, LIST))[0] == 0
    assert config.read_text("utf-8") == CONFIG.replace(
        "schema = 1\n", 'schema = 1\ntag_lists = ["config.tags.csv"]\n'
    )
    assert (tmp_path / "config.tags.csv").read_text("utf-8") == LIST


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("name,address\nx,y\n", "column source is missing"),
        ("name,source,address\nx,c,t /1\n", "tags.csv:2: tags.x.source: no source 'c'"),
        ("name,source,address\nx,a,EDIT: which\n", "still to be edited: which"),
        ("name,source,address\nx,a,t /1\nx,a,t /2\n", "is there twice"),
        ("name,source,address,physical_low\nx,a,t /1,0\n", "only one of physical_low"),
        ("name,source,address\nx,a,t /own\n", "is already tag 'own'"),
        (b"name,source,address\n\xff,a,b\n", "not UTF-8"),
    ],
)  # fmt: skip
def test_a_list_that_makes_no_configuration_is_refused_with_its_line(tmp_path, text, cause):
    """Nothing is written then."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    tags = wish(config, text)
    code, told = run(config, tags)
    assert code == 1 and cause in told, told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "tags.csv"]


def test_of_several_lists_one_must_be_named(config):
    """Else nobody knows where it goes."""
    text = config.read_text("utf-8").replace('["l.csv"]', '["l.csv", "m.csv"]')
    config.write_text(text, encoding="utf-8")
    config.with_name("m.csv").write_text("name,source,address\n", encoding="utf-8")
    tags = wish(config, "name,source,address\nnew,a,t /9\n")
    with pytest.raises(FieldwardenError, match="several lists"):
        plan(config, tags)
    assert run(config, tags, "--list", config.with_name("m.csv"))[0] == 0
    assert "new" in config.with_name("m.csv").read_text("utf-8")


def test_keys_of_a_source_are_given_as_in_the_configuration(tmp_path, monkeypatch):
    """Numbers and truth values are such; files are kept as seen from the configuration."""
    monkeypatch.chdir(tmp_path)
    pairs = ["security=Basic256Sha256", "port=8883", "tls=true", "ca=certs/ca.pem",
             "certificate=/etc/agent.der", 'username="17"', "publishing=500ms"]  # fmt: skip
    found = settings(pairs, tmp_path / "plant" / "config.toml")
    assert found == {
        "security": "Basic256Sha256", "port": 8883, "tls": True, "ca": "../certs/ca.pem",
        "certificate": "/etc/agent.der", "username": "17", "publishing": "500ms",
    }  # fmt: skip
    text = table_text("x", "s", {"host": 'a "b"'}, {"u-1": {"unit": 1}, "u-2": {"unit": 2}})
    assert text.count('host = "a \\"b\\""') == 2 and "[sources.s-u-2]" in text
