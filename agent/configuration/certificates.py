"""What `check` says of certificates: whose they are, and for how long they still hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_pem_private_key,
)

from agent.errors import FieldwardenError
from agent.files import read_bounded

_LIMIT_BYTES = 4 * 1024 * 1024

_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Certificate:
    """One X.509 certificate: subject, validity in ns since 1970, application URIs."""

    subject: str
    from_ns: int
    until_ns: int
    uris: tuple[str, ...]

    def days_left(self, now_ns: int) -> float:
        """Days until it expires; negative after."""
        return (self.until_ns - now_ns) / _DAY_NS


def read_certificate(path: Path) -> Certificate:
    """The first certificate of a PEM or DER file.

    Raises:
        FieldwardenError: missing, unreadable, or no certificate.
    """
    return read_certificates(path)[0]


def read_certificates(path: Path) -> list[Certificate]:
    """All certificates of a PEM file, or the one of a DER file; at least one.

    Raises:
        FieldwardenError: missing, unreadable, or no certificate.
    """
    data = _read(path, "certificate")
    try:
        found = (
            x509.load_pem_x509_certificates(data)
            if b"-----BEGIN" in data
            else [x509.load_der_x509_certificate(data)]
        )
        return [_certificate(one) for one in found]
    except ValueError as error:
        raise _error("certificate", path, "it holds no X.509 certificate in PEM or DER") from error


def _certificate(found: x509.Certificate) -> Certificate:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    except x509.ExtensionNotFound:
        uris = ()
    return Certificate(
        found.subject.rfc4514_string(),
        int(found.not_valid_before_utc.timestamp()) * 1_000_000_000,
        int(found.not_valid_after_utc.timestamp()) * 1_000_000_000,
        uris,
    )


def der_of(path: Path) -> bytes:
    """The first certificate of a file in DER, as protocols send it.

    Raises:
        FieldwardenError: missing, unreadable, or no certificate.
    """
    data = _read(path, "certificate")
    try:
        pem = b"-----BEGIN" in data
        found = (x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate)(data)
    except ValueError as error:
        raise _error("certificate", path, "it holds no X.509 certificate in PEM or DER") from error
    return found.public_bytes(Encoding.DER)


def check_pair(certificate: Path, private_key: Path) -> None:
    """Whether a private key belongs to a certificate.

    Raises:
        FieldwardenError: one of them can not be read, or they do not belong together.
    """
    data = _read(certificate, "certificate")
    key_data = _read(private_key, "private key")
    try:
        pem = b"-----BEGIN" in key_data
        key = (load_pem_private_key if pem else load_der_private_key)(key_data, password=None)
    except (TypeError, ValueError) as error:
        cause = f"no private key that can be read without a password: {error}"
        raise _error("private key", private_key, cause) from error
    pem = b"-----BEGIN" in data
    found = (x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate)(data)
    if key.public_key() != found.public_key():
        raise _error("private key", private_key, f"it is not that of {certificate}")


def _read(path: Path, what: str) -> bytes:
    try:
        return read_bounded(path, _LIMIT_BYTES, f"opening {what}")
    except FieldwardenError as error:
        raise _error(what, path, error.cause) from error


def _error(what: str, path: Path, cause: str) -> FieldwardenError:
    return FieldwardenError(f"opening {what}", str(path), cause, "give another file, or make one")
