"""The way to central ops: the forwarder of a configured upstream, or nothing without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from agent import __version__
from agent.configuration.credentials import password, tls_context
from agent.configuration.schema import Configuration
from agent.forward import FORMS, Identity, Sender, Uplink
from agent.store import Acknowledgement, Reader


class CentralLink:
    """One gateway's forwarder.

    Args:
        configuration: with or without `[upstream]`.
        reader: of the store, used on the loop only.
        boot: number of this run.
        now_ns: engine time.
        time_quality: how far engine time can be believed.
        told: what a birth tells besides, as `agent.forward.form.Presence` has it.

    Raises:
        FieldwardenError: a password or certificate can not be had.
    """

    def __init__(
        self,
        configuration: Configuration,
        reader: Reader,
        boot: int,
        now_ns: Callable[[], int],
        time_quality: Callable[[], str] = lambda: "unknown",
        told: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._reader = reader
        self._sender: Sender | None = None
        upstream = configuration.upstream
        if upstream is None:
            return
        gateway = configuration.gateway
        self._sender = Sender(
            reader,
            FORMS[upstream.format],
            Identity(gateway.site, gateway.name, reader.store_id),
            Uplink(
                upstream.host, upstream.port_number, tls_context(upstream),
                upstream.username or None, password(upstream), upstream.delivery,
            ),
            boot=boot, version=__version__, now_ns=now_ns, time_quality=time_quality,
            told=told,
        )

    async def run(self) -> None:
        """Drain until cancelled."""
        if self._sender is None:
            await asyncio.Event().wait()
        else:
            await self._sender.run()

    def notify(self) -> None:
        """New rows were committed."""
        if self._sender is not None:
            self._sender.notify()

    def take_results(self) -> tuple[list[int], dict[int, str]]:
        """Outbox ids that were delivered, and those that never will be, for the next commit."""
        return ([], {}) if self._sender is None else self._sender.take_delivered()

    def take_acknowledged(self) -> list[Acknowledgement]:
        """What central said it has, for the next commit."""
        return [] if self._sender is None else self._sender.take_acknowledged()

    def report(self) -> dict[str, Any]:
        """The outbox part of the status document."""
        books = self._reader.outbox()
        link: dict[str, Any] = {"connected": False, "reason": "no upstream is configured"}
        if self._sender is not None:
            link = self._sender.report()
        refused = books.pop("acknowledgements_refused") + link.pop("answers_refused", 0)
        return {
            "configured": self._sender is not None, **link, **books,
            "acknowledgements_refused": refused,
        }
