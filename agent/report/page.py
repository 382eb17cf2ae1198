"""A report as one self-contained page: no script, nothing that is loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from agent.errors import FieldwardenError
from agent.report import pictures, signed
from agent.report.clauses import RuleBook
from agent.status.view import duration, number, utc


def page(facts: Mapping[str, Any], book: RuleBook | None = None) -> str:
    """The HTML of a report.

    Args:
        facts: of `facts.facts_of`.
        book: by whose clauses its records are ordered, where wanted.

    Raises:
        FieldwardenError: jinja2 or matplotlib is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 only a report needs it
    except ModuleNotFoundError as error:
        raise FieldwardenError(
            "writing", "the report", "this needs jinja2", "pip install 'fieldwarden[report]'"
        ) from error
    template = files("agent.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "utc": utc, "number": number, "percent": _percent, "span": lambda ns: duration(ns / 1e9),
    }  # fmt: skip
    return environment.from_string(template).render(
        facts=facts, book=book, meta=signed.META,
        about=json.dumps({key: facts[key] for key in signed.KEYS}), band=pictures.verdicts(
            facts["verdicts"], facts["since_ns"], facts["until_ns"]
        ),
        plots={
            kind: [pictures.trained_against_now(item) for item in facts[kind]]
            for kind in ("inputs", "outputs")
        },
        losses=[pictures.losses(one, facts["since_ns"], facts["until_ns"])
                for one in facts["errors"]],
        modes=len({item["mode"] for item in facts["inputs"]}) > 1,
        colours=pictures.COLOURS,
    )


def _percent(share: float | None) -> str:
    """A share as people read it: small ones do not become 0."""
    if share is None:
        return "-"
    if 0.0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"
