"""`fieldwarden token`."""

from __future__ import annotations

import hashlib
import secrets

import click

_BYTES = 24


@click.command(name="token")
def command() -> None:
    """Make a token for somebody who acts over HTTP, and the line that the configuration needs.

    The token goes to that person and nowhere else; the configuration holds its hash only.

    \b
    Examples:
      fieldwarden token
      curl -H "Authorization: Bearer $TOKEN" -d '{"subject": "tag/cooling.flow", "note": "seen"}' \\
        http://127.0.0.1:8686/api/v1/commands/acknowledge
    """
    token = secrets.token_urlsafe(_BYTES)
    click.echo(f"token, for the person:    {token}")
    digest = hashlib.sha256(token.encode()).hexdigest()
    click.echo(f'line, under [people."..."]: token_sha256 = "{digest}"')
