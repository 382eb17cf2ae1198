"""`fieldwarden fit --labels`: reads outputs and labels of a record, and adds what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.errors import FieldwardenError

if TYPE_CHECKING:
    from agent.configuration.schema import Configuration
    from agent.fit.model import FitReport
    from agent.records.table import Table
    from agent.records.times import Reading


def with_losses(
    configuration: Configuration, name: str, report: FitReport,
    record: tuple[Table, Table | None], data: str, labels: str, how: Reading,
) -> FitReport:  # fmt: skip
    """A report, and its baseline, with what labels say of the model's losses.

    Args:
        configuration: says what labels there are.
        name: of the model.
        report: of its inputs.
        record: of these, as it was read, and outputs and labels beside it.
        data: the file of it; outputs, and labels, may be columns there.
        labels: the file that has them else.
        how: a person said both are written.

    Raises:
        FieldwardenError: the model has no labels, or their columns are in neither file.
    """
    from agent.fit.labels import fit_labels, streams, with_labels
    from agent.records.lake.named import absolute
    from agent.records.table import read_table, tags_of_texts

    model = configuration.models[name]
    if not model.labels:
        raise FieldwardenError(
            "fitting losses of", f"model {name}", "it has no labels",
            f"say what brings the truth: [[models.{name}.labels]] with tag, of and within",
        )
    texts = tags_of_texts(configuration)
    if not all(label.tag for label in model.labels):
        raise FieldwardenError(
            "fitting losses of", f"model {name}", "a label has no tag, and so no column",
            "give it one that is named as the column",
        )
    wanted = list(dict.fromkeys(one for label in model.labels for one in (label.of, label.tag)))
    table, apart = record
    read = {absolute(data): [*table.names, *wanted]}
    read.setdefault(absolute(labels), wanted)
    for file, columns in read.items():
        if table.selection is not None and file == absolute(data):
            if apart is None:
                continue
            found = apart
        else:
            found = read_table(file, columns, texts=texts, lenient=True, how=how)
        known = [tag for tag in wanted if tag in found.names and tag not in table.names]
        if known:
            table = with_labels(table, found.select(known))
    if missing := [tag for tag in wanted if tag not in table.names]:
        raise FieldwardenError(
            "fitting losses of", f"model {name}", f"no column {', '.join(missing)}",
            "give outputs and labels as columns, named as their tags are",
        )
    losses, learnt = fit_labels(configuration, name, report.baseline, table)
    facts = {**report.baseline.facts, "labels": absolute(labels)}
    baseline = replace(
        report.baseline, losses=losses, labels=streams(configuration, name, table), facts=facts
    )
    return replace(report, baseline=baseline, losses=learnt)
