"""The class that Python actions derive from."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any


class BaseAction(ABC):
    """A user's Python action. A new object is made for each run.

    `execute` gets its own copy of the machine's context, with `machine_name`, `current_state` and `event_data` (the
    event that led into the state), and `config`, the chart's document, not to be changed, unless the machine has a
    key of that name. What it changes there is kept if it succeeds. It may be an ordinary method too; either way it
    runs in a thread of its own, a coroutine with an event loop of its own.

    The processes it starts end with it, whether its state is left or it answers; one in a session of its own outlives
    its answer. What it prints or logs, also with the standard library, goes to its machine's log.

    Args:
        config: the action as the chart has it, placeholders filled in, its parameters both at the top level and
            under `params`.
    """

    _tell: Callable[[str, str], None] | None = None

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config: dict[str, Any] = dict(config or {})

    @cached_property
    def logger(self) -> logging.Logger:
        """A logger of the class's name; most actions use `log`."""
        return logging.getLogger(f"{type(self).__module__}.{type(self).__name__}")

    def log(self, message: str, level: str = "info") -> None:
        """Write a line to the machine's log. Any thread."""
        if self._tell is not None:
            self._tell(level, message)
        else:
            self.logger.log(logging.getLevelNamesMapping().get(level.upper(), logging.INFO), "%s", message)

    def get_config_value(self, key: str, default: Any = None) -> Any:
        """A parameter, or `default`."""
        return self.config.get(key, default)

    def get_description(self) -> str:
        """The action's `description:`, else the name of its class."""
        return str(self.config.get("description") or type(self).__name__)

    def get_machine_name(self, context: Mapping[str, Any]) -> str:
        """Name of the machine it runs in; `unknown` outside of one."""
        return str(context.get("machine_name") or "unknown")

    @abstractmethod
    async def execute(self, context: dict[str, Any]) -> str | None:
        """Do it; answer an event type, or nothing. Raising is failing."""
