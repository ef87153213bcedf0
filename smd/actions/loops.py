"""The event loop in the thread of a Python action: it knows whether an action left something in it."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Loop(asyncio.SelectorEventLoop):
    """An event loop that knows whether it was given anything to do: looking for tasks costs more than most actions."""

    _ready: deque[asyncio.Handle]  # asyncio's own, like the next
    _scheduled: list[asyncio.TimerHandle]
    busy = False
    main: asyncio.Task[Any] | None = None
    """What it runs for."""
    _end: asyncio.Handle | None = None

    def __init__(self) -> None:
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        self.lent: set[object] = set()
        """What its executor still does or has not told, which cannot be ended, or an executor it was given."""
        self._files = selector.get_map()
        self._made = self._settings()

    def _settings(self) -> tuple[object, ...]:
        return (
            len(self._files), self.get_task_factory(), self.get_exception_handler(), self.get_debug(),
            self.slow_callback_duration,
        )  # fmt: skip

    def left(self) -> bool:
        """Something in it would reach the next action: a task, a call, a file it watches, a setting."""
        busy, self.busy = self.busy, False
        return (
            self._settings() != self._made
            or bool(self.lent)
            or not all(handle.cancelled() for handle in (*self._ready, *self._scheduled))
            or (busy and bool(asyncio.all_tasks(self)))
        )

    def set_default_executor(self, executor: Any) -> None:
        """See asyncio."""
        self.lent.add(executor)
        super().set_default_executor(executor)

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """See asyncio. Every task begins with it, however it is made."""
        self.busy = True
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """See asyncio. What is left of an asynchronous generator ends with it."""
        self.busy = True
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """See asyncio. In a thread it is called in a copy of the context, which says for which machine it acts."""
        context = contextvars.copy_context()
        if isinstance(executor, ThreadPoolExecutor):
            return super().run_in_executor(executor, partial(context.run, func, *args))
        if executor is not None:  # a context cannot be sent to another process
            return super().run_in_executor(executor, func, *args)
        lent = object()
        self.lent.add(lent)

        def called() -> T:
            try:
                return context.run(func, *args)
            finally:
                self.lent.discard(lent)

        told = super().run_in_executor(None, called)
        self.lent.add(told)
        told.add_done_callback(self.lent.discard)
        return told

    def run_for(self, task: asyncio.Task[Any]) -> None:
        """Run until `ended`, or until something else stops it."""
        self.main = task
        self.busy = False
        try:
            self.run_forever()
        finally:
            self.main = None
            self.busy = self.busy or not task.done()
            if self._end is not None:  # else it would stop the next
                self._end.cancel()
                self._end = None

    def ended(self) -> None:
        """Stop, once everything was called that was to be called before: a connection closes that way."""
        if self.busy:
            self._end = self.call_soon(self.stop)
        else:
            self.stop()
