"""An action that does nothing, to measure what surrounds it."""

from typing import Any

from smd.actions.custom import BaseAction


class AtOnceAction(BaseAction):
    """Answers its `success` event at once."""

    async def execute(self, context: dict[str, Any]) -> str:  # noqa: ARG002 - the interface's
        """Answer."""
        return str(self.config["success"])
