"""The signals of the simulated plant: one table, and who serves which.

The order of `TAGS` is the column order of everything that the simulators compute or write.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

OPCUA_NAMESPACE = "urn:fieldwarden:simulator:plant"


@dataclass(frozen=True, slots=True)
class PlantTag:
    """One measured signal.

    Attributes:
        name: the tag's name, as in the agent's configuration.
        unit: engineering unit.
        physical: what the instrument can show, in `unit`; values are clamped to it.
        noise: standard deviation of the white measurement noise, in `unit`.
        resolution: smallest step of the instrument, in `unit`.
        source: ``reactor`` (OPC UA), ``utilities`` (Modbus TCP) or ``line`` (MQTT).
        address: as the agent's configuration writes it.
        description: what is measured.
    """

    name: str
    unit: str
    physical: tuple[float, float]
    noise: float
    resolution: float
    source: str
    address: str
    description: str


def _opcua(
    name: str, unit: str, low: float, high: float, noise: float, step: float, text: str
) -> PlantTag:
    """An OPC UA tag; ``reactor.temperature`` becomes ``ns=2;s=Reactor.Temperature``."""
    node = ".".join(part.title().replace("_", "") for part in name.split("."))
    return PlantTag(name, unit, (low, high), noise, step, "reactor", f"ns=2;s={node}", text)


def _modbus(
    name: str, unit: str, low: float, high: float, noise: float, step: float, where: str, text: str
) -> PlantTag:
    return PlantTag(name, unit, (low, high), noise, step, "utilities", where, text)


def _mqtt(
    name: str, unit: str, low: float, high: float, noise: float, step: float, topic: str, text: str
) -> PlantTag:
    pointer = "/" + name.replace(".", "/")
    return PlantTag(name, unit, (low, high), noise, step, "line", f"{topic} {pointer}", text)


_LAB = "plant/line1/analysers"
_SITE = "plant/line1/site"

TAGS: tuple[PlantTag, ...] = (
    _opcua("reactor.temperature", "degC", -40, 250, 0.05, 0.02, "reactor contents"),
    _opcua("reactor.pressure", "bar", 0, 10, 0.004, 0.002, "head space, gauge"),
    _opcua("reactor.level", "%", 0, 100, 0.10, 0.05, "level, radar"),
    _opcua("reactor.concentration", "mol/l", 0, 5, 0.002, 0.001, "reactant A, in line"),
    _opcua("jacket.inlet_temperature", "degC", -20, 150, 0.05, 0.02, "coolant into the jacket"),
    _opcua("jacket.outlet_temperature", "degC", -20, 150, 0.08, 0.02, "coolant out of the jacket"),
    _opcua("coolant.valve", "%", 0, 100, 0.15, 0.05, "position feedback"),
    _opcua("agitator.power", "kW", 0, 15, 0.012, 0.005, "agitator drive"),
    _opcua("product.flow", "m3/h", 0, 20, 0.02, 0.01, "reactor outlet"),
    _opcua("product.temperature", "degC", -20, 200, 0.06, 0.02, "after the product cooler"),
    _modbus(
        "feed.flow", "m3/h", 0, 20, 0.02, 0.005, "holding 100 float32 ABCD", "feed to reactor"
    ),
    _modbus(
        "feed.temperature", "degC", -20, 150, 0.06, 0.02, "holding 102 float32 ABCD", "after heater"
    ),
    _modbus("coolant.flow", "m3/h", 0, 30, 0.03, 0.01, "holding 104 float32 ABCD", "jacket loop"),
    _modbus("pump.speed", "rpm", 0, 3000, 2.0, 1.0, "holding 106 int16", "feed pump"),
    _modbus("pump.current", "A", 0, 30, 0.04, 0.01, "holding 107 int16 scale 0.01", "feed pump"),
    _modbus(
        "pump.discharge_pressure", "bar", 0, 16, 0.01, 0.005, "holding 108 float32 ABCD", "pump"
    ),
    _modbus("steam.pressure", "bar", 0, 16, 0.01, 0.005, "input 200 float32 CDAB", "low pressure"),
    _modbus(
        "cooling_water.temperature", "degC", 0, 60, 0.04, 0.02, "input 202 float32 CDAB", "supply"
    ),
    _mqtt("feed.concentration", "mol/l", 0, 5, 0.004, 0.001, _LAB, "reactant A in the feed"),
    _mqtt("product.density", "kg/m3", 700, 1300, 0.10, 0.05, _LAB, "vibrating tube"),
    _mqtt("product.viscosity", "mPa.s", 0, 50, 0.02, 0.01, _LAB, "in line"),
    _mqtt("instrument_air.pressure", "bar", 0, 10, 0.008, 0.005, _SITE, "header"),
    _mqtt("ambient.temperature", "degC", -40, 60, 0.05, 0.02, _SITE, "outdoors"),
    _mqtt("ambient.humidity", "%", 0, 100, 0.20, 0.10, _SITE, "outdoors, relative"),
)

PREDICTED = "yield.predicted"
PREDICTED_SOURCE = "line"
PREDICTED_TOPIC = "models/yield/prediction"
LAB_YIELD = "lab.yield"
LAB_TOPIC = "plant/lab/yield"
SNAPSHOT_TOPIC = "plant/line1/snapshot"  # every measured value at once: what the soft sensor reads

NAMES: tuple[str, ...] = tuple(tag.name for tag in TAGS)
COLUMN = MappingProxyType({name: index for index, name in enumerate(NAMES)})
SOURCES: tuple[str, ...] = ("reactor", "utilities", "line")

MODEL_INPUTS: tuple[str, ...] = (
    "feed.flow",
    "feed.temperature",
    "feed.concentration",
    "reactor.temperature",
    "reactor.pressure",
    "reactor.level",
    "reactor.concentration",
    "jacket.inlet_temperature",
    "jacket.outlet_temperature",
    "coolant.flow",
    "coolant.valve",
    "agitator.power",
    "product.flow",
    "pump.current",
    "steam.pressure",
)


def columns_of(source: str) -> tuple[int, ...]:
    """Column indices of the tags that `source` serves, in order."""
    return tuple(index for index, tag in enumerate(TAGS) if tag.source == source)
