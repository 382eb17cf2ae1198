"""Who a finding or a condition is about, and which detector of which model found it.

As text a subject is ``tag/NAME``, ``source/NAME`` or ``model/NAME``, and a finding's key
``DETECTOR``, ``DETECTOR@MODEL`` or ``DETECTOR of TAG@MODEL``: so they stand in events, in messages
and in snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.core.kernels import JOINT_CHARTS, TRAITS
from agent.core.kernels.base import Symptom, Traits


class Place(StrEnum):
    """What kind of thing a subject is."""

    TAG = "tag"
    SOURCE = "source"
    MODEL = "model"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What a condition is about: a tag, a source, or all inputs of a model together."""

    place: Place
    name: str

    def __str__(self) -> str:
        return f"{self.place}/{self.name}"

    @staticmethod
    def parse(text: str) -> Subject:
        """The subject that a text names.

        Raises:
            ValueError: it names none.
        """
        place, _, name = text.partition("/")
        return Subject(Place(place), name)


def tag(name: str) -> Subject:
    """A tag as a subject."""
    return Subject(Place.TAG, name)


def source(name: str) -> Subject:
    """A source as a subject."""
    return Subject(Place.SOURCE, name)


def model(name: str) -> Subject:
    """A model as a subject."""
    return Subject(Place.MODEL, name)


_JOINT = frozenset(chart.name for chart in JOINT_CHARTS)
SESSION_LOST = "source"
TAGS_SILENT = "silent"
LOSS = "loss"
CONTRACT = "contract"
_OF_SOURCES = {
    SESSION_LOST: Traits(Symptom.SOURCE, on_delay=0),
    TAGS_SILENT: Traits(Symptom.SOURCE),
}
"""Findings on sources, which the judge makes itself: no connection, or most tags silent."""

_OTHERS = _OF_SOURCES | {
    LOSS: Traits(Symptom.ERRORS, on_delay=0), CONTRACT: Traits(Symptom.CONTRACT, on_delay=0),
}
"""Findings that no kernel makes: beside these, that a model's losses grew, and that what comes is
not what was agreed."""


@dataclass(frozen=True, slots=True, order=True)
class FindingKey:
    """A detector, and the model whose baseline it judged by; none where it judged without one.

    `of` is the tag that it found something of, where that may be another than the condition's.
    """

    detector: str
    model: str = ""
    of: str = ""

    def __str__(self) -> str:
        found = f"{self.detector} of {self.of}" if self.of else self.detector
        return f"{found}@{self.model}" if self.model else found

    @staticmethod
    def parse(text: str) -> FindingKey:
        """The key that a text names."""
        found, at, model = text.rpartition("@")
        detector, _, of = (found if at else model).partition(" of ")
        return FindingKey(detector, model if at else "", of)

    @property
    def traits(self) -> Traits:
        """What judgement must know of it.

        Raises:
            KeyError: this version has no such detector.
        """
        return _OTHERS.get(self.detector) or TRAITS[self.detector]

    @property
    def symptom(self) -> Symptom:
        """What it is evidence of."""
        return self.traits.symptom

    @property
    def joint(self) -> bool:
        """Whether a chart of all inputs together found it."""
        return self.detector in _JOINT

    @property
    def known(self) -> bool:
        """Whether this version of the program has such a detector."""
        return self.detector in TRAITS or self.detector in _OTHERS

    @property
    def of_contract(self) -> bool:
        """Whether it is of what was agreed, and not of what arrives."""
        return self.detector == CONTRACT

    @property
    def of_errors(self) -> bool:
        """Whether it is of a model's predictions, and not of its inputs."""
        return self.detector == LOSS
