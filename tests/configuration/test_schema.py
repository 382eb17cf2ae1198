"""A configuration is read whole or refused whole, with every fault and where it is."""

from __future__ import annotations

import re
import ssl
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.configuration import credentials, toml_lines
from agent.configuration.load import load
from agent.configuration.schema import Configuration, Login, Tag, Tls
from agent.configuration.values import budget_per_ns, duration_ns
from agent.errors import ConfigurationError, FieldwardenError

GOOD = """\
schema = 1

[gateway]
site = "north"
name = "gw-07"

[sources.line]
protocol = "mqtt"
host = "127.0.0.1"

[sources.utilities]
protocol = "modbus"
host = "127.0.0.1"

[tags."line.speed"]
source = "line"
address = "plant/line1 /speed"

[tags."line.flow"]
source = "utilities"
address = "holding 100 float32"
physical = [0, 40]

[tags."yield.predicted"]
source = "line"
address = "plant/model /yield"

[tags."lab.yield"]
source = "line"
address = "plant/lab /yield"

[models.yield]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "baselines/yield.json"
scan = "1s"
inputs = ["line.speed", "line.flow"]
outputs = ["yield.predicted"]
labels = [{ tag = "lab.yield", of = "yield.predicted", within = "12h" }]
"""


@pytest.fixture
def write(tmp_path):
    def _write(text, name="config.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def faults(path):
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return caught.value.faults


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_file_is_read_with_paths_made_absolute(write, tmp_path, monkeypatch):
    """Durations are ns, paths absolute from the file's folder, roles follow from the models."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    path = write(GOOD)
    configuration = load(path)
    assert configuration.file == path
    assert configuration.models["yield"].scan == 1_000_000_000
    assert configuration.models["yield"].baseline == str(tmp_path / "baselines/yield.json")
    assert configuration.gateway.state_directory == str(tmp_path / "state")
    assert configuration.tags["line.flow"].physical == (0.0, 40.0)
    roles = {name: configuration.role(name) for name in configuration.tags}
    assert roles == {
        "line.speed": "input",
        "line.flow": "input",
        "yield.predicted": "output",
        "lab.yield": "label",
    }
    assert configuration.status.address == ("127.0.0.1", 8686)


def test_a_tag_that_no_model_has_has_no_role(write):
    """It is read and watched all the same."""
    one = changed('inputs = ["line.speed", "line.flow"]', 'inputs = ["line.speed"]')
    assert load(write(one)).role("line.flow") == "none"
    two = one.replace("outputs =", 'mode = { tag = "line.flow" }\noutputs =')
    assert load(write(two)).role("line.flow") == "mode"


def test_the_state_directory_of_systemd_is_the_default(write, monkeypatch):
    """STATE_DIRECTORY may name several; the first is used, unless the file names one itself."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/fieldwarden:/var/lib/other")
    assert load(write(GOOD)).gateway.state_directory == "/var/lib/fieldwarden"
    own = changed('name = "gw-07"', 'name = "gw-07"\nstate_directory = "/srv/x"')
    assert load(write(own)).gateway.state_directory == "/srv/x"


CASES = [
    # what is changed, into what, where the fault is said to be, words of its cause and hint
    ('site = "north"', 'site = "no/rth"', "gateway.site", "MQTT topics"),
    ('site = "north"', 'site = "n"\nsiet = "x"', "gateway.siet", "did you mean 'site'?"),
    (
        'name = "gw-07"',
        'name = "g"\nfalse_alarms = "1 in 30 days"',
        "gateway.false_alarms",
        "1 per",
    ),
    ('name = "gw-07"', 'name = "g"\nsummary = 600', "gateway.summary", "600 has no unit"),
    ('protocol = "modbus"', 'protocol = "modbsu"', "sources.utilities.protocol", "'modbus'?"),
    ('protocol = "modbus"\n', "", "sources.utilities.protocol", "is required"),
    (
        'protocol = "modbus"',
        'protocol = "modbus"\nport = 0',
        "sources.utilities.port",
        "than or equal",
    ),
    (
        'protocol = "modbus"',
        'protocol = "modbus"\nevry = "1s"',
        "sources.utilities.evry",
        "'every'?",
    ),
    ('source = "utilities"', 'source = "utilites"', 'tags."line.flow".source', "'utilities'?"),
    ("holding 100 float32", "holding 100 flaot32", 'tags."line.flow".address', "no type 'flaot32'"),
    ("plant/line1 /speed", "plant/+ /speed", 'tags."line.speed".address', "'+'"),
    ("[0, 40]", "[40, 0]", 'tags."line.flow".physical', "must be below"),
    ("[0, 40]", "[0, nan]", 'tags."line.flow".physical[1]', "finite"),
    ("plant/model /yield", "plant/lab /yield", 'tags."lab.yield".address', "already tag"),
    ('owner = { team = "t", contact = "c" }\n', "", "models.yield.owner", "no owner, no start"),
    ('contact = "c" }', 'contact = " " }', "models.yield.owner.contact", "names nobody"),
    ('team = "t"', 'team = ""', "models.yield.owner.team", "no owner, no start"),
    ('team = "t", ', "", "models.yield.owner.team", "no owner, no start"),
    ('version = "1"', "version = 1", "models.yield.version", "text in quotes"),
    ('scan = "1s"', 'scan = "1 sec"', "models.yield.scan", "no duration"),
    ('"line.speed", "line.flow"]', '"line.sped"]', "models.yield.inputs[0]", "'line.speed'?"),
    ('"line.speed", "line.flow"]', '"line.flow", "line.flow"]', "models.yield.inputs[1]", "twice"),
    ('["line.speed", "line.flow"]', "[]", "models.yield.inputs", "at least 1"),
    ('["yield.predicted"]', '["line.flow"]', "models.yield.outputs[0]", "both input and output"),
    ('of = "yield.predicted"', 'of = "yield"', "models.yield.labels[0].of", "is no output"),
    ('tag = "lab.yield"', 'tag = "line.flow"', "models.yield.labels[0].tag", "already an input"),
    ('scan = "1s"', 'scan = "1s"\noptional = ["x"]', "models.yield.optional[0]", "is no input"),
    ('scan = "1s"', 'scan = "1s"\nmode = { tag = "x" }', "models.yield.mode.tag", "no tag 'x'"),
    (
        "physical = [0, 40]",
        'not_available = ["0x1FFFFFFFF"]',
        'tags."line.flow".not_available',
        "can not hold '0x1FFFFFFFF'",
    ),
    (
        'address = "plant/line1 /speed"',
        'address = "plant/line1 /speed"\nnot_available = [1]',
        'tags."line.speed".not_available',
        "only values that are read from registers",
    ),
    ("schema = 1", "schema = 2", "schema", "this version reads schema = 1"),
    ("schema = 1\n", "", "schema", "is required"),
    ("[models.yield]", '[models."a/b"]', 'models."a/b"', "no blank"),
]


@pytest.mark.parametrize(
    ("old", "new", "key", "words"), CASES, ids=[f"{c[2]}-{c[3]}" for c in CASES]
)
def test_each_fault_names_line_key_cause_and_what_to_write(write, old, new, key, words):
    """One change to a good file gives that fault, at its key, on the line where it stands."""
    text = changed(old, new)
    path = write(text)
    found = [fault for fault in faults(path) if fault.subject == key and words in str(fault)]
    assert found, [str(fault) for fault in faults(path)]
    place = re.match(rf"{re.escape(str(path))}:(\d+):|{re.escape(str(path))}:", found[0].operation)
    assert place
    if place[1] and new.strip():
        line = text.splitlines()[int(place[1]) - 1]
        table_or_key = key.split(".")[-1].partition("[")[0].strip('"')
        assert table_or_key in line or line.startswith("["), line


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            'protocol = "modbus"\nhost = "127.0.0.1"',
            'protocol = "opcua"\nendpoint = "opc.tcp://plc:s3cr3t@127.0.0.1:4840/x"',
        ),
        (
            'protocol = "modbus"\nhost = "127.0.0.1"',
            'protocol = "opcua"\nendpoint = "opc.tcp://plc:s3/cr3t@127.0.0.1:4840/x"',
        ),
        ('protocol = "modbus"\nhost = "127.0.0.1"', 'protocol = "modbus"\nhost = "u:s3cr3t@plc"'),
        ('protocol = "mqtt"', 'protocol = "mqtt://u:s3cr3t@127.0.0.1"'),
        ('contact = "c"', 'contact = "https://u:s3cr3t@wiki.example/a"'),
        ('site = "north"', 'site = "mqtts://u:s3cr3t@north"'),
        (
            'protocol = "modbus"\nhost = "127.0.0.1"',
            'protocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:4840/x?password=s3cr3t"',
        ),
        ('host = "127.0.0.1"', 'host = "mqtt://broker/?token=s3cr3t"'),
        ('host = "127.0.0.1"', 'host = "mqtt://broker/?a=1;Access_Token=s3cr3t"'),
        ('contact = "c"', 'contact = "https://wiki.example/a?x=1&api-key=s3cr3t"'),
        ('address = "plant/lab /yield"', 'address = "mqtt://u:s3cr3t@h/lab /yield"'),
        ('version = "1"', 'version = "1"\nmode = { tag = "x://u:s3cr3t@y" }'),
    ],
)
def test_a_password_inside_an_address_is_refused_and_never_shown(write, old, new):
    """Whatever key it stands in, as a fault of its own, and no fault repeats it."""
    found = faults(write(changed(old, new)))
    assert any("never stands in an address" in str(fault) for fault in found)
    for fault in found:
        assert "s3cr3t" not in str(fault) and "s3/cr3t" not in str(fault)


def test_an_address_with_an_at_sign_is_no_password(write):
    """A namespace URI with a port and an @ in its path is only that."""
    text = changed(
        'protocol = "modbus"\nhost = "127.0.0.1"',
        'protocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:4840/x"',
    ).replace("holding 100 float32", "nsu=http://plant:80/a@b;s=Flow")
    assert load(write(text)).sources["utilities"].place == ("127.0.0.1", 4840)


def test_all_faults_are_told_at_once_in_the_order_of_the_file(write):
    """Single values, unknown keys and broken references are reported together."""
    text = GOOD
    for old, new, *_ in (CASES[0], CASES[3], CASES[8], CASES[11], CASES[17], CASES[21]):
        text = text.replace(old, new, 1)
    path = write(text)
    found = faults(path)
    assert len(found) == 6
    lines = [int(fault.operation.rsplit(":", 2)[1]) for fault in found]
    assert lines == sorted(lines)
    with pytest.raises(ConfigurationError, match="6 faults"):
        load(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"schema = ", "end of document"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[tags.a.b\n", "line 1"),
        (b"", "is required"),
        (b'tags = 3\nsources = "x"\nmodels = []\ngateway = 1\nschema = 1', "must be a table"),
    ],
)
def test_what_is_no_configuration_is_refused_with_a_reason(tmp_path, content, words):
    """Broken TOML, other encodings and wrong kinds end in faults, never in a traceback."""
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    assert any(words in str(fault) for fault in faults(path))


def test_a_missing_file_is_refused_with_a_hint(tmp_path):
    """The error says how to get one."""
    (fault,) = faults(tmp_path / "none.toml")
    assert "No such file" in fault.cause
    assert "fieldwarden init" in fault.hint


LISTED = GOOD.replace("schema = 1\n", 'schema = 1\ntag_lists = ["lists/tags.csv"]\n')


def test_tags_come_from_lists_too(write):
    """A row of a tag list is a tag like those in the file; empty cells are absent keys."""
    write(
        "name;source;address;unit;physical_low;physical_high;max_silence;description\n"
        "pump.current;utilities;input 7 int16 scale 0.1;A;0;60.5;30s;main, upper\n"
        "\n"
        "pump.on;utilities;coil 4;;;;;\n",
        "lists/tags.csv",
    )
    tags = load(write(LISTED)).tags
    assert tags["pump.current"] == Tag(
        source="utilities",
        address="input 7 int16 scale 0.1",
        unit="A",
        physical=(0.0, 60.5),
        max_silence=30_000_000_000,
        description="main, upper",
    )
    assert tags["pump.on"].physical is None


@pytest.mark.parametrize(
    ("rows", "where", "words"),
    [
        ("name,source,address\na,lin,t /a\n", "tags.csv:2:", "did you mean 'line'?"),
        ("name,source,address,interval\na,line,t /a,soon\n", "tags.csv:2:", "no duration"),
        ("name,source,address,physical_low\na,line,t /a,1\n", "tags.csv:2:", "only one of"),
        (
            "name,source,address,physical_low,physical_high\na,line,t /a,x,2\n",
            "tags.csv:2:",
            "float",
        ),
        ("name,source,adress\na,line,t /a\n", "config.toml:2:", "did you mean 'address'?"),
        ("name,source,address\nline.flow,line,t /a\n", "config.toml:2:", "twice"),
        ("name,source,address\nx,line,plant/lab /yield\n", "tags.csv:2:", "already tag"),
    ],
)
def test_faults_in_a_tag_list_name_its_file_and_row(write, rows, where, words):
    """What is wrong in the list is said of the list."""
    write(rows, "lists/tags.csv")
    found = [str(fault) for fault in faults(write(LISTED))]
    assert any(where in fault and words in fault for fault in found), found


def test_a_missing_tag_list_is_a_fault_among_the_others(write):
    """The rest of the file is still checked."""
    found = [str(fault) for fault in faults(write(LISTED.replace('"north"', '"no rth"')))]
    assert len(found) == 2
    assert any("No such file" in fault for fault in found)


# --- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("250ms", 250_000_000),
        ("1.5 s", 1_500_000_000),
        ("10min", 600 * 10**9),
        ("7d", 604800 * 10**9),
    ],
)
def test_durations_have_units(text, ns):
    """Milliseconds to days."""
    assert duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "1", "-1s", "0s", "1 week", "1e3s", "9999999d", "s"])
def test_what_is_no_duration_is_refused(text):
    """No unit, nothing, negative, or longer than ten years."""
    with pytest.raises(ValueError, match=r"duration|longer"):
        duration_ns(text)


def test_the_budget_is_a_rate():
    """Days and hours, singular and plural, with and without a count of them."""
    day = 86400 * 10**9
    assert budget_per_ns("1 per 30 days") == pytest.approx(1 / (30 * day))
    assert budget_per_ns("100 per 1 days") == pytest.approx(100 / day)
    assert budget_per_ns("2 per hour") == pytest.approx(2 * 24 / day)
    for text in ("0 per 30 days", "1 per 0 days", "one per day", "1 per month", "-1 per day"):
        with pytest.raises(ValueError, match=r"per|more"):
            budget_per_ns(text)


@given(st.text(max_size=30))
def test_no_text_breaks_the_parsers_of_values(text):
    """Any text is a value or a ValueError."""
    for parse in (duration_ns, budget_per_ns):
        try:
            assert parse(text) > 0
        except ValueError:
            continue


def test_programs_may_build_a_configuration_without_a_file():
    """Durations are ns then; the same rules for single values hold."""
    tag = Tag(source="s", address="a", interval=5_000_000)
    assert tag.interval == 5_000_000
    with pytest.raises(ValidationError):
        Tag(source="s", address="a", physical=(2.0, 1.0))
    with pytest.raises(ValidationError):
        Configuration(schema=1)


# --- lines -----------------------------------------------------------------------------------


def test_lines_are_found_through_every_form_of_toml():
    """Dotted and quoted keys, arrays of tables, values over several lines with brackets in them."""
    text = textwrap.dedent("""\
        a = [ # ]
          "]", "[",
        ]
        b.c = '''
        d = 1
        '''
        ["x.y" . z]
        "k 1" = { m = 1 }
        [[list.when]]
        p = 1
        [[list.when]]
        p = 2
        [list.when.deep]
        q = 3
        """)
    lines = toml_lines.key_lines(text)
    assert lines == {
        ("a",): 1,
        ("b", "c"): 4,
        ("x.y", "z"): 7,
        ("x.y", "z", "k 1"): 8,
        ("list", "when", 0): 9,
        ("list", "when", 0, "p"): 10,
        ("list", "when", 1): 11,
        ("list", "when", 1, "p"): 12,
        ("list", "when", 1, "deep"): 13,
        ("list", "when", 1, "deep", "q"): 14,
    }
    assert toml_lines.line_of(lines, ("x.y", "z", "k 1", "m")) == 8
    assert toml_lines.line_of(lines, ("a", 1)) == 1
    assert toml_lines.line_of(lines, ("nowhere",)) is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_search_for_lines(text):
    """Whatever the file holds, lines are in it."""
    count = len(text.splitlines())
    assert all(1 <= line <= count for line in toml_lines.key_lines(text).values())


# --- credentials -----------------------------------------------------------------------------


def test_a_password_is_read_where_the_file_says(tmp_path, monkeypatch):
    """File, environment and systemd credential; none named, none used."""
    secret = tmp_path / "secret"
    secret.write_text("from file\n", encoding="utf-8")
    monkeypatch.setenv("FW_PASSWORD", "from environment")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert credentials.password(Login(username="u", password_file=str(secret))) == "from file"
    assert (
        credentials.password(Login(username="u", password_env="FW_PASSWORD")) == "from environment"
    )
    assert credentials.password(Login(username="u", password_credential="secret")) == "from file"
    assert credentials.password(Login()) is None


@pytest.mark.parametrize(
    "login",
    [
        Login(password_file="/nonexistent/secret"),
        Login(password_env="FW_NOT_SET"),
        Login(password_credential="x"),
    ],
)
def test_a_password_that_is_not_there_is_an_error_that_names_the_place(login, monkeypatch):
    """Never a silent connection without one."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(FieldwardenError) as caught:
        credentials.password(login)
    assert caught.value.hint


def test_an_empty_password_file_is_refused(tmp_path):
    """An empty file is a mistake, not an empty password."""
    (tmp_path / "s").write_text("\n", encoding="utf-8")
    with pytest.raises(FieldwardenError, match="empty"):
        credentials.password(Login(password_file=str(tmp_path / "s")))


def test_tls_verifies_the_peer(tmp_path):
    """On: the peer and its name are verified. Off: no context. A bad file: an error naming it."""
    context = credentials.tls_context(Tls(tls=True))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert credentials.tls_context(Tls()) is None
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate", encoding="utf-8")
    for settings in (Tls(tls=True, ca=str(bad)), Tls(tls=True, certificate=str(bad))):
        with pytest.raises(FieldwardenError) as caught:
            credentials.tls_context(settings)
        assert str(bad) in caught.value.subject


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("endpoint", "opc.tcp://plc:s3cr3t@127.0.0.1:4840/x"),
        ("endpoint", "opc.tcp://s3cr3t@127.0.0.1:4840/x"),
        ("host", "plc:s3cr3t@127.0.0.1"),
        ("host", "mqtt://plc:s3cr3t@127.0.0.1"),
    ],
)
def test_a_login_inside_an_address_is_refused_and_not_repeated(write, key, value):
    """It would reach status, events and the log; the error says where it belongs instead."""
    protocol = "opcua" if key == "endpoint" else "mqtt"
    text = GOOD.replace('protocol = "mqtt"\nhost = "127.0.0.1"',
                        f'protocol = "{protocol}"\n{key} = "{value}"')  # fmt: skip
    found = faults(write(text))
    (fault,) = [fault for fault in found if "login" in fault.cause]
    assert key in fault.subject
    assert "password_file" in fault.hint
    assert not [fault for fault in found if "s3cr3t" in str(fault)]


def test_password_rules_are_part_of_the_check(write):
    """Two places for one password, a password without a user, certificates without TLS."""
    upstream = '\n[upstream]\nhost = "h"\n'
    two = upstream + 'password_env = "A"\npassword_file = "b"\nca = "c.pem"\n'
    found = [str(fault) for fault in faults(write(GOOD + two))]
    assert any("2 places" in fault for fault in found)
    assert any("needs a username" in fault for fault in found)
    assert any("TLS is off" in fault for fault in found)


# --- people --------------------------------------------------------------------------------------

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("added", "key", "words"),
    [
        ("[people.mara]", "people.mara", "fieldwarden token"),
        ('[people.mara]\nrole = "engineer"', "people.mara", "nothing tells who this is"),
        ('[people.mara]\ntoken = "1234"', "people.mara.token", "a secret never stands here"),
        ('[people.mara]\ntoken_sha256 = "1234"', "people.mara.token_sha256", "64 hexadecimal"),
        (
            f'[people.mara]\ntoken_sha256 = "{HASH}"\ntoken_env = "T"',
            "people.mara.token_env",
            "one",
        ),
        (
            '[people.mara]\nunix_user = "m"\n[people.jo]\nunix_user = "m"',
            "people.jo.unix_user",
            "already that of 'mara'",
        ),
        (
            f'[people.mara]\ntoken_sha256 = "{HASH}"\n[people.jo]\ntoken_sha256 = "{HASH}"',
            "people.jo.token_sha256",
            "one identity belongs to one person",
        ),
        ('[people." "]\nunix_user = "m"', 'people." "', "1 to 200 characters"),
        ('[people.mara]\nunix_usr = "m"', "people.mara.unix_usr", "'unix_user'?"),
        ('[status]\ncertificate = "c.pem"', "status.private_key", "TLS needs both"),
        (
            f'[status]\nlisten = "0.0.0.0:8686"\n[people.mara]\ntoken_sha256 = "{HASH}"',
            "status.listen",
            "without TLS",
        ),
        (
            '[status]\nlisten = "[::]:8686"\n[people.mara]\ntoken_env = "T"',
            "status.listen",
            "the token of 'mara'",
        ),
    ],
)
def test_who_may_act_is_told_without_doubt(write, added, key, words):
    """Nobody without an identity, none with two owners, no secret in the file or on the way."""
    found = faults(write(GOOD + added + "\n"))
    told = [fault for fault in found if fault.subject == key]
    assert told and words in str(told[0]), [str(fault) for fault in found]


@pytest.mark.parametrize(
    "added",
    [
        f'[people."Mara Lind"]\nrole = "engineer"\nunix_user = "mara"\ntoken_sha256 = "{HASH}"',
        '[status]\nlisten = "0.0.0.0:8686"\n[people.mara]\nunix_user = "mara"',
        (
            '[status]\nlisten = "0.0.0.0:1"\ncertificate = "c"\nprivate_key = "k"\n'
            f'[people.mara]\ntoken_sha256 = "{HASH}"'
        ),
        f'[status]\nlisten = "[::1]:1"\n[people.mara]\ntoken_sha256 = "{HASH}"',
    ],
)
def test_people_who_are_known_safely_are_accepted(write, added):
    """A Unix user needs no TLS; a token does off loopback only."""
    assert load(write(GOOD + added + "\n")).people


def test_the_socket_is_beside_the_store_unless_said(write, tmp_path):
    """A path of the file's own is taken from its folder, like all paths."""
    here = load(write(GOOD))
    assert here.socket_path == here.store_path.with_name("agent.sock")
    own = load(write(GOOD + '[status]\nsocket = "run/a.sock"\n'))
    assert own.socket_path == tmp_path / "run" / "a.sock"


def test_the_configuration_of_central_is_known_as_one(tmp_path):
    """With the command that takes it, and not as so many unknown keys."""
    path = tmp_path / "central.toml"
    path.write_text('schema = 1\n[broker]\nhost = "127.0.0.1"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="of central, not of a gateway") as told:
        load(path)
    assert f"fieldwarden central {path}" in str(told.value)
