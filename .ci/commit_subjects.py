#!/usr/bin/env python3
"""Every commit subject has at most 72 characters, so that `git log` shows it whole in any terminal.

    .ci/commit_subjects.py                  the commits since the one that added this file
    .ci/commit_subjects.py --message FILE   the message of one commit, as a commit-msg hook

Exit 0: all are short enough, or there is no history to look at, which is said. Exit 1: the subjects
that are too long are on stderr, with what to do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

LONGEST = 72  # characters
ROOT = Path(__file__).resolve().parent.parent
RULE = ".ci/commit_subjects.py"
_SCISSORS = "# ------------------------ >8 ------------------------"


class NoHistory(Exception):  # noqa: N818 - a state of the checkout, not a fault
    """The commits can not be looked at here; the text says why."""


def subject_of(message: str) -> str:
    """The subject as git takes it: the lines of the first paragraph, joined; comments left out."""
    lines = message.partition(_SCISSORS)[0].splitlines()
    kept = "\n".join(line.rstrip() for line in lines if not line.startswith("#"))
    return " ".join(kept.strip().partition("\n\n")[0].split("\n"))


def complaint(subject: str, where: str) -> str | None:
    """What is wrong with a subject; None where nothing is."""
    if len(subject) <= LONGEST:
        return None
    return (
        f"{where}: the subject has {len(subject)} characters, at most {LONGEST} are allowed\n"
        f"  {subject[:LONGEST]}|{subject[LONGEST:]}"
    )


def _git(*arguments: str) -> str:
    # A checkout may belong to another user than the one that CI runs as.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except FileNotFoundError:
        raise NoHistory("git is not installed") from None
    return done.stdout.decode("utf-8", "replace")


def commits() -> list[tuple[str, str]]:
    """Short hash and subject of each commit from the one that added this rule on, oldest first.

    Raises:
        NoHistory: there is no repository, only the newest part of one, or the rule is not in it.
        subprocess.CalledProcessError: git failed.
    """
    if not (ROOT / ".git").exists():
        raise NoHistory("this is no git checkout")
    if _git("rev-parse", "--is-shallow-repository").strip() == "true":
        raise NoHistory("the history is shallow; to have it checked: git fetch --unshallow")
    added = _git("log", "--diff-filter=A", "--format=%H", "--", RULE).split()
    if not added:
        raise NoHistory(f"no commit has {RULE} yet")
    first = added[-1]
    listed = _git("log", "--reverse", "--ancestry-path", "--format=%h %s", f"{first}..HEAD")
    listed = _git("log", "-1", "--format=%h %s", first) + listed
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in listed.splitlines()]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="commit subjects have at most 72 characters")
    parser.add_argument("--message", type=Path, metavar="FILE", help="a commit message to check")
    message = parser.parse_args().message
    if message is not None:
        wrong = [complaint(subject_of(message.read_text(encoding="utf-8")), "this commit")]
        hint = "Shorten the first paragraph; details go below an empty line."
    else:
        try:
            found = commits()
        except NoHistory as reason:
            print(f"commit subjects: left out, {reason}")
            return 0
        except subprocess.CalledProcessError as error:
            cause = error.stderr.decode("utf-8", "replace").strip()
            print(f"commit subjects: git failed: {cause}", file=sys.stderr)
            return 1
        wrong = [complaint(subject, f"commit {name}") for name, subject in found]
        hint = "Reword them: git rebase --interactive, `reword`; or git commit --amend."
        print(f"commit subjects: {len(found)} checked")
    told = [text for text in wrong if text is not None]
    if told:
        print("\n".join([*told, hint]), file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
