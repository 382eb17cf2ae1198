"""What the dashboards are made of: one function a kind of panel, one look for all.

Each panel asks central's database, which is the variable `datasource`; a column that is called as a
verdict has its colour. Times of the browser, SQL as Grafana's PostgreSQL data source takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

TYPE: Final = "grafana-postgresql-datasource"
DATASOURCE: Final = models.DataSourceRef(type_val=TYPE, uid="${datasource}")
WIDTH: Final = 24  # columns of a dashboard

COLOURS: Final = {
    "trusted": "green", "caution": "yellow", "unassessable": "#8e8e8e", "untrusted": "red",
    "online": "green", "offline": "red", "live": "green", "connecting": "blue", "stale": "orange",
    "failed": "red", "kept": "green", "exceeded": "red", "not told": "#8e8e8e",
    "low": "yellow", "medium": "orange", "high": "red", "not open": "transparent",
}  # fmt: skip
"""Word -> its colour, wherever it stands."""

VERDICTS: Final = ("trusted", "caution", "unassessable", "untrusted")
"""As a state timeline has them: 1, 2, ...; the larger is the worse, and is shown of both."""
SOURCE_STATES: Final = ("live", "connecting", "stale", "failed")
SEVERITIES: Final = ("not open", "low", "medium", "high")


class _Panel(Protocol):
    """What all builders of panels have."""

    def build(self) -> models.Panel:
        """The panel."""


class Query(Dataquery):
    """A query of the PostgreSQL data source; the SDK has no type for it.

    Args:
        ref: "A", "B", ...
        sql: with Grafana's macros and variables.
        shape: "table", or "time_series" (columns time, metric, value; sorted by time).
    """

    def __init__(self, ref: str, sql: str, shape: str) -> None:
        self.ref, self.sql, self.shape = ref, sql, shape

    def to_json(self) -> dict[str, object]:
        """As a dashboard holds it."""
        return {
            "datasource": DATASOURCE, "editorMode": "code", "format": self.shape,
            "rawQuery": True, "rawSql": self.sql, "refId": self.ref,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(data["refId"], data["rawSql"], data["format"])


@dataclass(frozen=True, slots=True)
class _Built(Builder[Dataquery]):
    query: Query

    def build(self) -> Dataquery:
        return self.query


def _words(words: Sequence[str] | Mapping[str, str]) -> models.ValueMapping:
    """Words, or what stands for them, as texts of their colours."""
    pairs = words.items() if isinstance(words, Mapping) else ((one, one) for one in words)
    options = {
        key: models.ValueMappingResult(text=word, color=COLOURS[word], index=place)
        for place, (key, word) in enumerate(pairs)
    }
    return models.ValueMap(options=options)


def _dressed(panel: Any, title: str, told: str, sql: Sequence[str], shape: str) -> Any:
    """What panels of all kinds have."""
    panel = panel.title(title).description(told).datasource(DATASOURCE)
    for ref, one in zip("ABCDEF", sql, strict=False):
        panel = panel.with_target(_Built(Query(ref, _plain(one), shape)))
    return panel


def _plain(sql: str) -> str:
    """Without the indentation that it has in Python, for who reads it in Grafana."""
    lines = [line.rstrip() for line in sql.strip().splitlines()]
    indents = [len(line) - len(line.lstrip()) for line in lines[1:] if line]
    return "\n".join([lines[0], *(line[min(indents, default=0) :] for line in lines[1:])])


def figures(title: str, told: str, sql: str, colours: Sequence[str] = ()) -> _Panel:
    """One row of numbers or words, each with its column's name, which may have a colour."""
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"]).fields("/.*/").values(False)
    panel = (
        _dressed(stat.Panel(), title, told, [sql], "table")
        .reduce_options(reduce).graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE_AND_NAME).mappings([_words(list(COLOURS))])
        .color_mode(common_models.BigValueColorMode.VALUE)
        .thresholds(_base("text")).unit("short")
    )  # fmt: skip
    for word in colours:
        panel = panel.override_by_name(word, [_fixed(COLOURS[word])])
    found: _Panel = panel
    return found


def rows(
    title: str, told: str, sql: str, *, links: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None, hidden: Sequence[str] = (),
) -> _Panel:  # fmt: skip
    """A table.

    Args:
        title: of the panel.
        told: what it shows, for people.
        sql: that gives its rows.
        links: column -> address that its cells lead to.
        units: column -> unit of Grafana.
        hidden: columns that only links need.
    """
    panel = _dressed(table.Panel(), title, told, [sql], "table")
    panel = panel.mappings([_words(list(COLOURS))]).show_header(True)
    cell = models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"})
    for column in ("verdict", "told", "state", "was", "severity", "promise"):
        panel = panel.override_by_name(column, [cell])
    for column, address in (links or {}).items():
        link = [{"title": "show", "url": address}]
        panel = panel.override_by_name(column, [models.DynamicConfigValue("links", link)])
    for column, unit in (units or {}).items():
        panel = panel.override_by_name(column, [models.DynamicConfigValue("unit", unit)])
    for column in hidden:
        hide = models.DynamicConfigValue("custom.hidden", True)
        panel = panel.override_by_name(column, [hide])
    found: _Panel = panel
    return found


def lines(
    title: str, told: str, *sql: str, unit: str = "short", stacked: bool = False,
    bars: bool = False, since: str = "", interval: str = "1m", least: float | None = None,
    colours: Sequence[str] = (),
) -> _Panel:  # fmt: skip
    """Values over time.

    Args:
        title: of the panel.
        told: what it shows, for people.
        sql: each gives time, metric and value, or time and a column a series.
        unit: of Grafana.
        stacked: one above the other, filled.
        bars: instead of lines.
        since: shows so much, such as "30d", whatever the dashboard does.
        interval: buckets are at least so long.
        least: bottom of the axis.
        colours: series that have the colour of the word that they are called.
    """
    style = common_models.GraphDrawStyle
    panel = (
        _dressed(timeseries.Panel(), title, told, sql, "time_series")
        .unit(unit).draw_style(style.BARS if bars else style.LINE).interval(interval)
        .show_points(common_models.VisibilityMode.AUTO).span_nulls(False)
        .fill_opacity(70 if stacked or bars else 0)
        .legend(common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST)
                .placement(common_models.LegendPlacement.BOTTOM).show_legend(True))
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )  # fmt: skip
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if since:
        panel = panel.time_from(since)
    if least is not None:
        panel = panel.min(least)
    for word in colours:
        panel = panel.override_by_name(word, [_fixed(COLOURS[word])])
    found: _Panel = panel
    return found


def promised(panel: Any, series: str) -> _Panel:
    """A panel of bars with one series as a dashed line: what is held against them."""
    values = [
        models.DynamicConfigValue("custom.drawStyle", "line"),
        models.DynamicConfigValue("custom.fillOpacity", 0),
        models.DynamicConfigValue("custom.stacking", {"mode": "none"}),
        models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
        models.DynamicConfigValue("custom.spanNulls", True),
        _fixed("red"),
    ]
    found: _Panel = panel.override_by_name(series, values)
    return found


def states(title: str, told: str, sql: str, names: Sequence[str]) -> _Panel:
    """What state each of several was in, over time; `sql` gives the place in `names`, from 1."""
    codes = {str(place): name for place, name in enumerate(names, 1)}
    found: _Panel = (
        _dressed(statetimeline.Panel(), title, told, [sql], "time_series")
        .mappings([_words(codes)]).merge_values(True).line_width(0).fill_opacity(80)
        .show_value(common_models.VisibilityMode.NEVER).max_data_points(300).interval("10s")
        .legend(common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST)
                .placement(common_models.LegendPlacement.BOTTOM).show_legend(True))
        .thresholds(_base("#8e8e8e"))
    )  # fmt: skip
    return found


def heat(title: str, told: str, sql: str) -> _Panel:
    """How many fell into each bin, over time; the names of bins are in their order."""
    found: _Panel = (
        _dressed(heatmap.Panel(), title, told, [sql], "time_series")
        .calculate(False).max_data_points(150).interval("1m").show_legend()
        .scale_distribution(common.ScaleDistributionConfig()
                            .type(common_models.ScaleDistribution.LINEAR))
    )  # fmt: skip
    return found


def _base(colour: str) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=None, color=colour)]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _fixed(colour: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard, from what a query gives.

    Attributes:
        several: any number may be chosen, at first all; in SQL it is a list: IN ($name).
    """

    name: str
    label: str
    sql: str
    several: bool = False

    def built(self) -> dashboard.QueryVariable:
        """For a dashboard."""
        made = (
            dashboard.QueryVariable(self.name).label(self.label).query(self.sql)
            .datasource(DATASOURCE).refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
            .sort(models.VariableSort.DISABLED).multi(self.several).include_all(self.several)
        )  # fmt: skip
        if self.several:
            made = made.current(models.VariableOption(True, ["All"], ["$__all"]))
        return made


@dataclass(frozen=True, slots=True)
class Place:
    """A panel, and how much room it has: of `WIDTH` columns, and in lines."""

    panel: _Panel
    width: int
    height: int


def page(
    uid: str, title: str, told: str, variables: Sequence[Variable],
    sections: Mapping[str, Sequence[Place]], since: str,
) -> models.Dashboard:  # fmt: skip
    """A dashboard of rows of panels; `since` is what it shows first, such as "now-24h"."""
    source = dashboard.DatasourceVariable("datasource").label("Database").type(TYPE)
    made = (
        dashboard.Dashboard(title).uid(uid).description(told).tags(["fieldwarden"])
        .timezone("browser").time(since, "now").refresh("1m").readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR).with_variable(source)
        .link(dashboard.DashboardLink("Fieldwarden").type(models.DashboardLinkType.DASHBOARDS)
              .tags(["fieldwarden"]).as_dropdown(True).keep_time(True))
    )  # fmt: skip
    for variable in variables:
        made = made.with_variable(variable.built())
    number = 1
    for name, places in sections.items():
        made = made.with_row(dashboard.Row(name).id(number))
        for place in places:
            number += 1
            panel: Any = place.panel
            made = made.with_panel(panel.id(number).span(place.width).height(place.height))
        number += 1
    return made.build()


def leads_to(uid: str, **fields: str) -> str:
    """Address of a dashboard: its variables, and the columns of a row that they are taken from."""
    known = "&".join(
        f"var-{name}=${{__data.fields.{column}:percentencode}}" for name, column in fields.items()
    )
    return f"/d/{uid}?{known}&${{datasource:queryparam}}&${{__url_time_range}}"
