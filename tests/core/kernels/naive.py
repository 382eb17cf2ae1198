"""Detectors as their docstrings define them: one sample at a time, no fast path, Python numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Params = dict[str, Any]


@dataclass
class Naive:
    """One chart; `state` has the fields of the kernel's STATE."""

    params: Params
    state: dict[str, Any] = field(default_factory=dict)
    raised: int = 0
    started: bool = False

    def take(self, value: float, source: int) -> float | None:
        """One sample; the score at which the flag was raised or cleared, if it was."""
        was = self.raised
        after_gap = not self.started or source - int(self.state["last_ns"]) > self.params["gap_ns"]
        score = self.judge(value, after_gap)
        self.state.update(score=score, active=self.raised, last_ns=source)
        self.started = True
        return score if self.raised != was else None

    def judge(self, value: float, after_gap: bool) -> float:
        raise NotImplementedError

    def latch(self, hit: bool) -> None:
        """Raised by a hit, cleared after `hold` in a row without one."""
        quiet = 0 if hit or not self.raised else int(self.state.get("quiet", 0)) + 1
        if hit:
            self.raised = 1
        elif quiet >= self.params["hold"]:
            self.raised = 0
        if hit or quiet:
            self.state["quiet"] = quiet


class Range(Naive):
    def judge(self, value: float, after_gap: bool) -> float:
        score = abs(value - self.params["middle"]) / self.params["half"]
        self.latch(abs(value - self.params["middle"]) >= self.params["half"])
        return score


class Stuck(Naive):
    def judge(self, value: float, after_gap: bool) -> float:
        s, p = self.state, self.params
        low, high = min(s.get("low", value), value), max(s.get("high", value), value)
        if self.started and high - low <= p["tolerance"]:
            s.update(run=s["run"] + 1, low=low, high=high)
        else:
            s.update(run=1, low=value, high=value)
        rests = any(
            max(s["high"], plateau) - min(s["low"], plateau) <= p["tolerance"]
            for plateau in p["values"][: int(p["count"])]
        )
        self.latch(s["run"] >= p["limit"] and not rests)
        return s["run"] / p["limit"]


class Spike(Naive):
    def judge(self, value: float, after_gap: bool) -> float:
        s = self.state
        seen = 0 if after_gap else int(s["seen"])
        last, before = s.get("last", 0.0), s.get("before", 0.0)
        size = abs(last - (value + before) * 0.5) if seen == 2 else 0.0
        s.update(seen=min(seen + 1, 2), last=value, before=last)
        p, so_far = self.params, s.get("sum", 0)
        total = min(so_far + p["weight"], p["most"]) if size >= p["minor"] else max(so_far - 1, 0)
        s["sum"] = total
        hit = size >= p["limit"] or total >= p["most"]
        if hit and not self.raised:
            s["again"] = int(so_far > p["weight"])
        elif hit and s.get("quiet", 0) >= 3:
            s["again"] = 1
        if hit or self.raised:
            s["quiet"] = 0 if hit else s["quiet"] + 1
        if hit:
            self.raised = 1
        elif s.get("quiet", 0) >= p["hold"] and not (s.get("again") and total > 0):
            self.raised = 0
        return max(size / p["limit"], total / p["most"])


class Rate(Naive):
    def judge(self, value: float, after_gap: bool) -> float:
        size = 0.0 if after_gap else abs(value - self.state["last"])
        self.state.update(last=value, seen=1)
        self.latch(size >= self.params["limit"])
        return size / self.params["limit"]


class Step(Naive):
    def judge(self, value: float, after_gap: bool) -> float:
        s, p = self.state, self.params
        if after_gap:
            s.update(known=0, count=0, sum=0.0)
        s["sum"] += value
        s["count"] += 1
        if s["count"] < p["block"]:
            return s.get("score", 0.0)
        sides = p.get("sides", 1)
        # As the kernel keeps it: in single precision.
        mean = float(np.float32(max(-1e30, min(1e30, s["sum"] / p["block"]))))
        kept = s.get("kept", [0.0] * 8)
        means = [mean, *kept]
        before, after = means[sides + 1 : 2 * sides + 1], means[:sides]
        score = 0.0
        if s["known"] == 2 * sides:
            up, down = min(after) - max(before), min(before) - max(after)
            score = max(up, down, 0.0) / p["limit"]
        kept = [*means[: 2 * sides], *kept[2 * sides :]]
        s.update(sum=0.0, count=0, known=min(s["known"] + 1, 2 * sides), kept=kept)
        quiet = 0 if score >= 1.0 else s.get("quiet", 0) + 1
        s["quiet"] = quiet
        self.raised = 1 if score >= 1.0 else int(self.raised and quiet < p["hold"])
        return score


class Cusum(Naive):
    """A block of terms, then Page's recursion."""

    def block(self, term: float | None) -> float:
        s, p = self.state, self.params
        if term is not None:
            s["sum"] = s.get("sum", 0.0) + term
            s["count"] = s.get("count", 0) + 1
        if s.get("count", 0) < p["block"]:
            return s.get("score", 0.0)
        x = (self.statistic(s["sum"] / p["block"]) - p["centre"]) * p["inverse_sd"]
        s.update(sum=0.0, count=0)
        return self.back(x) if self.raised else self.watch(x)

    def statistic(self, mean: float) -> float:
        return mean

    def watch(self, x: float) -> float:
        s, p = self.state, self.params
        up = max(0.0, s.get("up", 0.0) + x - p["k"])
        down = max(0.0, s.get("down", 0.0) - x - p["k"])
        above, below = up / p["h_up"], down / p["h_down"]
        score = max(above, below)
        self.raised = int(score >= 1.0)
        if self.raised:
            up, down = 0.0, max(p["k"], x / 2) if above >= below else -max(p["k"], -x / 2)
        s.update(up=up, down=down)
        return score

    def back(self, x: float) -> float:
        s, reference = self.state, self.state["down"]
        up = max(0.0, s["up"] + reference - x if reference > 0 else s["up"] - reference + x)
        self.raised = int(up < 4.0)
        s.update(up=up if self.raised else 0.0, down=reference if self.raised else 0.0)
        return 2.0 - up / 4.0 if self.raised else 0.0


class Level(Cusum):
    """The same, and an EWMA of parts of its blocks while no flag is up."""

    def judge(self, value: float, after_gap: bool) -> float:
        s, p = self.state, self.params
        s["rest"] = s.get("rest", 0.0) + max(-p["clip"], min(p["clip"], value))
        s["count"] = s.get("count", 0) + 1
        if s["count"] % min(p["part"], p["block"]):
            return s.get("score", 0.0)
        mean = s["rest"] / min(p["part"], p["block"]) - p["centre"]
        s.update(sum=s.get("sum", 0.0) + s["rest"], rest=0.0)
        if self.raised:
            return self.block(None)
        smooth = s.get("smooth", 0.0)
        smooth += 0.05 * (mean - smooth)
        apart = smooth / p["ewma_up"] if smooth > 0 else -smooth / p["ewma_down"]
        ended = s["count"] >= p["block"]
        watched = max(s.get("up", 0.0) / p["h_up"], s.get("down", 0.0) / p["h_down"])
        score = max(self.block(None) if ended else watched, apart)
        if not self.raised and apart >= 1.0:
            half = smooth * p["inverse_sd"] / 2
            s.update(up=0.0, down=max(p["k"], half) if smooth > 0 else min(-p["k"], half))
        self.raised = int(score >= 1.0)
        s["smooth"] = 0.0 if self.raised else smooth
        return score


class Noise(Cusum):
    def judge(self, value: float, after_gap: bool) -> float:
        clip, last = self.params["clip"], self.state.get("last", 0.0)
        self.state.update(last=value, seen=1)
        if after_gap:
            return self.state.get("score", 0.0)
        step = max(-clip, min(clip, value - last))
        s = self.state
        s["moved"] = s.get("moved", 0.0) + step
        return self.block(step * step)

    def statistic(self, mean: float) -> float:
        slope = self.state["moved"] / self.params["block"]
        self.state["moved"] = 0.0
        return math.sqrt(math.sqrt(max(mean - slope * slope, 0.0)))


NAIVE: dict[str, type[Naive]] = {
    "range": Range, "stuck": Stuck, "spike": Spike, "rate": Rate,
    "level": Level, "drift": Level, "noise": Noise, "step": Step,
}  # fmt: skip
