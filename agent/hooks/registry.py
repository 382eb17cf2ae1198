"""What MLflow is told, in a process of its own: `python -m agent.hooks.registry`.

The library is large, blocks, and keeps trying by itself; in a process it neither slows the agent
nor stays in its memory, and one that hangs is ended. A request is a JSON object on stdin, the
answer one on stdout: `said`, `refused`, or `cause` and `hint`. How it logs in is the library's own
matter: MLFLOW_TRACKING_TOKEN and the like of the agent's environment.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from agent.errors import FieldwardenError, explained
from agent.hooks.form import Refused

_GONE: Final = frozenset({"RESOURCE_DOES_NOT_EXIST"})
_ENVIRONMENT: Final = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""How long the library tries by itself, where nobody set it: it is tried again anyway."""


def main() -> None:
    """Do what stdin asks for; say on stdout what came of it."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        answer = {"said": carry_out(json.load(sys.stdin))}
    except Refused as refused:
        answer = {"refused": str(refused)}
    except Exception as error:  # noqa: BLE001 - told to whoever asked
        told = explained(error, "telling", "MLflow")
        answer = {"cause": told.cause or type(error).__name__, "hint": told.hint}
    print(json.dumps(answer), file=sys.stdout)  # noqa: T201 - that is the answer


def carry_out(asked: Mapping[str, Any]) -> str:
    """Change a registered model, or look whether that could be done.

    Args:
        asked: `tracking_uri`, `registered_model` and `version_tag` of the hook; `tags`, `aliases`
            and `gone` of what is to be changed, without which nothing is.

    Raises:
        Refused: the version can never be found.
        FieldwardenError: the library, or a version, is not there.
    """
    client, name = _client(str(asked["tracking_uri"])), str(asked["registered_model"])
    if "tags" not in asked:
        found = client.get_registered_model(name)
        known = ", ".join(f"{one} is {version}" for one, version in sorted(found.aliases.items()))
        return f"has model {name}; aliases: {known or 'none'}"
    for key, value in asked["tags"].items():
        client.set_registered_model_tag(name, key, value)
    for alias, version in asked["aliases"].items():
        number = _number(client, name, str(asked["version_tag"]), version)
        client.set_registered_model_alias(name, alias, number)
    for alias in asked["gone"]:
        try:
            client.delete_registered_model_alias(name, alias)
        except Exception as error:
            if getattr(error, "error_code", "") not in _GONE:
                raise
    return "changed"


def _number(client: Any, name: str, tag: str, version: str) -> str:
    """The registry's number of what this program calls a version; of several the newest."""
    if not tag:
        if not version.isdecimal():
            raise Refused(f"version {version!r} is no number of the registry: set `version_tag`")
        return version
    escaped = name.replace("'", "\\'")
    found = [
        int(one.version) for one in client.search_model_versions(f"name='{escaped}'")
        if one.tags.get(tag) == version
    ]
    if not found:
        cause = f"no version of {name} has the tag {tag} = {version!r} (yet)"
        raise FieldwardenError("telling", "MLflow", cause, "register it with this tag")
    return str(max(found))


def _client(uri: str) -> Any:
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 - it may not be there, which is said
    except ModuleNotFoundError as error:
        cause, hint = f"{error.name} is not installed", "pip install 'fieldwarden[mlflow]'"
        raise FieldwardenError("telling", "MLflow", cause, hint) from error
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


if __name__ == "__main__":
    main()
