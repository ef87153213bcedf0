"""One event in, the common way: what a plain request says, posting it, and its answer as bytes.

A request is plain when it is small, whole in the usual form and asks for nothing special. Every other one is answered
by the ASGI application, with the same bytes; so whatever is doubtful here is simply not plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from smd import codec
from smd.errors import RequestError
from smd.http.access import Access, Peer, Role
from smd.http.bodies import read_event, read_json
from smd.http.ports import Settle, Supervisor
from smd.http.replies import CLOSE, failure, whole
from smd.http.single import key_and_source, status_of
from smd.runtime.answers import Answer

LONGEST = 64 << 10
"""Bytes of a plain request's body."""
_HEADS = 1024
_HEAD_LENGTH = 1024
_PATH = re.compile(rb"/v1/machines/([A-Za-z0-9._~!$&'()*+,;=:@-]{1,255})/events")
_SPECIAL = frozenset({b"expect", b"transfer-encoding", b"upgrade"})


class Head(NamedTuple):
    """What the head of a plain request says.

    Attributes:
        length: of the body, in bytes.
        stays: the connection is kept after the answer.
        key: the id given in a header, or empty.
        source: the kind of client.
    """

    machine: str
    length: int
    stays: bool
    key: str
    source: str


def read_head(url: bytes, headers: list[tuple[bytes, bytes]], *, stays: bool) -> Head | None:
    """The head of a POST request if it is plain, else None; names of headers are in lower case."""
    path = _PATH.fullmatch(url)
    if path is None:
        return None
    length = -1
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name in _SPECIAL:
            return None
    if not 0 <= length <= LONGEST:
        return None
    try:
        return Head(path[1].decode(), length, stays, *key_and_source(headers))
    except RequestError:
        return None


class Plain:
    """Takes plain requests from connections."""

    def __init__(self, supervisor: Supervisor, access: Access, clock: Callable[[], float]) -> None:
        self._supervisor = supervisor
        self._access = access
        self._clock = clock
        self._heads: dict[bytes, Head] = {}

    def known(self, head: bytes) -> Head | None:
        """What these bytes said when they were the whole head of a plain request before."""
        return self._heads.get(head)

    def learn(self, head: bytes, said: Head) -> None:
        """Remember what the bytes of a head say. Those with a key of their own hardly come twice."""
        if not said.key and len(head) <= _HEAD_LENGTH:
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[head] = said

    def post(self, peer: Peer | None, head: Head, body: bytes, reply: Settle) -> None:
        """Post the event of a request; `reply` is called once, on the loop, when it is known what became of it.

        Raises:
            SmdError: it was refused.
        """
        self._access.admit(peer, Role.SEND)
        event = read_event(read_json(body), source=head.source, now=self._clock(), key=head.key)
        self._supervisor.post(head.machine, event, reply, client=True, size=len(body))

    def answer(self, head: Head, outcome: Answer | Exception, *, stays: bool) -> tuple[bytes, bool]:
        """The whole answer as bytes, and whether the connection stays after it."""
        if isinstance(outcome, Answer):
            try:
                body = codec.dumps(outcome.plain())
            except TypeError as error:
                outcome = error
            else:
                return whole(status_of(outcome), body, stays=stays), stays
        reply = failure(outcome, {"method": "POST", "path": f"/v1/machines/{head.machine}/events"})
        stays = stays and CLOSE not in reply.headers
        return whole(reply.status, codec.dumps(reply.data), reply.headers, stays=stays), stays
