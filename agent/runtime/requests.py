"""Which retraining request a person means, and whether what is asked of it is possible."""

from __future__ import annotations

from agent.configuration.rules import nearest
from agent.core.retraining import Retraining
from agent.core.retraining_request import FROM
from agent.errors import FieldwardenError

_LIST = "see: fieldwarden retraining list CONFIG"


def meant(kind: str, asked: str, known: Retraining) -> str:
    """The id of the request that is meant: by its id, or by its model where that has one such.

    Raises:
        FieldwardenError: there is none, there are several, or it can not be done with it.
    """
    operation = f"carrying out {kind} on"
    model = asked.removeprefix("model/")
    fitting = [
        one.id for one in known.requests.values()
        if one.model == model and one.state in FROM[kind][1]
    ]
    if asked not in known.requests:
        if len(fitting) > 1:
            raise FieldwardenError(
                operation, asked, "several requests are of this model", f"say which: {fitting}"
            )
        if not fitting:
            hint = nearest(asked, list(known.requests)) or _LIST
            raise FieldwardenError(operation, asked, "there is no such request", hint)
    found = asked if asked in known.requests else fitting[0]
    if cause := known.why_not(kind, found):
        raise FieldwardenError(operation, found, cause, _LIST)
    return found
