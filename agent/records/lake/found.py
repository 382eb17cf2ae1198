"""Which files a lake's record is in: a pattern, a folder, a Delta or an Iceberg table.

    find("lake/**/*.parquet")       a pattern; `**` stands for any folders; of a folder that fits,
                                    all of it
    find("lake")                    a folder: every .parquet and .pq below it; a Delta table where
                                    it has `_delta_log`, an Iceberg table where it has `metadata`
    find("s3://bucket/lake")        the same in a store that pyarrow reaches

A file's constants are what the names of its folders say (`year=2026`, as Hive writes them) or what
its table does. Only what was found here is read: files that come later are not of the record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from pyarrow import ArrowException, fs

from agent.errors import FieldwardenError, cause_of
from agent.records.lake.named import SIGNS

_ENDINGS = (".parquet", ".pq")
_NOTHING = "__HIVE_DEFAULT_PARTITION__"

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class File:
    """One file as it was when it was found.

    Attributes:
        path: in its filesystem.
        bytes: its size.
        changed_ns: when it was last written.
        constants: columns that have one value in all of its rows.
    """

    path: str
    bytes: int
    changed_ns: int
    constants: Mapping[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lake:
    """The files of a record, in the order of their paths.

    Attributes:
        data: what a person said.
        files: at least one.
        text: what was found, for people.
        ids: name of a column -> its number, by which an Iceberg table finds it in older files.
        store: URI by which pyarrow finds the filesystem; empty for the local one.
    """

    data: str
    files: tuple[File, ...]
    text: str
    ids: Mapping[str, int] = field(default_factory=dict)
    store: str = ""

    def filesystem(self) -> fs.FileSystem:
        """Where the files are."""
        return fs.FileSystem.from_uri(self.store)[0] if self.store else fs.LocalFileSystem()


def find(data: str) -> Lake:
    """The files of a lake.

    Raises:
        FieldwardenError: there are none, what reads the table is not installed, or the table needs
            what can not be done.
    """
    try:
        if data.endswith(".metadata.json"):
            return _iceberg(data, data)
        if "://" not in data and (Path(data) / "_delta_log").is_dir():
            return _delta(data)
        if "://" not in data and (found := _latest(Path(data) / "metadata")):
            return _iceberg(data, str(found))
        return _parquet(data)
    except (OSError, ArrowException) as error:
        hint = "give a folder, a pattern such as 'lake/**/*.parquet', or a Delta or Iceberg table"
        raise lake_error(data, cause_of(error), hint) from error


def lake_error(data: str, cause: str, hint: str = "") -> FieldwardenError:
    """What is wrong with a lake, or with one of its files."""
    return FieldwardenError("reading lake", data, cause, hint)


def _parquet(data: str) -> Lake:
    where, store, path = _located(data)
    fixed = SIGNS.split(path)[0]
    base = path if fixed == path else fixed.rpartition("/")[0] or "/"
    fits = re.compile(_expression(path)) if fixed != path else None
    at = where.get_file_info(base)
    found = [at] if at.type == fs.FileType.File else where.get_file_info(
        fs.FileSelector(base, recursive=True, allow_not_found=True)
    )
    files = [
        File(info.path, info.size, info.mtime_ns, _hive(info.path.removeprefix(base)))
        for info in found if info.type == fs.FileType.File and _is_wanted(info.path, base, fits)
    ]
    if not files:
        cause = "no file fits" if fits else "no Parquet file is there"
        hint = "put the pattern in quotes; ** stands for any folders: 'lake/**/*.parquet'"
        if any(info.path.lower().endswith((".csv", ".txt", ".tsv")) for info in found):
            hint = "CSV is read one file at a time: join the files, or write them as Parquet"
        raise lake_error(data, cause, hint)
    return _lake(data, files, "Parquet", store=store)


def _located(data: str) -> tuple[fs.FileSystem, str, str]:
    """(filesystem, URI that gives it, path or pattern in it)."""
    if "://" not in data:
        return fs.LocalFileSystem(), "", str(Path(data).resolve())
    fixed = SIGNS.split(data)[0]
    folder = fixed if fixed == data else fixed.rpartition("/")[0]
    where, base = fs.FileSystem.from_uri(folder)
    return where, folder, base + data[len(folder) :]


def _is_wanted(path: str, base: str, fits: re.Pattern[str] | None) -> bool:
    below = PurePosixPath(path.removeprefix(base)).parts
    if any(part.startswith((".", "_")) for part in below):
        return False  # as of writers that are not done, and what tables note
    if fits is not None and fits.fullmatch(path):
        return True
    inside = fits is None or any(fits.fullmatch(str(up)) for up in PurePosixPath(path).parents)
    return inside and path.lower().endswith(_ENDINGS)


def _expression(pattern: str) -> str:
    """A regular expression of a shell's pattern, in which ** crosses folders."""
    made = ""
    for word in re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])", pattern):
        if word in {"**/", "**"}:
            made += "(?:.*/)?" if word == "**/" else ".*"
        elif word in {"*", "?"}:
            made += "[^/]*" if word == "*" else "[^/]"
        elif word.startswith("[") and word.endswith("]"):
            made += word.replace("[!", "[^", 1)
        else:
            made += re.escape(word)
    return made


def _hive(path: str) -> dict[str, Cell]:
    named = (part.partition("=") for part in path.split("/")[:-1] if "=" in part)
    return {
        unquote(key): None if value == _NOTHING else unquote(value) for key, _, value in named
    }


def _lake(data: str, files: list[File], kind: str, store: str = "", ids: Mapping[str, int] | None
          = None) -> Lake:  # fmt: skip
    files.sort(key=lambda one: one.path)
    size = sum(one.bytes for one in files)
    text = f"{kind}: {len(files):,} file{'s' * (len(files) != 1)}, {size / 1e9:.3g} GB"
    return Lake(data, tuple(files), text, ids or {}, store)


def _as_found(path: str, constants: Mapping[str, Cell] | None = None) -> File:
    plain = unquote(path.removeprefix("file://"))
    info = fs.LocalFileSystem().get_file_info(plain)
    if info.type != fs.FileType.File:
        raise lake_error(plain, "the table names this file, but it is not there", "restore it")
    return File(plain, info.size, info.mtime_ns, dict(constants or {}))


def _missing(error: ModuleNotFoundError, data: str, extra: str) -> FieldwardenError:
    hint = f"pip install 'fieldwarden[{extra}]'"
    return lake_error(data, f"this needs {(error.name or '').partition('.')[0]}", hint)


def _delta(data: str) -> Lake:
    try:
        from deltalake import DeltaTable  # noqa: PLC0415 an extra
        from deltalake.exceptions import DeltaError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _missing(error, data, "delta") from error
    try:
        table = DeltaTable(data)
        table.to_pyarrow_dataset()  # refuses what a plain reader of its files would not see
        said: list[dict[str, Any]] = _rows(table.get_add_actions())
    except (DeltaError, ValueError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:160]
        hint = "write it anew without deletion vectors and mapped columns, or give its files"
        raise lake_error(data, f"the Delta table can not be read: {cause}", hint) from error
    root = Path(data).resolve()
    files = [_as_found(str(root / unquote(one["path"])), one.get("partition")) for one in said]
    if not files:
        raise lake_error(data, "the Delta table is empty", "give one with rows")
    return _lake(data, files, f"Delta table at version {table.version()}")


def _rows(actions: Any) -> list[dict[str, Any]]:
    import pyarrow as pa  # noqa: PLC0415 what deltalake hands over is read by it

    return list(pa.table(actions).to_pylist())


def _latest(folder: Path) -> Path | None:
    """The newest metadata of an Iceberg table, by the numbers in their names."""
    found = list(folder.glob("*.metadata.json")) if folder.is_dir() else []
    return max(found, key=lambda one: (_number(one.name), one.name), default=None)


def _number(name: str) -> int:
    number = re.match(r"v?(\d+)", name)
    return int(number[1]) if number else -1


def _iceberg(data: str, metadata: str) -> Lake:
    try:
        from pyiceberg.table import StaticTable  # noqa: PLC0415 an extra
    except ModuleNotFoundError as error:
        raise _missing(error, data, "iceberg") from error
    try:
        table = StaticTable.from_metadata(metadata)
        tasks = list(table.scan().plan_files())
        ids = {one.name: one.field_id for one in table.schema().fields}
    except (ValueError, KeyError, OSError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:160]
        hint = "give the folder that has `metadata`, or a .metadata.json"
        raise lake_error(data, f"the Iceberg table can not be read: {cause}", hint) from error
    if any(task.delete_files for task in tasks):
        hint = "let its engine rewrite the data files (compaction), then fit again"
        raise lake_error(data, "rows of the Iceberg table are deleted by files of deletes", hint)
    files = [_as_found(task.file.file_path) for task in tasks]
    if not files:
        raise lake_error(data, "the Iceberg table is empty", "give one with rows")
    snapshot = table.current_snapshot()
    number = snapshot.snapshot_id if snapshot else 0
    return _lake(data, files, f"Iceberg table at snapshot {number}", ids=ids)
