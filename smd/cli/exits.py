"""Exit codes of smctl, and which one an error stands for (interfaces.md §3)."""

from __future__ import annotations

from typing import Any

from smd.errors import SmdError

OK = 0
FAILED = 1
USAGE = 2
WRONG_STATE = 3
NOT_FOUND = 4
CONFLICT = 5
FORBIDDEN = 6
UNREACHABLE = 7
INVALID = 8
TIMED_OUT = 124
INTERRUPTED = 130
BROKEN_PIPE = 141

BY_CODE = {
    "finished": WRONG_STATE,
    **dict.fromkeys(("is_running", "is_paused", "is_stopped", "is_failed", "is_finished"), WRONG_STATE),
    "not_running": WRONG_STATE,
    "already_running": WRONG_STATE,
    "paused": WRONG_STATE,
    "already_paused": WRONG_STATE,
    "not_paused": WRONG_STATE,
    "not_failed": WRONG_STATE,
    "forbidden": FORBIDDEN,
    "invalid_chart": INVALID,
    "invalid_document": INVALID,
    "invalid_settings": INVALID,
    "wait_timeout": TIMED_OUT,
}
BY_STATUS = {400: USAGE, 401: FORBIDDEN, 403: FORBIDDEN, 404: NOT_FOUND, 408: TIMED_OUT, 409: CONFLICT, 422: USAGE}
BY_KIND = {"connection": UNREACHABLE, "request": USAGE}
BY_IGNORED = {"unknown_event": NOT_FOUND, "guard_failed": FAILED, "context_too_large": FAILED}
BY_DISPOSITION = {"taken": OK, "queued": OK, "deferred": OK, "duplicate": OK, "ignored": WRONG_STATE}


def of_error(error: SmdError) -> int:
    """The code for an error: by its stable code first, then by where it arose, then by the HTTP status."""
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    if error.code.startswith("smd-E"):
        return INVALID
    status = getattr(error, "status", 0)
    return BY_STATUS.get(status, FAILED) if status else BY_KIND.get(getattr(error, "kind", ""), FAILED)


def of_answer(answer: dict[str, Any]) -> int:
    """The code for what became of an event: an unknown one is 4, another that was ignored 3, a failure 1.

    A guard that failed is a failure, and a machine that failed on its way to being settled is one, too.
    """
    if answer.get("settled", {}).get("status") == "failed":
        return FAILED
    if answer.get("disposition") == "ignored" and answer.get("code") in BY_IGNORED:
        return BY_IGNORED[answer["code"]]
    return BY_DISPOSITION.get(str(answer.get("disposition")), FAILED)
