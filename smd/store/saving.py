"""Writing a record: the machine's row, its journal, the answers to remember, and the events it sends."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

from smd.statechart.effects import Send
from smd.statechart.event import Event
from smd.store.base import Record, Save, Saved
from smd.store.rows import DEAD, QUEUED, WAITED, encoded, kept_detail
from smd.store.rules import (
    FINISHED,
    check_numbers,
    complete_answer,
    last_taken,
    refusal,
    repeated,
    stale,
    undelivered,
    waiting_row,
)
from smd.store.sql import SQL
from smd.store.transaction import Transaction

SAVE_MACHINE, CONSUME_ROW = SQL["save_machine"], SQL["consume_row"]
MOST_MACHINES = 64
"""Machine rows of one UPDATE."""


def _several(size: int) -> str:
    head, values, tail = SQL["save_machines"].rsplit("\n", 2)
    return f"{head}\n{', '.join([values] * size)}\n{tail}"


_SAVES = {1: SAVE_MACHINE} | {size: _several(size) for size in (2, 4, 8, 16, 32, MOST_MACHINES)}
REMEMBER_NEW, REMEMBER_AGAIN = SQL["remember_new"], SQL["remember_again"]
OTHER_MACHINES, MACHINE_LIFE = SQL["other_machines"], SQL["machine_life"]


def save(transaction: Transaction, operation: Save) -> Saved:
    """See base.Save."""
    record = operation.record
    check_numbers(record)
    if transaction.execute(SAVE_MACHINE, _machine_columns(record)).rowcount == 0:
        raise stale(record)
    return _saved(transaction, record)


def _saved(transaction: Transaction, record: Record) -> Saved:
    """What a record leaves beside the machine's row."""
    seqs = _write_consumed(transaction, record)
    _remember(transaction, record, seqs)
    return Saved(seqs, _Delivery(transaction, record).deliver() if record.sends else ())


class CannotGatherError(Exception):
    """The group must run unit by unit, which tells whose fault it is."""


class Gathered:
    """The machine rows of a group, written with a few statements for all instead of one for each."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._rows: dict[str, tuple[Any, ...]] = {}

    def save(self, record: Record) -> Saved:
        """As `save`, but the machine's row is written by `flush`, before anything looks for it.

        Raises:
            CannotGatherError: some machine is not where its record begins, or its row cannot be written.
        """
        check_numbers(record)
        if record.machine in self._rows:
            self.flush()
        self._rows[record.machine] = _machine_columns(record)
        if record.sends:
            self.flush()
        return _saved(self._transaction, record)

    def flush(self) -> None:
        """Write the rows gathered.

        Raises:
            CannotGatherError: as for `save`.
        """
        rows = list(self._rows.values())
        self._rows.clear()
        at, left = 0, len(rows)
        while left:
            size = min(MOST_MACHINES, 1 << (left.bit_length() - 1))
            values = tuple(chain.from_iterable(rows[at : at + size]))
            try:
                changed = self._transaction.execute(_SAVES[size], values).rowcount
            except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
                raise CannotGatherError from error
            if changed != size:
                raise CannotGatherError
            at, left = at + size, left - size

    def clear(self) -> None:
        """The group was rolled back."""
        self._rows.clear()


def _machine_columns(record: Record) -> tuple[Any, ...]:
    return (
        record.life, record.version, record.status, record.label, record.snapshot,
        record.consumed[-1].now if record.consumed else None, record.chart, record.lifecycle or None,
        record.health or None, record.error, record.restarts, last_taken(record), record.machine,
        record.from_version,
    )  # fmt: skip


def _write_consumed(transaction: Transaction, record: Record) -> Sequence[int]:
    fresh = sum([consumed.seq is None for consumed in record.consumed])
    numbers = iter(transaction.take_seqs(fresh))
    seqs: list[int] = []
    new: list[tuple[Any, ...]] = []
    waited: list[tuple[Any, ...]] = []
    machine, life = record.machine, record.life
    for place, consumed in enumerate(record.consumed, record.from_version + 1):
        event, seq, disposition, now, before, after, error, detail, _, _ = consumed
        kept = kept_detail(event, detail)
        if seq is not None:
            seqs.append(seq)
            waited.append((place, life, now, disposition, before or None, after or None, error, kept, seq, machine))
            continue
        seq = next(numbers)
        seqs.append(seq)
        new.append((seq, place, event.id, machine, life, event.type, encoded(event.payload), event.source,
                    event.priority, event.job_id, event.sent_at, now, disposition, before or None, after or None,
                    error, kept, None))  # fmt: skip
    transaction.add_rows(new)
    if waited:
        transaction.flush()
        if transaction.executemany(CONSUME_ROW, waited).rowcount != len(waited):
            raise stale(record)
        transaction.wait(record.machine, -len(waited))
    return seqs


def _remember(transaction: Transaction, record: Record, seqs: Sequence[int]) -> None:
    new: list[tuple[Any, ...]] = []
    for consumed, seq in zip(record.consumed, seqs, strict=True):
        if not consumed.client or not consumed.event.id:
            continue
        row = (record.machine, consumed.event.id, encoded(complete_answer(consumed, seq)), consumed.now)
        if consumed.seq is None:
            new.append(row)
        else:
            transaction.execute(REMEMBER_AGAIN, row)
    if not new:
        return
    try:
        transaction.executemany(REMEMBER_NEW, new)
    except sqlite3.IntegrityError as error:
        raise repeated(record.machine) from error


class _Delivery:
    """Turns a record's sends into rows of their targets."""

    def __init__(self, transaction: Transaction, record: Record) -> None:
        self._transaction = transaction
        self._record = record
        self._now = record.consumed[-1].now if record.consumed else 0.0
        self._rows: list[tuple[Any, ...]] = []
        self._delivered: list[tuple[str, int, Event]] = []

    def deliver(self) -> list[tuple[str, int, Event]]:
        for send in self._record.sends:
            targets: Sequence[str] = send.targets
            if targets == ("all",):
                found = self._transaction.execute(OTHER_MACHINES, (self._record.machine,))
                targets = [name for (name,) in found.fetchall()]
            for target in targets:
                self._deliver_to(target, send)
        self._transaction.add_rows(self._rows)
        return self._delivered

    def _deliver_to(self, target: str, send: Send) -> None:
        found = self._transaction.execute(MACHINE_LIFE, (target,)).fetchall()
        life, status = found[0] if found else (0, None)
        waiting = self._transaction.waiting.get(target, 0)
        reason = refusal(target, status, waiting, self._transaction.pending_limit)
        event = Event(send.type, send.payload, send.id, self._record.machine, send.priority, send.job_id, self._now)
        if reason is None:
            self._queue(target, life, event)
            return
        self._add(target, life, event, self._now, DEAD, reason)
        if self._record.status != FINISHED:
            told = undelivered(send, target, reason, self._now)
            self._queue(self._record.machine, self._record.life, told)

    def _queue(self, target: str, life: int, event: Event) -> None:
        self._delivered.append((target, self._add(target, life, event, None, QUEUED, None), event))
        self._transaction.wait(target, 1)

    def _add(self, target: str, life: int, event: Event, now: float | None, disposition: str, error: str | None) -> int:
        (seq,) = self._transaction.take_seqs(1)
        self._rows.append((*waiting_row(seq, target, life, event, now, disposition, error), WAITED))
        return seq
