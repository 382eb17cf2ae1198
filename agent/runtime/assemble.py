"""From configuration, tag ids and baselines to what the engine guards (`EngineSpec`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.configuration import units
from agent.configuration.loops import parts_of
from agent.configuration.retraining import Retraining
from agent.configuration.schema import Configuration, Model, Tag
from agent.core.baseline import Baseline, ModeBaseline
from agent.core.baseline_file import read_baseline
from agent.core.delays import MOST_TIME
from agent.core.joint_charts import NEEDED
from agent.core.kernels import DETECTORS, OUTPUT_CHARTS
from agent.core.kinds import code_of
from agent.core.retraining_criteria import Criteria
from agent.core.spec import EngineSpec, LabelSpec, ModelSpec, Register, TagSpec
from agent.decode import register_of
from agent.decode.unit_names import spelt
from agent.errors import BaselineError
from agent.runtime.paces import expected

_SECOND = 1_000_000_000
_SILENT_INTERVALS = 5
_LEAST_SILENCE = 3 * _SECOND
_FOR_EVER = 1 << 60
_ALONE = {"set point": "setting", "command": "command"}
"""Kind of a tag in no loop -> its part where nobody measures it."""


def baselines_of(configuration: Configuration) -> dict[str, Baseline]:
    """Every model's baseline, checked against the model it is for.

    Raises:
        BaselineError: missing, damaged, or of another version, other inputs or other units.
    """
    found = {}
    for name, model in configuration.models.items():
        baseline = read_baseline(Path(model.baseline))
        check_baseline(name, model, baseline, configuration.tags)
        found[name] = baseline
    return found


def check_baseline(
    name: str, model: Model, baseline: Baseline, configured: Mapping[str, Tag]
) -> None:
    """Whether a baseline belongs to this model, version and inputs, in their `configured` units.

    Raises:
        BaselineError: it does not.
    """
    hint = f"fit it again: fieldwarden fit CONFIG --model {name} --data TRAIN.csv"
    if baseline.model_version != model.version:
        raise BaselineError(
            "matching baseline", f"model {name}",
            f"made for version {baseline.model_version}, configured is {model.version}", hint,
        )
    for mode in baseline.modes:
        tags = [item.tag for item in mode.inputs]
        if tags != list(model.inputs):
            missing = sorted(set(model.inputs) - set(tags))
            raise BaselineError(
                "matching baseline", f"model {name}",
                f"its inputs differ{': without ' + ', '.join(missing) if missing else ''}", hint,
            )
        if lacking := sorted(_lacking(mode)):
            raise BaselineError(
                "matching baseline", f"model {name}",
                f"made by another version of this program: it has no {', '.join(lacking[:4])}",
                hint,
            )
    _check_units(name, baseline.modes, configured, hint)
    _check_kinds(name, baseline.modes[0], configured, hint)


def _check_kinds(
    name: str, mode: ModeBaseline, configured: Mapping[str, Tag], hint: str
) -> None:
    """What was learned of a rate says nothing of a value, nor the other way round."""
    for item in mode.items:
        now = configured[item.tag].kind if item.tag in configured else item.kind
        if code_of(now) != code_of(item.kind):
            told = f"{item.tag} was fitted as {item.kind or 'measurement'}, configured is "
            raise BaselineError(
                "matching baseline", f"model {name}", told + (now or "measurement"), hint
            )


def _check_units(
    name: str, modes: Iterable[ModeBaseline], configured: Mapping[str, Tag], hint: str
) -> None:
    """What was learned in one unit says nothing of values in another.

    To give a unit where none was, or to leave it out, changes no value.
    """
    items = (item for mode in modes for item in mode.items)
    was = {item.tag: item.unit for item in items if item.tag in configured}
    changed = [tag for tag in was if configured[tag].unit not in ("", was[tag]) and was[tag]]
    if changed:
        told = ", ".join(
            f"{tag} was fitted in {was[tag]}, configured is {configured[tag].unit}"
            for tag in changed[:4]
        )
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        raise BaselineError(
            "matching baseline", f"model {name}", told + more,
            f"put the unit back; or, if the values now are in the other unit, {hint}",
        )


def _lacking(mode: ModeBaseline) -> set[str]:
    """The parameters that this program's charts take and a mode's baseline does not have."""
    lacking = {
        f"{detector.name}.{name}"
        for item in mode.items for detector in DETECTORS if detector.name in item.detectors
        for name in set(detector.params.names or ()) - item.detectors[detector.name].keys()
    }
    lacking |= {
        f"{one.name}.{name}"
        for output in mode.outputs for one in OUTPUT_CHARTS if one.name in output.charts
        for name in set(one.params.names or ()) - output.charts[one.name].keys()
    }
    groups = mode.joint.get("groups", ())
    return lacking | {f"joint.{name}" for group in groups for name in NEEDED - group.keys()}


def build_spec(
    configuration: Configuration, tag_ids: Mapping[str, int], baselines: Mapping[str, Baseline],
    *, recorded: Mapping[str, int] | None = None,
) -> EngineSpec:
    """What the engine guards.

    `recorded` is for replay of a wide table, where all tags are sampled: their intervals in ns, as
    far as they are known.
    """
    models = tuple(
        ModelSpec(
            name=name, version=model.version, scan_ns=model.scan, inputs=tuple(model.inputs),
            required=frozenset(model.inputs) - frozenset(model.optional),
            baseline=baselines[name],
            outputs=tuple(tag for tag in model.outputs if tag in configuration.tags),
            mode_tag=model.mode.tag if model.mode else None,
            owner=f"{model.owner.team} <{model.owner.contact}>",
            retraining=_criteria(model.retraining),
            labels=tuple(
                LabelSpec(item.of, item.tag, item.within, item.loss, item.tolerance,
                          tuple(item.classes))
                for item in model.labels
                if not item.tag or item.tag in configuration.tags
            ),
        )
        for name, model in configuration.models.items()
    )
    paces = expected(configuration, baselines)
    loops = parts_of(configuration.loops)
    tags = []
    for name, tag in configuration.tags.items():
        loop, part = loops.get(name, ("", _ALONE.get(tag.kind, "")))
        source = configuration.sources[tag.source]
        served = register_of(source.protocol, tag.address)
        by_exception = source.by_exception and recorded is None
        configured = tag.interval or source.interval_ns if recorded is None else None
        pace = paces.of(name, configured, (recorded or {}).get(name))
        interval = pace.interval_ns
        silence = tag.max_silence or (
            _FOR_EVER if by_exception
            else max(_SILENT_INTERVALS * interval, 0 if recorded is not None else _LEAST_SILENCE,
                     2 * pace.gap_ns)
        )
        tags.append(
            TagSpec(
                index=tag_ids[name], name=name, source=tag.source, unit=tag.unit,
                standard_unit=spelt(tag.unit),
                role=configuration.role(name), loop=loop, loop_part=part,
                physical=tag.physical, interval_ns=interval,
                max_silence_ns=silence, by_exception=by_exception,
                report_ns=source.report_ns, paced=configured is not None,
                address=source.where(tag.address),
                refusal=source.refusal(tag.address),
                register=Register(*served) if served else None,
            )
        )
    return EngineSpec(tuple(tags), tuple(configuration.sources), models,
                      configuration.gateway.summary,
                      int(MOST_TIME / configuration.gateway.false_alarms_per_ns), units.changes())


def _criteria(told: Retraining) -> Criteria:
    return Criteria(
        told.inputs_shifted, told.shifted_for, told.extrapolating, told.extrapolating_over,
        told.losses, told.outputs_shifted_for, told.cool_down,
    )
