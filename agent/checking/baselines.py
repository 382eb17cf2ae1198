"""What `fieldwarden check` says of baselines: each by itself, and the budget that they share.

`fit` divides the gateway's one number over the models that there are. Where the number was changed
afterwards, or a model was added, the baselines need not add up to what is promised any more: so the
division is done again here, and compared with what each baseline was fitted for.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.checking.item import Item, fault_of
from agent.configuration.schema import Configuration
from agent.core.baseline import Baseline
from agent.core.baseline_file import read_baseline
from agent.errors import FieldwardenError
from agent.fit.budget import PART, divide, loads, per_30_days
from agent.runtime.assemble import check_baseline
from agent.runtime.candidates import read_service

_EXACT = 0.01  # a smaller difference is none: versions of the program divide a little differently
_UNITS = {"days": 1440, "hours": 60, "minutes": 1}  # in minutes


def baselines(
    configuration: Configuration, usable: dict[str, Baseline] | None = None
) -> Iterator[Item]:
    """A line for every model, then what they promise together; good ones join `usable`."""
    usable = {} if usable is None else usable
    service = read_service(configuration.store_path.parent) or {}
    for name in configuration.models:
        found = _baseline(configuration, name)
        if isinstance(found, Baseline):
            usable[name] = found
            yield _matching(name, found)
            yield from _serving(name, found, service)
            yield from _unwatched(configuration, name, found)
            yield from _units_left_out(configuration, name, found)
            yield from _losses(configuration, name, found)
        else:
            yield found
    if usable:
        yield from _promise(configuration, usable)


def _baseline(configuration: Configuration, name: str) -> Baseline | Item:
    """A model's baseline, or why the agent could not use it."""
    model = configuration.models[name]
    path = Path(model.baseline)
    if not path.exists():
        hint = _fit(configuration, name)
        return Item("warning", f"model {name}", f"no baseline yet at {path}", hint)
    try:
        baseline = read_baseline(path)
        check_baseline(name, model, baseline, configuration.tags)
    except FieldwardenError as error:
        return fault_of(f"model {name}", error)
    return baseline


def _matching(name: str, baseline: Baseline) -> Item:
    text = f"baseline {baseline.digest[:12]} for version {baseline.model_version}"
    if baseline.provisional:
        text = f"{text}; {baseline.provisional_text}"
        return Item("warning", f"model {name}", text, "fit more data")
    return Item("ok", f"model {name}", text)


def _serving(name: str, baseline: Baseline, service: Mapping[str, Any]) -> Iterator[Item]:
    """That another version serves than this configuration says, by a trial that was accepted."""
    told = service.get(name) or {}
    if not told.get("served"):
        return
    newest = told["served"][-1]
    accepted = f"version {newest['version']}, baseline {newest['digest'][:12]}"
    if (told["version"], told["digest"]) == (baseline.model_version, baseline.digest):
        text = f"{accepted} serves instead: accepted by {newest['by']}: {newest['note']}"
        hint = f"to return: fieldwarden retraining rollback CONFIG {name}"
        yield Item("ok", f"model {name}", text, hint)
    elif (newest["version"], newest["digest"]) != (baseline.model_version, baseline.digest):
        text = f"{accepted} was accepted instead of version {told['version']}; this configuration "
        text += "says another one, which wins"
        yield Item("warning", f"model {name}", text, "restore version and baseline, or leave it")


def _unwatched(configuration: Configuration, name: str, baseline: Baseline) -> Iterator[Item]:
    """Outputs of which the record had no values: only their arrival is watched."""
    known = [{one.item.tag for one in mode.outputs} for mode in baseline.modes]
    bare = [tag for tag in configuration.models[name].outputs
            if not all(tag in mode for mode in known)]  # fmt: skip
    if bare:
        text = f"of its outputs only the arrival is watched: {', '.join(bare[:5])}"
        hint = "fit it on a record with what the model gave: docs/outputs.md"
        yield Item("ok", f"model {name}", text + (" ..." if len(bare) > 5 else ""), hint)


def _units_left_out(
    configuration: Configuration, name: str, baseline: Baseline
) -> Iterator[Item]:
    was = {item.tag: item.unit for mode in baseline.modes for item in mode.inputs}
    for tag, unit in was.items():
        if unit and not configuration.tags[tag].unit:
            text = f"{tag} was fitted in {unit}, and is configured without a unit"
            yield Item("warning", f"model {name}", text, f'add unit = "{unit}", if it is that')


def _losses(configuration: Configuration, name: str, baseline: Baseline) -> Iterator[Item]:
    """Labels whose losses the baseline can not judge."""
    for label in configuration.models[name].labels:
        if f"{label.loss} of {label.of}" not in baseline.losses:
            text = f"nothing is known of the {label.loss} loss of {label.of}: it is not judged"
            hint = _fit(configuration, name, baseline)
            yield Item("warning", f"model {name}", text, hint)


def _promise(configuration: Configuration, usable: Mapping[str, Baseline]) -> Iterator[Item]:
    """Whether the parts that the baselines were fitted for add up to the budget of now.

    A model whose baseline is missing, or does not say, counts with the part that a fit would give.
    """
    promised = configuration.gateway.false_alarms_per_ns
    due = {
        name: per_30_days(share.rate_per_ns)
        for name, share in divide(promised, loads(configuration)).items()
    }
    fitted = {name: float(b.facts[PART]) for name, b in usable.items() if PART in b.facts}
    unknown = [name for name in usable if name not in fitted]
    for name in unknown:
        text = "its baseline does not say which part of the false alarms it was fitted for"
        hint = f"an earlier version made it: {_fit(configuration, name, usable[name])}"
        yield Item("warning", f"model {name}", text, hint)
    total = sum((due | fitted).values())
    told = f"the baselines together allow {_one_in(total)}"
    if absent := [name for name in due if name not in usable]:
        told += f" (with the part of {', '.join(absent)}, still to be fitted)"
    configured = _one_in(per_30_days(promised))
    if total > per_30_days(promised) * (1 + _EXACT):
        names = [name for name in fitted if fitted[name] > due[name] * (1 + _EXACT)]
        text = f"{told}, the configuration promises {configured}: fit {_list(names)} again"
        yield Item("fault", "false alarms", text, _fits(configuration, names, usable))
    elif total < sum(due.values()) * (1 - _EXACT):
        names = [name for name in fitted if fitted[name] < due[name] * (1 - _EXACT)]
        text = f"{told}, fewer than the promised {configured}: fit {_list(names)} again to find "
        text += "smaller faults"
        yield Item("ok", "false alarms", text, _fits(configuration, names, usable))
    elif not unknown:
        yield Item("ok", "false alarms", f"{told}; promised: {configured}")


def _fit(configuration: Configuration, name: str, baseline: Baseline | None = None) -> str:
    """The command that fits a model, with the files of its baseline where these are known.

    A model with labels is fitted with labels: without them its losses would not be judged.
    """
    facts = baseline.facts if baseline else {}
    files = {"data": facts.get("record") or "TRAIN.csv"}
    if configuration.models[name].labels:
        files["labels"] = facts.get("labels") or "LABELS.csv"
    given = " ".join(f"--{option} {shlex.quote(str(file))}" for option, file in files.items())
    return f"fieldwarden fit {configuration.file or 'CONFIG'} --model {name} {given}"


def _fits(
    configuration: Configuration, names: list[str], usable: Mapping[str, Baseline]
) -> str:
    return " && ".join(_fit(configuration, name, usable[name]) for name in names)


def _list(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _one_in(per_month: float) -> str:
    """A rate, given in false alarms in 30 days, as the time in which one is to be expected."""
    minutes = 30 * 1440 / per_month
    unit = next((unit for unit in _UNITS if minutes >= 2 * _UNITS[unit]), "minutes")
    span = minutes / _UNITS[unit]
    number = f"{span:.0f}" if span >= 100 else f"{span:.3g}"
    return f"one false alarm in {number} {unit}"
