"""Before the workers begin: the tables are there, and no session of a worker that is no more.

The database is asked by processes that end with it: its libraries take 30 MB, which the one that
watches the others does not need.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection
from functools import partial
from typing import Any, Final

from agent.errors import FieldwardenError, StoreError, UnfitError
from agent.fleet.configuration import FleetConfiguration
from agent.mqtt import MqttLink
from agent.mqtt.background import in_thread
from agent.workers import elsewhere

logger = logging.getLogger(__name__)

_PATIENCE_S: Final = 30.0


async def prepare(configuration: FleetConfiguration) -> list[str]:
    """Make the tables and partitions; workers that were there before and are no more.

    Raises:
        StoreError: the database is away.
        FieldwardenError: what no waiting mends: the database is of a newer version, its driver is
            not installed, its password can not be had.
    """
    found = await in_thread(partial(elsewhere, _prepare, configuration), "prepare")
    logger.info("the database is ready: %s", configuration.database_name)
    return found


def _prepare(configuration: FleetConfiguration) -> list[str]:
    from sqlalchemy import select  # noqa: PLC0415 - it takes a while

    from agent.fleet.database import Database  # noqa: PLC0415
    from agent.fleet.retention import tidy  # noqa: PLC0415
    from agent.fleet.schema import WORKER  # noqa: PLC0415

    try:
        database = Database(configuration.database_url())
    except StoreError as error:
        raise _lasting(error) from error
    try:
        try:
            database.migrate()
        except UnfitError as error:
            raise _lasting(error) from error
        tidy(database, configuration.central)
        with database.reading() as connection:
            names = connection.execute(select(WORKER.c.name)).scalars().all()
        return retired(configuration, names)
    finally:
        database.close()


def _lasting(error: StoreError) -> FieldwardenError:
    """An error that no waiting mends."""
    return FieldwardenError(error.operation, error.subject, error.cause, error.hint)


def retired(configuration: FleetConfiguration, names: Collection[str]) -> list[str]:
    """Of the workers that a database knows those of this service that it has no more."""
    own = re.compile(re.escape(configuration.central.name) + r"-(\d+)")
    found = [match for name in names if (match := own.fullmatch(name))]
    return [match[0] for match in found if int(match[1]) > configuration.central.workers]


async def end_sessions(configuration: FleetConfiguration, names: Collection[str]) -> None:
    """End what the broker keeps for workers that are no more.

    Else it would go on giving them their share. What it had for them the gateways still hold: no
    central has acknowledged it.
    """
    from agent.fleet.worker import link_arguments  # noqa: PLC0415

    arguments = link_arguments(configuration)
    for name in names:
        if not await _ended(name, arguments):
            logger.warning(
                "the session of %s at the broker could not be ended; hint: it expires within an "
                "hour", name,
            )  # fmt: skip
            continue
        try:
            await in_thread(partial(elsewhere, _forget, configuration, name), "forget")
        except StoreError as error:
            logger.warning("%s is not forgotten: %s", name, error.cause)
        logger.info("%s is no worker any more: its session at the broker is ended", name)


async def _ended(name: str, arguments: dict[str, Any]) -> bool:
    """A clean start ends the old session; its own ends with the connection."""
    connected = asyncio.Event()
    link = MqttLink(
        client_id=name, clean_start=True, session_expiry_s=0,
        on_state=lambda up, _: connected.set() if up else None, **arguments,
    )  # fmt: skip
    task = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await connected.wait()
    except TimeoutError:
        return False
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return True


def _forget(configuration: FleetConfiguration, name: str) -> None:
    from sqlalchemy import delete  # noqa: PLC0415

    from agent.fleet.database import Database  # noqa: PLC0415
    from agent.fleet.schema import WORKER  # noqa: PLC0415

    database = Database(configuration.database_url())
    try:
        with database.writing() as connection:
            connection.execute(delete(WORKER).where(WORKER.c.name == name))
    finally:
        database.close()
