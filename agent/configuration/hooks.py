"""`[hooks.<name>]`: who else is told of events: a webhook, or an MLflow registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from agent.configuration.values import Duration, FilePath, Name, Section, duration_ns, is_loopback

EventKind = Literal[
    "condition", "verdict", "source", "gap", "mode", "configuration", "retraining", "review",
    "engine", "clock", "evidence", "change",
]  # fmt: skip
"""Kinds of events that a hook may ask for; findings are details of conditions, and are many."""


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{value!r} is no address like https://ops.example/hook")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"{value!r} is not encrypted: give https, or an address of this machine")
    return value


class Hook(Section):
    """What every hook has."""

    max_age: Duration = duration_ns("7d")  # what could not be delivered for so long is given up


class Endpoint(Section):
    """Where events are posted, and what their signature is made with."""

    url: Annotated[str, AfterValidator(_url)]
    ca: FilePath = ""  # PEM; default: the system's certificate authorities
    secret_file: FilePath = ""  # a file that holds the secret of the signature
    secret_env: str = ""  # the environment variable that holds it
    secret_credential: str = ""  # the systemd credential (LoadCredential=) that holds it


class Webhook(Hook, Endpoint):
    """`kind = "webhook"`: each event is a POST of a CloudEvent, signed where there is a secret."""

    kind: Literal["webhook"]
    events: list[EventKind] = Field(default=["retraining"], min_length=1)
    models: list[str] = Field(default=[])  # only of these models; []: of all


class MlflowHook(Hook):
    """`kind = "mlflow"`: tags and aliases of a registered model follow requests and trials."""

    kind: Literal["mlflow"]
    model: str  # of this configuration
    tracking_uri: Name
    registered_model: Name
    champion: Name = "champion"  # alias of the version that serves
    candidate: Name = "candidate"  # alias of the version that is tried
    version_tag: str = ""  # tag of a version that has this program's name for it; "": its number

    @property
    def events(self) -> list[EventKind]:
        """What it is told."""
        return ["retraining"]

    @property
    def models(self) -> list[str]:
        """Of which models."""
        return [self.model]


HOOK_TABLES: Mapping[str, type[Section]] = {"webhook": Webhook, "mlflow": MlflowHook}
"""Kind of a hook -> its table."""

AnyHook = Annotated[Webhook | MlflowHook, Field(discriminator="kind")]
