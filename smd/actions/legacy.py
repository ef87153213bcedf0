"""Answers for the predecessor's package, so that actions written for it load unchanged.

`statemachine_engine`, `.actions`, `.actions.base`, `.database` and `.database.models` become importable in this
process: `BaseAction`, `JobModel` and the accessors of the models. Nothing else of the predecessor is there.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from smd.actions import base_action, legacy_models

PACKAGE = "statemachine_engine"


class BaseAction(base_action.BaseAction):
    """The predecessor's base class; what derives from it runs in a thread with a loop of its own."""


BaseAction.__module__ = f"{PACKAGE}.actions.base"

_MODELS = {name: getattr(legacy_models, name) for name in legacy_models.OFFERED}
_MODULES: dict[str, dict[str, Any]] = {
    PACKAGE: {"BaseAction": BaseAction, "JobModel": legacy_models.JobModel},
    f"{PACKAGE}.actions": {"BaseAction": BaseAction},
    f"{PACKAGE}.actions.base": {"BaseAction": BaseAction},
    f"{PACKAGE}.database": _MODELS,
    f"{PACKAGE}.database.models": _MODELS,
}
_PACKAGES = frozenset((PACKAGE, f"{PACKAGE}.actions", f"{PACKAGE}.database"))


def install() -> None:
    """Make the names importable; a second call changes nothing."""
    for name, offered in _MODULES.items():
        if isinstance(sys.modules.get(name), _Stand):
            continue
        module = _Stand(name, "Stands for the package smd replaces.")
        module.__dict__.update(offered)
        if name in _PACKAGES:
            module.__path__ = []
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)


class _Stand(ModuleType):
    """A module of the stand-in; any other name in it is refused with what to do instead."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"'{self.__name__}' has no '{name}' in smd; it offers {', '.join(sorted(_MODULES[self.__name__]))}"
        )
