"""The plants that change: one process behind three protocols, three models, two of which share
inputs. Everything that a change touches is worked out from here, never from what the agent knows.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from simulators.tags import COLUMN, NAMES, TAGS  # noqa: E402
from simulators.upstream.definition import Definition, SourceTag  # noqa: E402

SCAN_S: Final = 0.2
"""From one row and scan to the next: five times as dense as the plants that people have."""

SPEED: Final = 40.0
"""Plant seconds in a second."""

TRAINED_ROWS: Final = 20_000
SERVED_ROWS: Final = 4_000
"""Rows that a source can serve before it begins again."""

URI: Final = "urn:plant:reactor"
PROTOCOLS: Final = ("opcua", "modbus", "mqtt")


@dataclass(frozen=True)
class Guarded:
    """A model of the plant; `owner` as people read it."""

    name: str
    version: str
    team: str
    contact: str
    inputs: tuple[str, ...]

    @property
    def owner(self) -> str:
        """Team and contact."""
        return f"{self.team} <{self.contact}>"


MODELS: Final = (
    Guarded("yield", "4.2", "process control", "control@plant.example",
            ("reactor.temperature", "reactor.pressure", "reactor.level", "reactor.concentration")),
    Guarded("quality", "1.0.3", "quality", "quality@plant.example",
            ("reactor.concentration", "reactor.level", "jacket.outlet_temperature",
             "coolant.valve")),
    Guarded("feed", "2025-10", "maintenance", "maintenance@plant.example",
            ("feed.flow", "pump.speed", "pump.current")),
)  # fmt: skip

TAGS_SERVED: Final = (
    "reactor.temperature", "reactor.pressure", "reactor.level", "reactor.concentration",
    "jacket.outlet_temperature", "coolant.valve", "feed.flow", "pump.speed", "pump.current",
    "ambient.temperature", "steam.pressure",
)  # fmt: skip
"""The last two belong to no model."""

_MODBUS: Final = {
    "pump.speed": "holding {at} int16", "pump.current": "holding {at} int16 scale 0.01",
}  # fmt: skip
_TYPES: Final = {"pump.speed": "Int32", "reactor.pressure": "Float", "feed.flow": "Float"}
IDENTITY: Final = {
    "opcua": {"server_uri": "urn:plant:server", "product_uri": "urn:plant:product",
              "manufacturer": "Plant Works", "product": "Plant server", "version": "1.0.0",
              "namespaces": [URI]},
    "modbus": {"vendor": "Plant Works", "product_code": "PW-20", "revision": "V1.0"},
    "mqtt": {},
}  # fmt: skip


def node(tag: str) -> str:
    """The identifier of a tag's OPC UA node."""
    return tag.title().replace("_", "")


def topic(tag: str) -> str:
    """The topic of a tag: that of its part of the plant."""
    return f"plant/{tag.partition('.')[0]}"


def address(protocol: str, tag: str) -> str:
    """Where a tag is served."""
    if protocol == "opcua":
        return f"nsu={URI};s={node(tag)}"
    if protocol == "mqtt":
        return f"{topic(tag)} /{tag.partition('.')[2]}"
    at = 100
    for one in TAGS_SERVED:
        text = _MODBUS.get(one, "holding {at} float32 ABCD")
        if one == tag:
            return text.format(at=at)
        at += 1 if "int16" in text else 2
    raise KeyError(tag)


def models_of(tags: Iterable[str]) -> set[tuple[str, str, str]]:
    """(name, version, owner) of each model that has one of these tags among its inputs."""
    wanted = set(tags)
    return {(one.name, one.version, one.owner) for one in MODELS if wanted & set(one.inputs)}


def definition(protocol: str, port: int, rows: Path, first: int, **more: object) -> Definition:
    """What the simulator of a protocol serves."""
    tags = []
    for name in TAGS_SERVED:
        one = TAGS[COLUMN[name]]
        told = name != "ambient.temperature"  # whose unit and range the server does not tell
        tags.append(SourceTag(
            name, address(protocol, name), name, one.unit if told else "",
            one.physical if told else None, _TYPES.get(name, "Double"), one.resolution,
        ))  # fmt: skip
    made = Definition(protocol, "127.0.0.1", port, SCAN_S, tuple(tags), IDENTITY[protocol],
                      str(rows), NAMES, first)  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def record(folder: Path, seed: int = 7) -> tuple[Path, Path]:
    """(what models are trained on, CSV; what sources serve after that, .npy), of one plant."""
    from simulators.plant import Plant, PlantSettings  # it compiles

    plant = Plant(PlantSettings(seed, SCAN_S, SPEED))
    values, _ = plant.advance(TRAINED_ROWS + SERVED_ROWS)
    where = [COLUMN[name] for name in TAGS_SERVED]
    trained, served = folder / "trained.csv", folder / "served.npy"
    with trained.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *TAGS_SERVED])
        for number, row in enumerate(values[:TRAINED_ROWS, where].tolist()):
            moment = datetime.fromtimestamp(1_700_000_000 + number * SCAN_S, UTC)
            writer.writerow([moment.isoformat(timespec="milliseconds"), *row])
    np.save(served, values[TRAINED_ROWS:])
    return trained, served


_SOURCE: Final = {
    "opcua": 'protocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:{port}/plant"\n'
             'publishing = "100ms"\ntimeout = "5s"\ncontract_check = "5s"\n',
    "modbus": 'protocol = "modbus"\nhost = "127.0.0.1"\nport = {port}\nevery = "200ms"\n'
              'timeout = "2s"\ncontract_check = "5s"\n',
    "mqtt": 'protocol = "mqtt"\nhost = "127.0.0.1"\nport = {port}\n',
}  # fmt: skip


def configuration(
    protocol: str, port: int, status: int, state: Path, baselines: Path, hold: str = "hold"
) -> str:
    """The agent's configuration of one plant."""
    text = (
        'schema = 1\n[gateway]\nsite = "changes"\n'
        f'name = "{protocol}"\nstate_directory = {json.dumps(str(state))}\n'
        f'[status]\nlisten = "127.0.0.1:{status}"\n'
        f"[sources.plant]\n{_SOURCE[protocol].format(port=port)}"
        f'compatibility = "backward"\nhold = "{hold}"\n'
    )
    for name in TAGS_SERVED:
        one = TAGS[COLUMN[name]]
        where = address(protocol, name) + (" time /time" if protocol == "mqtt" else "")
        text += (
            f'[tags."{name}"]\nsource = "plant"\naddress = {json.dumps(where)}\n'
            f'unit = "{one.unit}"\ninterval = "200ms"\n'
        )
    for model in MODELS:
        text += (
            f'[models.{model.name}]\nversion = "{model.version}"\nscan = "200ms"\n'
            f'owner = {{ team = "{model.team}", contact = "{model.contact}" }}\n'
            f"baseline = {json.dumps(str(baselines / f'{model.name}.json'))}\n"
            f"inputs = {json.dumps(model.inputs)}\n"
        )
    return text
