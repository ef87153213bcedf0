"""The composition root: the only file that sees everything. It brings the service up and down as an ordered list."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from smd import actions
from smd.actions.loader import CustomActions
from smd.actions.processes import become_subreaper, end_marked, kill_ending, reap_orphans
from smd.actions.saying import Hearing
from smd.actions.spawning import NAME
from smd.document import ANOTHER_NAME, NO_MACHINES, Names, json_schema, machine_files
from smd.errors import SettingsError, SmdError, StoreError
from smd.http.access import Access
from smd.http.app import Application
from smd.http.datagram import ControlSocket, EventSocket, datagram_sockets
from smd.http.mirror import EventMirror, Identity, check_mirror, identity
from smd.http.server import Server, serve_unix
from smd.runtime import reports
from smd.runtime.charts import Charts
from smd.runtime.clock import Clock, SystemClock
from smd.runtime.logs import MachineLogs
from smd.runtime.supervisor import Supervisor
from smd.settings import Settings
from smd.statechart.model import Statechart
from smd.store.base import Store
from smd.store.memory import MemoryStore
from smd.store.sqlite import SqliteStore
from smd.store.trouble import GOES_ON

_log = structlog.get_logger("smd")

STOP_SECONDS = 10.0
"""Each step of going down has at most this long."""

KILL_AFTER = 7.0
"""Seconds into going down at which actions are killed that still have time to end (`kill_after`): well before the
step's deadline, for none may outlive the daemon."""

KILL_AGAIN = 0.5


REAP_AFTER = 1.0
"""Seconds after a child's end at which orphans are looked for."""


LAST_WORDS = 2.0
"""Seconds that a killed daemon's children have between TERM and KILL; no action starts before they are gone."""


class Named(NamedTuple):
    """A machine file given on the command line, with the options that belong to it."""

    path: Path
    name: str | None = None
    context: Mapping[str, Any] | None = None


class _Wanted(NamedTuple):
    """A machine of a file, ready to be placed."""

    chart: Statechart
    origin: str
    context: dict[str, Any] | None


class Daemon:
    """The whole service. `up` and `down` may each be called once.

    Args:
        settings: resolved.
        files: machine files and folders, in the order given; those of the settings come first.
        clock: the system's unless a test moves time itself.
    """

    def __init__(self, settings: Settings, files: Sequence[Named] = (), *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.files = [*(Named(path) for path in settings.machines), *files]
        self.clock = clock or SystemClock()
        self.custom = CustomActions([folder.absolute() for folder in settings.actions_dirs])
        self.work_folder = (settings.work_folder or Path()).absolute()
        self.charts = Charts(self.custom.faults(), [self.work_folder, *settings.roots])
        self._wanted: dict[str, _Wanted] = {}
        self._down: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self.store: Store
        self.supervisor: Supervisor
        self.server: Server
        self.control_sockets: list[ControlSocket] = []
        self._own_sockets: set[Identity] = set()

    async def up(self) -> None:
        """Bring everything up in order; what fails takes down what was up.

        Raises:
            SmdError: what cannot be done, and why.
        """
        steps = (self._read, self._folders, self._store, self._machines, self._files, self._datagrams, self._http)
        try:
            for step in steps:
                await step()
        except BaseException:
            await self.down()
            raise
        _log.info("ready", machines=len(self.supervisor.machines), socket=str(self.settings.path("control_socket")))

    async def down(self) -> None:
        """Take everything down in reverse order, each step within its deadline."""
        while self._down:
            name, stop = self._down.pop()
            try:
                await asyncio.wait_for(stop(), STOP_SECONDS)
            except TimeoutError:
                _log.error("step down took too long", step=name, seconds=STOP_SECONDS)

    # --- steps ----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read all files before anything is touched.

        What was named and is bad stops the start; what is in a named folder is left out. Two files of one machine
        stop the start wherever they are. A file given twice counts once; what was said of it last holds.
        """
        found: dict[tuple[Path, str | None], Named] = {}
        asked: set[Path] = set()
        for named in self.files:
            paths = [path.absolute() for path in machine_files(named.path, _lacking)]
            found |= {(path, named.name): named for path in paths}
            asked.update(() if named.path.is_dir() else paths)
        names = Names()
        shared: list[SettingsError] = []
        for (path, name), named in found.items():
            chart = self._chart(path, must=path in asked)
            if chart is None or (chart.template and name is None):
                continue
            machine = name or chart.machine
            other = names.also_in(machine, path)
            if other is not None:
                shared.append(_shared(machine, other, path, named))
            context = None if named.context is None else dict(named.context)
            self._wanted[machine] = _Wanted(chart, str(path), context)
        if shared:
            if len(shared) > 1:
                shared[0].message += f" (of {len(shared)} files whose machine another has, this is the first)"
            raise shared[0]

    def _chart(self, path: Path, *, must: bool) -> Statechart | None:
        self.charts.allow(path.parent)
        try:
            return self.charts.load(path)[0]
        except SmdError as error:
            if must:
                raise
            _log.error("machine file left out", file=str(path), why=error.message)
            return None

    async def _folders(self) -> None:
        wanted = {
            self.settings.state_dir.absolute(),
            self.settings.path("logs"),
            self.settings.path("control_socket").parent,
        }
        # A folder sorts before what is in it; made on the way to another it would not have the mode.
        for folder in sorted(wanted):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            except OSError as error:
                raise SettingsError(
                    f"cannot use '{folder}': {error.strerror}", hint="choose another --state-dir"
                ) from error

    async def _store(self) -> None:
        settings = self.settings
        self.store = (
            MemoryStore()
            if settings.ephemeral
            else SqliteStore(settings.path("store"), synchronous=settings.synchronous)
        )
        await self.store.open()
        self._down.append(("store", self.store.close))

    async def _machines(self) -> None:
        become_subreaper()
        self._reap_orphans()
        logs = MachineLogs(None if self.settings.ephemeral else self.settings.path("logs"))
        self.supervisor = Supervisor(
            self.store, clock=self.clock, charts=self.charts, logs=logs, work_folder=self.work_folder
        )
        actions.connect(self.custom, self.supervisor.bridge)
        self._mirror()
        self._hear_actions()
        self._down.append(("machines", self._close_machines))
        self.supervisor.working.after(end_marked(f"{self.store.store_id}/", LAST_WORDS))
        await self.supervisor.hosting.recover()

    def _hear_actions(self) -> None:
        """What Python actions say is told of their machines; what they start past `spawning` is the store's."""
        hearing = Hearing().__enter__()
        os.environ[NAME] = f"{self.store.store_id}/"

        def end() -> None:
            os.environ.pop(NAME, None)
            hearing.__exit__(None, None, None)

        self._down.append(("actions", _closing(end)))

    async def _close_machines(self) -> None:
        closing = asyncio.ensure_future(self.supervisor.close())
        patience = KILL_AFTER
        try:
            while not (await asyncio.wait({closing}, timeout=patience))[0]:
                kill_ending()  # again and again: an end may be followed by another, of what the first has not reached
                patience = KILL_AGAIN
            await closing
        finally:
            closing.cancel()
            reports.daemon_ends(self.supervisor)

    def _reap_orphans(self) -> None:
        """Collect adopted processes that died: a moment after a child's end, and until none is left."""
        loop = asyncio.get_running_loop()
        due: list[asyncio.TimerHandle] = []

        def reap() -> None:
            due.clear()
            try:
                left = reap_orphans() > 0
            except OSError:  # for lack of descriptors
                left = True
            if left:
                child_ended()

        def child_ended() -> None:
            if not due:
                due.append(loop.call_later(REAP_AFTER, reap))

        loop.add_signal_handler(signal.SIGCHLD, child_ended)
        self._down.append(("orphans", _closing(lambda: loop.remove_signal_handler(signal.SIGCHLD))))

    async def _files(self) -> None:
        for name, wanted in self._wanted.items():
            await self.supervisor.hosting.place(wanted.chart, wanted.origin, name=name, context=wanted.context)
        self._wanted.clear()

    def _mirror(self) -> None:
        """Open the mirror before any machine begins, and close it after all have ended: it tells of both."""
        path = self.settings.event_socket
        if path is not None:
            self._check_mirror(self._wanted)
            mirror = EventMirror(path.absolute(), self.supervisor.bus, self._own_sockets)
            mirror.open()
            self._down.append(("event mirror", mirror.close))

    def _check_mirror(self, names: Iterable[str]) -> None:
        if self.settings.event_socket is not None and self.settings.datagrams:
            check_mirror(self.settings.event_socket, [self._events_path(), *self._control_paths(names).values()])

    def _events_path(self) -> Path:
        return self.settings.path("control_socket").parent / "statemachine-events.sock"

    def _control_paths(self, names: Iterable[str]) -> dict[str, Path]:
        prefix = self.settings.control_prefix or self._events_path().with_name("statemachine-control")
        return datagram_sockets(str(prefix.absolute()), names)

    async def _datagrams(self) -> None:
        if not self.settings.datagrams:
            return
        names = self.supervisor.datagram_names()
        self._check_mirror(names)  # also those that only the store knew
        controls = self._control_paths(names)
        events = EventSocket(self._events_path(), self.supervisor.bus.publish)
        self._open(events)
        self._down.append(("event socket", _closing(events.close)))
        for name, path in controls.items():
            socket = ControlSocket(path, name, self.supervisor.post)
            if self._open(socket):
                self.control_sockets.append(socket)
                self._down.append((f"datagrams of {name}", socket.close))

    def _open(self, socket: ControlSocket | EventSocket) -> bool:
        """A compatibility socket that cannot be opened is reported; the machine itself runs on without it."""
        try:
            socket.open()
        except SmdError as error:
            _log.warning("no datagram socket", why=error.message, hint=error.hint)
            return False
        if (found := identity(socket.path)) is not None:
            self._own_sockets.add(found)
        return True

    async def _http(self) -> None:
        access = self.settings.access
        app = Application(
            self.supervisor, access=Access(operate=access.operate, send=access.send, observe=access.observe),
            schema=json_schema, clock=self.clock.now,
        )  # fmt: skip
        self.server = await serve_unix(app, self.settings.path("control_socket"))
        self._down.append(("http", self.server.stop))


def _lacking(error: SettingsError) -> None:
    tell = _log.warning if error.code == NO_MACHINES else _log.error
    tell("folder left out", why=error.message)


def _shared(machine: str, one: Path, other: Path, named: Named) -> SettingsError:
    hint = "--machine-name names one file's machine: give a name that no other file has" if named.name else ANOTHER_NAME
    return SettingsError(f"cannot start: machine '{machine}' is in two files, '{one}' and '{other}'", hint=hint)


def _closing(close: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        close()

    return stop


def tune() -> None:
    """Settle the process into its work: what was made at start lives as long as it does, so look at it no more.

    A full collection of 10,000 machines stops everything for tens of milliseconds; the objects of a step die by
    their reference counts. The writer's thread and the event loop take turns often, for both have short work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.0005)


async def serve(settings: Settings, files: Sequence[Named] = ()) -> None:
    """Run until SIGTERM or SIGINT, or until the terminal is closed.

    Raises:
        SmdError: see `Daemon.up`.
    """
    daemon = Daemon(settings, files)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has smd outlive its terminal
            loop.add_signal_handler(number, stop.set)
    try:
        await daemon.up()
    except StoreError as error:
        error.hint = error.hint.removesuffix(GOES_ON)
        raise
    tune()
    await stop.wait()
    _log.info("stopping")
    await daemon.down()
