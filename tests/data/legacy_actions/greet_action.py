"""An action as written for the predecessor: greets whom the event names."""

import asyncio

from legacy_actions.words import greeting
from statemachine_engine.actions import BaseAction


class GreetAction(BaseAction):
    async def execute(self, context):
        params = self.config.get("params", {})
        payload = context.get("event_data", {}).get("payload", {})
        await asyncio.sleep(0)
        context["greeting"] = greeting(payload.get("name", "World"))
        self.logger.info("greeted on %s", self.get_machine_name(context))
        return params.get("success", "greeted")
