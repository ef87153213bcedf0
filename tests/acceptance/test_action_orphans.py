"""What Python actions started and a killed daemon has left is gone after its next start."""

from __future__ import annotations

import os
import select

import pytest

from tests.acceptance.daemon import running, short_folder

ACTION = """
import os, subprocess, threading, time
from statemachine_engine.actions import BaseAction


class HoldAction(BaseAction):
    async def execute(self, context):
        if os.path.exists('{fifo}'):
            {start}
            threading.Event().wait()
"""
MACHINE = "machine: m\ninitial: s\nstates: {s: {actions: [{type: hold}]}}"
PLAIN = "subprocess.Popen(['sh', '-c', 'echo $$ > {fifo}; exec sleep 1000 >/dev/null 2>&1'])"
WAYS = {
    "subprocess": PLAIN,
    "os.system": "os.system('echo $$ > {fifo}; exec sleep 1000 >/dev/null 2>&1')",
    "a session of its own": PLAIN[:-1] + ", start_new_session=True)",
    "another thread": "threading.Thread(target=lambda: " + PLAIN + ").start()",
    "fork and exec": "os.spawnlp(os.P_NOWAIT, 'sh', 'sh', '-c', 'echo $$ > {fifo}; exec sleep 1000 >/dev/null 2>&1')",
    "a fork": "pid = os.fork()\n            if not pid: os.closerange(1, 3); open('{fifo}', 'w').write(str(os.getpid())); time.sleep(1000)",
}


@pytest.mark.parametrize("start", WAYS.values(), ids=WAYS)
def test_what_a_python_action_started_is_gone_after_the_next_start(start: str) -> None:
    with short_folder() as folder:
        fifo = folder / "fifo"
        os.mkfifo(fifo)
        text = ACTION.replace("{start}", start).replace("{fifo}", str(fifo))
        (folder / "hold_action.py").write_text(text)
        (folder / "m.yaml").write_text(MACHINE)
        with running(folder / "state", folder / "m.yaml", "--actions-dir", folder) as daemon:
            watched = os.pidfd_open(int(fifo.read_text()))
            fifo.unlink()
            daemon.kill()
            daemon.start()
            assert select.select([watched], [], [], 30)[0]
            os.close(watched)
