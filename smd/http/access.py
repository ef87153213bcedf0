"""Who may do what: the peer of a Unix socket, its role, and the check."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from smd.errors import PermissionDeniedError, SettingsError

_PEERCRED = struct.Struct("3i")
_SO_PEERGROUPS = 59
_GROUPS_BYTES = 1024


class Role(IntEnum):
    """Rights, each including those before it: read; send events and jobs; run machines."""

    OBSERVE = 1
    SEND = 2
    OPERATE = 3


class Peer(NamedTuple):
    """The program at the other end of a Unix socket, as the kernel names it (unix(7), SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()


def _groups(sock: Any, uid: int, gid: int) -> frozenset[int]:
    """All groups of the peer; of its account, where the kernel does not tell (or they are over 256)."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
        return frozenset({gid, *(number for (number,) in struct.iter_unpack("I", raw))})
    except OSError:
        try:
            return frozenset({gid, *os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)})
        except KeyError:
            return frozenset({gid})


def peer_of(sock: Any) -> Peer | None:
    """The peer of a connected Unix socket; None for other sockets."""
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    pid, uid, gid = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    return Peer(pid, uid, gid, _groups(sock, uid, gid))


def _group_number(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise SettingsError(
            f"cannot grant access to group '{name}': there is no such group", hint=f"groupadd {name}"
        ) from error


class Access:
    """Peer to role.

    Root and the daemon's own user operate. Members of the groups given have the greatest of their roles.
    Without any group given, whoever can open the socket operates: its mode and folder are the fence.

    Args:
        operate: names of groups, and so the other two.

    Raises:
        SettingsError: a group does not exist.
    """

    def __init__(self, *, operate: Iterable[str] = (), send: Iterable[str] = (), observe: Iterable[str] = ()) -> None:
        self._own = frozenset({0, os.geteuid()})
        self._roles: dict[int, Role] = {}
        for role, names in ((Role.OBSERVE, observe), (Role.SEND, send), (Role.OPERATE, operate)):
            self._roles.update({_group_number(name): role for name in names})

    def role(self, peer: Peer | None) -> Role | None:
        """The peer's role; None means no right at all (a stranger, or a connection without credentials)."""
        if peer is None:
            return None
        if not self._roles or peer.uid in self._own:
            return Role.OPERATE
        return max((self._roles[group] for group in peer.groups if group in self._roles), default=None)

    def demand(self, scope: Mapping[str, Any], role: Role) -> None:
        """Let the request of an ASGI scope pass if its peer has the role; see `admit`."""
        self.admit(scope.get("extensions", {}).get("smd.peer"), role)

    def admit(self, peer: Peer | None, role: Role) -> None:
        """Let a peer pass if it has the role.

        Raises:
            PermissionDeniedError: it has not.
        """
        held = self.role(peer)
        if held is None or held < role:
            has = f"your role is '{held.name.lower()}'" if held else "you have no role here"
            raise PermissionDeniedError(
                f"cannot do this: it needs the role '{role.name.lower()}' and {has}",
                hint="ask the operator to add your user to a group of the `access` setting",
            )
