"""Plain actions → compiled `Action`s, by the rows of the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import Any, NamedTuple

from smd.catalogue import ACTIONS, COMMON, ActionType, Kind, Parameter, Value
from smd.document.check import check_part
from smd.document.children import carried_by, check_environment, check_limits
from smd.document.report import Path, Report
from smd.document.schema import ActionPart, RetryPart
from smd.document.values import is_open, read_boolean, read_value
from smd.document.without_effect import check_instant, check_values, suggested
from smd.errors import ChartError
from smd.problems import shown
from smd.shell import ShellProgram, check_argv, compile_shell
from smd.statechart.durations import parse_duration
from smd.statechart.expression import Expression, compile_expression
from smd.statechart.model import Action, Retry
from smd.statechart.template import Placeholder, Template, compile_placeholder, compile_template

TIMEOUTS = {"bash": 30.0, "wait_for_jobs": 300.0}
"""Seconds after which an action ends when the chart says nothing; the others have no limit."""

NOT_REPLACEABLE = frozenset(("log", "sleep"))
"""Types that a custom action of the same name does not replace (statemachine-engine, custom actions)."""

READ_HERE = frozenset(("type", "params", "if", "retry"))
_TIMEOUT = Parameter("timeout", Value.DURATION)
_RUN_POLICY = next(parameter for parameter in COMMON if parameter.name == "run_policy")
_OWN = "an action's own parameter of this name goes under params:"
_NEVER_WAITS = "leave it away; a deadline for the state is after: in the state, or a row with event: timeout(5)"
_BESIDE = "it stands beside params:, not under it"
_NO_FILE = "a custom action needs its file in a folder of actions (--actions-dir DIR)"
_CLAIMED = "claimed"
_COMPILED = frozenset((Value.EVENT, Value.EVENTS, Value.SHELL, Value.EXPRESSIONS))
_SPELLED_OUT = frozenset(parameter.name for parameter in COMMON)


class _Given(NamedTuple):
    """A parameter as the document gives it."""

    value: Any
    path: Path


def parameters_of(row: ActionType) -> tuple[Parameter, ...]:
    """All parameters of an action type, those every type has included."""
    empty = (Parameter("empty", Value.EVENT),) if row.empty and row.parameter("empty") is None else ()
    timeout = (_TIMEOUT._replace(default=TIMEOUTS.get(row.name)),) if takes_time(row) else ()
    return (*row.parameters, *empty, *timeout, *COMMON)


def takes_time(row: ActionType) -> bool:
    """The action may last or wait; the others are done, or answered by the store, at once."""
    return row.kind in {Kind.WORKING, Kind.TIMED} or row.watch is not None


class ActionReader:
    """Compiles the actions of one document.

    Args:
        custom: known custom types; None takes every unknown type for one. A mapping has the faults of their files.
        flat: the document is of the flat form, whose defaults differ.

    `states` are the ids that `in_state` may name; the builder sets them. `replaced` are the built-in types that
    a custom action of the same name stands for in this document.
    """

    def __init__(self, report: Report, custom: Collection[str] | None, *, flat: bool) -> None:
        self.report = report
        self.custom = None if custom is None else frozenset(custom)
        self._fault = cache((custom if isinstance(custom, Mapping) else {}).get)
        self.flat = flat
        self.replaced: set[str] = set()
        self.states: Collection[str] = ()

    # --- lists ----------------------------------------------------------------------------------------------

    def sequence(self, parts: Iterable[ActionPart] | None, path: Path) -> tuple[Action, ...]:
        """All actions of a list that can be read; any kind."""
        return tuple(action for _, action in self._each(parts, path))

    def content(self, parts: Sequence[ActionPart] | None, path: Path) -> tuple[Action, ...]:
        """The actions of a transition: instant ones up to the first lasting one, then any kind."""
        found = list(self._each(parts, path))
        instant = list(takewhile(lambda each: each[1].kind == Kind.INSTANT, found))
        self._check_instant(parts, instant)
        return tuple(action for _, action in found)

    def block(self, parts: Sequence[ActionPart] | None, path: Path) -> tuple[Action, ...]:
        """The actions of a block; a lasting one is a problem."""
        found = list(self._each(parts, path))
        for place, action in found:
            if action.kind != Kind.INSTANT:
                self.lasting(action, place)
        self._check_instant(parts, [each for each in found if each[1].kind == Kind.INSTANT])
        return tuple(action for _, action in found)

    def _check_instant(self, parts: Sequence[ActionPart] | None, found: Iterable[tuple[Path, Action]]) -> None:
        for path, _ in found:
            if parts and isinstance(index := path[-1], int):
                check_instant(self.report, parts[index].model_extra or {}, path)

    def lasting(self, action: Action, path: Path) -> None:
        """Report a lasting action where only instant ones may stand."""
        self.report.add(
            "E305",
            path,
            f"{action.type} takes time: entry, exit and transitions hold instant actions only",
            "put it under actions: of the state it belongs to",
        )

    def _each(self, parts: Iterable[ActionPart] | None, path: Path) -> Iterator[tuple[Path, Action]]:
        for index, part in enumerate(parts or ()):
            action = self._action({"type": part.type, **(part.model_extra or {})}, (*path, index))
            if action is not None:
                yield (*path, index), action

    # --- texts ----------------------------------------------------------------------------------------------

    def expression(self, text: str | None, path: Path) -> Expression | None:
        """A compiled expression whose states exist; None where there is none, or a wrong one."""
        if text is None:
            return None
        made = self.report.attempt("E401", path, lambda: compile_expression(text))
        for name in made.states if made else ():
            if name not in self.states:
                self.report.add(
                    "E202", path, f"in_state names no state: {shown(name)}", self.report.nearest(name, self.states)
                )
        return made

    def template(self, value: Any, path: Path) -> Template | None:
        """A compiled template, or None with its problem told."""
        return self.report.attempt("E006", path, lambda: compile_template(value))

    # --- one action -----------------------------------------------------------------------------------------

    def _action(self, plain: dict[str, Any], path: Path) -> Action | None:
        name = plain["type"]
        row = ACTIONS.get(name)
        if row is not None and self.custom and name in self.custom - NOT_REPLACEABLE:
            self.replaced.add(name)
        if row is not None and name not in self.replaced:
            return self._built_in(row, plain, path)
        if row is not None or self.custom is None or name in self.custom:
            return self._custom(plain, path)
        hint = self.report.nearest(name, (*ACTIONS, *self.custom)) or _NO_FILE
        self.report.add("E301", (*path, "type"), f"unknown action type {shown(name)}", hint)
        return None

    def _custom(self, plain: dict[str, Any], path: Path) -> Action | None:
        if fault := self._fault(plain["type"]):
            self.report.warn("W103", (*path, "type"), f"the file of this action cannot be loaded: {fault}")
        if "isolate" in plain and (not self.flat or plain["isolate"] == "process"):
            self.report.add(
                "E106",
                (*path, "isolate"),
                "isolate: is not supported by this version",
                f"leave it away: a Python action runs in a thread of its own; {_OWN}",
                key=True,
            )
        params, limited = self.template(plain, path), self._limited(plain, path)
        if params is None:
            return None
        inner = plain["params"] if isinstance(plain.get("params"), dict) else {}
        events: dict[str, str | None] = {}
        for name in ("success", "error"):
            given = plain.get(name, inner.get(name, 0))
            if given is None or (isinstance(given, str) and not is_open(given)):
                events[name] = given or None
        return Action(
            plain["type"],
            Kind.WORKING,
            params,
            events=events,
            custom=True,
            limited=limited,
            at=self.report.at(path),
            cond=self._custom_condition(plain.get("if"), (*path, "if")),
            retry=self._custom_retry(plain.get("retry"), (*path, "retry")),
            repeatable=self._repeats(plain, path),
            description=str(plain.get("description") or ""),
        )

    # In the flat form a custom action's own parameters may have any name (statemachine-engine, custom actions): there
    # a value that a common key cannot have is the action's own. Nowhere else: a slip of the pen is to be told.

    def _limited(self, plain: Mapping[str, Any], path: Path) -> bool:
        value = plain.get("timeout")
        if value is None:
            return False
        try:
            read_value(_TIMEOUT, value)
        except ChartError as error:
            self._own("E304", (*path, "timeout"), error.message, error.hint)
            return False
        return True

    def _custom_condition(self, text: Any, path: Path) -> Expression | None:
        if text is None or isinstance(text, str):
            return self.expression(text, path)
        told = f"must be an expression (got {shown(text)})"
        if isinstance(text, bool):
            self.report.add("E304", path, told, f"write '{shown(text)}' in quotes; {_OWN}")
        else:
            self._own("E304", path, told, _OWN)
        return None

    def _custom_retry(self, plain: Any, path: Path) -> Retry | None:
        if plain is None or (isinstance(plain, dict) and not self.flat):
            return None if plain is None else self._retry(plain, path)
        try:
            RetryPart.model_validate(plain)
        except ValueError:
            what = "a mapping" if not isinstance(plain, dict) else "max, delay, factor and max_delay to be retried"
            self._own("E103", path, f"must be {what} (got {shown(plain)})", "")
            return None
        return self._retry(plain, path)

    def _own(self, code: str, path: Path, message: str, hint: str) -> None:
        if self.flat:
            self.report.warn("W102", path, f"taken for the action's own parameter: {message}", hint)
        else:
            self.report.add(code, path, message, f"{hint}; {_OWN}" if hint and hint != _OWN else _OWN)

    def _repeats(self, plain: Mapping[str, Any], path: Path) -> bool:
        flag = self.report.attempt(
            "E304", (*path, "repeatable"), lambda: read_boolean(plain.get("repeatable") or False)
        )
        policy = plain.get("run_policy")
        if policy is not None and not self.flat:
            policy = self.report.attempt("E304", (*path, "run_policy"), lambda: read_value(_RUN_POLICY, policy))
        return bool(flag) or str(policy).lower() in {"repeat", "repeat_per_tick"}

    def _built_in(self, row: ActionType, plain: dict[str, Any], path: Path) -> Action | None:
        given = self._given(row, plain, path)
        values = {p.name: self._value(p, given, path) for p in parameters_of(row)}
        self._check_child(values, given)
        program = self._program(row, values, given)
        kept = {
            p.name: values[p.name]
            for p in parameters_of(row)
            if p.value not in _COMPILED and p.name not in _SPELLED_OUT
        }
        params = self.template(kept, path)
        cond = self._condition(plain.get("if"), (*path, "if"))
        retry = self._built_in_retry(row, plain.get("retry"), (*path, "retry"))
        self._check_effects(row, values, given)
        if params is None:
            return None
        return Action(
            row.name,
            row.kind,
            params,
            events=self._events(row, values, given),
            error_events=values.get("error_mappings"),
            cond=cond,
            retry=retry,
            program=program,
            watch=row.watch,
            description=values["description"] or "",
            repeatable=bool(values["repeatable"]) or values["run_policy"] in {"repeat", "repeat_per_tick"},
            at=self.report.at(path),
        )

    def _given(self, row: ActionType, plain: dict[str, Any], path: Path) -> dict[str, _Given]:
        """The parameters by their names in the catalogue; its own keys win over those in `params`."""
        wrapped = plain.get("params")
        if wrapped is not None and not isinstance(wrapped, dict):
            self.report.add("E304", (*path, "params"), f"must be a mapping (got {shown(wrapped)})")
            wrapped = None
        found = self._layer(row, {k: v for k, v in plain.items() if k not in READ_HERE}, path)
        return {**self._layer(row, wrapped or {}, (*path, "params")), **found}

    def _layer(self, row: ActionType, plain: dict[str, Any], path: Path) -> dict[str, _Given]:
        known = {spelling: p for p in parameters_of(row) for spelling in (p.name, *p.aliases)}
        found: dict[str, _Given] = {}
        for key, value in plain.items():
            parameter = known.get(key)
            if parameter is None:
                self._unknown(row, key, known, (*path, key))
            elif parameter.name in found:
                other = found[parameter.name].path[-1]
                self.report.add("E107", (*path, key), f"says the same as {shown(other)}", "keep one of them", key=True)
            else:
                found[parameter.name] = _Given(value, (*path, key))
        return found

    def _unknown(self, row: ActionType, key: str, known: Iterable[str], path: Path) -> None:
        if key == "timeout":
            self.report.add("E302", path, f"{row.name} never waits: it cannot have a timeout", _NEVER_WAITS, key=True)
            return
        if key in READ_HERE:
            self.report.add("E302", path, f"{shown(key)} is no parameter of {row.name}", _BESIDE, key=True)
            return
        hint = suggested(self.report, key, [*known, "if", "retry"]) or f"{row.name} takes {', '.join(_own(row))}"
        self.report.add("E302", path, f"{row.name} has no parameter {shown(key)}", hint, key=True)

    def _check_effects(self, row: ActionType, values: dict[str, Any], given: dict[str, _Given]) -> None:
        """What is of no effect with these values."""
        if row.name == "claim_job" and values["job_id"] is not None and values["timeout"] is not None:
            told = "claim_job with a job_id never waits: it cannot have a timeout"
            self.report.add("E302", given["timeout"].path, told, _NEVER_WAITS, key=True)
        check_values(self.report, values, {name: each.path for name, each in given.items()})

    def _value(self, parameter: Parameter, given: dict[str, _Given], path: Path) -> Any:
        here = given.get(parameter.name)
        if here is None:
            if parameter.required:
                self.report.add("E303", path, f"the parameter {parameter.name!r} is missing")
            return parameter.default
        if here.value is None and not parameter.required:
            means_none = parameter.value in {Value.ANY, Value.EVENT} or parameter.name == "timeout"
            return None if means_none else parameter.default
        try:
            return read_value(parameter, here.value)
        except ChartError as error:
            self.report.add("E307" if error.code == "program" else "E304", here.path, error.message, error.hint)
            return parameter.default

    def _events(self, row: ActionType, values: dict[str, Any], given: dict[str, _Given]) -> dict[str, str | None]:
        success = row.flat_success if self.flat and row.flat_success else row.success
        if row.name == "claim_job" and values["job_id"] is not None:
            success = _CLAIMED
        empty = row.empty
        if self.flat and row.flat_empty_is_success and "success" in given:
            empty = values["success"]
        defaults = {"success": success, "empty": empty}
        return {
            p.name: values[p.name] if p.name in given else defaults.get(p.name) or values[p.name]
            for p in parameters_of(row)
            if p.value == Value.EVENT and (p.name != "error" or p.name in given)
        }

    def _condition(self, text: Any, path: Path) -> Expression | None:
        if text is None or isinstance(text, str):
            return self.expression(text, path)
        self.report.add("E304", path, f"must be an expression (got {shown(text)})")
        return None

    def _built_in_retry(self, row: ActionType, plain: Any, path: Path) -> Retry | None:
        if plain is not None and row.kind == Kind.INSTANT:
            told = f"{row.name} is done at once: it is never tried again"
            self.report.add("E302", path, told, "leave it away; the event of error: tells of a failure", key=True)
            return None
        return None if plain is None else self._retry(plain, path)

    def _retry(self, plain: Any, path: Path) -> Retry | None:
        part: RetryPart | None = check_part(self.report, RetryPart, plain, path)
        if part is None:
            return None
        return Retry(part.max, parse_duration(part.delay), part.factor, parse_duration(part.max_delay))

    def _check_child(self, values: dict[str, Any], given: dict[str, _Given]) -> None:
        if values.get("env"):
            check_environment(self.report, values["env"], given["env"].path)
        if values.get("limits"):
            check_limits(self.report, values["limits"], given["limits"].path)

    def _program(self, row: ActionType, values: dict[str, Any], given: dict[str, _Given]) -> Any:
        if row.name == "bash" and isinstance(values["command"], str):
            return self._shell(values, given["command"].path)
        if row.name == "run" and values["command"]:
            return self._arguments(values, given["command"].path)
        if row.name == "assign" and values["set"]:
            place = given["set"].path
            pairs = [
                (tuple(key.split(".")), self.expression(text, (*place, key))) for key, text in values["set"].items()
            ]
            return tuple(pair for pair in pairs if pair[1] is not None)
        return None

    def _shell(self, values: dict[str, Any], path: Path) -> tuple[ShellProgram, tuple[Placeholder, ...]] | None:
        def compiled() -> tuple[ShellProgram, tuple[Placeholder, ...]]:
            shell, dash = values["shell"], values["allow_dash"]
            env = carried_by(values["env"])
            stdin = _from_data(values["stdin"])
            program = compile_shell(values["command"], shell=shell, allow_dash=dash, carried=env, stdin=stdin)
            return program, tuple(compile_placeholder(slot.placeholder, fallback=True) for slot in program.slots)

        return self.report.attempt("E306", path, compiled)

    def _arguments(self, values: dict[str, Any], path: Path) -> tuple[int, ...] | None:
        stdin = _from_data(values["stdin"])
        return self.report.attempt("E306", path, lambda: check_argv(values["command"], is_open, stdin=stdin))


def _from_data(stdin: Any) -> str:
    return carried_by({"stdin": stdin}).get("stdin", "")


def _own(row: ActionType) -> list[str]:
    return [p.name for p in parameters_of(row) if p.name not in _SPELLED_OUT]
