"""Lineage: whom a change reaches, and a picture in which nothing is lost or lies over another."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli import cli
from agent.configuration.load import load
from agent.contract.graph import (
    ROLES,
    Graph,
    Lit,
    ModelNode,
    TagNode,
    Use,
    graph_of,
    groups_of,
    levels_of,
    reached,
)
from agent.contract.graph_layout import LINE, picture
from agent.contract.graph_svg import svg_of
from agent.contract.graph_text import MARK, lines_of

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'a <b> & "c" \x1b[31m \u202e日本語'
NOTHING = Lit(frozenset(), frozenset(), frozenset())


def tag(name, source="s", uses=(), made_by=()):
    return TagNode(name, source, "degC", tuple(made_by), tuple(Use(*use) for use in uses))


def chain():
    """a -> first -> x -> second -> y; l is a label of first, m a mode of second, o is unused."""
    tags = [
        tag("a", uses=[("first", "input")]), tag("b", "t", uses=[("second", "optional input")]),
        tag("l", "t", uses=[("first", "label")]), tag("m", "t", uses=[("second", "mode")]),
        tag("x", "t", uses=[("second", "input")], made_by=["first"]),
        tag("y", "t", made_by=["second"]), tag("o"),
    ]  # fmt: skip
    models = {
        "first": ModelNode("first", "1", "f <c>", ("x",)),
        "second": ModelNode("second", "2", "g <c>", ("y",)),
    }
    return Graph(
        "north", "gw", {"s": "at h:1", "t": "at h:2"}, {one.name: one for one in tags}, models
    )


@pytest.mark.parametrize(
    ("changed", "sources", "tags", "models"),
    [
        (["a"], {"s"}, {"a", "x", "y"}, {"first", "second"}),
        (["b"], {"t"}, {"b", "y"}, {"second"}),
        (["l"], {"t"}, {"l"}, {"first"}),  # what it gives is as before
        (["m"], {"t"}, {"m", "y"}, {"second"}),
        (["x"], {"t"}, {"x", "y"}, {"second"}),
        (["o", "gone"], {"s"}, {"o"}, set()),
        (["l", "a"], {"s", "t"}, {"l", "a", "x", "y"}, {"first", "second"}),
        ([], set(), set(), set()),
    ],
)  # fmt: skip
def test_a_change_reaches_what_follows_from_it_and_nothing_else(changed, sources, tags, models):
    """From model to model, by outputs that are inputs; a label reaches no output."""
    assert reached(chain(), changed) == Lit(frozenset(sources), frozenset(tags), frozenset(models))


def test_models_stand_behind_those_whose_outputs_they_take():
    """Also where models wait for each other: then the first by name does not wait."""
    assert levels_of(chain()) == {"first": 0, "second": 1}
    round_ = Graph("n", "g", {"s": ""}, {
        "p": tag("p", uses=[("q", "input")], made_by=["p"]),
        "q": tag("q", uses=[("p", "input")], made_by=["q"]),
    }, {name: ModelNode(name, "1", "o", (name,)) for name in "qp"})  # fmt: skip
    assert levels_of(round_) == {"p": 0, "q": 1}
    assert reached(round_, ["p"]).models == {"p", "q"}
    assert len(picture(round_, NOTHING)["edges"]) == 4  # each makes one, each takes one


def big(tags=60):
    """5 sources with so many tags, 4 models of which one takes the outputs of two others."""
    sources = {f"source {n}": f"10.0.0.{n}:502" for n in range(5)}
    models = [f"model {n}" for n in range(4)]
    found = [
        tag(f"{source}.area.signal{k:03d}", source,
            [] if k % 9 == 0 else [(models[k % 3], ROLES[k % 2])])
        for source in sources for k in range(tags)
    ] + [
        tag(f"{name}.out", "source 1", [(models[3], "input")] if n < 2 else [], [name])
        for n, name in enumerate(models)
    ]  # fmt: skip
    nodes = {name: ModelNode(name, "2026.3", "data <d@p.example>", (f"{name}.out",))
             for name in models}  # fmt: skip
    return Graph("north", "gw", sources, {one.name: one for one in found}, nodes)


def overlaps(boxes):
    return [
        (one["id"], other["id"])
        for place, one in enumerate(boxes) for other in boxes[place + 1 :]
        if one["x"] < other["x"] + other["width"] and other["x"] < one["x"] + one["width"]
        and one["y"] < other["y"] + other["height"] and other["y"] < one["y"] + one["height"]
    ]  # fmt: skip


def whole(graph, lit):
    """A picture that shows all of a graph, each box in its place and on the sheet."""
    made = picture(graph, lit)
    boxes = made["boxes"]
    assert not overlaps(boxes)
    for box in boxes:
        assert box["x"] >= 0 and box["x"] + box["width"] <= made["width"]
        assert box["y"] >= 0 and box["y"] + box["height"] <= made["height"]
        assert all(box["y"] < line["y"] < box["y"] + box["height"] for line in box["lines"])
    ids = {box["id"] for box in boxes}
    assert {f"model/{name}" for name in graph.models} <= ids
    assert {f"source/{name}" for name in graph.sources} <= ids
    assert all(edge["from"] in ids and edge["to"] in ids for edge in made["edges"])
    counted = sum(
        int(line["text"][4:-5].replace(",", ""))
        if re.fullmatch(r"and [\d,]+ more", line["text"]) else 1
        for box in boxes if box["kind"] in ("tags", "output") for line in box["lines"]
    )  # fmt: skip
    assert counted == len(graph.tags)
    return made


def test_many_tags_are_folded_and_those_of_a_change_are_not():
    """300 tags on a sheet of some screens; what a change names stands there by its name."""
    graph = big()
    changed = [f"source 2.area.signal{k:03d}" for k in (1, 2, 4)]
    made = whole(graph, reached(graph, changed))
    assert made["height"] < 120 * LINE
    assert len(made["boxes"]) < 60
    named = {line["text"] for box in made["boxes"] if box["lit"] for line in box["lines"]}
    assert {*changed, "model 1.out", "model 1", "source 2"} <= named
    assert [edge["lit"] for edge in made["edges"]] == sorted(e["lit"] for e in made["edges"])
    lit = {(edge["from"], edge["to"]) for edge in made["edges"] if edge["lit"]}
    assert ("model/model 1", "tag/model 1.out") in lit
    assert ("tag/model 1.out", "model/model 3") in lit
    assert ("source/source 2", f"tag/{changed[0]}") in lit
    assert not any(one == "source/source 3" for one, _ in lit)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_lineage_is_drawn_whole(data):
    """Circles of models, tags of no model, names of any sign: every box, and valid XML."""
    sources = data.draw(st.lists(names, min_size=1, max_size=4, unique=True))
    models = data.draw(st.lists(names, max_size=4, unique=True))
    owners = st.lists(st.sampled_from(models), max_size=2, unique=True) if models else st.just([])
    found = {}
    for name in data.draw(st.lists(names, max_size=12, unique=True)):
        uses = [(one, data.draw(st.sampled_from(ROLES))) for one in data.draw(owners)]
        found[name] = tag(name, data.draw(st.sampled_from(sources)), uses, data.draw(owners))
    nodes = {
        name: ModelNode(name, "1", "o", tuple(t.name for t in found.values() if name in t.made_by))
        for name in models
    }
    graph = Graph("n", "g", dict.fromkeys(sources, "at h:1"), found, nodes)
    changed = data.draw(st.lists(st.sampled_from(sorted(found)), max_size=3)) if found else []
    lit = reached(graph, changed)
    made = whole(graph, lit)
    ET.fromstring(svg_of(made, HOSTILE))
    assert sum(len(group.tags) for group in groups_of(graph, lit)) == len(found)
    marked = sum(line.startswith(MARK) for line in lines_of(graph, lit))
    assert marked >= len(lit.sources) + len(lit.models)
    assert (not marked) is (not changed)


def test_the_file_says_the_same_to_those_who_do_not_see_it(tmp_path):
    """A title for the whole and for each box; names are text, whatever they hold."""
    graph = Graph("n", "g", {HOSTILE: "at h:1"}, {"a": tag("a", HOSTILE)}, {})
    root = ET.fromstring(svg_of(picture(graph, reached(graph, ["a"])), HOSTILE))
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text.startswith('a <b> & "c" ')
    titles = [group.find(f"{SVG}title").text for group in root.iter(f"{SVG}g")]
    assert any(title.startswith("source a <b>") for title in titles)
    assert {group.get("class") for group in root.iter(f"{SVG}g")} == {"source lit", "tags lit"}
    assert "\x1b" not in ET.tostring(root, "unicode")


def test_the_command_prints_a_tree_json_and_a_picture(tmp_path):
    """Of a configuration: by default text; a tag's path is marked; a wrong name is helped with."""
    config = "configs/demo.toml"

    def run(*arguments):
        return CliRunner().invoke(cli, ["contract", "graph", config, *arguments])

    shown = run("--tag", "reactor.temperature")
    assert shown.exit_code == 0, shown.output
    marked = [line[2:] for line in shown.output.splitlines() if line.startswith(MARK)]
    assert any("reactor.temperature [degC] → input of yield" in line for line in marked)
    assert any("model yield" in line for line in marked)
    assert any("yield.predicted" in line for line in marked)
    path = tmp_path / "l.svg"
    told = run("--json", "--svg", str(path), "--tag", "reactor.temperature")
    found = json.loads(told.stdout)
    graph = graph_of(load("configs/demo.toml"))
    assert {one["id"] for one in found["nodes"]} == {
        *(f"source/{name}" for name in graph.sources), *(f"tag/{name}" for name in graph.tags),
        *(f"model/{name}" for name in graph.models),
    }  # fmt: skip
    assert {"from": "tag/reactor.temperature", "to": "model/yield", "role": "input",
            "lit": True} in found["edges"]  # fmt: skip
    assert ET.fromstring(path.read_text("utf-8")).tag == f"{SVG}svg"
    wrong = run("--tag", "reactor.temprature")
    assert wrong.exit_code == 1
    assert "did you mean" in wrong.output
