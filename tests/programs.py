"""Programs that some tests need beside Python, and the Debian packages that have them: one table.

`.ci/run` installs what is missing; elsewhere the tests that want it are left out, which the end of
the run says. Only the standard library is used: `python3 tests/programs.py` runs before anything
is installed, and prints the packages that are missing.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple


class Program(NamedTuple):
    """One program.

    Attributes:
        package: of Debian; several with a blank between.
        names: under which it may be on PATH.
        places: patterns below `/` where it may be besides.
    """

    package: str
    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def path(self) -> str:
        """Where it is; empty where it is not. Of several versions the newest."""
        for name in self.names:
            if found := shutil.which(name):
                return found
        found_below = [path for place in self.places for path in Path("/").glob(place)]
        return str(max(found_below, key=_versions)) if found_below else ""


def _versions(path: Path) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else -1, part) for part in path.parts]


PROGRAMS: dict[str, Program] = {
    "mosquitto": Program("mosquitto", ("mosquitto",), ("usr/sbin/mosquitto",)),
    "systemd-analyze": Program("systemd", ("systemd-analyze",)),
    "chromium": Program("chromium", ("chromium", "google-chrome")),
    "make": Program("make", ("make",)),
    "initdb": Program("postgresql", ("initdb",), ("usr/lib/postgresql/*/bin/initdb",)),
    "pgbouncer": Program("pgbouncer", ("pgbouncer",), ("usr/sbin/pgbouncer",)),
    "promtool": Program("prometheus", ("promtool",)),
    "libfaketime": Program("faketime", (), ("usr/lib/*/faketime/libfaketime.so.1",)),
    "mkfs.ext4": Program("e2fsprogs", ("mkfs.ext4",), ("usr/sbin/mkfs.ext4",)),
    "cc": Program("gcc libc6-dev", ("cc",)),
    "Python.h": Program(
        "python3-dev", (), (f"{sysconfig.get_path('include').lstrip('/')}/Python.h",)
    ),
}
"""Name -> where it is looked for. Brokers, alert rules, a central database, wrong clocks, disks."""


def program(name: str) -> str:
    """Where a program of the table is; empty where it is not installed."""
    return PROGRAMS[name].path()


def why_not(name: str) -> str:
    """The reason of a test that is left out for want of a program, with how to get it."""
    return f"{name} is not installed: apt-get install {PROGRAMS[name].package}"


def needed(name: str) -> Any:
    """A mark: the test, or with `pytestmark` the file, is left out where the program is not."""
    import pytest

    return pytest.mark.skipif(not program(name), reason=why_not(name))


def packages() -> list[str]:
    """Debian packages of all that is missing, Python's own parts among them."""
    found = [one.package for one in PROGRAMS.values() if not one.path()]
    return found if find_spec("ensurepip") else [*found, "python3-venv"]


if __name__ == "__main__":
    sys.stdout.write(" ".join(packages()) + "\n")
