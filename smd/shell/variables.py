"""Names of variables: which no data may set, which belong to smd, which carry data.

Source: the manuals of the programs that read them (ld.so, bash, perlrun, Python, Ruby, Node, Git, less, man,
make, OpenSSH, rsync, tar, PostgreSQL, Java).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from smd.shell.words import Hole

_CHOOSING = re.compile(
    r"(?:PATH|IFS|ENV|BASH_(?:ENV|CMDS|ALIASES|LOADABLES_PATH)|SHELLOPTS|BASHOPTS|PS[0-4]|PROMPT_COMMAND|SHELL"
    r"|CDPATH|FPATH|ZDOTDIR|EXECIGNORE|INPUTRC|\w*EDITOR|FCEDIT|LESSEDIT|VISUAL|\w*PAGER|BROWSER|LESSOPEN|LESSCLOSE"
    r"|LD_\w+|DYLD_\w+|GCONV_PATH|PYTHON\w+|PERL5\w*|PERLLIB|RUBY\w+|GEM_(?:HOME|PATH)|BUNDLE_GEMFILE"
    r"|NODE_(?:OPTIONS|PATH)|GIT_(?!(?:AUTHOR|COMMITTER)_)\w+|\w*_ASKPASS|\w+_[RS]SH|MAKEFLAGS|MAKEFILES|GNUMAKEFLAGS"
    r"|AWKPATH|AWKLIBPATH|LUA_\w+|TCLLIBPATH|PHPRC|PHP_INI_SCAN_DIR|VIMINIT|EXINIT|EMACSLOADPATH|PSQLRC|TAR_OPTIONS"
    r"|RIPGREP_CONFIG_PATH|OPENSSL_(?:CONF|ENGINES|MODULES)|(?:JDK_|_)JAVA_OPTIONS|JAVA_TOOL_OPTIONS|CLASSPATH"
    r"|DOTNET_STARTUP_HOOKS|RUSTC_WRAPPER|GTK_MODULES)\Z",
    re.ASCII,
)
_EVALUATED = frozenset(
    ("RANDOM", "SRANDOM", "SECONDS", "LINENO", "HISTCMD", "OPTIND", "BASHPID", "UID", "EUID", "PPID")
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)

Carried = Mapping[str, Hole]
"""Variables that carry values, each with a placeholder that gives it one."""


def chooses_program(name: str) -> bool:
    """True for a variable by which its value chooses a program or becomes code, in some program that reads it."""
    return _CHOOSING.match(name) is not None


def never_assigned(name: str) -> bool:
    """True where shell text may not give the variable a value from data: also bash's own integer variables."""
    return name in _EVALUATED or chooses_program(name)


def name_fault(name: str) -> str:
    """Why an environment variable may not have this name; empty if it may."""
    if name.startswith("SMD_"):
        return "names beginning with SMD_ are smd's own"
    return "" if _NAME.match(name) else "it is no variable name"


def use_of(name: str, carried: Carried, line: int) -> Hole | None:
    """The hole that stands for a variable used in a line, or None if it carries no value."""
    hole = carried.get(name)
    return None if hole is None else replace(hole, number=0, line=line, variable=name, rule=None)
