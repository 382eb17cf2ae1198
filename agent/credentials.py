"""Secrets and TLS: from the places that the configuration names to what a library takes.

Nothing here is kept or logged; a password is read at each connect, so that a changed file is
used without a restart.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from agent.config import Login, Tls
from agent.errors import FieldwardenError

_LIMIT_BYTES = 4096


def password(login: Login) -> str | None:
    """The password of `login`, without a trailing newline; None where no place is named.

    Raises:
        FieldwardenError: the place that is named is missing, unreadable or empty.
    """
    if login.password_env:
        value = os.environ.get(login.password_env, "")
        where = f"environment variable {login.password_env}"
        if not value:
            raise _missing(where, "it is not set, or empty", f"export {login.password_env}")
        return value
    if login.password_credential:
        directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
        if not directory:
            raise _missing(
                f"systemd credential {login.password_credential}",
                "no credentials were passed to this process",
                "add LoadCredential= to the unit, or name a password_file",
            )
        return _read(Path(directory) / login.password_credential)
    return _read(Path(login.password_file)) if login.password_file else None


def tls_context(settings: Tls) -> ssl.SSLContext | None:
    """A client context that verifies the peer and its name; None where `tls` is off.

    Raises:
        FieldwardenError: a file is missing or holds no usable certificate or key.
    """
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
    except (OSError, ssl.SSLError) as error:
        raise _missing(
            settings.ca, _why(error), "give a PEM file of authorities as `ca`"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate:
        try:
            context.load_cert_chain(settings.certificate, settings.private_key or None)
        except (OSError, ssl.SSLError) as error:
            raise _missing(
                f"{settings.certificate} with {settings.private_key or 'no private_key'}",
                _why(error),
                "certificate and private_key must be PEM, belong together and be readable",
            ) from error
    return context


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
        text = data.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _missing(
            str(path), _why(error), "put the password, and nothing else, there"
        ) from error
    if not text or len(data) > _LIMIT_BYTES:
        cause = "it is empty" if not text else f"it is longer than {_LIMIT_BYTES} bytes"
        raise _missing(str(path), cause, "put the password, and nothing else, there")
    return text


def _why(error: Exception) -> str:
    # The reason of an SSLError is in its text; its strerror is a file's when one is missing.
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _missing(subject: str, cause: str, hint: str) -> FieldwardenError:
    return FieldwardenError("getting credentials from", subject, cause, hint)
