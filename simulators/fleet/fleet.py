"""A fleet of gateways on one broker: its course in time, and what of it goes wrong on purpose.

A share of the gateways loses its link for a while (in an outage windows are added together, an hour
in one, some of which central has already; a few also drop some), a share is started anew, and a
share begins with windows that were made while central was away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from agent.clock import wall_ns
from agent.forward import Identity
from agent.forward.spread import spread_ns
from simulators.fleet.content import MODELS, TOLD, Pool
from simulators.fleet.gateway import DAY_NS, REFRESH_S, Gateway, Made
from simulators.fleet.link import KEEPALIVE_S, Link
from simulators.fleet.sender import Counts

HOUR_NS = 3_600_000_000_000
_NS = 1_000_000_000
_SITES = 50
_PINGS = 20  # parts of the fleet that are looked at one after the other
_KEPT_WINDOWS = (4, 12)
_AFTER_WINDOW_S = 0.5  # the broker has its messages by then


@dataclass(frozen=True, slots=True)
class Course:
    """What the gateways do.

    Attributes:
        gateways: how many.
        window_s: length of a summary's window.
        event_s: mean seconds between two happenings of one gateway.
        ramp_s: over which they begin.
        seed: of all that is by chance.
        outages: share that loses its link once.
        outage_windows: for so many windows.
        restarts: share that is started anew once.
        backlog: share that begins with windows of a time without central.
        trouble_s: time from the begin within which outages and restarts fall.
        carried: gateways to a connection.
    """

    gateways: int
    window_s: float = 60.0
    event_s: float = 240.0
    ramp_s: float = 20.0
    seed: int = 1
    outages: float = 0.03
    outage_windows: float = 2.5
    restarts: float = 0.02
    backlog: float = 0.02
    trouble_s: float = 480.0
    carried: int = 1

    @property
    def outage_s(self) -> float:
        """How long a link is lost."""
        return self.outage_windows * self.window_s


class Fleet:
    """Runs the course.

    Args:
        host: of the broker.
        port: of the broker.
        course: what is done.

    Attributes:
        made: rows.
        counts: of messages.
    """

    def __init__(self, host: str, port: int, course: Course) -> None:
        self._course = course
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random(course.seed)
        self.pool = Pool(course.seed)
        self.made, self.counts = Made(), Counts()
        self.gateways = [self._gateway(number) for number in range(course.gateways)]
        step = course.carried
        self.links = [
            Link(host, port, [one.sender for one in self.gateways[at : at + step]])
            for at in range(0, course.gateways, step)
        ]
        self._making = True
        self._away: dict[int, tuple[asyncio.TimerHandle, bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def _gateway(self, number: int) -> Gateway:
        rng = random.Random(self._rng.random())
        site, name = f"site-{number % _SITES:02d}", f"gw-{number // _SITES:04d}"
        identity = Identity(site, name, f"{rng.getrandbits(32):08x}")
        return Gateway(identity, self.pool, rng, self.made, self.counts, self._loop.call_later)

    # --- its course -------------------------------------------------------------------------------

    def begin(self) -> None:
        """All gateways begin within the ramp; what befalls them is decided."""
        course, rng = self._course, self._rng
        for number, gateway in enumerate(self.gateways):
            self._at(rng.uniform(0, course.ramp_s), self._start, gateway, number)
        for link in self.links:
            self._at(rng.uniform(0, course.ramp_s), self._connect, link)
        shares = (
            (course.outages, self._plan_outage), (course.restarts, self._plan_restart),
            (course.backlog, self._plan_backlog),
        )  # fmt: skip
        chosen = iter(rng.sample(range(len(self.gateways)), len(self.gateways)))
        for share, plan in shares:
            for nth in range(round(share * len(self.gateways))):
                plan(next(chosen), nth)
        self._task(self._ping())

    def _connect(self, link: Link) -> None:
        self._task(link.run())

    def _start(self, gateway: Gateway, number: int) -> None:
        rng, course = self._rng, self._course
        gateway.tell_verdicts()
        length_ns = round(course.window_s * _NS)
        self._await_end(gateway, (gateway.now_ns() // length_ns + 1) * length_ns)
        self._at(rng.uniform(0, REFRESH_S), self._verdicts, gateway)
        self._at(rng.expovariate(1 / course.event_s), self._happen, gateway)
        if number % 2:
            gateway.sender.told = TOLD

    def _await_end(self, gateway: Gateway, end_ns: int) -> None:
        """Windows end at multiples of their length, and are sent a while later, as of real ones."""
        who = gateway.identity
        spread = spread_ns(who.site, who.gateway, round(self._course.window_s * _NS))
        wait_s = (end_ns + spread - gateway.now_ns()) / _NS
        self._at(max(0.0, wait_s), self._window, gateway, end_ns)

    def _window(self, gateway: Gateway, end_ns: int) -> None:
        if self._making:
            length_ns = round(self._course.window_s * _NS)
            gateway.close_windows(end_ns - length_ns, end_ns)
            self._await_end(gateway, end_ns + length_ns)

    def _verdicts(self, gateway: Gateway) -> None:
        if self._making:
            gateway.tell_verdicts()
            self._at(REFRESH_S, self._verdicts, gateway)

    def _happen(self, gateway: Gateway) -> None:
        if self._making:
            gateway.happen()
            self._at(self._rng.expovariate(1 / self._course.event_s), self._happen, gateway)

    def stop(self) -> None:
        """Nothing new is said; what is there is still sent, and no link is away any longer."""
        self._making = False
        for number, (handle, full) in list(self._away.items()):
            handle.cancel()
            self._over(number, full)

    def nudge(self) -> None:
        """Gateways that still hold something tell one event more, as each would sooner or later.

        What a worker still had to say when it was killed is said with the next news.
        """
        for gateway in self.gateways:
            if gateway.outbox.open():
                gateway.happen()

    # --- what befalls a gateway -------------------------------------------------------------------

    def _link_of(self, number: int) -> Link:
        return self.links[number // self._course.carried]

    def _plan_outage(self, number: int, nth: int) -> None:
        """Late in the outage an hour of the gateway's clock ends, of some also a day."""
        course, gateway = self._course, self.gateways[number]
        begin_s = self._rng.uniform(course.ramp_s, max(course.ramp_s + 1, course.trouble_s))
        end_ns = wall_ns() + round((begin_s + course.outage_s) * _NS)
        span_ns = DAY_NS if nth % 3 == 0 else HOUR_NS
        gateway.offset_ns = -(end_ns % span_ns)
        self._make_up(gateway, self._rng.randint(0, 3))
        self._at(begin_s, self._before_outage, number, nth % 4 == 1)

    def _before_outage(self, number: int, full: bool) -> None:  # noqa: FBT001 - of a timer
        """Central has what is sent from now on, but its answers do not come any more."""
        gateway = self.gateways[number]
        gateway.sender.deaf = True
        self._await_window(number, gateway.made, full)

    def _await_window(self, number: int, known: int, full: bool) -> None:  # noqa: FBT001
        gateway = self.gateways[number]
        if gateway.made > known and gateway.sender.connected:
            self._at(_AFTER_WINDOW_S, self._outage, number, full)
        elif self._making:
            self._at(0.1, self._await_window, number, known, full)
        else:
            self._link_of(number).cut()

    def _outage(self, number: int, full: bool) -> None:  # noqa: FBT001
        link = self._link_of(number)
        link.cut()
        if not self._making:
            return
        link.allowed.clear()
        handle = self._loop.call_later(self._course.outage_s, self._over, number, full)
        self._away[number] = (handle, full)

    def _over(self, number: int, full: bool) -> None:  # noqa: FBT001
        gateway = self.gateways[number]
        del self._away[number]
        if full:
            gateway.overflow(len(MODELS))
        gateway.outbox.coarsen()
        self._link_of(number).allowed.set()

    def _plan_restart(self, number: int, nth: int) -> None:
        begin_s = self._rng.uniform(self._course.ramp_s, self._course.trouble_s)
        self._at(begin_s, self._restart, number, nth)

    def _restart(self, number: int, nth: int) -> None:
        link, gateway = self._link_of(number), self.gateways[number]
        link.allowed.clear()
        if nth % 2:
            link.leave()
        else:
            link.cut()
        self._at(self._rng.uniform(1, 5), self._started, link, gateway)

    def _started(self, link: Link, gateway: Gateway) -> None:
        gateway.restart()
        link.allowed.set()

    def _plan_backlog(self, number: int, _nth: int) -> None:
        gateway = self.gateways[number]
        self._make_up(gateway, self._rng.randint(*_KEPT_WINDOWS))
        gateway.outbox.coarsen()

    def _make_up(self, gateway: Gateway, windows: int) -> None:
        """Windows of ten minutes from before the begin."""
        length_ns = HOUR_NS // 6
        end_ns = gateway.now_ns() // length_ns * length_ns - windows * length_ns
        for _ in range(windows):
            gateway.close_windows(end_ns, end_ns + length_ns)
            end_ns += length_ns

    # --- the rest ---------------------------------------------------------------------------------

    def _at(self, delay_s: float, function: Callable[..., None], *arguments: object) -> None:
        self._loop.call_later(delay_s, function, *arguments)

    def _task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ping(self) -> None:
        for part in self._parts():
            now_s = self._loop.time()
            for link in part:
                link.ping(now_s)
            await asyncio.sleep(KEEPALIVE_S / 4 / _PINGS)

    def _parts(self) -> Iterator[list[Link]]:
        while True:
            yield from (self.links[at::_PINGS] for at in range(_PINGS))

    def report(self) -> dict[str, object]:
        """For progress, JSON-ready."""
        outboxes = [one.outbox for one in self.gateways]
        return {
            "connected": sum(one.sender.connected for one in self.gateways),
            "connections": sum(one.connections for one in self.links),
            "rows": self.made.rows, "messages": self.made.messages,
            "windows": self.made.windows, "events": self.made.events,
            "verdicts": self.made.verdicts,
            "open": sum(one.open() for one in outboxes),
            "resent": sum(one.resent for one in outboxes),
            "coarse": sum(len(one.covered) for one in outboxes),
            "given_up": sum(one.given_up for one in outboxes),
            "not_kept": sum(one.not_kept for one in outboxes),
            "lacked": sum(one.lacked for one in outboxes),
            "answers_refused": self.counts.not_believed + sum(one.refused for one in outboxes),
            "taken": self.counts.taken, "refused": self.counts.refused,
            "unheard": self.counts.unheard, "answers": self.counts.answers,
        }  # fmt: skip

    async def end(self) -> None:
        """Cut all connections."""
        for task in list(self._tasks):
            task.cancel()
        for link in self.links:
            link.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
