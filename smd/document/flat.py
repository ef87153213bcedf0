"""What only the predecessor's flat form has: groups in comments, states known by use, terminal names.

Source: statemachine-engine 1.0.91, "State groups", "transitions", "Termination"; the rule for terminal
names is architecture 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smd.document.schema import DocumentPart, RowPart, ShapeError, checked_name
from smd.problems import LINE_BREAK

TERMINAL_NAMES = frozenset(("stopped", "shutdown", "completed"))
DEFAULT_INITIAL = "waiting"
ANY = "*"


def names_in(value: str | list[str] | None) -> list[str]:
    """One name or several, as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def comment_groups(text: str, states: Iterable[str]) -> dict[str, list[str]]:
    """State groups from comments: `# === MAIN LOOP STATES ===` above items of the list `states:`."""
    known = set(states)
    groups: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in _section(text):
        stripped = line.strip()
        if "# ===" in line:
            name = _group_name(line.split("#", 1)[1].replace("===", "").strip().replace(" STATES", "").strip())
            current = groups.setdefault(name, []) if name else None
        elif stripped.startswith("- ") and current is not None:
            member = stripped[2:].split("#")[0].strip().strip("'\"")
            if member in known:
                current.append(member)
    return {name: members for name, members in groups.items() if members}


def _group_name(text: str) -> str:
    """The text as a name, what cannot be shown replaced by a space; empty if it is none: a comment is no mistake."""
    if not text.isprintable():
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    try:
        return checked_name(text)
    except ShapeError:
        return ""


def _section(text: str) -> Iterator[str]:
    """The lines below `states:` up to the next top-level key."""
    inside = False
    for line in LINE_BREAK.split(text):
        if inside and line.strip() and not line[0].isspace() and ":" in line and line[0] not in "#-":
            return
        if inside:
            yield line
        inside = inside or line.startswith("states:")


def states_by_use(document: DocumentPart) -> list[str]:
    """The states of a document without `states`, in the order in which rows name them.

    The initial state counts even if none names it, where a row for any state leads out of it or it has actions.
    """
    rows = document.transitions or []
    found = [name for row in rows for name in (*names_in(row.from_), *names_in(row.to))]
    initial = document.initial_state or (document.initial if isinstance(document.initial, str) else None)
    if ANY in found:
        found.insert(0, initial or DEFAULT_INITIAL)
    elif (initial or DEFAULT_INITIAL) in (document.actions or {}):
        found.append(initial or DEFAULT_INITIAL)
    return [name for name in dict.fromkeys(found) if name != ANY]


def leads_elsewhere(state: str, rows: Iterable[RowPart]) -> bool:
    """A row from this very state (not from `*`) leads to another one."""
    return any(state in names_in(row.from_) and any(target != state for target in names_in(row.to)) for row in rows)
