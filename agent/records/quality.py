"""Columns of quality beside columns of values: whose they are, and which of their cells are bad."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from agent.records.cells import MISSING, STATUS_WORDS

_NAMES = (
    "quality|qual|qc|q|qly|status|stat|sts|state|flag|flags|good|valid|validity|ok|bad|invalid"
    "|fault|questionable|substituted|error|qualität|qualitaet|güte|gültig|statuscode|opcquality|isgood|isbad"
    "|confidence|qualité|calidad|dataquality|dataintegrity|quality[\\s_]*detail"
)
_SUFFIX = re.compile(
    rf"^(?P<base>.*?)[\s._:/\\|\[(#-]*(?<![^\W_])(?P<word>{_NAMES}|[QS])(?:[\s_]*code)?[\])]?(?:[.\s_]*\d+)?$",
    re.IGNORECASE,
)
_STATES = re.compile(r"status|stat|sts|state|s", re.IGNORECASE)
_CAMEL_FIRST = re.compile(r"^(?P<word>Quality|Status|Flag|Qual)(?P<base>[A-Z].*)$")
_CAMEL = re.compile(r"^(?P<base>.+[A-Za-z0-9])(?P<word>Quality|Status|Flag|Good|Bad|Valid|Qual)$")
_PREFIX = re.compile(rf"^(?P<word>{_NAMES})[\s._:-]+(?:of[\s_])?(?P<base>.+)$", re.IGNORECASE)
_UNIT_AT_END = re.compile(r"\s*[\[(][^\[\]()]*[\])]\s*$")
_VALUE_AT_END = re.compile(r"[\s._:-]*(?:value|val|pv|wert|data)$", re.IGNORECASE)
_FORMS = (_SUFFIX, _CAMEL, _PREFIX, _CAMEL_FIRST)
_GOOD = frozenset({
    "good", "ok", "g", "gut", "valid", "true", "normal", "healthy", "okay", "yes", "ja", "gültig",
    "bon", "bueno", "online", "raw",
})  # fmt: skip
_BAD = frozenset({
    "bad", "uncertain", "questionable", "invalid", "false", "b", "u", "x", "substituted", "stale",
    "suspect", "not ok", "nok", "nein", "no", "ungültig", "unsicher", "manual", "fail", "doubtful",
    "interpolated", "replaced", "mauvais", "malo",
}) | STATUS_WORDS  # fmt: skip
_LETTERS = frozenset("gbuxsq")
_YES, _NO = frozenset({"true", "yes", "ja"}), frozenset({"false", "no", "nein"})
_FIRST = frozenset(["good", "bad", "uncertain", "gut", "questionable", "ok"])
_TRUE_IS_BAD = re.compile(r"bad|invalid|fault|questionable|substituted|error", re.IGNORECASE)
_TRUE_IS_GOOD = re.compile(r"(is)?(good|valid|validity|ok|gültig)", re.IGNORECASE)
_OPC_GOOD, _OPC_LEAST = 0xC0, 0x40
_PROFIBUS_GOOD = 0x80  # of IEC 61784 (PROFIBUS PA) and PCS 7; OPC DA has no such code
_UA_LEAST = 0x4000_0000  # severity of OPC UA's status codes: uncertain


class AmbiguousQualityError(Exception):
    """Codes of which it can not be told which are good; `codes` are some of them."""

    def __init__(self, codes: Sequence[str]) -> None:
        super().__init__(*codes)
        self.codes = codes


def companions(names: Sequence[str], body: Sequence[Sequence[str]]) -> dict[int, int]:
    """Position of a column of quality -> that of the column of values it is about.

    It has the other's name and a word of quality, or only such a word and stands right after it;
    and its cells are codes or words, not measured values.
    """
    backwards = list(reversed(list(enumerate(names))))
    plain = {_plain(name): at for at, name in backwards} | {
        _bare(name): at for at, name in backwards
    }
    found: dict[int, int] = {}
    for at, name in enumerate(names):
        cells = [row[at] for row in body if at < len(row) and row[at]]
        if not cells or not _looks_like_codes(cells):
            continue
        for match in filter(None, (form.match(name) for form in _FORMS)):
            base = match["base"]
            if _STATES.fullmatch(match["word"]) and not _tells(cells):
                continue  # a state of the plant, such as running or stopped
            of = at - 1
            if base.strip():
                of = plain.get(_bare(base), plain.get(_plain(base), at))
            if of >= 0 and of != at and of not in found:
                found[at] = of
                break
    return found


def _tells(cells: Sequence[str]) -> bool:
    """Whether cells are qualities beyond doubt: good, bad, or codes of OPC."""
    codes = [code for cell in set(cells) if (code := _code(cell)) is not None]
    words = [_word(cell) for cell in set(cells) if _code(cell) is None]
    if words:
        told = any(word.startswith(("good", "bad", "uncertain", "gut")) for word in words)
        return told or ("g" in words and set(words) <= _LETTERS)
    return any(code >= _OPC_GOOD for code in codes)


def is_quality_word(name: str) -> bool:
    """Whether a heading is nothing but a word of quality."""
    return re.fullmatch(_NAMES, name.strip(), re.IGNORECASE) is not None


def _plain(name: str) -> str:
    """A name without what only says that it is one of values: ``TIC1.PV.Value`` is ``tic1``."""
    shorter = _VALUE_AT_END.sub("", _UNIT_AT_END.sub("", name)).strip(" ._:-")
    return _bare(name) if shorter == name else _plain(shorter)


def _bare(name: str) -> str:
    name = name.strip(" ._:-")
    return re.sub(r"[\s._:-]+", "_", name).lower()


def _looks_like_codes(cells: Sequence[str]) -> bool:
    different = set(cells)
    whole = all(re.fullmatch(r"(0x[0-9a-fA-F]+|\d{1,10})(\.0+)?", cell) for cell in different)
    words = any(_word(cell) in _GOOD | _BAD for cell in different)
    return (whole or words) and len(different) <= max(4, len(cells) // 4)


def _word(cell: str) -> str:
    """The word that tells, of ``Good, non-specific`` and ``Bad [Comm Fail]``."""
    lower = cell.lower().strip("'\" ")
    if lower in _GOOD | _BAD:
        return lower
    first = re.split(r"[\s,;:\[(_/-]", lower, maxsplit=1)[0]
    return first if first in _FIRST else lower


def bad_of(name: str, cells: Collection[str], good: Collection[str] = ()) -> Mapping[str, bool]:
    """Each different cell of a column of quality -> whether it marks a bad sample.

    Args:
        name: of the column, which may say what 1 means.
        cells: the different ones.
        good: those that a person said are good.

    Raises:
        AmbiguousQualityError: codes that have no known meaning.
    """
    filled = {cell for cell in cells if cell.lower() not in MISSING}
    empty = dict.fromkeys(set(cells) - filled, False)
    if good:
        return empty | {cell: cell.lower() not in good for cell in filled}
    codes = {cell: code for cell in filled if (code := _code(cell)) is not None}
    turned = bool(_TRUE_IS_BAD.search(_word_of(name)))  # True under "questionable" is bad
    words = {
        cell: (_word(cell) in _YES) if turned and _word(cell) in _YES | _NO
        else _word(cell) not in _GOOD
        for cell in filled - set(codes)
    }  # fmt: skip
    return empty | words | _bad_codes(name, codes)


def _word_of(name: str) -> str:
    """The word of quality in a heading; empty where there is none."""
    match = next(filter(None, (form.match(name) for form in (_SUFFIX, _CAMEL, _PREFIX))), None)
    return match["word"] if match else ""


def _bad_codes(name: str, codes: Mapping[str, int]) -> dict[str, bool]:
    values = set(codes.values())
    if len(values) <= 1 and values <= {0, 1, 100}:
        return dict.fromkeys(codes, False)  # one code for all: nothing is told apart
    if values <= {0, 100}:  # a share of good samples, or a confidence, in %
        return {cell: code == 0 for cell, code in codes.items()}
    word = _word_of(name)
    if _TRUE_IS_GOOD.fullmatch(word) and 1 in values and max(values) < _OPC_LEAST:
        return {cell: code != 1 for cell, code in codes.items()}  # valid is 1, others are reasons
    if any(value >= _UA_LEAST for value in values):
        return {cell: code >= _UA_LEAST for cell, code in codes.items()}
    if values <= {0, 1}:
        if _TRUE_IS_BAD.search(word):
            return {cell: code == 1 for cell, code in codes.items()}
        if _TRUE_IS_GOOD.search(word):
            return {cell: code == 0 for cell, code in codes.items()}
        raise AmbiguousQualityError(sorted(codes))
    if any(value & _OPC_GOOD == _PROFIBUS_GOOD for value in values):
        return {cell: code & _PROFIBUS_GOOD == 0 for cell, code in codes.items()}
    if any(value & _OPC_GOOD == _OPC_GOOD for value in values) or values <= {0, 64}:
        return {cell: code & _OPC_GOOD != _OPC_GOOD for cell, code in codes.items()}
    raise AmbiguousQualityError(sorted(codes)[:4])


def _code(cell: str) -> int | None:
    text = re.sub(r"\.0+$", "", cell)
    if re.fullmatch(r"\d{1,10}", text):
        return int(text)
    return int(text, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", text) else None
