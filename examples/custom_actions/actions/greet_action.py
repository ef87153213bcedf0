"""Greets somebody by name."""

from typing import Any

from smd.actions.custom import BaseAction


class GreetAction(BaseAction):
    """Puts `greeting` into the context; `name` is a parameter."""

    async def execute(self, context: dict[str, Any]) -> str:
        """Answer the event named by `success`."""
        params = self.config["params"]
        context["greeting"] = f"Hello, {params['name']}!"
        return str(params.get("success", "greeted"))
