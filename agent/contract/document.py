"""The contract as a document: per source and tag what is agreed, and what serves it.

Two kinds of terms. *Agreed* is what the configuration says and the models were trained on; *served*
is what the source itself told when the contract was made. The hash is over all terms, not over when
they were read: the same plant gives the same hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agent.errors import FieldwardenError

SCHEMA: Final = 1
LIMIT_BYTES: Final = 64_000_000
"""Of a contract's file: 20,000 tags with all their terms take about 20 MB."""

Terms = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TagTerms:
    """A tag: `agreed` by the configuration, `served` by its source; both JSON-ready."""

    agreed: Terms
    served: Terms = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceTerms:
    """A source: where and how it is reached (`agreed`), what answers there (`served`), its tags."""

    agreed: Terms
    served: Terms
    tags: Mapping[str, TagTerms]


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """A model version: whose it is, and what it needs.

    Attributes:
        tags: tag -> JSON-ready: its `role`, and as fitted its `unit`, `kind`, `trained` range and
            `resolution`.
    """

    version: str
    owner: str
    baseline: str
    tags: Mapping[str, Terms]


@dataclass(frozen=True, slots=True)
class Contract:
    """All sources and models of one gateway; `made` is when, as text, and no part of the hash."""

    site: str
    gateway: str
    sources: Mapping[str, SourceTerms]
    models: Mapping[str, ModelTerms]
    made: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of all terms."""
        return hashlib.sha256(_canonical(self._terms())).hexdigest()

    def models_of(self, tag: str) -> list[str]:
        """The models that a tag has to do with, by name."""
        return sorted(name for name, model in self.models.items() if tag in model.tags)

    def to_document(self) -> dict[str, Any]:
        """JSON-ready, keys sorted."""
        head = {"schema": SCHEMA, "made": self.made, "hash": self.digest}
        return head | self._terms()

    def _terms(self) -> dict[str, Any]:
        return {
            "site": self.site,
            "gateway": self.gateway,
            "sources": {
                name: {
                    "agreed": _sorted(source.agreed),
                    "served": _sorted(source.served),
                    "tags": {
                        tag: {"agreed": _sorted(terms.agreed), "served": _sorted(terms.served)}
                        for tag, terms in sorted(source.tags.items())
                    },
                }
                for name, source in sorted(self.sources.items())
            },
            "models": {
                name: {
                    "version": model.version,
                    "owner": model.owner,
                    "baseline": model.baseline,
                    "tags": {tag: _sorted(terms) for tag, terms in sorted(model.tags.items())},
                }
                for name, model in sorted(self.models.items())
            },
        }


def without_served(
    contract: Contract, sources: Collection[str], tags: Collection[str] = ()
) -> Contract:
    """A contract without what these sources tell of themselves, and is served of these tags."""

    def bare(name: str, source: SourceTerms) -> SourceTerms:
        kept = {
            tag: TagTerms(terms.agreed) if name in sources or tag in tags else terms
            for tag, terms in source.tags.items()
        }
        return SourceTerms(source.agreed, {} if name in sources else source.served, kept)

    kept = {name: bare(name, source) for name, source in contract.sources.items()}
    return replace(contract, sources=kept)


def carried_over(was: Contract, now: Contract, sources: Collection[str]) -> Contract:
    """A contract with what these sources told last, of themselves and of tags at the same address:
    they were not asked now.
    """

    def told(name: str, source: SourceTerms) -> SourceTerms:
        known = was.sources.get(name)
        if known is None or name not in sources:
            return source
        tags = {
            tag: TagTerms(terms.agreed, known.tags[tag].served)
            if tag in known.tags
            and known.tags[tag].agreed.get("address") == terms.agreed.get("address")
            else terms
            for tag, terms in source.tags.items()
        }
        return SourceTerms(source.agreed, known.served, tags)

    return replace(now, sources={name: told(name, one) for name, one in now.sources.items()})


def silent(was: Contract, now: Contract, sources: Collection[str]) -> list[str]:
    """Tags of which these sources told something once, and nothing now: of what is only sent now
    and then, nothing may have come in the time that was waited. A refusal tells something by going.
    """
    return sorted(
        tag for name in sources if name in was.sources and name in now.sources
        for tag, terms in was.sources[name].tags.items()
        if terms.served and "refused" not in terms.served
        and tag in now.sources[name].tags and not now.sources[name].tags[tag].served
    )


def _sorted(terms: Terms) -> dict[str, Any]:
    return dict(sorted(terms.items()))


def _canonical(document: Any) -> bytes:
    told = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return told.encode("ascii")


def text_of(contract: Contract) -> str:
    """As it stands in a file: a term a line, so that version control shows what changed."""
    return json.dumps(contract.to_document(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def contract_of(content: bytes, path: str) -> Contract:
    """A contract from its file.

    Raises:
        FieldwardenError: it is none, of another version, or was changed by hand.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _error(path, f"it is no JSON: {str(error)[:80]}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _error(path, "it is no contract, or one of another version")
    try:
        found = _read(document)
        digest = found.digest
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _error(path, f"a part of it is missing or of another form: {error}") from None
    if digest != document.get("hash"):
        raise _error(path, "its hash is not that of its terms: it was changed by hand, or cut")
    return found


def _read(document: Mapping[str, Any]) -> Contract:
    sources = {
        name: SourceTerms(
            dict(source["agreed"]), dict(source["served"]),
            {
                tag: TagTerms(dict(terms["agreed"]), dict(terms["served"]))
                for tag, terms in source["tags"].items()
            },
        )
        for name, source in document["sources"].items()
    }  # fmt: skip
    models = {
        name: ModelTerms(
            str(model["version"]), str(model["owner"]), str(model["baseline"]),
            {tag: dict(terms) for tag, terms in model["tags"].items()},
        )
        for name, model in document["models"].items()
    }  # fmt: skip
    made = str(document.get("made", ""))
    return Contract(str(document["site"]), str(document["gateway"]), sources, models, made)


def _error(path: str, cause: str) -> FieldwardenError:
    hint = "take it from where it is kept, or make it anew: fieldwarden contract snapshot CONFIG"
    return FieldwardenError("reading the contract", path, cause, hint)
