"""What `fieldwarden check` says of secrets and certificates: whether they hold, and who sees them.

The agent works with a certificate that every server refuses, and with a key that everybody on the
machine can read: so a person has to be told before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from agent import clock
from agent.checking.item import Item, fault_of
from agent.configuration import credentials
from agent.configuration.certificates import Certificate, check_pair, read_certificates
from agent.configuration.connection import Login, Tls
from agent.configuration.schema import Configuration
from agent.errors import FieldwardenError

SOON_DAYS = 30.0


def certificate(subject: str, file: str, private_key: str = "") -> Iterator[Item]:
    """Whether a certificate holds today, belongs to its key, and the key is kept from others."""
    try:
        found = read_certificates(Path(file))[0]
        if private_key:
            check_pair(Path(file), Path(private_key))
    except FieldwardenError as error:
        yield fault_of(subject, error)
    else:
        yield _validity(subject, f"certificate {file} of {found.subject}", found)
    yield from open_to_others(subject, private_key, "use it as this machine")


def own_certificates(configuration: Configuration) -> list[str]:
    """What people should know of the certificates this agent shows: expired, or soon to be."""
    status, upstream = configuration.status, configuration.upstream
    pairs = [("status page", status.certificate)]
    pairs += [("upstream", upstream.certificate)] if upstream is not None else []
    for name, source in configuration.sources.items():
        files = [getattr(source, "certificate", ""), *(file for file, _ in source.certificates)]
        pairs += [(f"source {name}", file) for file in dict.fromkeys(files)]
    items = [item for subject, file in pairs if file for item in certificate(subject, file)]
    return [f"{item.subject}: {item.text}" for item in items if item.level != "ok"]


def authorities(subject: str, file: str) -> Iterator[Item]:
    """Whether any authority of a file still holds: an expired one makes every peer untrusted."""
    try:
        found = read_certificates(Path(file))
    except FieldwardenError as error:
        yield fault_of(subject, error)
        return
    longest = max(found, key=lambda one: one.until_ns)
    item = _validity(subject, f"authority {longest.subject} of {file}", longest)
    if item.level != "ok":
        yield item


def _validity(subject: str, text: str, found: Certificate) -> Item:
    now_ns = clock.wall_ns()
    days = found.days_left(now_ns)
    if days < 0:
        return Item("fault", subject, f"{text} expired {-days:.0f} days ago", "renew it")
    if found.from_ns > now_ns:
        return Item("fault", subject, f"{text} is not valid yet", "check the clock of this machine")
    if days < SOON_DAYS:
        return Item("warning", subject, f"{text} expires in {days:.0f} days", "renew it")
    return Item("ok", subject, f"{text} is valid for {days:.0f} days")


def login(subject: str, settings: Login, *, encrypted: bool) -> Iterator[Item]:
    """Whether the password can be had, who else can read it here, and who on the way there."""
    try:
        secret = credentials.password(settings)
    except FieldwardenError as error:
        secret = None
        # A systemd credential is there only inside the unit.
        level: Literal["warning", "fault"] = "warning" if settings.password_credential else "fault"
        told = fault_of(subject, error)
        yield Item(level, subject, told.text, told.hint)
    yield from open_to_others(subject, settings.password_file, "log in with it")
    named = (settings.password_file, settings.password_env, settings.password_credential)
    if not encrypted and (secret or any(named)):
        text = "the password is sent without encryption: anybody on the way can read it"
        yield Item("warning", subject, text, "set `tls = true`, where the other side can")


def tls(subject: str, settings: Tls) -> Iterator[Item]:
    """Whether a connection can be encrypted as configured, and for how long."""
    try:
        credentials.tls_context(settings)
    except FieldwardenError as error:
        yield fault_of(subject, error)
        return
    if settings.tls and settings.ca:
        yield from authorities(subject, settings.ca)
    if settings.tls and settings.certificate:
        yield from certificate(subject, settings.certificate, settings.private_key)


def open_to_others(subject: str, file: str, what: str) -> Iterator[Item]:
    """A file of secrets that every user of the machine can read or write."""
    try:
        mode = Path(file).stat().st_mode if file else 0
    except OSError:
        return  # said where it is read
    if mode & 0o007:
        text = f"every user of this machine can get at {file}, and {what}"
        yield Item("warning", subject, text, f"chmod o= {file}")


def own_security(subject: str, pairs: Iterable[tuple[str, str]]) -> Iterator[Item]:
    """The certificates of a protocol's own security: (certificate, its private key or "")."""
    for file, private_key in pairs:
        yield from certificate(subject, file, private_key)
