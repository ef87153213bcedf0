"""Finding and loading the user's Python actions (statemachine-engine, custom actions).

Every `*_action.py` below a folder, at any depth, is one action: its type is the stem without `_action`, its class the
type in CamelCase followed by `Action`. The folder is searched once; a file is read when its action first runs.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import threading
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from smd.actions import legacy
from smd.errors import ActionError, SettingsError
from smd.files import files_below, read_file

_SUFFIX = "_action"
_MOST = 4 << 20
"""Bytes of a Python file."""


class ActionClass(NamedTuple):
    """A loaded action. `legacy`: written for the predecessor, so it runs in a thread with a loop of its own."""

    type: str
    make: Any
    legacy: bool
    file: Path


class LoadError(ActionError):
    """A file of actions cannot be used; `trace` is the traceback for the log."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message, hint="correct the file; it is read again when the action next runs")
        self.trace = trace


class CustomActions:
    """The Python actions of some folders. Later folders win over earlier ones, later names within a folder too.

    The parent of each folder can be imported from, so that `from actions.helper import x` works; it comes last on
    the path, so that a file there cannot take the place of an installed module.

    Args:
        folders: searched once, now.

    Raises:
        SettingsError: one of them is no folder, or one in it cannot be read.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._files: dict[str, Path] = {}
        self._loaded: dict[str, ActionClass] = {}
        for folder in folders:
            found = _found(folder)
            self._files.update({name: file for file in found if (name := action_type(file))})
            parent = str(folder.absolute().parent)
            if found and parent not in sys.path:
                sys.path.append(parent)
        self._locks = {name: threading.Lock() for name in self._files}

    def types(self) -> frozenset[str]:
        """The action types the files stand for, whether or not they can be loaded."""
        return frozenset(self._files)

    def faults(self) -> Mapping[str, str]:
        """The types, each with why its file cannot be loaded, as far as that shows without running it; else ''.

        A file is read when its type is looked up, and every time.
        """
        return _Faults(self._files)

    def known(self, name: str) -> ActionClass | None:
        """The class of a type if its file was read before."""
        return self._loaded.get(name)

    def get(self, name: str) -> ActionClass:
        """The class of a type, its file read the first time. May take as long as the file's imports; any thread.

        Raises:
            LoadError: there is no such file, or it cannot be used. It is read again the next time.
        """
        file = self._files.get(name)
        if file is None:
            raise LoadError(f"cannot find action '{name}': no file {name}{_SUFFIX}.py in the folders of actions")
        with self._locks[name]:
            if name not in self._loaded:
                self._loaded[name] = _load(name, file)
            return self._loaded[name]


class _Faults(Mapping[str, str]):
    """See `CustomActions.faults`."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def __getitem__(self, name: str) -> str:
        return _fault(name, self._files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _fault(name: str, file: Path) -> str:
    try:
        text = read_file(file, _MOST)
        compile(text, str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"{file}:{error.lineno or 1}:{error.offset or 1}: {error.msg}"
    except OSError as error:
        return f"cannot read '{file}': {error.strerror}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{file}: {str(error) or 'too deeply nested'}"
    text = text.lower()
    missing = class_name(name).lower().encode() not in text and b"import *" not in text
    return f"{file}: it has no class {class_name(name)}" if missing else ""


def _found(folder: Path) -> list[Path]:
    """The files of actions below a folder, by their paths.

    Raises:
        SettingsError: there is no such folder, or one in it cannot be read.
    """

    def refuse(error: OSError) -> None:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError) and error.filename == str(folder)
        why = "no such folder" if missing else error.strerror
        raise SettingsError(f"cannot load actions from '{error.filename}': {why}") from error

    return sorted(map(Path, (file for file in files_below(folder, refuse) if file.endswith(f"{_SUFFIX}.py"))))


def action_type(file: Path) -> str:
    """`http_api_action.py` is the action `http_api`; every `_action` in the stem is left out."""
    return file.stem.replace(_SUFFIX, "")


def class_name(name: str) -> str:
    """`http_api` is `HttpApiAction`."""
    return "".join(word.capitalize() for word in name.split("_")) + "Action"


def _load(name: str, file: Path) -> ActionClass:
    try:
        written_for_predecessor = _imports_predecessor(ast.parse(read_file(file, _MOST), str(file)))
        legacy.install()
        module = _module(name, file)
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {error}"
        raise LoadError(f"cannot load action '{name}' from {file}: {why}", traceback.format_exc()) from error
    made = _class_in(module, name)
    if made is None:
        raise LoadError(f"cannot load action '{name}' from {file}: it has no class {class_name(name)}")
    inherited = any(base.__module__.startswith(legacy.PACKAGE) for base in made.__mro__)
    return ActionClass(name, made, written_for_predecessor or inherited, file)


def _module(name: str, file: Path) -> ModuleType:
    full_name = f"custom_action_{name}_{zlib.crc32(bytes(file.absolute())):08x}"
    spec = importlib.util.spec_from_file_location(full_name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module  # dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[full_name]
        raise
    return module


def _class_in(module: ModuleType, name: str) -> type | None:
    """The class by its exact name, else one whose name differs in capitals only (`HTTPApiAction`)."""
    wanted = class_name(name)
    exact = getattr(module, wanted, None)
    if isinstance(exact, type):
        return exact
    folded = (v for k, v in vars(module).items() if k.lower() == wanted.lower() and isinstance(v, type))
    return next(folded, None)


def _imports_predecessor(tree: ast.Module) -> bool:
    def names(node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []

    return any(
        n == legacy.PACKAGE or n.startswith(f"{legacy.PACKAGE}.") for node in ast.walk(tree) for n in names(node)
    )
