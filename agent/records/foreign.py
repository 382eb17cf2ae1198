"""Files that are no delimited text, known by their first bytes, and what to do with each."""

from __future__ import annotations

import codecs
import re

_SIGNATURES = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook, or one with a password", "save it as .xlsx"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "unpack it first: unzstd FILE"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"PAR1", "Parquet", "name it .parquet"),
    (b"MATLAB 5.0 MAT", "a MAT-file of MATLAB", "write it as CSV: writetimetable"),
    (b"TDSm", "a TDMS file", "export it as CSV"),
    (b"SQLite format 3", "a database of SQLite", "export the table as CSV"),
)
_MARKUP = re.compile(rb'\s*(<(\?xml|!DOCTYPE|\w+[\s>])|\{\s*"|\[\s*[\[{])', re.IGNORECASE)


def no_text(sample: bytes) -> tuple[str, str] | None:
    """(cause, hint) for a file that is no delimited text by its first bytes."""
    for start, what, hint in _SIGNATURES:
        if sample.startswith(start):
            return f"it is {what}, no delimited text", hint
    if _MARKUP.match(sample.removeprefix(codecs.BOM_UTF8)):
        kind = "HTML or XML" if b"<" in sample[:64] else "JSON"
        return f"it is {kind}, no delimited text", "export it as CSV"
    return None
