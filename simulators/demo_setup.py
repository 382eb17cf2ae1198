"""What the demonstration needs before it can begin: ports, a copy of the configuration, a baseline.

The demonstration runs on `configs/demo.toml`; it works on a copy beside which the agent keeps its
state, so that nothing is written into the checkout.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.clock import monotonic_ns
from agent.errors import FieldwardenError
from simulators.history import HistoryOrder, make_history, write_history, write_labels
from simulators.plant import PlantSettings
from simulators.ports import free_port, port_is_free
from simulators.tags import LAB_YIELD

PORTS: Mapping[str, int] = {
    "the plant's OPC UA server": 48410,
    "the plant's Modbus server": 15020,
    "the plant's broker": 18830,
    "the broker of central ops": 18831,
    "the status page": 8686,
}
"""Purpose -> port, as `configs/demo.toml` has them."""

CENTRAL = "central.db"
PERSON = "Mara Lind"
"""Who decides in the demonstration: the Unix user that runs it, under a person's name."""

CANDIDATE = "2026.2"
"""Version of the model that is trained anew."""

ALL_S = 180.0
"""A demonstration of so long, or without a bound, has the second half of the script too."""

HISTORY_ROWS = 100_000  # over 500 correlation times of the slowest tag


@dataclass(frozen=True, slots=True)
class Place:
    """Where one demonstration works.

    Attributes:
        folder: for everything it writes.
        ports: purpose -> port in use.
        settings: of the plant.
    """

    folder: Path
    ports: Mapping[str, int]
    settings: PlantSettings

    @property
    def config(self) -> Path:
        """The copy of the configuration."""
        return self.folder / "demo.toml"

    @property
    def candidate(self) -> Path:
        """The same for the model that is trained anew: its version, and where its baseline goes."""
        return self.folder / "candidate.toml"

    @property
    def faults(self) -> Path:
        """The script that is played."""
        return self.folder / "faults.toml"

    @property
    def soft_sensor(self) -> Path:
        """The soft sensor's coefficients."""
        return self.folder / "soft-sensor.json"

    @property
    def new_sensor(self) -> Path:
        """The same for the model that is trained anew."""
        return self.folder / f"soft-sensor-{CANDIDATE}.json"

    @property
    def new_baseline(self) -> Path:
        """The baseline of that one."""
        return self.folder / f"baselines/yield-{CANDIDATE}.json"

    @property
    def history(self) -> Path:
        """The record that the model is trained on."""
        return self.folder / f"history{'.parquet' if _has_pyarrow() else '.csv'}"

    @property
    def labels(self) -> Path:
        """What the laboratory found over that record."""
        return self.folder / "lab.csv"

    @property
    def central(self) -> Path:
        """What central has received."""
        return self.folder / CENTRAL

    @property
    def truth(self) -> Path:
        """The simulator's truth log."""
        return self.folder / "truth.jsonl"


@contextlib.contextmanager
def working_folder(wanted: Path | None) -> Iterator[Path]:
    """The folder to work in, without what an earlier run left; None: one that is removed after."""
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="fieldwarden-demo-") as folder:
            yield Path(folder)
        return
    central = [f"{CENTRAL}{suffix}" for suffix in ("", "-wal", "-shm")]
    made = ("truth.jsonl", "yield.zip")
    for name in ("state", "baselines", "log", *made, *central):  # of an earlier run
        path = wanted / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    wanted.mkdir(parents=True, exist_ok=True)
    yield wanted.resolve()


def shipped(name: str) -> Path:
    """A file of `configs/`, from a checkout or from an installed wheel.

    Raises:
        FieldwardenError: it is in neither.
    """
    package = Path(__file__).parent
    for folder in (package.parent / "configs", package / "configs"):
        if (folder / name).is_file():
            return folder / name
    raise FieldwardenError(
        "finding", name, "it is not beside the package", "run the demo from a checkout: make demo"
    )


def choose_ports(*, free: bool) -> dict[str, int]:
    """The configured ports, or, with `free`, others for those that are taken.

    Raises:
        FieldwardenError: a port is taken.
    """
    chosen = {}
    for purpose, port in PORTS.items():
        if port_is_free(port):
            chosen[purpose] = port
        elif free:
            chosen[purpose] = free_port()
        else:
            raise FieldwardenError(
                "starting", f"{purpose} at 127.0.0.1:{port}", "the port is taken",
                f"end the program that uses it (ss -ltnp 'sport = :{port}'), "
                "or let the demo choose others: fieldwarden demo --free-ports",
            )  # fmt: skip
    return chosen


def copy_configuration(place: Place) -> None:
    """Copy `configs/demo.toml` with the ports in use, and with the person who decides."""
    text = shipped("demo.toml").read_text(encoding="utf-8")
    for purpose, default in PORTS.items():
        text = text.replace(f":{default}", f":{place.ports[purpose]}")
        text = text.replace(f"port = {default}\n", f"port = {place.ports[purpose]}\n")
    with contextlib.suppress(KeyError):  # a user without a name acts as its number
        user = pwd.getpwuid(os.geteuid()).pw_name
        text += f'\n[people."{PERSON}"]\nrole = "process engineer"\nunix_user = "{user}"\n'
    place.config.write_text(text, encoding="utf-8")
    place.candidate.write_text(_of_candidate(text), encoding="utf-8")


def _of_candidate(text: str) -> str:
    """The configuration of the model that is trained anew."""
    version = re.search(r'^version = "(.*)"$', text, re.MULTILINE)
    if version is None:
        raise FieldwardenError("preparing", "demo.toml", "its model has no version")
    text = text.replace(version[0], f'version = "{CANDIDATE}"')
    return text.replace("baselines/yield.json", f"baselines/yield-{CANDIDATE}.json")


def write_script(place: Place, *, whole: bool) -> None:
    """Write the script of faults; `whole`: with the half that ends in a model trained anew."""
    names = ("demo-faults.toml", "demo-retraining.toml") if whole else ("demo-faults.toml",)
    parts = [shipped(name).read_text(encoding="utf-8") for name in names]
    place.faults.write_text("\n".join(parts), encoding="utf-8")


def environment() -> dict[str, str]:
    """The environment of the children: this very code, state beside the copied configuration."""
    left_out = {"STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
    own = {key: value for key, value in os.environ.items() if key not in left_out}
    here = str(Path(__file__).parent.parent)
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [here, own.get("PYTHONPATH", "")]))
    own["PYTHONUNBUFFERED"] = "1"
    return own


def prepare(place: Place, rows: int, say: Callable[[str], None]) -> None:
    """Write the plant's normal history, the soft sensor, and the baseline fitted on it.

    Raises:
        FieldwardenError: something could not be written, or the fit failed.
    """
    copy_configuration(place)
    began = monotonic_ns()
    record = make_history(HistoryOrder(rows, place.settings))
    write_history(record.without(LAB_YIELD), place.history)
    write_labels(record, place.labels)
    record.soft_sensor.save(place.soft_sensor)
    hours = rows * place.settings.row_s / 3600
    say(f"{rows} rows of normal history ({hours:.0f} h of plant time), {_since(began)}")
    began = monotonic_ns()
    report = _fit(place)
    say(f"baseline fitted, {_since(began)}: {_summary(report)}")


def _fit(place: Place) -> dict[str, Any]:
    command = [sys.executable, "-m", "agent.cli", "fit", str(place.config)]
    command += ["--model", "yield", "--data", str(place.history), "--json"]
    command += ["--labels", str(place.labels)]
    done = subprocess.run(  # noqa: S603 - this very interpreter
        command, capture_output=True, text=True, check=False, env=environment()
    )
    if done.returncode != 0:
        raise FieldwardenError("fitting the baseline on", str(place.history), done.stderr.strip())
    document = json.loads(done.stdout)
    return document if isinstance(document, dict) else {}


def _summary(report: Mapping[str, Any]) -> str:
    inputs = report["inputs"]
    least = min(row["n_eff"] for row in inputs)
    text = (
        f"{len(inputs)} inputs, slowest tau {max(row['tau_s'] for row in inputs):.1f} s, "
        f"at least {least:.0f} independent samples each, "
        f"false alarms expected: {report['gateway_false_alarms_per_month']:.2g} a month"
    )
    for losses in report["losses"]:
        text += f"; {losses['output']} errs by {losses['mean']:.2g} in {losses['labels']} labels"
    return f"{text}; {report['provisional_text']}" if report["provisional"] else text


def _has_pyarrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def _since(began_ns: int) -> str:
    return f"{(monotonic_ns() - began_ns) / 1e9:.1f} s"
