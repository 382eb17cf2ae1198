"""OPC UA on paper: what security lacks, without the OPC UA library."""

from __future__ import annotations

from collections.abc import Mapping

from agent.configuration.schema import OpcUaSource
from agent.sources.base import Remark, TagBinding


def on_paper(
    name: str,  # noqa: ARG001 - the same for all sources
    config: OpcUaSource,
    tags: Mapping[str, TagBinding],  # noqa: ARG001
) -> list[Remark]:
    """What security lacks; see `agent.sources.SourceKind.on_paper`."""
    if config.security == "None":
        text = 'security "None": anybody on the way can read and change what is sent'
        if config.username:
            text += ", and read the password"
        hint = 'set `security = "Basic256Sha256"` with certificates, or keep the network closed'
        return [Remark("warning", text, hint)]
    if not config.certificates:
        hint = "give `certificate` and `private_key` of the agent"
        return [Remark("fault", f"{config.security} needs the agent's own certificate", hint)]
    if not config.server_certificate:
        text = "no server certificate is named, and the agent trusts no other: it will not connect"
        return [Remark("fault", text, "give the server's certificate as `server_certificate`")]
    return []
