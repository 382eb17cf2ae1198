"""Lines for people: in a terminal broken between words, in a pipe or a file left whole."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Final

_NARROWEST: Final = 40  # columns; below, indented text would be a column of single words


def hanging(text: str, indent: int = 0, *, begun: bool = True, err: bool = False) -> str:
    """`text` for the terminal that it goes to; the lines after the first begin at `indent`.

    Args:
        text: one line; words that are too long for a line, such as paths, stay whole.
        indent: columns.
        begun: the first line is at `indent` already; else it starts at the left.
        err: it goes to stderr.
    """
    if not (sys.stderr if err else sys.stdout).isatty():
        return text
    columns = shutil.get_terminal_size().columns
    if columns - indent < _NARROWEST:
        return text
    blank = " " * indent
    lines = textwrap.wrap(
        text, columns, initial_indent=blank if begun else "", subsequent_indent=blank,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    whole = "\n".join(lines)
    return whole.removeprefix(blank) if begun else whole


def counted(number: int, word: str) -> str:
    """``1 entry``, ``4,000 entries``."""
    if number == 1:
        return f"1 {word}"
    return f"{number:,} {word[:-1]}ies" if word.endswith("y") else f"{number:,} {word}s"


def size(sources: int, tags: int, models: int) -> str:
    """``3 sources, 26 tags, 1 model``."""
    told = ((sources, "source"), (tags, "tag"), (models, "model"))
    return ", ".join(counted(number, word) for number, word in told)
