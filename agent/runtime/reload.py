"""Which changes of the configuration a reload applies, and which wait for a restart: one table.

A key that needs a restart keeps its running value until then, and the agent says so; all other
changes of the same file are applied. Nothing is taken by half: what the agent runs with, and shows,
is always one configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from agent.configuration.load import load
from agent.configuration.schema import Configuration, Status
from agent.configuration.values import is_loopback
from agent.contract.beside import Found, found
from agent.core.steward import Steward
from agent.errors import ConfigurationError, FieldwardenError
from agent.runtime.assemble import baselines_of, build_spec
from agent.runtime.candidates import Candidates, with_candidates
from agent.runtime.catch_up import warm_up
from agent.status.people import People
from agent.store import Store

APPLIES: Final = "applies"
RESTART: Final = "needs a restart"

FATES: Final[Mapping[str, Literal["applies", "needs a restart"]]] = {
    "schema_number": RESTART,
    "gateway.site": RESTART,  # central knows this gateway by site and name
    "gateway.name": RESTART,
    "gateway.false_alarms": APPLIES,  # to the audit; `check` says which baselines to fit again
    "gateway.state_directory": RESTART,
    "gateway.journal_limit_mb": RESTART,  # the store has it from its opening
    "gateway.summary": APPLIES,
    "sources": APPLIES,
    "tags": APPLIES,
    "tag_lists": APPLIES,
    "loops": APPLIES,
    "models": APPLIES,
    "upstream": RESTART,  # one connection, and one limit of the outbox, from start to end
    "status.listen": RESTART,  # the listener is opened once, and so is the socket
    "status.certificate": RESTART,
    "status.private_key": RESTART,
    "status.socket": RESTART,
    "status.socket_group": RESTART,
    "status.runtime_directory": RESTART,
    "hooks": RESTART,  # each has a task and rows of its own, from start to end
    "contract": APPLIES,
    "people": APPLIES,  # but for tokens that could be read on their way, see `taken`
}
"""Key, or whole section where all its keys fare alike -> what a reload does with a change of it."""


class Prepared(NamedTuple):
    """All that a reload needs of files and of the store, ready to be taken at once."""

    configuration: Configuration
    waiting: tuple[str, ...]
    ids: dict[str, int]
    engine: Steward
    people: People
    agreed: Found


def prepare(running: Configuration, store: Store, candidates: Candidates) -> Prepared:
    """Read the file again, and all that it names; nothing of the running agent is touched.

    It takes as long as large files and slow disks do: to be called in a thread of its own.

    Raises:
        FieldwardenError: something of it can not be had.
    """
    if running.file is None:
        raise FieldwardenError("reloading", "configuration", "it was not read from a file")
    configuration, waiting = taken(running, load(running.file))
    ids = store.tag_ids(list(configuration.tags))
    spec = build_spec(configuration, ids, baselines_of(configuration))
    spec = with_candidates(spec, configuration, candidates.known)
    warm_up(spec)
    return Prepared(configuration, waiting, ids, Steward(spec), People(configuration.people),
                    found(configuration))  # fmt: skip


def taken(running: Configuration, read: Configuration) -> tuple[Configuration, tuple[str, ...]]:
    """(the configuration to run with now, the changed keys that wait for a restart).

    Where the page that runs can be reached from elsewhere without TLS, people with a token wait
    together with the listener that they were meant for.

    Args:
        running: what the agent runs with.
        read: the file as it is now.
    """
    waiting = tuple(
        key for key, fate in FATES.items()
        if fate == RESTART and _value(running, key) != _value(read, key)
    )
    if _open_to_all(running.status) and any(one.has_token for one in read.people.values()):
        waiting += ("people",)
    kept: dict[str, Any] = {}
    for key in waiting:
        section, _, inner = key.partition(".")
        value = _value(running, key)
        if inner:
            own = kept.get(section, getattr(read, section))
            value = own.model_copy(update={inner: value})
        kept[section] = value
    return read.model_copy(update=kept), waiting


def _open_to_all(page: Status) -> bool:
    """Whether what is sent to the page can be read on its way: off loopback, without TLS."""
    return not page.certificate and not is_loopback(page.address[0])


def _value(configuration: Configuration, key: str) -> Any:
    value: Any = configuration
    for part in key.split("."):
        value = getattr(value, part)
    return value


def refused(waiting: tuple[str, ...]) -> FieldwardenError:
    """What a person is told of changed keys that were not applied."""
    one = len(waiting) == 1
    return FieldwardenError(
        "reloading", ", ".join(waiting),
        f"a change of {'it' if one else 'these'} {RESTART}; until then "
        f"{'it stays as it was' if one else 'they stay as they were'}; all else is applied",
        "restart the agent: systemctl restart fieldwarden",
    )


def partly(waiting: tuple[str, ...]) -> dict[str, Any]:
    """``reload`` of the status document after a reload that left `waiting` keys as they were."""
    error = refused(waiting)
    text = f"{error.operation} {error.subject}: {error.cause}"
    return {"text": text, "hint": error.hint, "waiting": list(waiting)}


def failed(
    error: FieldwardenError, file: Path | None, waiting: Sequence[str] = ()
) -> dict[str, Any]:
    """``reload`` of the status document after one that changed nothing; of many faults the first.

    Args:
        error: why.
        file: the configuration.
        waiting: keys that an earlier reload left waiting for a restart.
    """
    cause, hint = f"{error.operation} {error.subject}: {error.cause}", error.hint
    if isinstance(error, ConfigurationError):
        first, hint = error.faults[0], f"see all faults: fieldwarden check {file}"
        cause = f"{first.operation} {first.subject}: {first.cause}"
    text = f"the last reload failed, and the configuration stays as it was: {cause}"
    return {"text": text, "hint": hint, "waiting": list(waiting)}
