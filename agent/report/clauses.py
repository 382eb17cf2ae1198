"""The records of a report by clause of a rule book: what is evidence for what, and where it stands.

Nothing here says that anything is complied with: that is for people to judge who know the plant,
the model's use and the text of the rule. Only numbers and subjects of clauses are given.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Clause(NamedTuple):
    """A clause, which record is evidence for it, and where that stands in the report."""

    clause: str
    record: str
    where: str


class RuleBook(NamedTuple):
    """What people call it, which text is meant, its clauses."""

    name: str
    text: str
    clauses: tuple[Clause, ...]


RULE_BOOKS: Final = {
    "annex22": RuleBook(
        "EU GMP Annex 22", "Artificial Intelligence, draft for consultation of July 2025",
        (
            Clause("3 Intended use", "inputs with ranges and units as trained", "inputs"),
            Clause("10.1 Change control", "changes of configuration and baseline", "changes"),
            Clause("10.2 Configuration control", "hashes of baseline and account", "identity"),
            Clause("10.3 System performance monitoring", "verdicts, incidents, promise kept or not",
                   "verdicts"),
            Clause("10.3 System performance monitoring", "errors against labels, outputs",
                   "errors"),
            Clause("10.4 Input sample space monitoring",
                   "time outside the trained range, shift of each input", "inputs"),
            Clause("10.5 Human review", "acts of named persons with reason and evidence",
                   "decisions"),
            Clause("10.5 Human review", "reports signed, months without one", "reviews"),
        ),
    ),
    "ai-act": RuleBook(
        "EU AI Act", "Regulation (EU) 2024/1689",
        (
            Clause("Art. 9 Risk management", "incidents with cause, their course and end",
                   "incidents"),
            Clause("Art. 10 Data governance", "inputs as trained beside inputs as met", "inputs"),
            Clause("Art. 12 Record-keeping", "hash-chained account, verdict changes", "identity"),
            Clause("Art. 13 Transparency", "what inputs are watched for, and what not", "inputs"),
            Clause("Art. 14 Human oversight", "acts of named persons with reason", "decisions"),
            Clause("Art. 14 Human oversight", "requests for retraining and who decided them",
                   "retraining"),
            Clause("Art. 15 Accuracy, robustness", "share of time in each verdict", "verdicts"),
            Clause("Art. 15 Accuracy, robustness", "errors against labels", "errors"),
            Clause("Art. 19, 26(6) Logs", "since when records are kept, and gaps in them", "gaps"),
            Clause("Art. 26(5), 72 Monitoring", "incidents and promise over the time", "incidents"),
        ),
    ),
    "iso42001": RuleBook(
        "ISO/IEC 42001:2023", "Artificial intelligence management system",
        (
            Clause("9.1 Monitoring, measurement, analysis", "verdicts, promise, drift of inputs",
                   "verdicts"),
            Clause("9.3 Management review", "this report, once it is signed", "reviews"),
            Clause("10.2 Nonconformity, corrective action", "incidents and what people did",
                   "incidents"),
            Clause("A.3.2 Roles and responsibilities", "owner of the model, who acted", "identity"),
            Clause("A.6.2.6 Operation and monitoring", "verdicts and incidents", "verdicts"),
            Clause("A.6.2.6 Operation and monitoring", "errors against labels", "errors"),
            Clause("A.6.2.8 Recording of event logs", "hash-chained account, gaps", "identity"),
            Clause("A.7.4 Quality of data", "good share and range of each input", "inputs"),
            Clause("A.8.4 Communication of incidents", "incidents with cause and hint",
                   "incidents"),
        ),
    ),
}  # fmt: skip
