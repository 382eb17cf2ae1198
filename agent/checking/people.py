"""What `fieldwarden check` says of people: who may act on the agent, from where, as whom."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator
from typing import Literal

from agent.checking.item import Item, fault_of
from agent.checking.security import certificate, open_to_others
from agent.configuration import credentials
from agent.configuration.people import Person
from agent.configuration.schema import Configuration
from agent.configuration.values import is_loopback
from agent.errors import FieldwardenError


def people(configuration: Configuration) -> Iterator[Item]:
    """Who may act, and what keeps somebody from it."""
    status, path = configuration.status, configuration.socket_path
    text = f"root, and the user that runs the agent, may act through {path}"
    if not configuration.people:
        text += "; nobody else may: add [people] to the configuration"
    yield Item("ok", "people", text)
    members = _members(status.socket_group)
    if status.socket_group and members is None:
        hint = f"groupadd --system {status.socket_group}, or change `socket_group` under [status]"
        yield Item("fault", "people", f"there is no Unix group {status.socket_group}", hint)
    for name, person in configuration.people.items():
        yield from _person(configuration, name, person, members)
    if status.certificate:
        try:
            credentials.server_context(status)
        except FieldwardenError as error:
            yield fault_of("status page", error)
        else:
            yield from certificate("status page", status.certificate, status.private_key)
    elif not is_loopback(status.address[0]):
        text = f"everybody who reaches {status.listen} can read the page; nobody can act there"
        hint = "to act from elsewhere, give certificate and private_key under [status]"
        yield Item("warning", "status page", text, hint)


def _person(
    configuration: Configuration, name: str, person: Person, members: set[str] | None
) -> Iterator[Item]:
    subject = f"person {name}"
    ways = []
    if person.unix_user:
        ways.append(f"as Unix user {person.unix_user} on the socket")
        yield from _unix_user(configuration, subject, person.unix_user, members)
    if person.has_token:
        scheme = "https" if configuration.status.certificate else "http"
        ways.append(f"by token at {scheme}://{configuration.status.listen}")
        try:
            credentials.token_digest(person)
        except FieldwardenError as error:
            # A systemd credential is there only inside the unit.
            level: Literal["warning", "fault"] = "warning" if person.token_credential else "fault"
            told = fault_of(subject, error)
            yield Item(level, subject, told.text, told.hint)
        yield from open_to_others(subject, person.token_file, "act in that name")
    role = f" ({person.role})" if person.role else ""
    yield Item("ok", subject, f"{name}{role} may act {' and '.join(ways)}")


def _unix_user(
    configuration: Configuration, subject: str, user: str, members: set[str] | None
) -> Iterator[Item]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        hint = "mend `unix_user`, or make the user: useradd " + user
        yield Item("warning", subject, f"there is no Unix user {user} on this machine", hint)
        return
    group = configuration.status.socket_group
    if not group and entry.pw_uid != 0:
        text = f"{user} must be in the group of the agent's own user to reach the socket"
        hint = 'give the socket a group of people: socket_group = "..." under [status]'
        yield Item("warning", subject, text, hint)
    elif group and members is not None and user not in members:
        text = f"{user} is not in group {group}, and can not reach the socket"
        yield Item("warning", subject, text, f"usermod --append --groups {group} {user}")


def _members(group: str) -> set[str] | None:
    """The users of a Unix group, by membership or as their first group; None without the group."""
    if not group:
        return set()
    try:
        entry = grp.getgrnam(group)
    except KeyError:
        return None
    first = {user.pw_name for user in pwd.getpwall() if user.pw_gid == entry.gr_gid}
    return {*entry.gr_mem, *first}
