"""Tables in other files: compressed, in an archive, in a workbook -> a plain file to be read.

What is unpacked goes to a temporary file piece by piece, and no more of it than a plain file may
have: how small the packed one is tells nothing. Of several tables it is asked which one is meant.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO

from agent.configuration.rules import nearest
from agent.records.cells import data_error
from agent.records.times import Reading

_AT_ONCE = 1 << 20
_HEAD_BYTES = 512
_DEEPEST = 3  # a workbook in an archive that is compressed once more
_STREAMS: Sequence[tuple[bytes, str, Callable[[Path], BufferedIOBase]]] = (
    (b"\x1f\x8b", "gzip", gzip.GzipFile),
    (b"BZh", "bzip2", bz2.BZ2File),
    (b"\xfd7zXZ", "xz", lzma.LZMAFile),
)
_ZIP = b"PK\x03\x04"
_OTHER_BOOKS = {"xl/workbook.bin", "content.xml"}  # .xlsb, OpenDocument
_TAR = (257, b"ustar")
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_TABLES = frozenset({
    ".csv", ".tsv", ".txt", ".tab", ".dat", ".asc", ".prn", ".lvm", ".xlsx", ".xlsm", ".parquet",
    ".pq", ".gz", ".bz2", ".xz",
})  # fmt: skip
_NO_TABLES = re.compile(
    r"__MACOSX/|(?:.*/)?(?:\.|~\$|(?:readme|licen[cs]e|liesmich)\b)", re.IGNORECASE
)
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Plain:
    """A file as it can be read.

    Attributes:
        file: delimited text or Parquet; temporary where it was packed.
        inner: what of the packed file it is, for people: ``export.csv``; empty where it is all.
        separator: of its cells, where that is known.
        decimal: mark of its numbers, where that is known.
    """

    file: Path
    inner: str = ""
    separator: str = ""
    decimal: str = ""


def plain_file(file: Path, how: Reading, most: int, stack: ExitStack) -> Plain:
    """The table that a file holds; the file itself where it is not packed.

    Args:
        file: as a person named it.
        how: what a person said; which member of an archive, which sheet of a workbook.
        most: bytes that the unpacked table may have.
        stack: removes what is temporary.

    Raises:
        FieldwardenError: it is damaged, protected, too large, or of several tables none was named.
        OSError: it can not be read, or there is no room for it.
    """
    found, inner = file, ""
    for _ in range(_DEEPEST):
        with found.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if head.startswith(_ZIP):
            with _archive(file, found) as archive:
                names = set(archive.namelist())
                if "xl/workbook.xml" in names:
                    return _sheet(file, found, inner, how, _folder(stack))
                if names & _OTHER_BOOKS:
                    cause = "it is a workbook of another kind than .xlsx"
                    raise data_error(file, cause, "save it as .xlsx, or the sheet as CSV UTF-8")
                if inner:
                    raise data_error(file, "it is an archive in an archive", "unpack it first")
                member = _member(file, archive, how)
                inner = member.filename
                found = _written(file, archive, member, most, _folder(stack))
        elif opened := next((one for one in _STREAMS if head.startswith(one[0])), None):
            name = PurePosixPath(inner or file.name).with_suffix("")
            target = _folder(stack) / f"table{name.suffix}"
            with faults(file, opened[1]), opened[2](found) as packed:
                _copy(file, packed, target, most)
            found = target
        else:
            break
    _no_tar(file, found)
    return Plain(found, inner)


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fieldwarden-")))


@contextmanager
def faults(file: Path, kind: str) -> Iterator[None]:
    """What a damaged file raises, as an error for a person; no room on the disk stays itself."""
    try:
        yield
    except _DAMAGE as error:
        if getattr(error, "errno", None) is not None:
            raise
        cause = f"the {kind} file is damaged: {str(error)[:120] or 'it ends too early'}"
        raise data_error(file, cause, "was it copied whole? fetch it again") from error


def _sheet(file: Path, found: Path, inner: str, how: Reading, folder: Path) -> Plain:
    from agent.records.workbook import SEPARATOR, sheet_of  # noqa: PLC0415 - an extra

    target = folder / "sheet.tsv"
    with faults(file, "xlsx"):
        name, decimal = sheet_of(file, found, target, how)
    sheet = f"sheet {name!r}"
    return Plain(target, f"{inner}, {sheet}" if inner else sheet, SEPARATOR, decimal)


def _copy(file: Path, packed: BufferedIOBase | IO[bytes], target: Path, most: int) -> None:
    done = 0
    with target.open("wb") as out:
        while part := packed.read(_AT_ONCE):
            done += len(part)
            if done > most:
                raise _too_large(file, most)
            out.write(part)


def _too_large(file: Path, most: int) -> Exception:
    cause = f"unpacked it is larger than {most / 2**30:.3g} GiB"
    return data_error(file, cause, "thin it out, cut it, or write it as Parquet in a folder")


def _archive(file: Path, found: Path) -> zipfile.ZipFile:
    with faults(file, "zip"):
        return zipfile.ZipFile(found)


def _member(file: Path, archive: zipfile.ZipFile, how: Reading) -> zipfile.ZipInfo:
    """The one table of an archive, or the one that was named."""
    every = [one for one in archive.infolist() if not one.is_dir() and one.file_size]
    names = [one.filename for one in every]
    if how.member:
        fits = [one for one in every if how.member in {one.filename, Path(one.filename).name}]
        if len(fits) != 1:
            hint = nearest(how.member, names) if not fits else "give its folder too"
            cause = f"{'no' if not fits else 'more than one'} file {how.member!r} for --member"
            raise data_error(file, cause, hint)
        return fits[0]
    usual = [one for one in every if not _NO_TABLES.match(one.filename)]
    tables = [one for one in usual if Path(one.filename).suffix.lower() in _TABLES] or usual
    if not tables:
        raise data_error(file, "the archive holds no table", "give one with a CSV or a workbook")
    if len(tables) > 1:
        shown = ", ".join(one.filename for one in tables[:_MOST_NAMED])
        more = ", ..." if len(tables) > _MOST_NAMED else ""
        cause = f"the archive holds {len(tables)} files: {shown}{more}"
        raise data_error(file, cause, f"say which: --member {tables[0].filename!r}")
    return tables[0]


def _written(
    file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int, folder: Path
) -> Path:
    if member.flag_bits & 1:
        raise data_error(file, "the archive is protected by a password", "unpack it first")
    if member.file_size > most:
        raise _too_large(file, most)
    target = folder / f"table{Path(member.filename).suffix}"
    try:
        with faults(file, "zip"), archive.open(member) as packed:
            _copy(file, packed, target, most)
    except NotImplementedError as error:
        cause = f"{member.filename} is packed by another method than deflate"
        raise data_error(file, cause, "unpack it first") from error
    return target


def _no_tar(file: Path, found: Path) -> None:
    if found == file:
        return
    with found.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head[_TAR[0] :].startswith(_TAR[1]):
        raise data_error(file, "it is a tar archive", "unpack it first: tar xf FILE")
