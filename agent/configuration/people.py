"""`[people]`: who may act on the agent, and how each is known."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agent.configuration.values import FilePath, Section


class Person(Section):
    """`[people."<name>"]`: somebody who may acknowledge, shelve and take out of service.

    Known by the Unix user on the agent's socket, by a token over HTTP, or by both. The token
    itself never stands in the file: its hash does, or one of three places where it is.
    """

    role: str = ""
    unix_user: str = ""
    token_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    token_file: FilePath = ""  # a file that holds the token and nothing else
    token_env: str = ""  # the environment variable that holds it
    token_credential: str = ""  # the systemd credential (LoadCredential=) that holds it

    @property
    def has_token(self) -> bool:
        """Whether a token is one of the ways to be known."""
        places = (self.token_sha256, self.token_file, self.token_env, self.token_credential)
        return any(places)
