"""The options of `init` that say where the tags are, and answer what was asked of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_PLACES = ("--opcua", "--modbus-map", "--mqtt")
"""Options that name a source, the first word of each its protocol."""

_ANSWERS = (
    ("--addresses", "0-based|1-based|modicon|modicon-0", "Where the map's addresses count from."),
    ("--area", "holding|input", "Area of registers whose rows do not say it."),
    ("--word-order", "ABCD|CDAB|BADC|DCBA", "Word order of numbers of several registers."),
    ("--digits", "decimal|hex", "What addresses such as 10 are, where one has a letter."),
    ("--scale", "multiply|divide|power", "What a map's column Scale does with the number read."),
)
_OPTIONS = (
    click.option("--opcua", default="", metavar="URL", help="OPC UA server to browse."),
    click.option(
        "--modbus-map", default="", metavar="FILE",
        help="Register map as CSV, as the vendor publishes it; --set host=... says where.",
    ),
    click.option("--mqtt", default="", metavar="HOST[:PORT]", help="MQTT broker to listen to."),
    click.option(
        "--listen", default="60s", show_default=True, metavar="DURATION",
        help="MQTT: how long to listen.",
    ),
    click.option("--sparkplug", is_flag=True, help="MQTT: births and data of Sparkplug B."),
    click.option(
        "--under", multiple=True, metavar="WHERE",
        help="OPC UA: browse below this node (Plant/Line1, or an address); MQTT: a topic filter; "
        "may be repeated.",
    ),
    click.option(
        "--most", default=20_000, show_default=True, type=click.IntRange(1, 20_000),
        help="Tags, at most.",
    ),
    click.option(
        "--source", default="plant", show_default=True, metavar="NAME", help="Name of the source."
    ),
    click.option(
        "--set", "pairs", multiple=True, metavar="KEY=VALUE",
        help="A key of the source's table, such as security, username or tls, as in "
        "configs/reference.toml; may be repeated.",
    ),
    click.option(
        "--timeout", default=10.0, show_default=True, type=click.FloatRange(0.1, 600.0),
        help="Seconds for a connection, and for each answer.",
    ),
    click.option(
        "--model-signature", "signature", type=click.Path(path_type=Path, exists=True),
        metavar="PATH", help="MLflow model's folder, or ONNX file: its inputs, by name.",
    ),
    *(
        click.option(option, default=None, metavar=f"[{values}]", help=f"Register map: {text}",
                     type=click.Choice(values.split("|")))
        for option, values, text in _ANSWERS
    ),
    click.option(
        "--type", "types", multiple=True, metavar="SPELLING=TYPE",
        help="Register map: what a type is, such as int=int16; none=uint16 where it is missing.",
    ),
    click.option(
        "--column", "map_columns", multiple=True, metavar="ROLE=HEADING",
        help="Register map: which column holds what, such as address=Reg; none=HEADING leaves it.",
    ),
)  # fmt: skip


def starting_options(function: F) -> F:
    """Add the options; the command gets them as `start`, an `agent.starting.begin.Start`."""

    @functools.wraps(function)
    def command(*args: Any, **rest: Any) -> Any:
        return function(*args, start=_start(rest), **rest)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command  # type: ignore[return-value]


def _start(rest: dict[str, Any]) -> Any:
    """What was typed; takes its own out of `rest`."""
    from agent.configuration.values import duration_ns
    from agent.errors import FieldwardenError
    from agent.sources.found import Wish
    from agent.starting.begin import Start

    places = {option: rest.pop(_parameter(option)) for option in _PLACES}
    given = [option for option, place in places.items() if place]
    if len(given) > 1:
        cause = f"{' and '.join(given)} are several sources"
        raise FieldwardenError("beginning", "a configuration", cause, "begin with one of them")
    option = given[0] if given else ""
    answers = {one.lstrip("-"): rest.pop(_parameter(one)) for one, _, _ in _ANSWERS}
    listen = rest.pop("listen")
    try:
        listen_s = duration_ns(listen) / 1e9
    except ValueError as error:
        raise FieldwardenError("taking --listen", repr(listen), str(error), "such as 60s") from None
    wish = Wish(
        under=rest.pop("under"), most=rest.pop("most"), timeout_s=rest.pop("timeout"),
        listen_s=listen_s, is_sparkplug=rest.pop("sparkplug"),
        file=Path(places[option]) if option.endswith("-map") else None,
        answers={key: (value,) for key, value in answers.items() if value}
        | {"type": rest.pop("types"), "column": rest.pop("map_columns")},
    )  # fmt: skip
    start = Start(
        out=rest.pop("out"), source=rest.pop("source"),
        protocol=option.lstrip("-").partition("-")[0], place=places.get(option, ""),
        pairs=rest.pop("pairs"), wish=wish, model=rest.pop("model"), path=rest.pop("signature"),
    )  # fmt: skip
    if start.path is not None and not start.model:
        cause = "no model was named, and a signature is that of one"
        raise FieldwardenError("beginning from", str(start.path), cause, "give --model NAME")
    return start


def _parameter(option: str) -> str:
    return option.lstrip("-").replace("-", "_")
