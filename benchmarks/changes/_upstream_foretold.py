"""Changes that are proposed, assessed by replay, and then made: whether what was foretold came.

The agent only reports (``hold = "report"``), so that its verdicts go on after the change. What is
told and what came are of spans of the same length, each behind engines that are warm.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from _upstream_judged import Assessed, changed_share
from _upstream_lane import Lane, run
from _upstream_table import CHANGES, A, C, J, L, Order, P, T

PAST_S: Final = 90.0
"""Of normal running before the proposal; half of it at most warms the replay up."""

_ASSESSED_S: Final = 120.0
_MORE_S: Final = 1.0
_ORDERS: Final = {one.key: one.orders for one in CHANGES}


@dataclass(frozen=True)
class Proposed:
    """A change that somebody plans: as a file for the agent, as orders for the simulator."""

    name: str
    protocol: str
    file: str
    orders: tuple[Order, ...]

    @property
    def key(self) -> str:
        """As those of changes, marked as foretold."""
        return f"foretold: {self.protocol}: {self.name}"


_HEAD: Final = 'text = "planned"\nwho = "A. Berg, instrumentation"\n'


def _tag(name: str, what: str) -> str:
    return f'{_HEAD}[tags."{name}"]\n{what}\n'


PROPOSED: Final = (
    Proposed("degC to degF", "opcua", _tag(T, 'unit = "degF"'),
             ({"do": "rescale", "tag": T, "factor": 1.8, "offset": 32.0},)),
    Proposed("two tags swapped", "opcua", _tag(T, f'swap_with = "{J}"'),
             _ORDERS["opcua: two tags swapped"]),
    Proposed("registers shifted by one", "modbus", f"{_HEAD}[sources.plant]\nregister_shift = 1\n",
             _ORDERS["modbus: registers shifted by one"]),
    Proposed("scale by 0.1", "modbus", _tag(A, "factor = 0.1"),
             ({"do": "rescale", "tag": A, "factor": 0.1},)),
    Proposed("a fifth more", "mqtt", _tag(C, "factor = 1.2"),
             ({"do": "rescale", "tag": C, "factor": 1.2},)),
    Proposed("bar to kPa", "mqtt", _tag(P, 'unit = "kPa"'),
             ({"do": "rescale", "tag": P, "factor": 100.0},)),
    Proposed("two more digits rounded off", "mqtt", _tag(L, "decimals = 1"),
             ({"do": "round", "tag": L, "step": 0.1},)),
)  # fmt: skip
"""What is proposed, and carried out."""


def foretold(lane: Lane, one: Proposed, first: int) -> Assessed:
    """Propose, have it assessed, make it, and compare.

    Raises:
        NotSeenError: something did not come.
    """
    file = lane.folder / "change.toml"
    file.write_text(one.file, encoding="utf-8")
    with lane.plant({}, first) as simulator:
        lane.agree({})
        with lane.agent():
            time.sleep(PAST_S)
            run("change", "propose", str(lane.config), str(file))
            told = lane.wait("assessment", lambda: _assessment(lane), _ASSESSED_S)
            span_ns = told["to_ns"] - told["from_ns"]
            at_ns = simulator.obey(one.orders)
            time.sleep(span_ns / 1e9 + _MORE_S)
    seen = lane.seen(at_ns, [], time.time_ns())
    came = {
        name: changed_share(own, own, at_ns, at_ns + span_ns, told["from_ns"])
        for name, own in seen.verdicts.items() if name in told["models"]
    }  # fmt: skip
    return Assessed(one.key, {name: own["share"] for name, own in told["models"].items()}, came)


def _assessment(lane: Lane) -> Mapping[str, Any] | None:
    told = [one.get("assessment") for one in lane.changes() if one["how"] == "proposed"]
    return next((one for one in told if one), None)
