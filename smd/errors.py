"""Every error smd raises on purpose: one root, families by who must act.

The text always reads "cannot X: why". `code` is stable and goes over the wire; `hint` is the next step where
there is one. Families say who is to blame: the chart's author, the sender of a request, the machine's own run,
or the store. And what is kept of an error's words: `brief`.
"""

from __future__ import annotations

ERROR_LIMIT = 4096
"""Bytes of an error's words that are kept; the machine's log has all of them."""


class SmdError(Exception):
    """Root of all deliberate errors.

    Args:
        message: what could not be done and why.
        code: stable identifier for programs; the class's default unless given.
        hint: the next step for the reader, or empty.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class ChartError(SmdError):
    """The document or chart is wrong; its author must change it."""

    code = "invalid_chart"


class RequestError(SmdError):
    """The request is wrong; its sender must change it. Nothing was changed."""

    code = "invalid_request"


class NotFoundError(RequestError):
    """The request names something that does not exist."""

    code = "not_found"


class ConflictError(RequestError):
    """The request does not fit the present state of its subject."""

    code = "conflict"


class TooLargeError(RequestError):
    """The request, a value or a context is larger than allowed."""

    code = "too_large"


class BusyError(RequestError):
    """The inbox is full; the same request may be sent again later."""

    code = "busy"


class PermissionDeniedError(RequestError):
    """The peer's role does not allow the request."""

    code = "forbidden"


class MachineError(SmdError):
    """The machine broke a rule at run time (endless loop, contract, size); it fails, the daemon goes on."""

    code = "machine_failed"


class ActionError(SmdError):
    """One action failed; the machine hears of it as an event."""

    code = "action_failed"


class StoreError(SmdError):
    """The store cannot do what was asked (disk, version, lock)."""

    code = "store_unavailable"


class OutcomeUnknownError(StoreError):
    """A commit failed and may or may not have happened; sending again with the same id is safe."""

    code = "outcome_unknown"


class SettingsError(SmdError):
    """A setting or the environment is wrong; the operator must change it."""

    code = "invalid_settings"


def storable(text: str) -> str:
    """The text as any store can keep it: half a character (a lone surrogate) is written as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def brief(text: str) -> str:
    """An error's words as they are kept: storable; of more than ERROR_LIMIT bytes the head and the tail."""
    text = storable(text)
    if len(text) * 4 <= ERROR_LIMIT or len(data := text.encode()) <= ERROR_LIMIT:
        return text
    room = ERROR_LIMIT - len(_mark(len(data)))
    head, tail = data[: (room + 1) // 2], data[-(room // 2) :]
    return f"{head.decode(errors='ignore')}{_mark(len(data) - room)}{tail.decode(errors='ignore')}"


def _mark(dropped: int) -> str:
    return f" ... {dropped} bytes dropped ... "
