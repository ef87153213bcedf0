"""The daemon's own log: structlog, to standard error, for people or as JSON lines.

What others report comes in the same form: records of the standard library's logging (uvicorn's, asyncio's, those of
users' actions), Python's warnings, and what fails in the event loop with nobody waiting for it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import structlog

_log = structlog.get_logger("smd")

EVERY = 60.0
"""Seconds between two lines about the same trouble of the event loop."""

_SHORTAGE = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def set_up(level: str, form: str) -> None:
    """Configure structlog and the standard library's logging once, before anything logs.

    Args:
        level: debug, info, warning or error.
        form: `console` or `json`.
    """
    number: int = getattr(logging, level.upper())
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()] if form == "json" else [_console()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Passing()], level=number, force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # else two lines for each commit


def _console() -> structlog.dev.ConsoleRenderer:
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


class _Passing(logging.Handler):
    """Passes records of the standard library's logging on to structlog; of a user's action's, whose they are."""

    def emit(self, record: logging.LogRecord) -> None:
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        try:
            whose = {name: value for name in ("machine", "action") if (value := getattr(record, name, None))}
            _log.log(level, record.getMessage().rstrip(), logger=record.name, **whose, exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 - logging's own way: told on standard error, never to who logs
            self.handleError(record)


class LoopTrouble:
    """An event loop's exception handler: the same trouble is told at once, then every so often with a count.

    What fails in a callback of the event loop may fail hundreds of times a second, for as long as it lasts.

    Args:
        every: seconds between two lines about the same trouble.
    """

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._left_out: dict[tuple[str, str], int] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """Tell it, or count it. Any thread: Python may find a lost exception in whichever it collects garbage."""
        trouble = (str(context["message"]), repr(context.get("exception")))
        if trouble in self._left_out:
            self._left_out[trouble] += 1
            return
        _tell(context)
        if not loop.is_closed():
            self._left_out[trouble] = 0
            loop.call_soon_threadsafe(loop.call_later, self._every, self._look_back, loop, trouble, context)

    def _look_back(self, loop: asyncio.AbstractEventLoop, trouble: tuple[str, str], context: Mapping[str, Any]) -> None:
        left_out = self._left_out.pop(trouble)
        if left_out:
            _tell(context, left_out=left_out)
            self._left_out[trouble] = 0
            loop.call_later(self._every, self._look_back, loop, trouble, context)


def _tell(context: Mapping[str, Any], **more: Any) -> None:
    message, error = str(context["message"]), context.get("exception")
    if isinstance(error, OSError) and error.errno in _SHORTAGE:
        if error.errno == errno.EMFILE:
            more["hint"] = "raise the limit of open files (LimitNOFILE= of the unit, or ulimit -n)"
        _log.error(message, why=os.strerror(error.errno), **more)
        return
    about = {name: repr(part) for name, part in context.items() if name not in {"message", "exception"}}
    _log.error(message, exc_info=error, about=about, **more)
