"""Commit subjects have at most 72 characters: the hook, and the look at the history in CI."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULE = ".ci/commit_subjects.py"
LONG = "A subject that goes on " + "and on " * 8
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@plant.example", "-c", "commit.gpgsign=false")


def git(folder, *arguments):
    """Run git in a folder, without the machine's own settings."""
    command = ["git", *IDENTITY, "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def commit(folder, subject):
    git(folder, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", subject)


def check(folder, *arguments):
    command = [sys.executable, str(folder / RULE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path):
    """A repository in which a commit with a long subject came before the rule."""
    folder = tmp_path / "repository"
    (folder / ".ci").mkdir(parents=True)
    git(folder, "init", "--quiet")
    commit(folder, f"Before the rule: {LONG}")
    shutil.copy(ROOT / RULE, folder / RULE)
    git(folder, "add", "--all")
    commit(folder, "The rule")
    return folder


def test_every_subject_of_this_checkout_is_short_enough():
    """Since the commit that brought the rule; where the history is not whole, that is said."""
    done = check(ROOT)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ checked|left out, ", done.stdout)


def test_commits_before_the_rule_do_not_count(repository):
    """Only the commit of the rule and what came after it are looked at."""
    commit(repository, "x" * 72)
    done = check(repository)
    assert done.returncode == 0 and "2 checked" in done.stdout


def test_a_long_subject_is_refused_by_name(repository):
    """The commit, its length, where it is too long and what to do are told."""
    commit(repository, "x" * 73)
    commit(repository, "A short one")
    done = check(repository)
    assert done.returncode == 1
    assert "has 73 characters, at most 72" in done.stderr
    assert f"{'x' * 72}|x" in done.stderr and "git rebase" in done.stderr


def test_characters_count_and_not_bytes(repository):
    """72 letters that take two bytes each are 72."""
    commit(repository, "ä" * 72)
    assert check(repository).returncode == 0
    commit(repository, "ä" * 73)
    assert check(repository).returncode == 1


def test_a_clone_is_checked_like_the_original(repository, tmp_path):
    """What CI has is a fresh clone."""
    commit(repository, LONG)
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    assert check(tmp_path / "clone").returncode == 1


def test_a_shallow_history_is_left_out_and_said(repository, tmp_path):
    """The commit of the rule can not be told from the boundary of a shallow clone."""
    commit(repository, LONG)
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "clone")
    done = check(tmp_path / "clone")
    assert done.returncode == 0
    assert "left out, the history is shallow" in done.stdout and "unshallow" in done.stdout


def test_a_folder_without_a_history_is_left_out_and_said(repository):
    """A source archive has no commits."""
    shutil.rmtree(repository / ".git")
    done = check(repository)
    assert done.returncode == 0 and "left out, this is no git checkout" in done.stdout


def test_a_history_that_can_not_be_read_is_a_failure(repository):
    """A broken repository is not one without history."""
    (repository / ".git" / "HEAD").write_text("nothing\n", encoding="utf-8")
    done = check(repository)
    assert done.returncode == 1 and "git failed" in done.stderr


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * 72 + "\n\n" + "A body may have lines of any length. " * 5, 0),
        ("x" * 73 + "\n", 1),
        ("\n# Please enter the message" + "." * 80 + "\nShort\n", 0),
        # git joins the lines of the first paragraph to one subject
        ("x" * 40 + "\n" + "y" * 40 + "\n", 1),
        ("Short\n# ------------------------ >8 ------------------------\n" + "z" * 90, 0),
    ],
)
def test_the_hook_reads_a_message_as_git_does(message, code, tmp_path):
    """Body, comments and the diff of `commit --verbose` do not count."""
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(message, encoding="utf-8")
    assert check(ROOT, "--message", str(file)).returncode == code


def test_git_refuses_a_long_subject_where_the_hook_is_installed(repository):
    """As `pre-commit install` does it: the hook's exit code ends the commit."""
    hook = repository / ".git" / "hooks" / "commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" {RULE} --message "$1"\n', encoding="utf-8")
    hook.chmod(0o755)
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Short")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "commit", "--quiet", "--allow-empty", "--message", LONG)


def test_the_hooks_are_local_and_there():
    """Nothing is fetched by pre-commit, and what a hook runs exists."""
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"repo: *(\S+)", text)) == {"local"}
    assert "://" not in text
    entries = re.findall(r"entry: *(\S+)", text)
    made_by_make = {".venv/bin/ruff", ".venv/bin/mypy"}
    assert made_by_make < set(entries)
    assert all((ROOT / entry).exists() for entry in set(entries) - made_by_make)
    assert re.findall(r"language: *(\S+)", text) == ["system"] * len(entries)
