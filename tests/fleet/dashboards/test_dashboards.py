"""The dashboards: made by the script, of the SDK's types, and each query gives what there is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import yaml
from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from agent.fleet.database import Database
from dashboards import make
from dashboards.kit import TYPE, Query
from simulators.fleet_seed import TAGS, Seed, fill
from tests.fleet.dashboards import plant_told
from tests.fleet.dashboards.grafana import Shown, expanded, frame, series

NAMES = list(make.DASHBOARDS)
CHOSEN = {
    "fleet": {"site": ["north", "south"]},
    "gateway": {"site": "north", "gateway": "boiler-1"},
    "model": {"site": "north", "gateway": "boiler-1", "model": "yield",
              "tag": ["flow", "heat", "yield.predicted"], "input": "flow"},
}  # fmt: skip
SHOWN_H = 24


def written(name):
    return json.loads((make.HERE / f"{name}.json").read_text(encoding="utf-8"))


def panels(name):
    return [one for one in written(name)["panels"] if one["type"] != "row"]


EACH = [(name, panel["title"]) for name in NAMES for panel in panels(name)]


# --- the files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_what_the_script_makes(name):
    """Who changes the script makes them anew: make dashboards."""
    assert (make.HERE / f"{name}.json").read_text(encoding="utf-8") == make.made(name)


def of_types(document):
    """A dashboard by way of the SDK's types: what they do not know is lost."""
    plugins.register_default_plugins()
    runtime.register_dataquery_variant(runtime.DataqueryConfig(TYPE, Query.from_json))
    return json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_of_the_types_of_the_sdk(name):
    """Read by them and written again it is the same, to the last key."""
    assert of_types(written(name)) == written(name)


def test_a_key_that_the_types_do_not_know_is_caught():
    """In a panel's options, its fields, a variable and the dashboard itself."""
    for path in (
        ("panels", 1, "options"), ("panels", 1, "fieldConfig", "defaults"),
        ("templating", "list", 1), ("panels", 1), (), ("panels", 1, "targets", 0),
    ):  # fmt: skip
        document = written("fleet")
        place = document
        for key in path:
            place = place[key]
        place["colour"] = "red"
        assert of_types(document) != document, path


@pytest.mark.parametrize("name", NAMES)
def test_panels_lie_beside_each_other_and_have_numbers_of_their_own(name):
    """None covers another, none is outside, each has its room and its words."""
    taken, numbers = set(), set()
    for panel in written(name)["panels"]:
        at = panel["gridPos"]
        room = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not room & taken and at["x"] + at["w"] <= 24
        taken |= room
        assert panel["id"] not in numbers
        numbers.add(panel["id"])
        assert panel["title"] and (panel["type"] == "row" or panel["description"])


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_dashboards_that_are_there(name):
    """With variables that those have, from columns that the table has."""
    known = {document["uid"]: document for document in map(written, NAMES)}
    links = 0
    for panel in panels(name):
        for override in panel["fieldConfig"]["overrides"]:
            for one in override["properties"]:
                for link in one["value"] if one["id"] == "links" else ():
                    links += 1
                    path, _, query = link["url"].partition("?")
                    there = known[path.removeprefix("/d/")]
                    has = {one["name"] for one in there["templating"]["list"]}
                    for pair in query.split("&"):
                        if pair.startswith("var-"):
                            assert pair.removeprefix("var-").partition("=")[0] in has
                    columns = panel["targets"][0]["rawSql"]
                    for part in query.split("__data.fields.")[1:]:
                        assert part.partition(":")[0] in columns
    assert links or name == "model"


# --- the queries ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(postgres):
    """Connection of a database in which a small fleet told its story, and when that was."""
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE dashboards TEMPLATE template_fieldwarden")
        database = Database(postgres.url("dashboards"))
        now = plant_told.settle(database)
        database.close()
        with psycopg.connect(postgres.url("dashboards"), autocommit=True) as connection:
            yield connection, now
        admin.execute("DROP DATABASE dashboards WITH (FORCE)")


def asked(connection, sql):
    found = connection.execute(sql)
    return [one.name for one in found.description], found.fetchall()


def shown(name, now, panel=None):
    since, interval = now - timedelta(hours=SHOWN_H), "30m"
    if panel is not None and panel.get("timeFrom"):
        since, interval = now - timedelta(days=30), "1d"
    return Shown(since, now, interval, CHOSEN[name])


@pytest.mark.parametrize("name", NAMES)
def test_variables_offer_what_there_is(told, name):
    """Each by its query, with what was chosen before."""
    connection, now = told
    offered = {}
    for one in written(name)["templating"]["list"]:
        if one["type"] == "query":
            _, rows = asked(connection, expanded(one["query"], shown(name, now)))
            offered[one["name"]] = [row[0] for row in rows]
    tags = ["flow", "heat", "yield.predicted"]
    all_of_them = {
        "site": ["north", "south"], "gateway": ["boiler-1", "boiler-2"],
        "model": ["energy", "yield"], "tag": tags, "input": tags,
    }  # fmt: skip
    assert offered == {one: all_of_them[one] for one in CHOSEN[name]}


def first(rows):
    return rows[0] if rows else {}


def column(rows, name):
    return [one[name] for one in rows]


def last(rows):
    return {name: values[-1][1] for name, values in series(rows).items()}


def summed(rows):
    return {name: sum(value for _, value in values) for name, values in series(rows).items()}


def at(rows, name, now, ago):
    """The value of a series as of some hours ago."""
    moment = now - timedelta(hours=ago)
    return [value for when, value in series(rows)[name] if when <= moment][-1]


WANTED = {
    ("fleet", "Models"): lambda a, now: a == [
        {"trusted": 2, "caution": 1, "unassessable": 1, "untrusted": 1}],
    ("fleet", "Gateways"): lambda a, now: a == [{"online": 2, "offline": 1, "not told": 1}],
    ("fleet", "To do"): lambda a, now: a == [{
        "incidents": 1, "retraining requests": 1, "changes to decide": 1, "tags held": 3}],
    ("fleet", "Promise"): lambda a, now: a == [{"kept": 2, "exceeded": 1, "not told": 1}],
    ("fleet", "Models by verdict"): lambda a, now: (
        last(a) == {"trusted": 3, "caution": 1, "unassessable": 0, "untrusted": 1}
        and (at(a, "trusted", now, 3), at(a, "untrusted", now, 3)) == (4, 0)
        and (at(a, "trusted", now, 5.5), at(a, "caution", now, 5.5)) == (3, 2)
        and at(a, "trusted", now, 22) == 1),
    ("fleet", "Alarms a day against the promise"): lambda a, b, c, now: (
        summed(a) == {"alarms": 2} and summed(b) == {"called false": 1}
        and last(c) == {"promised false alarms": pytest.approx(4 / 30)} and len(c) == 2),
    ("fleet", "Sites"): lambda a, now: (
        column(a, "site") == ["north", "south"] and first(a) == {
            "site": "north", "gateways": 2, "offline": 1, "untrusted": 1, "unassessable": 1,
            "caution": 0, "trusted": 1, "incidents": 1, "requests": 1}),
    ("fleet", "Gateways", 1): lambda a, now: (
        column(a, "gateway") == ["boiler-1", "boiler-2", "kiln-2"]
        and column(a, "state") == ["online", "offline", "not told"]
        and column(a, "promise") == ["kept", "kept", "not told"]),
    ("fleet", "Models", 1): lambda a, now: (
        column(a, "verdict") == ["untrusted", "unassessable", "caution"]
        and "offline" in a[1]["why"] and a[0]["why"] == "heat left its range"),
    ("fleet", "Open incidents"): lambda a, now: (
        len(a) == 1 and a[0]["conditions"] == 2 and a[0]["models"] == "yield"
        and a[0]["cause"] == "process"),
    ("fleet", "Incidents by cause"): lambda a, now: summed(a) == {"sensor": 1, "process": 1},
    ("fleet", "Not heard of"): lambda a, now: (
        sorted(column(a, "gateway")) == ["boiler-2", "kiln-2"]),
    ("fleet", "Retraining requests"): lambda a, now: (
        column(a, "model") == ["yield"] and a[0]["owner"] == "process data"),
    ("fleet", "Changes upstream"): lambda a, now: (
        column(a, "gateway") == ["kiln-1"] and a[0]["tags"] == 3 and a[0]["since"].year == 2023),
    ("fleet", "Workers"): lambda a, now: (
        column(a, "name") == ["central-1"] and a[0]["messages"] == 90 and a[0]["silent"] < 600),
    ("fleet", "Relays"): lambda a, now: (
        column(a, "target") == ["desk"] and (a[0]["waiting"], a[0]["dead letters"]) == (1, 1)
        and a[0]["oldest"] >= 0),
    ("fleet", "Events by kind"): lambda a, now: (
        summed(a)["verdict"] == 6 and summed(a)["condition"] == 5 and summed(a)["clock"] == 1),
    ("fleet", "Windows of inputs"): lambda a, now: summed(a) == {"windows": 25},
    ("gateway", "Gateway"): lambda a, now: a == [{
        "state": "online", "promise": "kept", "clock": "synchronised", "version": "0.1.0"}],
    ("gateway", "Models"): lambda a, now: a == [{
        "trusted": 1, "caution": 0, "unassessable": 0, "untrusted": 1}],
    ("gateway", "Open"): lambda a, now: (
        a[0]["incidents"] == 1 and a[0]["requests"] == 1 and a[0]["numbers missing"] >= 0),
    ("gateway", "Verdicts"): lambda a, now: (
        last(a) == {"yield": 4, "energy": 1} and at(a, "yield", now, 5.5) == 2
        and at(a, "yield", now, 3) == 1 and set(series(a)) == {"yield", "energy"}),
    ("gateway", "Models", 1): lambda a, now: (
        column(a, "model") == ["yield", "energy"] and a[0]["owner"] == "process data"),
    ("gateway", "Conditions"): lambda a, now: (
        at(a, "tag/flow", now, 5.5) == 4 and len(series(a)["tag/flow"]) <= 4
        and last(a)["tag/heat"] == 3 and len(series(a)["tag/heat"]) >= 4),
    ("gateway", "Open incidents"): lambda a, now: (
        column(a, "severity") == ["medium"] and a[0]["hint"] == "look at it"),
    ("gateway", "Sources"): lambda a, now: (
        at(a, "plc", now, 2.75) == 3 and last(a) == {"plc": 1} and at(a, "plc", now, 20) == 1),
    ("gateway", "Unusable samples"): lambda a, now: last(a) == {"yield": pytest.approx(0.1)},
    ("gateway", "Samples that are missing"): lambda a, now: (
        column(a, "lasted") == [pytest.approx(1_800)] and "away" in a[0]["reason"]),
    ("gateway", "Messages that are missing"): lambda a, now: (
        column(a, "numbers") == [2] and a[0]["stream"] == "summary"),
    ("gateway", "Clock"): lambda a, now: column(a, "moved") == [pytest.approx(5)],
    ("gateway", "Events"): lambda a, now: (
        len(a) == 15 and a[0]["kind"] == "retraining" and a[-1]["kind"] == "verdict"
        and {"Mara Lind"} < set(column(a, "by")) and "silent" in column(a, "text")),
    ("gateway", "About"): lambda a, now: (
        {"heard of last", "store, run", "promise"} <= set(column(a, "what"))
        and "3, 2 acknowledged, 1 called false" in column(a, "told")),
    ("gateway", "Retraining requests"): lambda a, now: column(a, "model") == ["yield"],
    ("gateway", "Changes upstream"): lambda a, now: a == [],
    ("gateway", "Samples"): lambda a, now: summed(a) == {"yield": 2_500},
    ("model", "Now"): lambda a, now: a == [{
        "verdict": "untrusted", "version": "7", "baseline": "cd" * 6, "owner": "process data"}],
    ("model", "Why"): lambda a, now: (
        column(a, "why") == ["heat left its range"] and a[0]["tag"] == "flow"),
    ("model", "Verdict"): lambda a, now: (
        set(series(a)) == {"yield"} and last(a) == {"yield": 4} and at(a, "yield", now, 5.5) == 2),
    ("model", "Changes of the verdict"): lambda a, now: (
        column(a, "verdict") == ["untrusted", "trusted", "caution", "trusted"]
        and a[0]["why"] == "it is untrusted"),
    ("model", "Open incidents"): lambda a, now: column(a, "text") == ["heat is odd"],
    ("model", "Moved"): lambda a, now: (
        column(a, "tag") == ["flow", "heat", "yield.predicted"]
        and a[0]["moved, in deviations"] == pytest.approx(1.0)
        and a[0]["mean now"] == pytest.approx(42.0) and a[0]["unusable"] == pytest.approx(0.1)
        and a[0]["outside of training"] == pytest.approx(0.125)),
    ("model", "Mean"): lambda a, now: (
        last(a)["flow"] == pytest.approx(2) and series(a)["flow"][0][1] == pytest.approx(0)
        and last(a)["heat"] == pytest.approx(0)),
    ("model", "Standard deviation"): lambda a, now: (
        last(a) == {"flow": pytest.approx(1), "heat": pytest.approx(1),
                    "yield.predicted": pytest.approx(1)}),
    ("model", "Outside of training"): lambda a, now: (
        last(a)["flow"] == pytest.approx(0.25) and last(a)["heat"] == 0),
    ("model", "Far from training together"): lambda a, now: last(a) == {
        "all inputs together": pytest.approx(0.1)},
    ("model", "Unusable samples"): lambda a, now: last(a)["flow"] == pytest.approx(0.1),
    ("model", "Histogram"): lambda a, now: (
        list(series(a)) == [f"{place:02}" for place in range(1, 17)]
        and last(a)["15"] == 60 and last(a)["16"] == 30 and last(a)["01"] == 0),
    ("model", "In its unit"): lambda a, now: last(a) == {
        "mean": pytest.approx(44), "least": pytest.approx(40), "greatest": pytest.approx(48),
        "mean in training": 40, "3 deviations below": 34, "3 deviations above": 46},
    ("model", "Mean loss"): lambda a, now: last(a) == {"yield.predicted": pytest.approx(1.0)},
    ("model", "Mean by day"): lambda a, now: (
        0 < last(a)["flow"] <= 2 and last(a)["heat"] == pytest.approx(0)),
    ("model", "Retraining requests"): lambda a, now: column(a, "id") == ["yield@1"],
    ("model", "Decided, tried and found"): lambda a, now: column(a, "what") == ["requested"],
}  # fmt: skip
"""(dashboard, title, which of that title) -> whether the rows of its queries are what was told."""


def keyed(name):
    """Panels by their keys in `WANTED`."""
    found = {}
    for panel in panels(name):
        key = (name, panel["title"])
        found[key if key not in found else (*key, 1)] = panel
    return found


PANELS = {key: panel for name in NAMES for key, panel in keyed(name).items()}


def answers(connection, key, now):
    """Rows of each query of a panel, as Grafana takes them."""
    panel = PANELS[key]
    found = []
    for target in panel["targets"]:
        columns, rows = asked(connection, expanded(target["rawSql"], shown(key[0], now, panel)))
        found.append(frame(columns, rows, target["format"]))
    return found


def test_every_panel_is_asked():
    """A panel without a line in `WANTED` is one that nobody looked at."""
    assert list(WANTED) == list(PANELS)


@pytest.mark.parametrize("key", WANTED, ids=["-".join(map(str, key)) for key in WANTED])
def test_each_panel_shows_what_gateways_told(told, key):
    """Its SQL, expanded as Grafana does, run by PostgreSQL, gives the known figures."""
    connection, now = told
    found = answers(connection, key, now)
    assert WANTED[key](*found, now), found


NOT_SEEDED = {
    ("fleet", "Relays"), ("gateway", "Sources"), ("gateway", "Samples that are missing"),
    ("gateway", "Messages that are missing"),
    ("gateway", "Clock"), ("gateway", "Retraining requests"), ("gateway", "Changes upstream"),
    ("model", "Mean loss"), ("model", "Retraining requests"),
    ("model", "Decided, tried and found"),
}  # fmt: skip
"""What `simulators.fleet_seed` writes nothing of."""


def test_a_fleet_of_many_fills_the_panels(postgres_url):
    """Sixty gateways, a third in trouble, with two days behind them: rows that Grafana takes."""
    database = Database(postgres_url)
    found = fill(database, Seed(60, 20, past_days=2.0, with_past=60))
    now = database.now()
    database.close()
    one = next(place for place in found if place.trouble and place.trouble.models)
    of_one = {"site": one.site, "gateway": one.gateway, "model": one.models[0],
              "tag": list(TAGS), "input": next(iter(TAGS))}  # fmt: skip
    empty = set()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for key, panel in PANELS.items():
            chosen = {**of_one, "site": list({place.site for place in found})}
            at = shown(key[0], now, panel)
            at.chosen = chosen if key[0] == "fleet" else of_one
            rows = []
            for target in panel["targets"]:
                columns, got = asked(connection, expanded(target["rawSql"], at))
                rows += frame(columns, got, target["format"])
            if not rows:
                empty.add(key)
    assert empty == NOT_SEEDED


@pytest.mark.parametrize("key", WANTED, ids=["-".join(map(str, key)) for key in WANTED])
def test_each_panel_of_nothing_is_empty_and_no_error(told, key):
    """A gateway, model or site that is not there: as before the first message came."""
    connection, now = told
    none = {name: ["nobody's"] if isinstance(value, list) else "nobody's"
            for name, value in CHOSEN[key[0]].items()}  # fmt: skip
    for target in PANELS[key]["targets"]:
        nobody = Shown(now - timedelta(hours=1), now, "1m", none)
        columns, rows = asked(connection, expanded(target["rawSql"], nobody))
        frame(columns, rows, target["format"])


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT $__timeGroupAlias(e.time, $__interval, 0)",
         'SELECT floor(extract(epoch from e.time)/300)*300 AS "time"'),
        ("$__timeFilter(a.b)",
         "a.b BETWEEN '2026-01-02T03:04:05Z' AND '2026-01-02T04:04:05Z'"),
        ("$__timeTo()::timestamptz + $__interval_ms",
         "'2026-01-02T04:04:05Z'::timestamptz + 300000"),
        ("x = '$one' AND y IN ($two)", "x = 'it''s' AND y IN ('a','b''c')"),
    ],
)  # fmt: skip
def test_macros_and_variables_are_filled_in(sql, found):
    """As Grafana's documentation of the data source has it; quotes are doubled."""
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    chosen = {"one": "it's", "two": ["a", "b'c"]}
    assert expanded(sql, Shown(since, since + timedelta(hours=1), "5m", chosen)) == found


@pytest.mark.parametrize("sql", ["$__timeGroup(max(t), '1d')", "$__since(t)", "x = '$three'"])
def test_what_grafana_would_not_take_is_caught(sql, told):
    """A macro around a call is cut at its parenthesis; names that there are not."""
    connection, now = told
    with pytest.raises(Exception, match=r"no (macro|variable)|syntax|parenthesis|unterminated"):
        asked(connection, "SELECT " + expanded(sql, shown("fleet", now)))


# --- the page that says how to set it up ---------------------------------------------------------


def blocks(language):
    page = Path(__file__).parents[3] / "docs" / "grafana.md"
    return [part.split("```")[0] for part in page.read_text("utf-8").split(f"```{language}\n")[1:]]


def test_the_login_of_the_page_reads_all_that_the_dashboards_ask_and_writes_nothing(
    postgres, told
):
    """Its statements, run as they stand, with another name of the database."""
    connection, now = told
    (statements,) = blocks("sql")
    connection.execute(statements.replace("DATABASE fieldwarden", "DATABASE dashboards"))
    host = postgres.url("dashboards").partition("@")[2]
    url = f"postgresql://grafana:a-password-of-your-own@{host}"
    with psycopg.connect(url, autocommit=True) as reader:
        for key in PANELS:
            assert WANTED[key](*answers(reader, key, now), now), key
        for statement in (
            "DELETE FROM event", "UPDATE gateway SET online = false", "CREATE TABLE mine (a int)",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reader.execute(statement)
            reader.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)
            reader.execute("SET default_transaction_read_only = on")
        connection.execute("CREATE TABLE later (a int)")
        assert reader.execute("SELECT * FROM later").fetchall() == []
    connection.execute("DROP TABLE later")
    connection.execute("DROP OWNED BY grafana")
    connection.execute("DROP ROLE grafana")


def test_the_provisioning_of_the_page_names_what_the_dashboards_ask_for():
    """The type of the data source, and where the files lie."""
    source, provider = (yaml.safe_load(one) for one in blocks("yaml"))
    (source,), (provider,) = source["datasources"], provider["providers"]
    for name in NAMES:
        (variable,) = [one for one in written(name)["templating"]["list"]
                       if one["type"] == "datasource"]  # fmt: skip
        assert variable["query"] == source["type"] == TYPE
    assert source["jsonData"]["timescaledb"] is False and provider["type"] == "file"
