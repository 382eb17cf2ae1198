"""The registry follows requests and trials: MLflow where it is installed, else a stand-in."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.configuration.hooks import MlflowHook
from agent.errors import FieldwardenError
from agent.hooks import HOOKS, Refused, Sender, Told
from agent.hooks.mlflow import changes_of

ROOT = Path(__file__).parents[2]
HOOK = MlflowHook(
    kind="mlflow", model="m", tracking_uri="http://127.0.0.1:1", registered_model="plant-yield",
    version_tag="release",
)  # fmt: skip
STAND_IN = Path(__file__).with_name("stand_in")


def told(change, **more):
    data = {"change": change, "state": change, "id": "m@1", "text": "t", **more}
    return Told("x-1-0", "retraining", "model/m", 5, data)


@pytest.mark.parametrize(("event", "aliases", "gone"), [
    (told("requested"), {}, []), (told("declared", by="ann", note="new"), {}, []),
    (told("in trial", version="2"), {"candidate": "2"}, []),
    (told("in trial"), {}, []), (told("superseded", in_service={"version": ""}), {}, ["candidate"]),
    (told("passed", version="2"), {}, []), (told("rejected", version="2"), {}, ["candidate"]),
    (told("accepted", in_service={"version": "2"}), {"champion": "2"}, ["candidate"]),
    (told("rolled back", in_service={"version": "1"}), {"champion": "1"}, ["candidate"]),
], ids=lambda value: value.data["change"] if isinstance(value, Told) else "")  # fmt: skip
def test_each_step_says_what_it_changes(event, aliases, gone):
    """Tags always; aliases where another version is tried or serves."""
    found = changes_of(event, HOOK)
    assert (found["aliases"], found["gone"]) == (aliases, gone)
    assert found["tags"]["fieldwarden.state"] == event.data["state"]
    assert found["tags"]["fieldwarden.by"] == event.data.get("by", "")


async def deliver(hook, event):
    await HOOKS["mlflow"].create(hook, Sender("s", "g", "x")).deliver(event)


async def test_without_the_library_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    """As something that is tried again: somebody may install it."""
    absent = "raise ModuleNotFoundError(\"No module named 'mlflow'\", name='mlflow')"
    (tmp_path / "mlflow.py").write_text(absent)
    on_path(monkeypatch, tmp_path)
    with pytest.raises(FieldwardenError) as caught:
        await deliver(HOOK, told("requested"))
    assert "mlflow is not installed" in caught.value.cause
    assert "fieldwarden[mlflow]" in caught.value.hint
    with pytest.raises(FieldwardenError, match="not installed"):
        await HOOKS["mlflow"].probe(HOOK, 1.0)


def on_path(monkeypatch, folder):
    """Where the process that speaks to the registry looks first."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry of files with one model of two versions; gives what a program prints of it."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    if importlib.util.find_spec("mlflow") is None:
        on_path(monkeypatch, STAND_IN)
    uri = (tmp_path / "mlruns").as_uri()

    def said(program):
        head = f"from mlflow import MlflowClient; c = MlflowClient({uri!r}, {uri!r}); "
        done = subprocess.run(
            [sys.executable, "-c", head + program], capture_output=True, text=True, check=True,
            env=os.environ,
        )
        return done.stdout.strip()

    said("c.create_registered_model('plant-yield');"
         "[c.create_model_version('plant-yield', 'file:///m', tags={'release': f'2026.{n}'})"
         " for n in (3, 4)]")  # fmt: skip
    return HOOK.model_copy(update={"tracking_uri": uri}), said


async def test_tags_and_aliases_of_a_registry_follow_a_trial_and_its_roll_back(registry):
    """Each step twice, as it may come twice; at the end the old version serves again."""
    hook, said = registry
    aliases = (
        "m = c.get_registered_model('plant-yield');"
        "print(*(f'{name} {version}' for name, version in sorted(m.aliases.items())))"
    )
    for event, found in (
        (told("declared", by="ann", note="new catalyst"), ""),
        (told("in trial", version="2026.4"), "candidate 2"),
        (told("accepted", in_service={"version": "2026.4"}), "champion 2"),
        (told("rolled back", in_service={"version": "2026.3"}), "champion 1"),
    ):
        for _ in range(2):
            await deliver(hook, event)
        assert said(aliases) == found
    assert said("print(c.get_registered_model('plant-yield').tags['fieldwarden.state'])") == (
        "rolled back"
    )
    assert "champion is 1" in await HOOKS["mlflow"].probe(hook, 5.0)


async def test_what_the_registry_lacks_waits_and_what_can_never_be_is_refused(registry):
    """A version that is not registered yet may come; one that is no number never will."""
    hook, _ = registry
    with pytest.raises(FieldwardenError, match=r"no version of plant-yield has the tag"):
        await deliver(hook, told("in trial", version="2027.1"))
    with pytest.raises(Refused, match="set `version_tag`"):
        await deliver(hook.model_copy(update={"version_tag": ""}), told("in trial", version="x.1"))
    other = hook.model_copy(update={"registered_model": "other"})
    with pytest.raises(FieldwardenError):
        await HOOKS["mlflow"].probe(other, 5.0)
