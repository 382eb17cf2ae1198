"""Secrets and TLS: from the places that the configuration names to what a library takes.

Nothing here is kept or logged; a password is read at each connect, so that a changed file is
used without a restart.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path

from agent.configuration.connection import Login, Served, Tls
from agent.configuration.hooks import Endpoint
from agent.configuration.people import Person
from agent.errors import FieldwardenError
from agent.files import read_bounded

_LIMIT_BYTES = 4096
_PEM_LIMIT_BYTES = 4 * 1024 * 1024
LEAST_TOKEN = 16  # characters


def password(login: Login) -> str | None:
    """The password of `login`, without a trailing newline; None where no place is named.

    Raises:
        FieldwardenError: the place that is named is missing, unreadable or empty.
    """
    return _secret(login.password_file, login.password_env, login.password_credential)


def signing_secret(endpoint: Endpoint) -> str | None:
    """What an endpoint's messages are signed with; None where no place is named.

    Raises:
        FieldwardenError: the place that is named is missing, unreadable or empty.
    """
    return _secret(endpoint.secret_file, endpoint.secret_env, endpoint.secret_credential)


def token_digest(person: Person) -> bytes | None:
    """SHA-256 of a person's token, 32 bytes; None where the person has none.

    A fast hash is enough: tokens are random, not thought up (`fieldwarden token`).

    Raises:
        FieldwardenError: the place that is named is missing or unreadable, or holds a token so
            short that it could be guessed.
    """
    if person.token_sha256:
        return bytes.fromhex(person.token_sha256)
    token = _secret(person.token_file, person.token_env, person.token_credential)
    if token is None:
        return None
    if len(token) < LEAST_TOKEN:
        where = person.token_file or person.token_env or person.token_credential
        cause = f"a token of {len(token)} characters can be guessed"
        raise _missing(where, cause, "make one: fieldwarden token")
    return hashlib.sha256(token.encode()).digest()


def _secret(file: str, variable: str, credential: str) -> str | None:
    """What the one place that is named holds, without a trailing newline."""
    if variable:
        value = os.environ.get(variable, "")
        where = f"environment variable {variable}"
        if not value:
            raise _missing(where, "it is not set, or empty", f"export {variable}")
        return value
    if credential:
        directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
        if not directory:
            raise _missing(
                f"systemd credential {credential}",
                "no credentials were passed to this process",
                "add LoadCredential= to the unit, or name a file",
            )
        return _read(Path(directory) / credential)
    return _read(Path(file)) if file else None


def server_context(served: Served) -> ssl.SSLContext | None:
    """What a page is served with over TLS; None where it has no certificate.

    Raises:
        FieldwardenError: a file is missing or holds no usable certificate or key.
    """
    if not served.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_pair(context, served.certificate, served.private_key)
    return context


def tls_context(settings: Tls) -> ssl.SSLContext | None:
    """A client context that verifies the peer and its name; None where `tls` is off.

    Raises:
        FieldwardenError: a file is missing or holds no usable certificate or key.
    """
    if not settings.tls:
        return None
    _look_at(settings.ca)
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
    except (OSError, ssl.SSLError) as error:
        raise _missing(
            settings.ca, _why(error), "give a PEM file of authorities as `ca`"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate:
        _load_pair(context, settings.certificate, settings.private_key)
    return context


def _load_pair(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    _look_at(certificate, private_key)
    try:
        context.load_cert_chain(certificate, private_key or None)
    except (OSError, ssl.SSLError) as error:
        raise _missing(
            f"{certificate} with {private_key or 'no private_key'}",
            _why(error),
            "certificate and private_key must be PEM, belong together and be readable",
        ) from error


def _read(path: Path) -> str:
    hint = "put the secret, and nothing else, there"
    operation = "getting credentials from"
    try:
        text = read_bounded(path, _LIMIT_BYTES, operation, hint).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _missing(str(path), _why(error), hint) from error
    if not text:
        raise _missing(str(path), "it is empty", hint)
    return text


def _look_at(*files: str) -> None:
    """Refuse what a library would read without end, or wait for: devices, pipes, huge files."""
    for file in files:
        if file:
            read_bounded(file, _PEM_LIMIT_BYTES, "getting credentials from", "give a PEM file")


def _why(error: Exception) -> str:
    # The reason of an SSLError is in its text; its strerror is a file's when one is missing.
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _missing(subject: str, cause: str, hint: str) -> FieldwardenError:
    return FieldwardenError("getting credentials from", subject, cause, hint)
