"""The table of action types. To add one: a row here, and its family in `smd.actions` or `smd.statechart.content`."""

from __future__ import annotations

from smd.catalogue.types import ActionType, Kind, Parameter, Value

P = Parameter
V = Value

COMMON: tuple[Parameter, ...] = (
    P("success", V.EVENT),
    P("error", V.EVENT),
    P("description", V.TEXT),
    P("repeatable", V.BOOLEAN, False),
    P("run_policy", V.WORD, choices=("once", "repeat", "repeat_per_tick")),
)
"""Keys every action takes, beside `type`, `params`, `if`, `timeout` and `retry`, which the document reads itself."""

LOG_LEVELS = {
    **{level: level for level in ("debug", "info", "warning", "error", "critical")},
    "warn": "warning", "exception": "error", "fatal": "critical", "success": "info",
}  # fmt: skip
"""Words for the level of a line in a log, the predecessor's too, and the levels they mean."""

_LEVEL = P("level", V.TEXT, "info", choices=tuple(LOG_LEVELS))
_COMMAND = (
    P("error_mappings", V.EVENTS, {}),
    P("env", V.MAPPING, {}),
    P("cwd", V.TEXT),
    P("stdin", V.ANY),
    P("store_as", V.WORD),
    P("parse", V.WORD, choices=("json", "text", "lines")),
    P("limits", V.MAPPING, {}),
    P("kill_after", V.DURATION, 5.0),
    P("roots", V.PATHS, []),
)

_ROWS = (
    ActionType(
        "log", Kind.INSTANT, "Writes a line to the machine's log; shown live.",
        (P("message", V.ANY, "No message"), _LEVEL),
    ),
    ActionType(
        "activity_log", Kind.INSTANT, "The same, answering `continue`.",
        (P("message", V.ANY, "Log message"), _LEVEL), success="continue",
    ),
    ActionType(
        "set_context", Kind.INSTANT, "Sets one context key (dots reach into maps).",
        (P("key", V.TEXT, required=True), P("value", V.ANY, required=True)), success="success",
    ),
    ActionType(
        "assign", Kind.INSTANT, "Sets several context keys to the values of expressions, in order.",
        (P("set", V.EXPRESSIONS, required=True, aliases=("values",)),),
    ),
    ActionType(
        "add_to_list", Kind.INSTANT, "Appends to a context list, creating it.",
        (P("list_key", V.TEXT, "items"), P("value", V.ANY, required=True)), success="success",
    ),
    ActionType(
        "pop_from_list", Kind.INSTANT, "Takes the first item of a context list.",
        (P("list_key", V.TEXT, "items"), P("store_as", V.TEXT)), success="item_popped", empty="list_empty",
    ),
    ActionType(
        "raise", Kind.INSTANT, "Puts an event on the machine's internal queue.",
        (P("event", V.TEXT, required=True, aliases=("event_type",)), P("payload", V.ANY, {})),
    ),
    ActionType(
        "send_event", Kind.INSTANT, "Sends an event to machines, now or after a delay.",
        (
            P("target_machine", V.NAMES, required=True, aliases=("target",)),
            P("event_type", V.TEXT, "generic_event", aliases=("event",)),
            P("payload", V.ANY, {}), P("delay", V.DURATION), P("id", V.TEXT),
            P("priority", V.WORD, choices=("high", "normal", "low")),
            P("fire_and_forget", V.BOOLEAN, False),
        ),
        success="event_sent",
    ),
    ActionType("cancel", Kind.INSTANT, "Cancels a delayed send by its id.", (P("id", V.TEXT, required=True),)),
    ActionType("sleep", Kind.TIMED, "Waits on a durable timer.", (P("duration", V.DURATION, 1.0),), success="wake_up"),
    ActionType(
        "bash", Kind.WORKING, "Runs shell text; placeholders are passed as variables, never as text.",
        (
            P("command", V.SHELL, required=True), P("shell", V.WORD, "sh", choices=("sh", "bash")),
            P("allow_dash", V.BOOLEAN, False), *_COMMAND,
        ),
        success="job_done",
    ),
    ActionType(
        "run", Kind.WORKING, "Runs a program without a shell, each item exactly one argument.",
        (P("command", V.ARGV, required=True, aliases=("argv",)), *_COMMAND), success="job_done",
    ),
    ActionType(
        "start_fsm", Kind.STORE, "Starts a child machine from a file in this daemon.",
        (
            P("yaml_path", V.TEXT, required=True), P("machine_name", V.TEXT, required=True),
            P("context_vars", V.LIST, []), P("linked", V.BOOLEAN, False),
            P("store_pid", V.BOOLEAN, False), P("additional_args", V.LIST, []),
        ),
        success="started", flat_success="success",
    ),
    ActionType(
        "stop_machine", Kind.STORE, "Stops another machine.", (P("machine_name", V.TEXT, required=True),),
        success="success",
    ),
    ActionType(
        "check_machine_state", Kind.STORE, "Compares another machine's state.",
        (
            P("target_machine", V.TEXT, required=True, aliases=("machine_name",)),
            P("expected_states", V.LIST, []), P("timeout_seconds", V.NUMBER),
            P("unexpected", V.EVENT, "unexpected_state"), P("not_running", V.EVENT, "not_running"),
        ),
        success="in_expected_state",
    ),
    ActionType(
        "add_job", Kind.STORE, "Adds a job to the queue.",
        (
            P("job_id", V.TEXT), P("job_type", V.TEXT, required=True), P("machine_type", V.TEXT),
            P("payload", V.ANY, {}, aliases=("data",)), P("priority", V.INTEGER, 5), P("source_job_id", V.TEXT),
            P("store_as", V.WORD), P("exists", V.EVENT, "job_exists"),
        ),
        success="job_added",
    ),
    ActionType(
        "check_database_queue", Kind.STORE, "Takes the next job; settles the one taken before.",
        (P("job_type", V.TEXT), P("machine_type", V.TEXT), P("empty", V.EVENT)),
        success="new_job", empty="no_jobs", watch="jobs",
    ),
    ActionType(
        "claim_job", Kind.STORE, "Claims the next job of a type (waits when there is none), or one job by its id.",
        (
            P("job_id", V.TEXT), P("job_type", V.TEXT), P("machine_type", V.TEXT),
            P("already_claimed", V.EVENT, "already_claimed"), P("store_as", V.WORD, "current_job"),
        ),
        success="new_job", watch="jobs",
    ),
    ActionType(
        "get_pending_jobs", Kind.STORE, "Lists waiting jobs without claiming them.",
        (
            P("job_type", V.TEXT), P("machine_type", V.TEXT), P("limit", V.INTEGER),
            P("store_as", V.WORD, "pending_jobs"), P("empty", V.EVENT),
        ),
        success="jobs_found", empty="no_jobs", watch="jobs",
    ),
    ActionType(
        "complete_job", Kind.STORE, "Completes a job.",
        (P("job_id", V.ANY, "{job_id}"), P("result", V.ANY)), success="success",
    ),
    ActionType(
        "fail_job", Kind.STORE, "Fails a job.",
        (P("job_id", V.ANY, "{job_id}"), P("reason", V.TEXT, "failed by its machine", aliases=("error_message",))),
        success="success",
    ),
    ActionType(
        "wait_for_jobs", Kind.STORE, "Waits until all tracked jobs have ended.",
        (
            P("tracked_jobs_key", V.TEXT, "spawned_jobs"), P("poll_interval", V.NUMBER),
            P("pending", V.EVENT), P("timeout_event", V.EVENT),
        ),
        success="all_jobs_complete", empty="no_jobs_tracked", watch="tracked",
    ),
    ActionType(
        "check_events", Kind.STORE, "Waits for an event of the given types and goes on with it.",
        (P("event_types", V.NAMES, required=True), P("target_machine", V.TEXT), P("empty", V.EVENT)),
        empty="no_events", watch="events",
    ),
    ActionType(
        "clear_events", Kind.STORE, "Discards waiting events of the given types.",
        (P("event_types", V.NAMES, required=True), P("target_machine", V.TEXT), P("empty", V.EVENT)),
        success="events_cleared", empty="no_events_to_clear", flat_empty_is_success=True,
    ),
)  # fmt: skip

ACTIONS: dict[str, ActionType] = {row.name: row for row in _ROWS}

CUSTOM = ActionType("custom", Kind.WORKING, "A Python action of the user's own; every parameter is passed on.", ())
