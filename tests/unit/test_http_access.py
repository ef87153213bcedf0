"""Peers, roles, and what each role may do."""

from __future__ import annotations

import grp
import os
import socket

import pytest

from smd.errors import SettingsError
from smd.http import access
from smd.http.access import Access, Peer, Role, peer_of
from smd.http.app import ROUTES, Application
from smd.http.call import Row
from tests.unit.http_double import Caller, SmallSupervisor

GROUPS = {"watchers": 101, "senders": 102, "operators": 103}
STRANGER = Peer(7, 4242, 4242)


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch) -> Access:
    class Entry:
        def __init__(self, name: str) -> None:
            self.gr_gid = GROUPS[name]

    monkeypatch.setattr(grp, "getgrnam", Entry)
    return Access(operate=["operators"], send=["senders"], observe=["watchers"])


@pytest.mark.parametrize(
    ("peer", "role"),
    [
        (Peer(1, 0, 0), Role.OPERATE), (Peer(1, os.geteuid(), 0), Role.OPERATE), (STRANGER, None),
        (None, None),
        (STRANGER._replace(groups=frozenset({101})), Role.OBSERVE),
        (STRANGER._replace(groups=frozenset({102, 9})), Role.SEND),
        (STRANGER._replace(groups=frozenset({101, 103})), Role.OPERATE),
    ],
)  # fmt: skip
def test_the_greatest_role_of_a_peers_groups_counts(grouped: Access, peer: Peer | None, role: Role | None) -> None:
    assert grouped.role(peer) == role


def test_without_groups_whoever_opens_the_socket_operates() -> None:
    assert Access().role(STRANGER) == Role.OPERATE
    assert Access().role(None) is None


def test_a_group_that_does_not_exist_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="no such group"):
        Access(send=["no-such-group-here"])


def test_the_kernel_names_the_peer_with_its_groups() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        peer = peer_of(left)
    assert peer is not None
    assert peer[:3] == (os.getpid(), os.geteuid(), os.getegid())
    assert peer.groups == {os.getegid(), *os.getgroups()}


def test_a_kernel_that_hides_groups_leaves_the_accounts() -> None:
    class Sock:
        def getsockopt(self, *_: int) -> bytes:
            raise OSError

    assert access._groups(Sock(), 0, 0) == {0, *os.getgrouplist("root", 0)}
    assert access._groups(Sock(), 4_000_000, 77) == {77}


@pytest.mark.asyncio
@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row.method} {row.path}")
@pytest.mark.parametrize("held", [None, *Role])
async def test_each_route_asks_for_its_role(grouped: Access, row: Row, held: Role | None) -> None:
    """One role below is 403 and changes nothing; the role itself passes."""
    supervisor = SmallSupervisor()
    groups = frozenset() if held is None else frozenset({100 + held})
    call = Caller(supervisor, Application(supervisor, access=grouped), STRANGER._replace(groups=groups))
    reply = await call(row.method, row.path.replace("{name}", "worker"), b"{}")
    allowed = row.role is None or (held is not None and held >= row.role)
    assert (reply.status == 403) is not allowed
    if not allowed:
        assert (reply.code, supervisor.called, supervisor.posted) == ("forbidden", [], [])
