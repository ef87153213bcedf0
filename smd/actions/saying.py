"""What a Python action prints or logs with the standard library is told in its machine's log."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TextIO

from smd.actions.acting import current


class Stream:
    """Stands for `sys.stdout` or `sys.stderr`: text from the thread of an action goes to its machine's log.

    Args:
        stream: what all others write to.
        name: `stdout` or `stderr`.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        """See io.TextIOBase."""
        acting = current()
        if acting is not None:
            acting.printed(self._name, text)
            return len(text)
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """See io.TextIOBase."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """See io.TextIOBase."""
        if current() is None:
            self._stream.flush()

    def close(self) -> None:
        """See io.TextIOBase. An action closes nobody's but its own."""
        if current() is None:
            self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Records(logging.Handler):
    """Has what an action logs, and what it calls, in its machine's log; the record says whose it is."""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        acting = current()
        if acting is None:
            return
        record.machine, record.action = acting.machine, acting.action
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        try:
            acting.log(logging.getLevelName(level).lower(), self.format(record))
        except Exception:  # noqa: BLE001 - logging's own way: told on standard error, never to who logs
            self.handleError(record)


class Hearing(contextlib.AbstractContextManager["Hearing"]):
    """Within this block (of the whole process) actions are heard.

    Once the logging of the process is set up. A stream that somebody else put in place meanwhile stays.
    """

    def __init__(self) -> None:
        self._records = Records()
        self._streams: dict[str, Stream] = {}

    def __enter__(self) -> Self:
        for name in ("stdout", "stderr"):
            if (stream := getattr(sys, name)) is not None:  # what asks whether there is one is told the truth
                self._streams[name] = Stream(stream, name)
                setattr(sys, name, self._streams[name])
        logging.getLogger().handlers.insert(0, self._records)  # before those that tell whose a record is
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self._records)
        for name, stream in self._streams.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, stream._stream)
