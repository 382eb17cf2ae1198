"""Central on its broker: messages in, stored, then acknowledged to the broker and the gateways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from agent.central.answers import Answers
from agent.central.memory import Memory
from agent.central.pace import Answer
from agent.central.receipt import Receipt
from agent.central.subscriber import Accepted, Central
from agent.clock import monotonic_ns, wall_ns
from agent.errors import StoreError
from agent.forward.json_payload import PREFIX, SCHEMA
from agent.mqtt import Message, MqttLink, RefusedError

CLIENT_ID = "fieldwarden-central"
SESSION_EXPIRY_S = 7 * 86_400
COMMIT_NS = 100_000_000  # at most so often
RETRY_NS = 1_000_000_000  # where storing failed
BACKLOG_NS = 10_000_000_000  # so long after a connect may come what the broker had kept
RECONNECT_S = 2.0  # shorter than a gateway's: who listens should be there first
_TURN_S = 0.05
_NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class LinkState:
    """Whether central has its broker, and since when not."""

    connected: bool = False
    reason: str = "connecting"
    since_ns: int = 0  # wall clock

    @property
    def trouble(self) -> str:
        """Empty while all is well."""
        if self.connected:
            return "" if self.reason == "connected" else self.reason
        since = datetime.fromtimestamp(self.since_ns / _NS_PER_S, UTC)
        return f"no link to the broker since {since:%Y-%m-%d %H:%M:%S} UTC: {self.reason}"

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        since = datetime.fromtimestamp(self.since_ns / _NS_PER_S, UTC)
        return {
            "connected": self.connected, "reason": self.reason,
            "since": f"{since:%Y-%m-%dT%H:%M:%SZ}",
        }  # fmt: skip


class Subscriber:
    """One central.

    Args:
        host: of the broker.
        port: of the broker.
        on_accepted: gets every new message, once; an exception ends `run`.
        client_id: with one of its own the broker keeps messages while central is away.
        memory: what is stored before it is acknowledged; None: nothing is acknowledged.
        connection: further arguments of `MqttLink` (tls, username, password).
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        on_accepted: Callable[[Accepted], None],
        client_id: str | None = None,
        memory: Memory | None = None,
        **connection: Any,
    ) -> None:
        self.central = Central()
        self.link_state = LinkState(since_ns=wall_ns())
        self.last_ns = monotonic_ns()
        self.trouble = "" if memory is None else memory.trouble
        self._on_accepted = on_accepted
        self._memory = memory
        self._unstored: list[Message] = []  # taken in, but not acknowledged to the broker yet
        self._commit_ns = 0
        self._connected_ns = 0
        self._failure: Exception | None = None
        name = client_id or f"{CLIENT_ID}-{wall_ns():x}"
        self._answers = Answers(self.central, name)
        if memory is not None:
            memory.restore(self.central, self.last_ns)
        self._link = MqttLink(
            host=host,
            port=port,
            client_id=name,
            clean_start=client_id is None,
            session_expiry_s=0 if client_id is None else SESSION_EXPIRY_S,
            manual_ack=True,
            longest_retry_s=RECONNECT_S,
            on_message=self._take,
            on_state=self._on_state,
            **connection,
        )
        self._link.subscribe([(f"{PREFIX}/{SCHEMA}/#", 1)])

    # --- the link's side ------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        if self._failure is not None:
            return
        now_ns = self.last_ns = monotonic_ns()
        receipt = Receipt(
            now_ns, message.topic, retained=message.retain, expiry_s=message.expiry_s,
            aged=self._link.session_present and now_ns - self._connected_ns < BACKLOG_NS,
        )  # fmt: skip
        accepted = self.central.take(message.payload, receipt)
        self._unstored.append(message)
        if accepted is None:
            return
        try:
            self._on_accepted(accepted)
        except Exception as error:  # noqa: BLE001 - raised by `run`; nothing more is stored
            self._failure = error

    def _on_state(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - the link's signature
        state = self.link_state
        if connected != state.connected:
            state.since_ns = wall_ns()
        state.connected, state.reason = connected, reason
        if connected:
            self._connected_ns = monotonic_ns()
            self._answers.everyone()
        else:
            self._unstored.clear()  # the broker sends them again, or the gateway does

    # --- storing and acknowledging --------------------------------------------------------------

    def settle(self) -> None:
        """Store what is new; then, and only then, acknowledge it."""
        now_ns = monotonic_ns()
        if self._failure is not None or now_ns < self._commit_ns:
            return
        self._commit_ns = now_ns + COMMIT_NS
        if self._memory is None:
            self.central.settled()
            self._answers.due(now_ns)
        else:
            try:
                self._memory.save(self.central)
            except StoreError as error:
                self.trouble = f"nothing is acknowledged: {error}"
                self._commit_ns = now_ns + RETRY_NS
                return
            self.trouble = self._memory.trouble
        taken, self._unstored = self._unstored, []
        for message in taken:
            self._link.ack(message)
        if self._memory is not None and self._link.connected:
            for answer in self._answers.due(now_ns):
                sent = self._link.publish(answer.topic, answer.payload)
                sent.add_done_callback(partial(self._answered, answer))

    def _answered(self, answer: Answer, sent: asyncio.Future[bool]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is None:
            return
        self._answers.again(answer.key)
        if isinstance(error, RefusedError):
            self.link_state.reason = (
                f"the broker refuses acknowledgements on {answer.topic}: {error.reason}"
            )

    def document(self) -> dict[str, Any]:
        """Everything as it may be believed now, JSON-ready."""
        trouble = "; ".join(filter(None, (self.link_state.trouble, self.trouble)))
        link = self.link_state.document()
        return {**self.central.document(monotonic_ns()), "link": link, "trouble": trouble}

    async def run(self, over: Callable[[], bool], on_turn: Callable[[], None]) -> None:
        """Serve until `over`; `on_turn` is called several times a second.

        Raises:
            Exception: whatever `on_accepted` raised.
        """
        task = asyncio.create_task(self._link.run(), name="central-link")
        try:
            while not over():
                await asyncio.wait({task}, timeout=_TURN_S)
                if task.done():
                    task.result()
                if self._failure is not None:
                    raise self._failure
                self.settle()
                on_turn()
            self._commit_ns = 0
            self.settle()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def run_central(
    host: str,
    port: int,
    *,
    on_accepted: Callable[[Accepted], None],
    on_tick: Callable[[Subscriber], None] | None = None,
    seconds: float | None = None,
    once_idle: float | None = None,
    tick: float = 0.5,
    stop: asyncio.Event | None = None,
    **more: Any,
) -> Subscriber:
    """Subscribe to every gateway until told to stop, for `seconds`, or until nothing comes.

    Args:
        host: of the broker.
        port: of the broker.
        on_accepted: gets every new message, once.
        on_tick: called every `tick` seconds.
        seconds: at most so long.
        once_idle: end when nothing has come for so many seconds.
        tick: seconds.
        stop: ends it; what was seen is still returned, as it is not on cancelling.
        more: further arguments of `Subscriber`.

    Returns:
        What was seen.
    """
    subscriber = Subscriber(host, port, on_accepted=on_accepted, **more)
    began = monotonic_ns()
    ticked = [began]

    def over() -> bool:
        return (
            _over(began, seconds)
            or _over(subscriber.last_ns, once_idle)
            or (stop is not None and stop.is_set())
        )

    def on_turn() -> None:
        if on_tick is not None and _over(ticked[0], tick):
            ticked[0] = monotonic_ns()
            on_tick(subscriber)

    await subscriber.run(over, on_turn)
    return subscriber


def _over(since_ns: int, seconds: float | None) -> bool:
    return seconds is not None and monotonic_ns() - since_ns >= seconds * _NS_PER_S
