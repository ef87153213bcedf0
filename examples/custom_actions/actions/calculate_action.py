"""Adds or multiplies the numbers of the event."""

from typing import Any

from smd.actions.custom import BaseAction


class CalculateAction(BaseAction):
    """A plain function: it runs in a thread of its own, so it may take its time."""

    def execute(self, context: dict[str, Any]) -> str:
        """Put `result` into the context; a missing number raises, which the chart sees as `error`."""
        numbers = context["event_data"]["payload"]
        params = self.config["params"]
        a, b = numbers["a"], numbers["b"]
        context["result"] = a * b if params.get("operation") == "multiply" else a + b
        return str(params.get("success", "calculated"))
