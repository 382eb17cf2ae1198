"""What a column of training data is to the model: what a person said, and what must be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.configuration.rules import nearest
from agent.errors import FieldwardenError
from agent.records.table import Table

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|[A-Z]+")
_MOSTLY_MISSING = 0.5


@dataclass(frozen=True, slots=True)
class Question:
    """Why a column may be no input, and which option it then most likely needs."""

    looks_like: str
    option: str

    def text(self, name: str) -> str:
        """The question, with its answers."""
        answers = [self.option, *(o for o in ("--exclude", "--input") if o != self.option)]
        options = ", ".join(f"{option} {shell_word(name)}" for option in answers)
        return f"column {name!r} looks like {self.looks_like}: say which ({options})"


_LAB = Question("a lab value", "--label")
_PREDICTION = Question("a prediction, such as this model's own output", "--output")
_QUALITY = Question("a quality or flag of another column", "--exclude")
_TRUTH = Question("a truth column", "--exclude")
_WORDS_OF = (
    (_LAB, "lab labo labor laboratory label labels lims assay analysis analyse"),
    (
        _PREDICTION,
        (
            "pred preds predicted prediction predictions predict predictor estimate estimated"
            " estimates estimation est estim soft softsensor yhat hat forecast forecasted inferred"
            " inferential virtual prognose vorhersage"
        ),
    ),
    (_QUALITY, "quality qual qc qualifier status flag flags validity valid good bad qualität"),
    (_TRUTH, "anomaly anomalies changepoint target truth fault faults faulty groundtruth outlier"),
)
_BY_WORD = {word: question for question, words in _WORDS_OF for word in words.split()}


def question_of(name: str) -> Question | None:
    """What the name makes one ask; None where it looks like an input."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return next((_BY_WORD[word] for word in words if word in _BY_WORD), None)


def questions(table: Table, names: Sequence[str]) -> dict[str, Question]:
    """Those of the columns of which it must be asked what they are.

    A column that is mostly missing while the others are not is asked about as a lab value.
    """
    missing = {name: float(np.mean(~np.isfinite(table.column(name)))) for name in names}
    usual = float(np.median(list(missing.values()))) if missing else 0.0
    asked = {}
    for name in names:
        question = question_of(name)
        if question is None and missing[name] > _MOSTLY_MISSING >= usual:
            question = Question(f"a lab value ({missing[name]:.0%} missing)", "--label")
        if question is not None:
            asked[name] = question
    return asked


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said of the columns; `labels` is label -> output."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: Mapping[str, str]

    @property
    def others(self) -> frozenset[str]:
        """Columns that are tags, but no inputs."""
        return frozenset({*self.outputs, *self.labels})

    @property
    def known(self) -> frozenset[str]:
        """Columns that need not be asked about."""
        return self.others | frozenset(self.inputs)

    @classmethod
    def of(
        cls, names: Sequence[str], exclude: Sequence[str], inputs: Sequence[str],
        outputs: Sequence[str], labels: Sequence[str],
    ) -> Said:  # fmt: skip
        """Check it against the columns that there are.

        Raises:
            FieldwardenError: there is no such column, or it was said twice; a label of nothing.
        """
        pairs = {}
        for text in labels:
            label, _, output = (text, "", "") if text in names else text.rpartition("=")
            if not output and len(outputs) != 1:
                cause = "it is the truth of one output: which" if outputs else "no output was named"
                hint = "--output COLUMN --label COLUMN, or --label LABEL=OUTPUT"
                raise FieldwardenError("taking --label", repr(text), cause, hint)
            pairs[label] = output or outputs[0]
        said: dict[str, str] = {}
        for option, columns in (
            ("--exclude", exclude), ("--input", inputs), ("--output", outputs), ("--label", pairs),
        ):  # fmt: skip
            for name in columns:
                if name not in names:
                    cause = "the data has no such column of numbers"
                    hint = nearest(name, names)
                    raise FieldwardenError(f"taking {option}", repr(name), cause, hint)
                if said.setdefault(name, option) != option:
                    cause = f"it was also given with {said[name]}"
                    raise FieldwardenError(f"taking {option}", repr(name), cause, "drop one")
        if wrong := [output for output in pairs.values() if output not in outputs]:
            cause = "it is no output of the model"
            raise FieldwardenError("taking --label of", repr(wrong[0]), cause, "give --output too")
        return cls(tuple(inputs), tuple(outputs), pairs)


def shell_word(name: str) -> str:
    """A column's name as it is typed on a command line."""
    return name if re.fullmatch(r"[\w.,:+@%/-]+", name) else "'" + name.replace("'", "'\\''") + "'"
