"""Predictions and labels that a model's process sent: matched to what is configured, journaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from agent.configuration.rules import nearest
from agent.configuration.schema import Model
from agent.core.loss import CLASS_LOSSES
from agent.decode.columns import text_code
from agent.errors import FieldwardenError

_TEXTS_MOST: Final = 10_000


class Taking(Protocol):
    """Takes a command to its place among the samples."""

    def command(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Whether it was taken."""


def told_data(
    kind: str, data: Mapping[str, Any], models: Mapping[str, Model], texts: Mapping[int, str],
    intake: Taking,
) -> dict[str, Any]:
    """The data of a command, each item with its output, and the code of its class as its value.

    A class that is not known yet is told to the journal before, like any text.

    Raises:
        FieldwardenError: there is no such model, no such output with a label, or a class of an
            output whose losses are of numbers: its code is none.
    """
    name = data["model"]
    if name not in models:
        raise FieldwardenError(
            f"taking {kind} of model", name[:80], "there is no such model", nearest(name, models)
        )
    outputs = list(dict.fromkeys(label.of for label in models[name].labels))
    if not outputs:
        raise FieldwardenError(
            f"taking {kind} of model", name, "none of its outputs has a label",
            f"say what brings the truth: [[models.{name}.labels]]",
        )
    items = []
    for item in data["items"]:
        output = item["output"] or (outputs[0] if len(outputs) == 1 else "")
        if output not in outputs:
            hint = nearest(output, outputs) or f"outputs with labels: {', '.join(outputs[:10])}"
            raise FieldwardenError(
                f"taking {kind} of model", name, f"no output {output!r} with a label", hint
            )
        value = item["value"]
        if item["class"]:
            _must_be_of_classes(kind, name, output, models[name])
            value = float(_code(kind, name, item["class"], texts, intake))
        items.append({**item, "output": output, "value": value})
    return {"model": name, "by": data["by"], "items": items}


def _must_be_of_classes(kind: str, model: str, output: str, configured: Model) -> None:
    found = {label.loss for label in configured.labels if label.of == output}
    if numbers := sorted(found - CLASS_LOSSES.keys()):
        raise FieldwardenError(
            f"taking {kind} of model", model, f"{output} is a number: its loss is {numbers[0]}",
            'give "value", or say loss = "brier" or "log" of its labels',
        )


def _code(
    kind: str, model: str, text: str, texts: Mapping[int, str], intake: Taking
) -> int:  # fmt: skip
    code = text_code(text)
    if code not in texts:
        if len(texts) >= _TEXTS_MOST:
            raise FieldwardenError(
                f"taking {kind} of model", model, f"{_TEXTS_MOST} texts are known already",
                "name classes, and nothing else",
            )
        intake.command("text", {"code": code, "text": text})
    return code
