"""Tags that no transmitter measures: whose fault what is found of them is."""

from __future__ import annotations

NO_INSTRUMENT = {
    "output": ("model", "look at the program that computes {tag}, and at what it is given"),
    "label": ("unknown", "look at how {tag} is found out and entered, and how it gets here"),
    "mode": ("unknown", "look at what sets {tag} at {source}"),
    "set point": (
        "process",
        "find out who, or which loop above {loop}, moved its set point; the model may not know it",
    ),
    "setting": ("process", "find out who moved {tag}; the model may not know it"),
    "command": ("process", "find out who, or which program, gave the command {tag}"),
    "loop mode": ("process", "find out who switched {loop}"),
    "controller output": (
        "unknown",
        "the controller of {loop} moves it: look at its measurement, its valve and its load",
    ),
}
"""Role, or part in a control loop, of a tag that no transmitter measures -> whose fault it is
rather than a sensor's, hint."""

ANNOUNCED = frozenset({"set point", "setting", "command", "loop mode"})
"""What somebody moves on purpose: whatever they do is the plant's."""
