"""What is accepted for the predecessor's sake and does nothing: told as warnings, so that nobody relies on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from smd.catalogue import LOG_LEVELS
from smd.document.report import Path, Report
from smd.document.schema import MetadataPart
from smd.document.values import TRUE_WORDS

NAMES_OF_OTHERS = {"condition": "if", "guard": "if", "cond": "if", "when": "if", "failure": "error"}
"""What other formats call some keys, and what they are called here."""

_CODES = range(-64, 256)
REPEATED = frozenset(("repeat", "repeat_per_tick"))
"""The words of `run_policy` for an action that runs again and again."""

_ALIKE = 0.85
"""`machine_nmae` is a slip of the pen, `machine_type` is another word."""


def suggested(report: Report, word: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """A hint with what is known by another format's name, or else with the nearest name."""
    meant = NAMES_OF_OTHERS.get(word)
    return f"did you mean {meant!r}?" if meant in known else report.nearest(word, known, cutoff)


def check_instant(report: Report, plain: Mapping[str, Any], path: Path) -> None:
    """Warn of what an instant action cannot do in entry, exit or a transition: answer with an event, be repeated."""
    wrapped = plain.get("params")
    layers = [(plain, path), (wrapped, (*path, "params"))] if isinstance(wrapped, dict) else [(plain, path)]
    for keys, place in layers:
        for key in ("success", "empty"):
            if keys.get(key):
                told = "without effect: entry, exit and transitions answer no event but that of a failure"
                report.warn("W101", (*place, key), told, "put the action under actions: of a state, or use type: raise")
        for key in ("repeatable", "run_policy"):
            if str(keys.get(key)).lower() not in TRUE_WORDS | REPEATED:
                continue
            told = "without effect: entry, exit and transitions run their actions once"
            report.warn("W101", (*place, key), told, "put the action under actions: of a state")


def check_values(report: Report, values: Mapping[str, Any], places: Mapping[str, Path]) -> None:
    """Warn of parameters of a built-in action that do nothing with the values given.

    Args:
        values: of all its parameters.
        places: of those given.
    """
    if values.get("additional_args"):
        told = "without effect: the child is a machine of this daemon, not a program with arguments"
        report.warn("W101", places["additional_args"], told, "pass values by context_vars:")
    if values.get("poll_interval") is not None:
        told = "without effect: the action is told when a job ends, and looks at once"
        report.warn("W101", places["poll_interval"], told, "leave it away")
    if values.get("fire_and_forget") and values.get("success") and "success" in places:
        told = "without effect beside fire_and_forget: such a send answers no event"
        report.warn("W101", places["success"], told, "leave one of them away")
    if str(values.get("level")).lower() == "success":
        told = "without effect: the line is logged as info, like one without a level"
        report.warn("W101", places["level"], told, f"levels are {', '.join(dict.fromkeys(LOG_LEVELS.values()))}")
    for code in values.get("error_mappings") or ():
        if int(code) == 0:
            told = "without effect: 0 is success, which no error mapping is asked about"
            report.warn("W101", (*places["error_mappings"], code), told, "the event of a success is success:")
        elif int(code) not in _CODES:
            told = "without effect: an exit code is at most 255, a signal is told as -1 to -64"
            report.warn("W101", (*places["error_mappings"], code), told)


def check_metadata(report: Report, metadata: MetadataPart | None) -> None:
    """Warn of a key that is nearly the one that means something."""
    if metadata is None or metadata.machine_name is not None:
        return
    for key in metadata.model_extra or {}:
        if hint := report.nearest(key, ["machine_name"], _ALIKE):
            report.warn("W101", ("metadata", key), "without effect: an unknown key", hint)
