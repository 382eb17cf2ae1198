"""What conditions are called, as far as their course depends on it."""

from __future__ import annotations

from agent.core.kernels import TRAITS
from agent.core.kernels.base import Symptom

EXCURSION = "excursion"
"""What a tag's condition is called that left the trained range, once it is back in it."""

MAY_BE_FALSE = frozenset({
    *((kind, cause) for cause in ("unknown", "process")
      for kind in ("level shift", "drift", "out of trained range", EXCURSION, "sudden change")),
    *((kind, "sensor") for kind in ("noise", "spikes")),
    *((kind, "model") for kind in (
        "level shift", "drift", "out of trained range", EXCURSION, "noise", "spikes",
    )),
})  # fmt: skip
"""(kind, cause) of what an input or output is called that was compared with its own past, near or
far: a plant may do that at any time, and nobody knows of a fault."""

MENDED = frozenset({"integration", "sensor"})
"""Causes for which there is something to mend."""

_TRANSPORT = {
    traits.words.kind: frozenset({traits.symptom, Symptom.SOURCE})
    for traits in TRAITS.values() if traits.transport and traits.words
}
TRUE_WHILE = _TRANSPORT | {
    "source lost": frozenset(
        {traits.symptom for traits in TRAITS.values() if traits.transport} | {Symptom.SOURCE}
    ),
    "out of physical range": frozenset({Symptom.IMPOSSIBLE}),
    "contract broken": frozenset({Symptom.CONTRACT}),
}
"""A name that says what arrives -> what must be found, any of it, for the name to be true."""


ERRORS_GREW = "errors grew"
"""What a model's condition is called whose losses are higher than in training."""

NAMED_WHILE = TRUE_WHILE | {
    "stuck": frozenset({Symptom.FLAT}), "out of trained range": frozenset({Symptom.BEYOND}),
    ERRORS_GREW: frozenset({Symptom.ERRORS}),
}
"""The same of all names that are over as soon as nothing of the kind is found any more."""

OF_PLACE = NAMED_WHILE.keys() - TRUE_WHILE.keys()
"""Those of them that are over also where nothing is found any more, while the off-delay runs."""


HOW_SERVED = frozenset({Symptom.DIGITS, Symptom.LINES, Symptom.SMOOTH, Symptom.AGAIN})
"""What says how values are served, and of nothing but the time in which it is found."""

SERVED_WHILE = {
    traits.words.kind: frozenset({
        traits.symptom, *({Symptom.FLAT} if traits.symptom is Symptom.AGAIN else ())
    })
    for traits in TRAITS.values() if traits.words and traits.symptom in HOW_SERVED
}
"""A name that says how values are served -> what must be found, any of it, while anything is."""

SAID_WHILE = NAMED_WHILE | SERVED_WHILE
"""All names that say what is there now."""


def lasts(kind: str, cause: str) -> bool:
    """Whether what a condition is called lasts until somebody mends it, and is not said by what
    arrives: a unit or an address that was changed.
    """
    return cause == "integration" and kind not in TRUE_WHILE and kind not in SERVED_WHILE
