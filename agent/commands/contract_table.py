"""The contract as a table for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.contract.differences import trained_range
from agent.contract.document import Contract, TagTerms
from agent.status.terminal import plain

_MOST_TAGS = 200
"""Of a source; `--json` has all of them."""


def table_of(contract: Contract) -> RenderableType:
    """Sources with their tags, then models."""
    parts: list[RenderableType] = [
        _text(f"contract {contract.digest[:12]} of {contract.made}, gateway "
              f"{contract.site}/{contract.gateway}")
    ]  # fmt: skip
    for name, source in sorted(contract.sources.items()):
        told = [f"{key} {value}" for key, value in sorted(source.served.items())
                if isinstance(value, str)]  # fmt: skip
        head = f"{name}: {source.agreed.get('protocol')} at {source.agreed.get('place')}"
        table = Table(title=_text("; ".join([head, *told])), title_justify="left")
        for heading in ("tag", "address", "type", "unit", "trained on", "models"):
            table.add_column(heading, overflow="fold")
        for tag, terms in sorted(source.tags.items())[:_MOST_TAGS]:
            table.add_row(*map(_text, _row(contract, tag, terms)))
        parts.append(table)
        if len(source.tags) > _MOST_TAGS:
            parts.append(Text(f"and {len(source.tags) - _MOST_TAGS} more tags: --json has them"))
    models = Table("model", "version", "owner", "tags", "baseline")
    for name, model in sorted(contract.models.items()):
        digest = model.baseline[:12] or "not trained yet"
        row = (name, model.version, model.owner, str(len(model.tags)), digest)
        models.add_row(*map(_text, row))
    return Group(*parts, models)


def _text(told: str) -> Text:
    """What a source tells of itself is no markup, and steers no terminal."""
    return Text(plain(told))


def _row(contract: Contract, tag: str, terms: TagTerms) -> tuple[str, ...]:
    served, agreed = terms.served, terms.agreed
    kind = served.get("data_type") or served.get("json_type") or agreed.get("data_type") or ""
    span = trained_range(contract, tag)
    trained = f"{span[0]:.5g} to {span[1]:.5g}" if span else ""
    unit = str(agreed.get("unit", ""))
    models = ", ".join(contract.models_of(tag))
    return tag, str(agreed.get("address", "")), str(kind), unit, trained, models
