"""Stands in for mlflow where it is not installed: the few calls that are used, over one file.

It answers as mlflow-skinny 3.17 was seen to: aliases are kept by version number, an alias that is
not there can be deleted, and a model that is not there is an error with a code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit


class MlflowException(Exception):  # noqa: N818 - its name there
    """With the code of the protocol."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.error_code = code


class MlflowClient:
    """A registry in the folder that an address names."""

    def __init__(self, tracking_uri: str, registry_uri: str) -> None:
        assert tracking_uri == registry_uri
        parts = urlsplit(tracking_uri)
        if parts.scheme != "file":
            raise MlflowException(f"{tracking_uri} does not answer", "INTERNAL_ERROR")
        self._file = Path(parts.path) / "registry.json"
        self._file.parent.mkdir(exist_ok=True)
        self._models = json.loads(self._file.read_text()) if self._file.exists() else {}

    def _model(self, name: str) -> dict:
        if name not in self._models:
            text = f"Registered Model with name={name} not found"
            raise MlflowException(text, "RESOURCE_DOES_NOT_EXIST")
        return self._models[name]

    def _save(self) -> None:
        draft = self._file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(self._models))
        draft.rename(self._file)

    def create_registered_model(self, name: str) -> None:
        self._models[name] = {"tags": {}, "aliases": {}, "versions": []}
        self._save()

    def create_model_version(self, name: str, source: str, tags: dict) -> None:
        self._model(name)["versions"].append({"source": source, "tags": tags})
        self._save()

    def get_registered_model(self, name: str) -> SimpleNamespace:
        found = self._model(name)
        return SimpleNamespace(tags=found["tags"], aliases=found["aliases"])

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self._model(name)["tags"][key] = value
        self._save()

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        if not 0 < int(version) <= len(self._model(name)["versions"]):
            text = f"Model Version (name={name}, version={version}) not found"
            raise MlflowException(text, "RESOURCE_DOES_NOT_EXIST")
        self._model(name)["aliases"][alias] = int(version)
        self._save()

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        self._model(name)["aliases"].pop(alias, None)
        self._save()

    def search_model_versions(self, wanted: str) -> list[SimpleNamespace]:
        name = wanted.removeprefix("name='").removesuffix("'")
        return [
            SimpleNamespace(version=str(number), tags=one["tags"])
            for number, one in enumerate(self._model(name)["versions"], 1)
        ]
