"""smctl: the command line of the daemon. One file per noun; `output` is the only place that prints.

The start-up budget shapes this package (interfaces.md §3): a noun's file is imported when one of its commands
is called, and only `smd.client` and click stand on the way of `send-event`.
"""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Run one smctl command and give its exit code (interfaces.md §3, `smd.cli.exits`).

    Args:
        argv: arguments without the program's name. Without them this is the console script: it reads
            `sys.argv` and ends the process itself.
    """
    try:
        # Inside the try, so that Ctrl-C during the import of click leaves no traceback either.
        from smd.cli.entry import run  # noqa: PLC0415

        code = run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        code = 130
    if argv is None:
        # Everything is flushed and closed; taking the interpreter apart would cost a fifth of the whole run.
        os._exit(code)
    return code
