"""Who else is told of events: one row a kind of hook, one module each.

A hook is told behind the commit, at least once, in order; see `deliverer`. A new kind is a table in
`configuration/hooks.py`, a module with `create` and `probe`, and a row here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.hooks import mlflow, webhook
from agent.hooks.form import Refused, Sender, Target, Told

__all__ = ["HOOKS", "Kind", "Refused", "Sender", "Target", "Told"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between kinds of hooks.

    Attributes:
        create: a target from a hook's table and who speaks.
        probe: asks whether it could be told now, without telling it anything: what was found.
            Raises FieldwardenError where it is not there, or will refuse.
    """

    create: Callable[[Any, Sender], Target]
    probe: Callable[[Any, float], Awaitable[str]]


HOOKS: Final[Mapping[str, Kind]] = {
    "webhook": Kind(webhook.create, webhook.probe),
    "mlflow": Kind(mlflow.create, mlflow.probe),
}
