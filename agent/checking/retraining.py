"""What `fieldwarden check` says of criteria for retraining: those that mean less than they seem."""

from __future__ import annotations

from collections.abc import Iterator

from agent.checking.item import Item
from agent.configuration.schema import Configuration, Model
from agent.core.baseline import Baseline

_SPANS = ("shifted_for", "extrapolating_over", "outputs_shifted_for")
_NS = 1_000_000_000


def retraining(
    configuration: Configuration, name: str, baseline: Baseline | None
) -> Iterator[Item]:
    """Of one model; what only its baseline can tell is left out without one."""
    model, subject = configuration.models[name], f"model {name}"
    for text, hint in (
        *_counts(model), *_spans(configuration, model), *_without_evidence(model, baseline)
    ):
        yield Item("warning", subject, text, hint)
    yield from _labels(configuration, name)


def _counts(model: Model) -> Iterator[tuple[str, str]]:
    wanted, there = model.retraining.inputs_shifted, len(model.inputs)
    if wanted > there:
        yield (
            f"retraining.inputs_shifted is {wanted:g}, and it has {there} inputs: all must move",
            "give a number of inputs, or a share of them below 1",
        )


def _spans(configuration: Configuration, model: Model) -> Iterator[tuple[str, str]]:
    """It is weighed whenever a window of summaries closes, and begins anew after a decision."""
    criteria, window = model.retraining, configuration.gateway.summary
    for key in _SPANS:
        if getattr(criteria, key) < window:
            length = f"gateway.summary ({_span(window)})"
            yield (
                f"retraining.{key} is shorter than {length}: it is weighed when a window closes",
                f"give {key} at least so much, or a shorter gateway.summary",
            )
    shortest = min(getattr(criteria, key) for key in _SPANS)
    if criteria.cool_down < shortest:
        own = f"retraining.cool_down ({_span(criteria.cool_down)})"
        yield (
            f"{own} changes nothing: no criterion is met within {_span(shortest)} of a decision",
            "give it more, or leave it out",
        )


def _without_evidence(model: Model, baseline: Baseline | None) -> Iterator[tuple[str, str]]:
    """Criteria that somebody wrote, of which there will never be evidence."""
    written = model.retraining.model_fields_set
    if "losses" in written and model.retraining.losses:
        if not model.labels:
            yield (
                "retraining.losses can never be met: the model has no labels",
                "say what brings the truth: [[models.<name>.labels]], or leave it out",
            )
        elif baseline is not None and not baseline.losses:
            yield (
                "retraining.losses can never be met: its record had no labels to learn from",
                "fit it with them: fieldwarden fit CONFIG --data FILE --labels FILE",
            )
    judged = model.retraining.losses and baseline is not None and bool(baseline.losses)
    known = judged or (baseline is not None and _has_outputs(baseline))
    fitted = baseline is not None or not model.outputs  # before, nobody knows what the record has
    if "outputs_shifted_for" in written and fitted and not known:
        why = "has none that the record had" if model.outputs else "has no outputs"
        yield (
            f"retraining.outputs_shifted_for can never be met: the model {why}",
            "fit it on a record with what the model gave: docs/outputs.md",
        )


def _has_outputs(baseline: Baseline) -> bool:
    return any(mode.outputs for mode in baseline.modes)


def _labels(configuration: Configuration, name: str) -> Iterator[Item]:
    """How its truth comes, if it does."""
    model, subject = configuration.models[name], f"model {name}"
    if not model.labels:
        text = "no labels: whether it errs more is not known, and can not ask for retraining"
        yield Item("ok", subject, text)
    senders = [one for one in configuration.people.values() if one.unix_user or one.has_token]
    for label in model.labels:
        if label.tag:
            continue
        text = f"the truth of {label.of} comes by POST /api/v1/models/{name}/labels only"
        if senders:
            yield Item("ok", subject, text)
        else:
            hint = "name its process under [people], by unix_user or a token"
            yield Item("warning", subject, f"{text}, and nobody may send it but root", hint)


def _span(span_ns: int) -> str:
    seconds = span_ns / _NS
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"
