"""An action as written for the predecessor: calculates, and notes the result as a job."""

from statemachine_engine.actions.base import BaseAction
from statemachine_engine.database.models import get_job_model

OPERATIONS = {"add": lambda a, b: a + b, "multiply": lambda a, b: a * b}


class CalculateAction(BaseAction):
    def __init__(self, config):
        super().__init__(config)
        self.jobs = get_job_model()

    async def execute(self, context):
        payload = context["event_data"]["payload"]
        operation = payload.get("operation", self.config["params"].get("operation", "add"))
        context["calculation_result"] = OPERATIONS[operation](payload["a"], payload["b"])
        self.jobs.create_job("calculated", "note", data={"result": context["calculation_result"]})
        context["seen"] = [job["job_id"] for job in context["job_model"].get_pending_jobs("note")]
        return self.get_config_value("success")
