"""Whether a text names a lake or one file; needs none of what reads them."""

from __future__ import annotations

import re
from pathlib import Path

SIGNS = re.compile(r"[*?\[]")
"""What makes a path a pattern."""


def is_lake(data: str) -> bool:
    """Whether a text names a lake, and not one file."""
    if "://" in data or data.endswith(".metadata.json"):
        return True
    return Path(data).is_dir() or (bool(SIGNS.search(data)) and not Path(data).exists())


def absolute(data: str) -> str:
    """The same as one finds it from another folder."""
    return data if "://" in data else str(Path(data).resolve())
