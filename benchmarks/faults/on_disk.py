"""Faults of disks and of the store: power cuts, full disks, failing writes, damaged files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from chain import Chain
from common import wait

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN of linux/fs.h: _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2  # what is not in the journal of ext4 is gone, as when the power goes
FULL_S = 6.0
UNAUDITED_S = 3.0
SHIM = Path(__file__).with_name("failing_disk.c")


# --- a file system of our own ---------------------------------------------------------------------


class Disk:
    """A small ext4 in a file, mounted over a loop device; needs root.

    Args:
        folder: for the image and the mount point.
        megabytes: size.
    """

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir(parents=True)
        self.image, self.mount = folder / "disk.img", folder / "disk"
        self.mount.mkdir()
        with self.image.open("wb") as file:
            file.truncate(megabytes * 1_000_000)
        _run("mkfs.ext4", "-q", "-F", str(self.image))
        self.attach()

    def attach(self) -> None:
        """Mount it; ext4 replays its journal."""
        _run("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.mount))

    def detach(self) -> None:
        """Unmount it."""
        _run("umount", str(self.mount))

    def cut_power(self) -> None:
        """From now on every access fails, and what was not synced is gone."""
        handle = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def read_only(self, *, on: bool) -> None:
        """What ext4 does after an error on the medium; mended by mounting anew."""
        if on:
            lines = Path("/proc/mounts").read_text().splitlines()
            device = next(one.split()[0] for one in lines if one.split()[1] == str(self.mount))
            trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
            trigger.write_text("1")
        else:
            self.detach()
            self.attach()

    def free(self) -> int:
        """Bytes left."""
        found = os.statvfs(self.mount)
        return found.f_bavail * found.f_frsize


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


def can_mount(folder: Path) -> bool:
    """Whether this process may make and mount file systems: it tries."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        return False
    try:
        Disk(folder / "try", 8).detach()
    except SystemExit:  # a container may have the device and not the right
        return False
    return True


@contextlib.contextmanager
def on_disk(
    folder: Path, baseline: Path, megabytes: int, journal_mb: int
) -> Iterator[tuple[Chain, Disk]]:
    """A chain whose agent stores on a disk of its own."""
    disk = Disk(folder / "on", megabytes)
    chain = None
    try:
        chain = Chain(folder / "chain", baseline, state=disk.mount / "state", journal_mb=journal_mb)
        yield chain, disk
    finally:
        if chain is not None:
            chain.close()
        with contextlib.suppress(SystemExit):
            disk.detach()


# --- faults ---------------------------------------------------------------------------------------


def power_cut(chain: Chain, disk: Disk, rounds: int) -> list[float]:
    """The disk loses what was not synced, and the agent dies with it."""
    took = []
    for number in range(rounds):
        time.sleep(0.5 + 0.31 * (number % 5))
        disk.cut_power()
        chain.stop_agent(kill=True)
        disk.detach()
        disk.attach()
        chain.start_agent()
        took.append(chain.recovered())
    return took


def full_by_others(chain: Chain, disk: Disk, rounds: int) -> list[float]:
    """Somebody else's file takes all that is left, and goes again."""
    took = []
    for _ in range(rounds):
        other = disk.mount / "other"
        with contextlib.suppress(OSError), other.open("wb") as file:
            while True:
                file.write(bytes(65_536))
                file.flush()
        for _ in range(int(FULL_S)):
            time.sleep(1)
            _alive(chain)
        other.unlink()
        took.append(chain.recovered())
    return took


def full_by_itself(chain: Chain, disk: Disk, rounds: int) -> list[float]:
    """A disk smaller than the configured limits: the agent keeps within what there is."""
    began = time.monotonic()
    for _ in range(rounds):
        time.sleep(1)
        _alive(chain)
    if disk.free() < 1_000_000:
        raise TimeoutError("the agent has filled its disk")
    return [time.monotonic() - began - rounds]


def read_only(chain: Chain, disk: Disk, rounds: int) -> list[float]:
    """The kernel remounts the disk read-only after an error; mended, the agent is started anew."""
    took = []
    for _ in range(rounds):
        disk.read_only(on=True)
        for _ in range(int(FULL_S)):
            time.sleep(1)
            _alive(chain)
        chain.stop_agent()
        disk.read_only(on=False)
        chain.start_agent()
        took.append(chain.recovered())
    return took


def _alive(chain: Chain) -> None:
    """The agent runs and answers, whatever its disk does."""
    if not chain.agent_runs():
        raise TimeoutError("the agent has ended")
    wait("answer of the page", chain.live, 10)


# --- failing calls --------------------------------------------------------------------------------


def shim(folder: Path) -> Path:
    """A library that makes writes and syncs below a folder fail, see its source."""
    made = folder / "failing_disk.so"
    _run("cc", "-shared", "-fPIC", "-O2", "-o", str(made), str(SHIM), "-ldl")
    return made


def failing_calls(chain: Chain, orders: Path, every: int, error: int) -> list[float]:
    """Every Nth write or sync of the store fails for a while, then all succeed."""
    orders.write_text(f"{every} {error}\n")
    for _ in range(int(FULL_S)):
        time.sleep(1)
        _alive(chain)
    orders.write_text("0 0\n")
    return [chain.recovered()]


# --- damaged stores -------------------------------------------------------------------------------


def _zero_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def _noise(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with path.open("r+b") as file:
        for _ in range(4):
            file.seek(rng.randrange(max(1, path.stat().st_size // 4096)) * 4096)
            file.write(rng.randbytes(4096))


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _only_wal(path: Path) -> None:
    path.unlink()


def _flip_wal(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size > 8192:
        with wal.open("r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)
            file.seek(size // 2)
            file.write(bytes([byte[0] ^ 0xFF]))


def _folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _other_file(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    path.write_bytes(b"GIF89a" * 1000)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "zeroed header": _zero_head, "truncated": _truncate, "0 bytes": _empty,
    "WAL alone": _only_wal, "flipped WAL": _flip_wal, "folder instead": _folder_instead,
    "other file": _other_file,
} | {f"noise {seed}": partial(_noise, seed=seed) for seed in (1, 3, 5)}  # fmt: skip


def damaged(chain: Chain, damage: Callable[[Path], None]) -> list[float]:
    """The agent is killed, its store damaged, the agent started: it serves."""
    time.sleep(UNAUDITED_S)  # what is journaled meanwhile is what the damage may take
    chain.stop_agent(kill=True)
    if damage is not _flip_wal and chain.store.is_file():
        # else the WAL still holds every page that is damaged
        with contextlib.closing(sqlite3.connect(chain.store)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(chain.store)
    chain.start_agent()
    return [chain.recovered()]


def removed_while_running(chain: Chain, rounds: int) -> list[float]:
    """The folder of the store is taken away under a running agent."""
    took = []
    for _ in range(rounds):
        time.sleep(UNAUDITED_S)
        shutil.rmtree(chain.state)
        began = time.monotonic()
        wait("a store again", chain.store.is_file, 20)
        took.append(time.monotonic() - began)
        chain.recovered()
    return took
