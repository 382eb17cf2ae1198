"""What people read is true: commands exist, samples load, every key is documented."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from agent.cli import COMMANDS, cli
from agent.configuration import hooks, people, schema
from agent.configuration.load import load

ROOT = Path(__file__).parent.parent
SAMPLES = [
    path
    for path in sorted((ROOT / "configs").glob("*.toml"))
    if "gateway" in tomllib.loads(path.read_text(encoding="utf-8"))
]
MEASUREMENTS = ROOT / "docs" / "measurements"
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY")),
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
REFERENCE = ROOT / "configs" / "reference.toml"


def sections() -> list[type[BaseModel]]:
    """Every table of the configuration file that keys can stand in."""
    return [
        item
        for item in (*vars(schema).values(), *vars(hooks).values(), people.Person)
        if isinstance(item, type) and issubclass(item, schema.Section)
        and item not in {schema.Section, schema.SourceSection, schema.Login, schema.Tls,
                         schema.Broker, schema.Served, hooks.Hook, hooks.Endpoint}
    ]  # fmt: skip


def written_commands(text: str) -> list[list[str]]:
    """Command lines that begin with `fieldwarden`, in code blocks and in backquotes."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines += list(re.findall(r"`([^`\n]+)`", text))
    return [
        shlex.split(line.removeprefix("$ "), comments=True)
        for line in lines
        if line.removeprefix("$ ").startswith("fieldwarden ")
    ]


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_command_in_the_docs_exists_with_its_options(page):
    """A sub-command or option that was renamed is found here."""
    for words in written_commands(page.read_text(encoding="utf-8")):
        name = words[1]
        if name.startswith(("-", "<")) or "|" in words:
            continue
        assert name in COMMANDS, f"{page.name}: fieldwarden {name}"
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            assert words[2] in command.commands, f"{page.name}: {words}"
            command = command.commands[words[2]]
        known = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in known | {"--help"}, f"{page.name}: {words}"


def test_every_command_has_its_place_in_the_readme():
    """Nobody finds a command that the README keeps to itself."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if not re.search(rf"\bfieldwarden {name}\b", text)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_make_target_and_file_in_the_docs_exists(page):
    """`make x` is a target; a linked or backquoted path of the repository is there."""
    text = page.read_text(encoding="utf-8")
    targets = set(
        re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.MULTILINE)) <= targets
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
    folders = "agent|simulators|configs|systemd|tests|benchmarks|docs|\\.ci"
    paths = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)
    missing = [path for path in links if not (page.parent / path).exists()]
    assert not missing + [path for path in paths if not (ROOT / path).exists()]


def test_readme_leads_to_contributing_and_security():
    """Both are found from where people begin."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in text for name in ("CONTRIBUTING.md", "SECURITY.md"))


def test_every_measurement_is_given_by_a_command_that_exists():
    """Scripts, test files and single tests that the pages of measurements name are there."""
    for page in sorted(MEASUREMENTS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
            assert re.search(r"`(?:python|pytest|make) ", section), f"{page.name}: {section[:60]}"
        for path, test in re.findall(r"`(?:python|pytest) ([\w./-]+)(?:::(\w+))?", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8") or not test


@pytest.mark.parametrize("path", SAMPLES, ids=[path.name for path in SAMPLES])
def test_every_sample_configuration_loads(path):
    """People start from these."""
    configuration = load(path)
    assert configuration.tags


def documented() -> dict[str, set[str]]:
    """Table of the reference -> keys that are set in it."""
    raw = tomllib.loads(REFERENCE.read_text(encoding="utf-8"))
    found = {
        "Configuration": set(raw),
        "Gateway": set(raw["gateway"]),
        "Status": set(raw["status"]),
    }
    found["Person"] = {key for person in raw["people"].values() for key in person}
    for hook in raw["hooks"].values():
        found.setdefault(hooks.HOOK_TABLES[hook["kind"]].__name__, set()).update(hook)
    found["ContractRules"] = set(raw["contract"])
    found["Upstream"] = set(raw["upstream"])
    for source in raw["sources"].values():
        found[schema.SOURCE_TABLES[source["protocol"]].__name__] = set(source)
    found["Tag"] = {key for tag in raw["tags"].values() for key in tag}
    found["Loop"] = {key for loop in raw["loops"].values() for key in loop}
    found["Model"] = {key for model in raw["models"].values() for key in model}
    found["Mode"] = {key for model in raw["models"].values() for key in model["mode"]}
    found["Owner"] = {key for model in raw["models"].values() for key in model["owner"]}
    found["Retraining"] = {k for m in raw["models"].values() for k in m["retraining"]}
    found["Trial"] = {k for m in raw["models"].values() for k in m["trial"]}
    found["Label"] = {k for m in raw["models"].values() for label in m["labels"] for k in label}
    return found


PASSWORD_PLACES = {"password_file", "password_env", "password_credential"}


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_key_is_in_the_reference(section):
    """A field without a line in configs/reference.toml is a field that nobody knows of."""
    keys = {info.alias or name for name, info in section.model_fields.items()}
    shown = documented()[section.__name__]
    if keys >= PASSWORD_PLACES:  # only one of the three may stand in a table
        assert shown & PASSWORD_PLACES
        keys -= PASSWORD_PLACES
    assert keys <= shown, f"not in {REFERENCE.name}: {sorted(keys - shown)}"


def test_all_places_of_a_password_are_in_the_reference():
    """Each of the three stands in one of the tables."""
    assert set().union(*documented().values()) >= PASSWORD_PLACES


def test_the_defaults_that_the_reference_states_are_true():
    """`# default: x` behind a key is what the model says, in the file's own notation."""
    stated = {}
    table = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\[([a-z]+)(?:\.(\S+|\".+\"))?\]", line):
            table = match[0]
        if line.startswith("[["):
            table = line.partition("]]")[0] + "]]"
        if match := re.match(r"(\w+) = .*# default: (\S+?|\"[^\"]*\")(?:;|$)", line):
            stated[table, match[1]] = match[2]
    assert len(stated) > 40
    by_table = {
        "": schema.Configuration,
        "[gateway]": schema.Gateway,
        "[sources.reactor]": schema.OpcUaSource,
        "[sources.utilities]": schema.ModbusSource,
        "[sources.line]": schema.MqttSource,
        "[models.yield]": schema.Model,
        "[models.yield.retraining]": schema.Retraining,
        "[models.yield.trial]": schema.Trial,
        "[[models.yield.labels]]": schema.Label,
        "[upstream]": schema.Upstream,
        "[hooks.ops]": hooks.Webhook,
        "[hooks.desk]": hooks.Webhook,
        "[hooks.board]": hooks.Webhook,
        "[hooks.registry]": hooks.MlflowHook,
        "[status]": schema.Status,
        "[contract]": schema.ContractRules,
        '[people."Mara Lind"]': people.Person,
        "[people.shift]": people.Person,
        "[people.historian]": people.Person,
        '[people."control room"]': people.Person,
        '[tags."reactor.temperature"]': schema.Tag,
        '[tags."cooling.total"]': schema.Tag,
        '[tags."wind.direction"]': schema.Tag,
        '[loops."SIC-12"]': schema.Loop,
    }
    for (name, key), text in stated.items():
        default = by_table[name].model_fields[key].default
        wanted = None if text == "none" else tomllib.loads(f"x = {text}")["x"]
        if isinstance(default, int) and isinstance(wanted, str):
            wanted = schema.duration_ns(wanted)
        assert default == wanted, f"{name} {key}: default is {default!r}"
