"""The virtual environment of the peers (`bench/.peer`)."""

from __future__ import annotations

import subprocess
import sys

from bench.daemon import HERE
from bench.rows import BenchError

_HOME = HERE / ".peer" / "venv"
BIN = _HOME / "bin"


def install(package: str) -> None:
    """Install a package, `name==version`, unless it was installed before.

    Raises:
        BenchError: it cannot be.
    """
    made = _HOME / package
    if made.exists() and (BIN / "python").exists():
        return
    try:
        if not (BIN / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(_HOME)], check=True, capture_output=True)
        subprocess.run([str(BIN / "pip"), "install", "--quiet", package], check=True, capture_output=True, timeout=180)
        made.touch()
    except (subprocess.SubprocessError, OSError) as error:
        told = getattr(error, "stderr", None) or str(error).encode()
        raise BenchError(f"cannot install {package}: {told.decode(errors='replace').strip()[-200:]}") from None
