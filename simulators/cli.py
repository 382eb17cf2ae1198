"""`python -m simulators`: the plant, its broker, its soft sensor and its history."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

import click
import numpy as np

from agent.errors import FieldwardenError
from simulators.broker import run_broker
from simulators.configured import ConfiguredPlant, interval_of
from simulators.faults import Fault, load_faults
from simulators.history import (
    HistoryOrder,
    make_history,
    write_history,
    write_truth,
)
from simulators.model import Predictor, SoftSensor, serve_soft_sensor
from simulators.plant import PlantSettings
from simulators.retrain import Material, write_retrained
from simulators.retrain import retrain as retrained
from simulators.service import Addresses, PlantService, addresses_of, is_demo
from simulators.tags import LAB_YIELD
from simulators.upstream.definition import read_definition
from simulators.upstream.serve import serve

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def cli() -> None:
    """A simulated plant behind OPC UA, Modbus TCP and MQTT, with scripted faults."""


@cli.command()
@click.option("--rows", default=100_000, show_default=True, help="rows to write")
@click.option("--interval", default=0.1, show_default=True, help="wall seconds between rows")
@click.option("--speed", default=40.0, show_default=True, help="plant seconds per wall second")
@click.option("--moves", default=300.0, show_default=True, help="operating-point moves, plant s")
@click.option("--seed", default=7, show_default=True)
@click.option("--skip", default=0, show_default=True, help="rows run before the first one")
@click.option("--faults", type=_FILE, help="fault script (TOML)")
@click.option("--truth", type=_FILE, help="where to log the faults (JSON lines)")
@click.option("--soft-sensor", type=_FILE, help="where to write the soft sensor fitted on this")
@click.option("--out", type=_FILE, required=True, help=".csv or .parquet")
def history(
    rows: int,
    interval: float,
    speed: float,
    moves: float,
    seed: int,
    skip: int,
    faults: Path | None,
    truth: Path | None,
    soft_sensor: Path | None,
    out: Path,
) -> None:
    """Write a long history in seconds, without any server."""
    script = load_faults(faults) if faults else ()
    order = HistoryOrder(rows, PlantSettings(seed, interval, speed, moves), script, skip=skip)
    record = make_history(order)
    write_history(record, out)
    if truth:
        write_truth(order, truth)
    if soft_sensor:
        record.soft_sensor.save(soft_sensor)
    click.echo(
        f"{rows} rows of {len(record.columns)} columns in {out}, "
        f"{rows * interval * speed / 3600:.1f} h of plant time"
    )


@cli.command()
@click.argument("configuration", type=_FILE, required=False, metavar="[CONFIG]")
@click.option("--config", type=_FILE, help="the same as CONFIG")
@click.option("--data", type=_FILE, help="values of tags that the plant does not have")
@click.option("--faults", type=_FILE, help="fault script (TOML)")
@click.option("--truth", type=_FILE, help="where to log the faults (JSON lines)")
@click.option("--interval", type=float, help="wall seconds between rows; default: CONFIG's, or 0.1")
@click.option("--speed", default=40.0, show_default=True, help="plant seconds per wall second")
@click.option("--moves", default=300.0, show_default=True, help="operating-point moves, plant s")
@click.option("--seconds", type=float, help="stop by itself after so long; default: never")
@click.option("--seed", default=7, show_default=True)
@click.option("--skip", default=0, show_default=True, help="rows run before the first one")
@click.option("--repeat", type=float, help="play the fault script again every so many seconds")
@click.option("--hold", is_flag=True, help="begin the fault script on SIGUSR1, not at once")
@click.option("--report-by-exception", is_flag=True, help="OPC UA tells only what changed")
@click.option("--lab-delay", default=0.0, show_default=True, help="seconds from sample to result")
def plant(
    configuration: Path | None,
    config: Path | None,
    data: Path | None,
    faults: Path | None,
    truth: Path | None,
    interval: float | None,
    speed: float,
    moves: float,
    seconds: float | None,
    seed: int,
    skip: int,
    repeat: float | None,
    lab_delay: float,
    *,
    hold: bool,
    report_by_exception: bool,
) -> None:
    """Run the plant: one physical process behind all three protocols.

    With CONFIG, an agent's configuration such as `fieldwarden init` writes, it serves that one's
    tags where it says, and starts an MQTT broker where none listens. With configs/demo.toml, or
    without any, a broker must be there: python -m simulators broker --port 18830.
    """
    config = configuration or config
    script = load_faults(faults) if faults else ()
    if config is not None and not is_demo(config):
        settings = PlantSettings(seed, interval or interval_of(config), speed, moves)
        configured = ConfiguredPlant(config, settings, script, data, skip=skip)
        asyncio.run(_run_plant(configured, seconds, speed))
        return
    addresses = addresses_of(config) if config else Addresses()
    settings = PlantSettings(seed, interval or 0.1, speed, moves)
    log = truth.open("w", encoding="utf-8") if truth else None
    try:
        service = PlantService(
            settings,
            addresses,
            script,
            log,
            _say_edge,
            skip=skip,
            repeat_s=repeat,
            hold=hold,
            by_exception=report_by_exception,
            lab_delay_s=lab_delay,
        )
        asyncio.run(_run_plant(service, seconds, speed))
    finally:
        _close(log)


async def _run_plant(
    service: PlantService | ConfiguredPlant, seconds: float | None, speed: float
) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run gives one
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    loop.add_signal_handler(signal.SIGUSR1, service.release)
    loop.add_signal_handler(signal.SIGUSR2, service.exchange)

    def ready() -> None:
        click.echo(f"plant runs {speed:g} times as fast as the clock: {service.text}")

    try:
        rows = await service.run(seconds, ready)
        click.echo(f"plant stopped after {rows} rows")
    except asyncio.CancelledError:
        click.echo("plant stopped")


def _say_edge(phase: str, fault: Fault) -> None:
    click.echo(f"fault {phase}: {fault.kind} {fault.subject}")


def _close(stream: TextIO | None) -> None:
    if stream is not None:
        stream.close()


@cli.command()
@click.option("--soft-sensor", type=_FILE, required=True, help="coefficients (JSON)")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=1883, show_default=True)
@click.option("--faults", type=_FILE, help="the plant's fault script, for those of the output")
@click.option("--seed", default=7, show_default=True)
@click.option("--seconds", type=float, help="stop by itself after so long; default: never")
def model(
    soft_sensor: Path, host: str, port: int, faults: Path | None, seed: int, seconds: float | None
) -> None:
    """Run the soft sensor: reads the plant's snapshots over MQTT, publishes predictions.

    SIGHUP reads its coefficients anew: another version goes into service.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if seconds is not None:
        timer = threading.Timer(seconds, stop.set)
        timer.daemon = True
        timer.start()
    script = load_faults(faults) if faults else ()
    predictor = Predictor(SoftSensor.load(soft_sensor), script, seed)
    signal.signal(signal.SIGHUP, lambda *_: predictor.use(SoftSensor.load(soft_sensor)))
    serve_soft_sensor(predictor, host, port, stop, click.echo)


@cli.command()
@click.option("--record", type=_FILE, required=True, help="what the soft sensor was trained on")
@click.option("--labels", type=_FILE, required=True, help="what the laboratory found over it")
@click.option("--bundle", type=_FILE, required=True, help="of `fieldwarden retraining bundle`")
@click.option("--data", type=_FILE, required=True, help="where training data goes, for `fit`")
@click.option("--soft-sensor", type=_FILE, required=True, help="where its coefficients go")
def retrain(record: Path, labels: Path, bundle: Path, data: Path, soft_sensor: Path) -> None:
    """Train the soft sensor anew: on the end of its record, and on what a bundle offers."""
    made = retrained(Material(record, labels, bundle))
    write_retrained(made, data, soft_sensor)
    count = int(np.isfinite(made.columns[LAB_YIELD]).sum())
    click.echo(f"trained on {len(made.times):,} rows with {count} labels; they are in {data}")


@cli.command()
@click.argument("definition", type=_FILE)
@click.option("--seconds", type=float, help="stop by itself after so long; default: never")
def upstream(definition: Path, seconds: float | None) -> None:
    """Run one source that changes itself: orders come on stdin, a JSON object a line.

    DEFINITION says its protocol, place and tags (JSON). It ends when stdin does.
    """
    asyncio.run(serve(read_definition(definition), seconds))


@cli.command()
@click.option("--port", default=1883, show_default=True)
@click.option("--stop-after", type=float, help="seconds; default: until interrupted")
@click.option("--embedded", is_flag=True, help="use amqtt even where mosquitto is installed")
def broker(port: int, stop_after: float | None, *, embedded: bool) -> None:
    """Run an MQTT broker on loopback: mosquitto where installed, else the embedded one."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    run_broker(port, stop_after, embedded=embedded)


def main() -> None:
    """Entry point; errors for people go to stderr with exit code 1."""
    try:
        cli(standalone_mode=False)
    except FieldwardenError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
