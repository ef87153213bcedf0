"""The placeholder compiler: command text stays constant, values travel as arguments.

`compile_shell` reads a command at load time and refuses every place where a value could become code;
`ShellProgram.argv` checks the values of one run before anything starts. `check_argv` holds an argument list that
no shell reads to the same rules. Nothing here starts a process.
"""

from __future__ import annotations

from smd.shell.argv import check_argv
from smd.shell.program import ShellProgram, Slot, compile_shell, lint_shell
from smd.shell.values import MAX_ARGUMENT, check_argument, check_no_dash
from smd.shell.variables import chooses_program, name_fault
from smd.shell.words import Rule

__all__ = [
    "MAX_ARGUMENT",
    "Rule",
    "ShellProgram",
    "Slot",
    "check_argument",
    "check_argv",
    "check_no_dash",
    "chooses_program",
    "compile_shell",
    "lint_shell",
    "name_fault",
]
