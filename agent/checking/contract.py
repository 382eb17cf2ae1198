"""What `fieldwarden check` says of the contract: without one, no change upstream is noticed."""

from __future__ import annotations

from collections.abc import Iterator

from agent.checking.item import Item, fault_of
from agent.configuration.schema import Configuration
from agent.contract.beside import found, snapshot_command


def contract(configuration: Configuration) -> Iterator[Item]:
    """Whether there is a contract, and what it is about; of a configuration that is a file's."""
    path = configuration.contract_path
    if path is None:
        return
    there = found(configuration)
    if there.error is not None:
        yield fault_of("contract", there.error)
    elif there.contract is None:
        text = "there is none: no change upstream is compared with what was agreed, or held"
        hint = f"make it: {snapshot_command(path, configuration.file)}"
        yield Item("warning", "contract", text, hint)
    else:
        agreed = there.contract
        lacking = sorted(configuration.sources.keys() - agreed.sources.keys())
        text = f"{len(agreed.sources)} sources, hash {agreed.digest[:12]}, of {agreed.made}"
        yield Item("ok", "contract", text)
        if lacking:
            hint = f"make it anew: {snapshot_command(path, configuration.file)} --replace"
            named = ", ".join(lacking[:5])
            yield Item("warning", "contract", f"it does not know source {named}", hint)
