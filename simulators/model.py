"""The guarded model: a soft sensor that predicts the yield from measured values.

Ordinary least squares on the laboratory's values, as such models are in practice. It knows nothing
about faults of what it is fed: fed a wrong temperature, it predicts a wrong yield. A script may
have it go wrong itself.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from numpy.typing import NDArray
from paho.mqtt.enums import CallbackAPIVersion

from agent.errors import FieldwardenError
from simulators.faults import Fault, outputs_injector
from simulators.tags import COLUMN, MODEL_INPUTS, PREDICTED_TOPIC, SNAPSHOT_TOPIC

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SoftSensor:
    """yield in percent = intercept + coefficients . inputs.

    Attributes:
        inputs: tag names.
        coefficients: float, one an input, in percent per unit of the input.
        intercept: percent.
    """

    inputs: tuple[str, ...]
    coefficients: tuple[float, ...]
    intercept: float

    @classmethod
    def fit(cls, rows: Float64, lab: Float64) -> SoftSensor:
        """Least squares of `lab` float64[n] (NaN: no value) on the model's inputs of `rows`."""
        labelled = np.flatnonzero(np.isfinite(lab))
        inputs = rows[labelled][:, [COLUMN[name] for name in MODEL_INPUTS]]
        centre, spread = inputs.mean(axis=0), inputs.std(axis=0)
        scaled = (inputs - centre) / np.where(spread > 0, spread, 1.0)
        design = np.column_stack([scaled, np.ones(len(scaled))])
        solution, *_ = np.linalg.lstsq(design, lab[labelled], rcond=1e-6)
        slopes = solution[:-1] / np.where(spread > 0, spread, 1.0)
        intercept = float(solution[-1] - slopes @ centre)
        return cls(MODEL_INPUTS, tuple(float(slope) for slope in slopes), intercept)

    @classmethod
    def load(cls, path: Path) -> SoftSensor:
        """Read what `save` wrote.

        Raises:
            FieldwardenError: the file is missing or is no soft sensor.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                tuple(document["inputs"]),
                tuple(float(value) for value in document["coefficients"]),
                float(document["intercept"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "write one with `python -m simulators history --soft-sensor FILE`"
            raise FieldwardenError("reading soft sensor", str(path), str(error), hint) from error

    def save(self, path: Path) -> None:
        """Write the coefficients as JSON."""
        document = {
            "inputs": self.inputs,
            "coefficients": self.coefficients,
            "intercept": self.intercept,
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def predict(self, rows: Float64) -> Float64:
        """Predictions float64[n] in percent for `rows` [n, tags]; NaN where an input is missing."""
        inputs = rows[:, [COLUMN[name] for name in self.inputs]]
        return np.asarray(np.round(inputs @ np.array(self.coefficients) + self.intercept, 3))

    def predict_one(self, values: dict[str, Any]) -> float | None:
        """One prediction from values by tag name; None where an input is missing."""
        total = self.intercept
        for name, coefficient in zip(self.inputs, self.coefficients, strict=True):
            value = values.get(name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                return None
            total += coefficient * value
        return round(total, 3)


class Predictor:
    """The soft sensor at work: a snapshot in, a prediction out, and what goes wrong with it.

    Args:
        sensor: what it computes.
        faults: a script; those of its output are done to its predictions.
        seed: of the script.
    """

    def __init__(self, sensor: SoftSensor, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self._sensor = sensor
        self._faults, self._seed = faults, seed
        self._wrong = outputs_injector(faults, seed)
        self._second = -1.0

    def use(self, sensor: SoftSensor) -> None:
        """Compute by another version from now on."""
        self._sensor = sensor

    def at(self, snapshot: Mapping[str, Any]) -> float | None:
        """The prediction for a snapshot; None where an input is missing.

        As a real soft sensor it holds its output back then.
        """
        value = self._sensor.predict_one(snapshot["values"])
        second = snapshot.get("second")
        if value is None or second is None:
            return value
        if second < self._second:  # the script began again
            self._wrong = outputs_injector(self._faults, self._seed)
        self._second = second
        reading = self._wrong.apply(np.array([second]), np.array([[value]]))
        return round(float(reading.value[0, 0]), 3)


def serve_soft_sensor(
    predictor: Predictor, host: str, port: int, stop: threading.Event, log: Callable[[str], None]
) -> None:
    """Predict at each snapshot that the plant publishes, until `stop` is set."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="soft-sensor")

    def subscribe(*_: Any) -> None:
        client.subscribe(SNAPSHOT_TOPIC, qos=0)

    def predict(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            snapshot = json.loads(message.payload)
            value = predictor.at(snapshot)
        except (ValueError, KeyError, TypeError) as error:
            log(f"soft sensor: snapshot not understood: {error}")
            return
        if value is not None:
            payload = json.dumps({"time": snapshot.get("time"), "value": value})
            client.publish(PREDICTED_TOPIC, payload, qos=0)

    client.on_connect = subscribe
    client.on_message = predict
    client.reconnect_delay_set(1, 5)
    client.connect_async(host, port, keepalive=15)
    client.loop_start()
    try:
        stop.wait()
    finally:
        client.disconnect()
        client.loop_stop()
