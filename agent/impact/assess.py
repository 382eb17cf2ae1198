"""The assessment of a change: whom it touches, and what its replay showed; one JSON document.

Where the change says what becomes of values, the days before it are replayed with that. Where it
does not (another device at the same place), and its samples are held in the journal, these are let
through as they are, beside the verdict that stood before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.configuration.schema import Configuration
from agent.contract.differences import Difference
from agent.contract.effect import Effect
from agent.contract.effects import (
    effect_of,
    effect_of_differences,
    effect_of_map,
    suggested_map,
)
from agent.contract.proposal import checked
from agent.core.verdict import ORDER
from agent.impact import whom
from agent.impact.entries import Released
from agent.impact.past import Past
from agent.impact.replay import Bounds, Progress, Replayed, replayed, warm_up_ns
from agent.impact.shadow import Figures, verdicts
from agent.impact.task import Task
from agent.impact.words import text_of
from agent.runtime.catch_up import warm_up

_ENOUGH_SCANS: Final = 30  # of held samples, to say something
_LATEST: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Meant:
    """What is to be assessed: the effect, the tags that it names, what could not be known."""

    effect: Effect
    tags: list[str]
    notes: list[str]


def assessed(
    configuration: Configuration, task: Task, seconds: Callable[[], float],
    told: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Assess a change from the store of a configuration; nothing is written.

    Args:
        configuration: of the agent.
        task: the change, and its bounds.
        seconds: a clock that only goes on.
        told: gets the progress.

    Raises:
        FieldwardenError: there is no store, a baseline or the journal is damaged, or the proposal
            does not go with the configuration.
    """
    past = Past.of(configuration)
    warm_up(past.spec)  # kernels that are compiled at their first call say nothing of the pace
    bounds = Bounds(seconds, task.limit_s, told)
    meant = meant_by(task, configuration, past.ids)
    first_ns, last_ns = past.span(task.until_ns or _LATEST)
    from_ns = max(first_ns, last_ns - task.back_ns)
    notes, replay = list(meant.notes), None
    held = _held(past, task, bounds) if meant.effect.is_nothing and task.held else None
    if held is None and last_ns > from_ns:
        replay = replayed(past, meant.effect, from_ns, last_ns, bounds)
    elif held is None:
        notes.append("the journal has nothing of before the change: there is nothing to replay")
    made = held or replay
    models = {
        name: whom.named(configuration, past.spec, name) | _figures(made, name, released=bool(held))
        for name in whom.touched(configuration, meant.tags)
    }
    found = {
        "models": models, "further": whom.further(configuration, meant.tags),
        "from_ns": made.from_ns if made else 0, "to_ns": made.to_ns if made else 0,
        "took_s": round(bounds.spent_s, 1), "notes": notes + list(made.notes if made else ()),
        "basis": "held samples" if held else "replay" if replay else "none",
        "map": suggested_map(meant.effect),
    }  # fmt: skip
    return found | {"text": text_of(found)}


def meant_by(task: Task, configuration: Configuration, ids: Mapping[str, int]) -> Meant:
    """What a task is about.

    Raises:
        ConfigurationError: its proposal does not go with the configuration.
    """
    if task.proposal:
        proposal = checked(task.proposal, task.change or "the proposal", configuration)
        effect, notes = effect_of(proposal, configuration, ids)
        return Meant(effect, sorted({*proposal.touched(configuration)[1], *task.tags}), notes)
    if task.found:
        return Meant(effect_of_map(task.found, configuration, ids), sorted(task.tags), [])
    found = [
        Difference(**{name: one[name] for name in Difference.__slots__})
        for one in task.differences
    ]
    effect, notes = effect_of_differences(found, configuration, ids)
    return Meant(effect, sorted(task.tags), notes)


def _held(past: Past, task: Task, bounds: Bounds) -> Replayed | None:
    """The held samples let through; None where there are too few of them."""
    ids = [past.ids[tag] for tag in task.held if tag in past.ids]
    _, last_ns = past.span(_LATEST)
    first_ns, _ = past.span(task.until_ns)
    before_ns = max(first_ns, task.until_ns - warm_up_ns(past.spec, task.back_ns))
    if not first_ns or last_ns <= task.until_ns:
        return None
    made = replayed(past, Released(ids), before_ns, last_ns, bounds, task.until_ns)
    scans = (figures.scans for figures in made.shadow.figures.values())
    return made if max(scans, default=0) >= _ENOUGH_SCANS else None


def _figures(made: Replayed | None, model: str, *, released: bool) -> dict[str, Any]:
    """Of one model; of held samples beside the verdict that stood before they were."""
    figures = made.shadow.figures[model] if made else Figures()
    now, changed = figures.now, figures.changed
    if made and released:
        stood = made.shadow.stood[model]
        now = [figures.scans if place == stood else 0 for place in range(len(ORDER))]
        changed = figures.scans - figures.then[stood]
    losses = made.shadow.losses().get(model) if made else None
    return {
        "scans": figures.scans, "changed": changed,
        "share": round(changed / figures.scans, 6) if figures.scans else 0.0,
        "verdicts": {"now": verdicts(now), "then": verdicts(figures.then)},
        "alarms": {"now": figures.alarms_now, "then": figures.alarms_then},
        "losses": losses, "first_s": figures.first_ns / 1e9 if figures.first_ns >= 0 else None,
    }  # fmt: skip
