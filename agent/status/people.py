"""Who may act on the agent: Unix users on its socket, tokens over HTTP, each a named person.

Invariants:
- nothing that a caller says about himself counts: a Unix user comes from the kernel (SO_PEERCRED),
  a token from its hash.
- a token is compared with every hash that there is, each in constant time, so that the time of an
  answer tells nothing.
- one identity is one person's: what two have alike is neither's, for nobody could say who acted.
- root and the user that runs the agent may act on the socket without any configuration: both can
  write the store anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import pwd
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from agent.configuration.credentials import token_digest
from agent.configuration.people import Person
from agent.errors import FieldwardenError

_LOG = logging.getLogger(__name__)

_UCRED: Final = struct.Struct("3i")  # pid, uid, gid: unix(7)
_OVERFLOW_UID: Final = 65534
_LONGEST_TOKEN: Final = 4096  # characters; what is longer is nobody's


def peer_uid(connection: object) -> int | None:
    """The Unix user at the other end, as of when it connected; None where it is no Unix socket.

    Args:
        connection: what asyncio gives as a transport's ``socket``.
    """
    if getattr(connection, "family", None) != socket.AF_UNIX:
        return None
    data = connection.getsockopt(  # type: ignore[attr-defined]
        socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size
    )
    return int(_UCRED.unpack(data)[1])


def user_name(uid: int) -> str:
    """The name of a Unix user, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class People:
    """The persons of one configuration.

    Args:
        people: by name. A token that can not be read is logged and nobody's: the agent's guard
            does not end because a file is missing.
        own_uid: the Unix user that runs the agent.
        uid_of: gives the number of a Unix user, None where there is no such user.
    """

    def __init__(
        self,
        people: Mapping[str, Person],
        own_uid: int | None = None,
        uid_of: Callable[[str], int | None] | None = None,
    ) -> None:
        own_uid = os.geteuid() if own_uid is None else own_uid
        self._uids = {0: user_name(0)}
        if own_uid != overflow_uid():
            self._uids[own_uid] = user_name(own_uid)
        self._digests: list[tuple[bytes, str]] = []
        claims: dict[int | bytes, list[str]] = {}
        for name, person in people.items():
            for identity in _identities(name, person, uid_of or _uid_of):
                claims.setdefault(identity, []).append(name)
        for identity, names in claims.items():
            what = "Unix user" if isinstance(identity, int) else "token"
            if len(names) > 1:
                _LOG.error("none of %s can act by their %s: it is the same", names, what)
            elif isinstance(identity, int):
                self._uids[identity] = names[0]
            else:
                self._digests.append((identity, names[0]))

    def by_uid(self, uid: int) -> str | None:
        """The person that a Unix user is; None for somebody who may not act."""
        return self._uids.get(uid)

    def by_token(self, token: str) -> str | None:
        """The person that a token belongs to; None for an unknown one."""
        if not token or len(token) > _LONGEST_TOKEN:
            return None
        asked = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = None
        for digest, name in self._digests:
            if hmac.compare_digest(asked, digest):
                found = name
        return found

    @property
    def has_tokens(self) -> bool:
        """Whether anybody is known by a token."""
        return bool(self._digests)


def _identities(
    name: str, person: Person, uid_of: Callable[[str], int | None]
) -> Iterator[int | bytes]:
    """The number of a person's Unix user, and the digest of the token; what is not to be had is
    logged.
    """
    if person.unix_user:
        uid = uid_of(person.unix_user)
        if uid is None:
            _LOG.error("%s can not act: there is no Unix user %s", name, person.unix_user)
        elif uid == overflow_uid():
            # In a user namespace the kernel shows this number for everybody it does not map.
            _LOG.error("%s can not act: %s stands for unknown users", name, person.unix_user)
        else:
            yield uid
    try:
        digest = token_digest(person)
    except FieldwardenError as error:
        _LOG.error("%s can not act by token: %s", name, error)
    else:
        if digest is not None:
            yield digest


def overflow_uid() -> int:
    """The number that the kernel gives for users that a user namespace does not know."""
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return _OVERFLOW_UID


def _uid_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None
