"""`fieldwarden demo`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="demo")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1.0),
    help="End by itself after so long; without it, Ctrl-C ends it.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Work there and leave everything; default: a temporary folder, removed at the end.",
)
@click.option("--seed", default=7, show_default=True, help="Another plant, the same faults.")
@click.option("--free-ports", is_flag=True, help="Use other ports where the usual ones are taken.")
@click.option(
    "--embedded-broker", is_flag=True, help="As on a machine without mosquitto, though it is there."
)
def command(
    seconds: float | None,
    folder: Path | None,
    seed: int,
    *,
    free_ports: bool,
    embedded_broker: bool,
) -> None:
    """Show it all on this machine: a simulated plant with scripted faults, the agent, central ops.

    Prints each verdict change as it happens, and at the end a table: fault, injected at, detected
    after, verdict, reason, reached central.

    \b
    Examples:
      fieldwarden demo --seconds 90
      fieldwarden demo --folder demo-run --free-ports
    """
    from simulators.demo import DemoOptions, run_demo

    options = DemoOptions(
        seconds=seconds, folder=folder, seed=seed, free_ports=free_ports, embedded=embedded_broker
    )
    run_demo(options)
