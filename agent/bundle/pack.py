"""The zip file: every file of it, in order of their names, with fixed times and a manifest."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent import __version__
from agent.bundle.evidence import Evidence, Samples
from agent.bundle.pictures import picture
from agent.configuration.schema import Configuration
from agent.core.baseline_file import read_baseline
from agent.errors import FieldwardenError, cause_of
from agent.records.written import parquet_bytes
from agent.status.retraining_lines import report

MOST_BYTES: Final = 100_000_000
PICTURES: Final = 20
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_LEVEL: Final = 6
SAMPLES: Final = "samples.parquet"


def bundle(evidence: Evidence, configuration: Configuration) -> bytes:
    """The bundle, the same bytes for the same evidence; samples are left out where it would be too
    large with them.

    Raises:
        FieldwardenError: it is too large without them, too, or the baseline can not be read.
    """
    files = _files(evidence)
    why = evidence.samples.why_none
    if sum(map(len, files.values())) > MOST_BYTES and SAMPLES in files:
        del files[SAMPLES]
        why = f"with them it has more than {MOST_BYTES // 1_000_000} MB: take the block means"
    if sum(map(len, files.values())) > MOST_BYTES:
        raise FieldwardenError(
            "bundling", str(evidence.request["id"]),
            f"it has more than {MOST_BYTES // 1_000_000} MB",
        )
    files["manifest.json"] = _manifest(evidence, configuration, files, why)
    return zipped(files)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file that depends on names and content alone."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _NO_TIME)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, files[name], zipfile.ZIP_DEFLATED, _LEVEL)
    return out.getvalue()


def write(file: Path, content: bytes) -> None:
    """Put it in its place whole, or not at all.

    Raises:
        FieldwardenError: the file can not be written.
    """
    draft = file.with_name(file.name + ".new")
    try:
        draft.write_bytes(content)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise FieldwardenError("writing", str(file), cause_of(error)) from error


def _files(evidence: Evidence) -> dict[str, bytes]:
    request = evidence.request
    files = {
        "request.json": _json(request),
        "README.txt": ("\n".join([*report(request), "", *_ABOUT]) + "\n").encode(),
        "left_out.json": _json({
            "spans": request["left_out"],
            "bad_samples": [
                {"tag": tag, "why": why, "count": count}
                for (tag, why), count in evidence.samples.bad.items()
            ],
        }),
        "block_means.parquet": _blocks(evidence),
    }
    if len(evidence.samples.time_ns):
        files[SAMPLES] = _samples(evidence.samples)
    for place, moved in enumerate(request["moved"][:PICTURES], 1):
        safe = "".join(c if c.isalnum() and c.isascii() else "_" for c in str(moved["tag"]))
        files[f"pictures/{place:02}-{safe[:60]}.svg"] = picture(moved, evidence.blocks).encode()
    return files


_ABOUT: Final = (
    "request.json         the request, what was decided on it, by whom and why",
    "pictures/            the inputs that moved, trained against now",
    "block_means.parquet  mean, spread and number of samples of each input and clean window",
    "samples.parquet      clean samples, as far as the journal has them: see manifest.json",
    "left_out.json        time and samples that were left out, and why",
    "manifest.json        hashes of these files, of baseline, contract and configuration",
)


def _samples(samples: Samples) -> bytes:
    return parquet_bytes({
        "time": samples.time_ns, "tag": [samples.names[at] for at in samples.tag.tolist()],
        "value": samples.value,
    })  # fmt: skip


def _blocks(evidence: Evidence) -> bytes:
    rows = [
        (one["start_ns"], one["end_ns"], tag, block["mean"], block["sd"], block["good"],
         block["min"], block["max"])
        for one in evidence.blocks for tag, block in sorted(one["inputs"].items())
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    return parquet_bytes({
        "start_time": np.array(columns[0], np.int64), "end_time": np.array(columns[1], np.int64),
        "tag": list(columns[2]), "mean": np.array(columns[3], np.float64),
        "sd": np.array(columns[4], np.float64), "good": np.array(columns[5], np.int64),
        "min": np.array(columns[6], np.float64), "max": np.array(columns[7], np.float64),
    })  # fmt: skip


def _manifest(
    evidence: Evidence, configuration: Configuration, files: Mapping[str, bytes], why: str
) -> bytes:
    request, samples = evidence.request, evidence.samples
    model = configuration.models[str(request["model"])]
    there = SAMPLES in files
    return _json({
        "schema": 1, "made_by": f"fieldwarden {__version__}", "request": request["id"],
        "model": request["model"], "model_version": request["version"],
        "from_ns": request["since_ns"], "until_ns": request["until_ns"],
        "windows": len(evidence.blocks),
        "samples": {
            "count": len(samples.time_ns) if there else 0,
            "first_ns": int(samples.arrival_ns[0]) if there else None,
            "last_ns": int(samples.arrival_ns[-1]) if there else None,
            "why_none": "" if there else why,
        },
        "hashes": {
            "baseline": request["baseline"],
            "baseline_now": read_baseline(Path(model.baseline)).digest,
            "contract": contract_hash(configuration, str(request["model"])),
            "configuration": _hash(configuration.file.read_bytes()) if configuration.file else "",
        },
        "files": {name: _hash(content) for name, content in sorted(files.items())},
    })


def contract_hash(configuration: Configuration, model: str) -> str:
    """SHA-256 of what is promised of a model's tags: its section and theirs, keys sorted."""
    own = configuration.models[model]
    names = sorted({*own.inputs, *own.outputs, *(one.tag for one in own.labels)})
    told = {
        "model": own.model_dump(mode="json"),
        "tags": {
            name: configuration.tags[name].model_dump(mode="json")
            for name in names if name in configuration.tags
        },
    }
    return _hash(json.dumps(told, sort_keys=True, separators=(",", ":")).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
