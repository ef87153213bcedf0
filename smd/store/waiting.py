"""Operations on machines, charts and the events that wait for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smd.statechart.event import Event
from smd.store.base import (
    ClearPending,
    CreateMachine,
    Enqueue,
    FindMachine,
    FindPending,
    MachineRow,
    PutChart,
    RemoveMachine,
    Seen,
    UpdateMachine,
)
from smd.store.claiming import release_held
from smd.store.rows import QUEUED, WAITED, decoded, encoded, event_of, machine_row
from smd.store.rules import check_columns, going_on, no_machine, queued_answer, too_many, waiting_row
from smd.store.sql import SQL, padded, with_list
from smd.store.transaction import Transaction


def seen(transaction: Transaction, operation: Seen) -> dict[str, Any]:
    """See base.Seen."""
    if not operation.ids:
        return {}
    ids = padded(list(operation.ids))
    found = transaction.execute(with_list(SQL["seen_ids"], len(ids)), (operation.machine, *ids))
    return {client_id: decoded(answer) for client_id, answer in found.fetchall()}


def enqueue(transaction: Transaction, operation: Enqueue) -> tuple[int, Any]:
    """See base.Enqueue."""
    machine, event = operation.machine, operation.event
    found = transaction.execute(SQL["machine_life"], (machine,)).fetchall()
    if not found:
        raise no_machine("queue an event for", machine)
    client = operation.client and bool(event.id)
    if client and (known := seen(transaction, Seen(machine, (event.id,)))):
        return 0, known[event.id]
    waiting = transaction.waiting.get(machine, 0)
    if waiting >= operation.limit:
        raise too_many(machine, waiting)
    row = waiting_row(transaction.next_seq, machine, found[0][0], event, None, QUEUED)
    transaction.execute(SQL["insert_row"], (*row, WAITED))
    (seq,) = transaction.take_seqs(1)
    if client:
        answer = encoded(queued_answer(machine, event, seq))
        transaction.execute(SQL["remember_new"], (machine, event.id, answer, operation.now))
    transaction.wait(machine, 1)
    return seq, None


def find_pending(transaction: Transaction, operation: FindPending) -> tuple[int, Event] | None:
    """See base.FindPending."""
    if not operation.types:
        return None
    types = padded(list(operation.types))
    sql = with_list(SQL["oldest_waiting"], len(types))
    transaction.flush()
    found = transaction.execute(sql, (operation.machine, *types)).fetchall()
    return event_of(found[0]) if found else None


def clear_pending(transaction: Transaction, operation: ClearPending) -> list[int]:
    """See base.ClearPending."""
    if not operation.types:
        return []
    types = padded(list(operation.types))
    sql = with_list(SQL["clear_types"], len(types))
    kept = encoded(list(operation.keep))
    transaction.flush()
    cleared = transaction.execute(sql, (operation.now, operation.machine, *types, kept)).fetchall()
    _cleared(transaction, operation.machine, cleared, operation.now)
    return sorted(seq for seq, _ in cleared)


def _cleared(transaction: Transaction, machine: str, rows: Sequence[tuple[int, str]], now: float) -> None:
    """So many rows wait no more, and who sends one of them again hears why."""
    transaction.wait(machine, -len(rows))
    transaction.executemany(SQL["remember_cleared"], [(now, machine, id_, seq) for seq, id_ in rows if id_])


def put_chart(transaction: Transaction, operation: PutChart) -> None:
    """See base.PutChart."""
    transaction.execute(SQL["put_chart"], operation)


def find_machine(transaction: Transaction, operation: FindMachine) -> MachineRow | None:
    """See base.FindMachine."""
    found = transaction.execute(SQL["find_machine"], operation).fetchall()
    return machine_row(found[0]) if found else None


def create_machine(transaction: Transaction, operation: CreateMachine) -> MachineRow | None:
    """See base.CreateMachine."""
    row = operation.row
    if existing := find_machine(transaction, FindMachine(row.name)):
        return existing
    if left_off := transaction.execute(SQL["removed_machine"], (row.name,)).fetchall():
        row = going_on(row, *left_off[0])
    transaction.execute(SQL["create_machine"], row)
    return None


def update_machine(transaction: Transaction, operation: UpdateMachine) -> None:
    """See base.UpdateMachine."""
    check_columns(operation)
    if not operation.columns:
        return
    columns = ", ".join(f"{column} = ?" for column in operation.columns)
    sql = f"UPDATE machines SET {columns} WHERE name = ?"  # noqa: S608 - the names were checked
    if transaction.execute(sql, (*operation.columns.values(), operation.name)).rowcount == 0:
        raise no_machine("update", operation.name)


def remove_machine(transaction: Transaction, operation: RemoveMachine) -> None:
    """See base.RemoveMachine."""
    name = operation.name
    transaction.flush()
    transaction.execute(SQL["remember_removed"], (name,))
    if transaction.execute(SQL["remove_machine"], (name,)).rowcount == 0:
        raise no_machine("remove", name)
    _cleared(transaction, name, transaction.execute(SQL["clear_all"], (operation.now, name)).fetchall(), operation.now)
    release_held(transaction, name, operation.now)
