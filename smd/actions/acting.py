"""For which Python action a thread acts, and what is said there: the machine's log hears it from the daemon's loop."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from contextvars import ContextVar
from itertools import groupby
from typing import Any

from smd.actions.base import Call
from smd.actions.offspring import TIDYING
from smd.actions.threads import OwnThread
from smd.errors import storable

MOST_WAITING = 16_384
"""Characters that wait for the loop to write them; who says more waits, too, so that a flood fills no memory."""

_LINE = 100
"""What a line counts beside its characters, for each costs the loop something."""
_LOOK = 0.5
_room = threading.Condition()


class Acting:
    """One run of a Python action, as whatever its thread calls sees it.

    What it says is written in order, many words at once where they come fast.

    Args:
        call: the run.
        thread: where it runs; made by the loop that is told.
    """

    __slots__ = ("_asked", "_log", "_mark", "_output", "_size", "_thread", "_waiting", "action", "machine")

    def __init__(self, call: Call, thread: OwnThread[Any]) -> None:
        self.machine = call.machine
        self.action = call.action.type
        self._mark = call.full_key
        self._log = call.log
        self._output = call.output
        self._thread = thread
        self._waiting: list[tuple[str, str, bool]] = []
        self._size = 0
        self._asked = False

    @property
    def mark(self) -> str:
        """What a process that is started now carries."""
        return self._mark + TIDYING if self._thread.tidies() else self._mark

    def starting(self) -> AbstractContextManager[Any]:
        """To be held while a program is being started."""
        return self._thread.starting()

    def starts_process(self, *, fork: bool = False) -> None:
        """A process is about to be started. `fork`: it goes on in this program.

        Raises:
            CancelledError: the state was left, or the action is over.
        """
        self._thread.starts_process(fork=fork)

    def over(self) -> bool:
        """The action has come to its own end; threads that it began may go on."""
        return self._thread.over()

    def log(self, level: str, message: str) -> None:
        """A line of the machine's log. Waits while much is unwritten."""
        self._say(storable(str(level)), storable(str(message)), printed=False)

    def printed(self, stream: str, text: str) -> None:
        """Text for `stdout` or `stderr`. Waits while much is unwritten."""
        for start in range(0, len(text), MOST_WAITING):
            self._say(stream, text[start : start + MOST_WAITING], printed=True)

    def at_home(self) -> bool:
        """This is the loop's own thread: it acts for nobody, whatever it was called from."""
        return self._thread.at_home()

    def _say(self, how: str, words: str, *, printed: bool) -> None:
        with _room:
            while self._size > MOST_WAITING and self._thread.wanted():
                _room.wait(_LOOK)
            if not self._thread.wanted():
                return
            self._waiting.append((how, words, printed))
            self._size += len(words) + (0 if printed else _LINE)
            if self._asked:
                return
            self._asked = True
        self._thread.tell(self._write)

    def _write(self) -> None:
        """On the loop: write all that waits."""
        with _room:
            said, self._waiting = self._waiting, []
            self._size, self._asked = 0, False
            _room.notify_all()
        for (how, printed), words in groupby(said, lambda each: (each[0], each[2])):
            if printed:
                self._output(how, "".join(text for _, text, _ in words).encode("utf-8", "backslashreplace"))
            else:
                for _, message, _ in words:
                    self._log(how, message)


_acting: ContextVar[Acting | None] = ContextVar("smd_acting", default=None)


def act(acting: Acting | None) -> None:
    """From now on whatever runs in this context acts for that action, or for none."""
    _acting.set(acting)


def current() -> Acting | None:
    """Whom this thread acts for."""
    acting = _acting.get()
    return None if acting is None or acting.at_home() else acting
