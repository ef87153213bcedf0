"""A program that runs its arguments is looked through: a value chooses neither the program nor its code."""

from __future__ import annotations

import pytest

from smd.document.values import is_open
from smd.errors import ChartError
from smd.shell import check_argv, compile_shell

WRAPPED = [
    "chroot /x", "command", "doas -u bob", "env A=1", "exec", "nice -n 5", "nohup", "stdbuf -oL", "sudo -u bob",
    "time", "timeout 5", "xargs -n 1", "busybox", "toybox",
    "choom -n 5", "chrt -f 5", "flock f", "ionice -c 3", "linux32", "nsenter -t 1 -m", "nsenter --target 1 --mount",
    "nsenter --mount=/x", "prlimit --nofile=5", "runcon ctx", "setarch x86_64", "setpriv", "setpriv --reuid=5",
    "setpriv --reuid 5 --clear-groups", "setsid", "taskset -c 0", "uclampset -m 5", "unshare -r", "unshare --fork",
    "dbus-run-session --", "pkexec --user bob", "run0", "systemd-cat -t x", "systemd-inhibit --what=a",
    "systemd-run --user --wait", "systemd-run -u a -p X=1",
    "chpst -u bob", "dumb-init", "entr -r", "envdir d", "faketime now", "logsave f", "ltrace -f", "npx", "numactl -N 0",
    "screen -dm", "setuidgid bob", "strace -f", "tini --", "valgrind --leak-check=full", "xvfb-run -a",
]  # fmt: skip
"""Commands that run what follows them."""

JOINED = ["capsh --", "parallel", "runuser -u bob --", "script -c", "sem", "sg g", "su bob -c", "watch -n 1"]
"""Those that make code of what follows."""

CODE = [
    "gdb", "gdb --args", "gdb -ex", "gdb -x", "sh -c", "bash -c", "perl -e", "python3 -c", "ssh host", "crontab", "at -f",
    "start-stop-daemon -S -x", "start-stop-daemon --start --exec", "systemd-run -S", "find . -exec", "runcon -t a",
    "setarch -R", "nsenter -t 1 sh -c", "setpriv busybox sh -c", "systemd-run --pipe python3 -c",
]  # fmt: skip

FINE = [
    "chrt -f 5 prog {x}", "flock {x} prog", "gdb --batch -p {x}", "gdb --args prog {x}", "ltrace -f prog {x}",
    "nsenter -t 1 -m prog {x}", "screen -S {x} -dm prog", "setpriv --nnp -- prog {x}", "setpriv --reuid {x} prog",
    "start-stop-daemon --start --exec /x -- {x}", "systemd-cat -t {x} prog {x}", "systemd-run --unit {x} prog",
    "systemd-run --user --wait prog {x}", "tini -- prog {x}", "unshare --map-root-user prog {x}",
    "x86_64-linux-gnu-gcc {x}",
]  # fmt: skip


@pytest.mark.parametrize("command", WRAPPED + JOINED + CODE)
def test_a_value_does_not_choose_what_another_program_runs(command: str) -> None:
    with pytest.raises(ChartError, match=r"^cannot use \{x\} "):
        check_argv([*command.split(), "{x}"], is_open)
    with pytest.raises(ChartError, match=r"^cannot use \{x\} "):
        compile_shell(f"{command} {{x}}")


@pytest.mark.parametrize("command", WRAPPED)
def test_what_is_wrapped_is_read_like_any_command(command: str) -> None:
    check_argv([*command.split(), "prog", "{x}"], is_open)
    with pytest.raises(ChartError, match=r"^cannot use \{x\} "):
        check_argv([*command.split(), "sh", "-c", "{x}"], is_open)


@pytest.mark.parametrize("command", FINE)
def test_arguments_and_plain_options_may_hold_values(command: str) -> None:
    check_argv(command.split(), is_open)
    compile_shell(command)


@pytest.mark.parametrize("command", ["nsenter -t 1 -m", "gdb prog", "at now"])
def test_what_runs_its_input_reads_no_value(command: str) -> None:
    with pytest.raises(ChartError, match="through stdin"):
        check_argv(command.split(), is_open, stdin="x")
