"""What is known of programs: which run another program, and which take code as an argument.

The tables hold the option grammars of the programs' own manuals (GNU coreutils, util-linux, POSIX utilities,
OpenSSH, PostgreSQL, SQLite, jq). An option that is not listed makes a place unsure, and unsure is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from smd.shell.options import Options, Role
from smd.shell.words import Word


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A program that runs the rest of its arguments as a command, after some operands of its own."""

    options: Options = field(default_factory=Options)
    operands: int = 0
    assigns: bool = False


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A program that takes code.

    `code_operand` is the operand that is code (or names a script) unless an option gave it; from `code_from`
    on every operand is code. It runs its input when it has fewer operands than `reads` and no code; with one of
    `input_flags` (instead of a script) or `keeping_flags` (after it) or if it `keeps` reading in any case. With one of
    `piping_flags` it runs operands that look like a pipe.
    """

    options: Options
    code_operand: int | None = 0
    code_from: int | None = None
    reads: int = 0
    piping_flags: str = ""
    input_flags: str = ""
    keeping_flags: str = ""
    keeps: bool = False

    @property
    def is_language(self) -> bool:
        """True for shells and languages, which run their input like a script."""
        return self.reads > 0 and self.code_operand is not None


def _long(role: Role, names: str, count: int = 1) -> dict[str, tuple[Role, int]]:
    return {f"--{name}": (role, count) for name in names.split()}


def _wrapper(
    flags: str = "",
    values: str = "",
    code: str = "",
    *,
    settings: str = "",
    long_flags: str = "",
    long_values: str = "",
    long_code: str = "",
    long_settings: str = "",
    operands: int = 0,
    assigns: bool = False,
) -> Wrapper:
    names = _long(Role.FLAG, long_flags, 0) | _long(Role.VALUE, long_values) | _long(Role.CODE, long_code)
    names |= _long(Role.SETTING, long_settings)
    return Wrapper(Options(flags=flags, values=values, code=code, settings=settings, long=names), operands, assigns)


WRAPPERS: Mapping[str, Wrapper] = {
    "sudo": _wrapper("AbEHnPkKBS", "ughpCrtTUDR", "sie", long_flags="preserve-env non-interactive set-home",
                     long_values="user group chdir host", long_code="shell login edit", assigns=True),
    "doas": _wrapper("nL", "u", "sC"),
    "env": _wrapper("i0v", "uC", "S", long_flags="ignore-environment null debug", long_values="unset chdir",
                    long_code="split-string", assigns=True),
    "nohup": _wrapper(),
    "setsid": _wrapper("cfw", long_flags="ctty fork wait"),
    "timeout": _wrapper("v", "ks", long_flags="preserve-status foreground verbose",
                        long_values="kill-after signal", operands=1),
    "nice": _wrapper("0123456789", "n", long_values="adjustment"),
    "ionice": _wrapper("t", "cn", long_flags="ignore", long_values="class classdata"),
    "time": _wrapper("pvaqV", "fo", long_values="format output"),
    "stdbuf": _wrapper("", "ioe", long_values="input output error"),
    "command": _wrapper("pvV"),
    "builtin": _wrapper(),
    "exec": _wrapper("cl", settings="a"),
    "chroot": _wrapper(long_flags="skip-chdir", long_values="userspec groups", operands=1),
    "flock": _wrapper("sxeunoFv", "wE", "c", long_flags="shared exclusive unlock nonblock",
                      long_values="timeout wait conflict-exit-code", long_code="command", operands=1),
    "taskset": _wrapper("ac", long_flags="cpu-list all-tasks", operands=1),
    "chrt": _wrapper("abfiorR", long_flags="batch fifo idle other rr reset-on-fork", operands=1),
    "prlimit": _wrapper("v"),
    "unshare": _wrapper("muinpUCTrfc", "RwSG",
                        long_flags="mount uts ipc net pid user cgroup time fork map-root-user map-current-user",
                        long_values="root wd setuid setgid map-user map-group"),
    "nsenter": _wrapper("amuinpUCTrwFZe", "tSGW",
                        long_flags="all mount uts ipc net pid user cgroup time root wd no-fork follow-context env",
                        long_values="target setuid setgid"),
    "setpriv": _wrapper("d", long_flags="nnp no-new-privs clear-groups keep-groups init-groups reset-env",
                        long_values="ruid euid reuid rgid egid regid groups ambient-caps inh-caps bounding-set "
                                    "securebits pdeathsig selinux-label apparmor-profile"),
    "choom": _wrapper("", "n", long_values="adjust"),
    "uclampset": _wrapper("asR", "mM"),
    "pipesz": _wrapper("gioeqvc", "sfn"),
    "setarch": _wrapper(operands=1),
    **dict.fromkeys(("linux32", "linux64", "i386", "x86_64", "uname26"), _wrapper("BF3ILRSTXZ")),
    "runcon": _wrapper(operands=1),
    "systemd-run": _wrapper("dtPqGrv", "u", "S", settings="pEHM",
                            long_flags="user system scope same-dir pty pipe quiet collect wait no-block "
                                       "no-ask-password remain-after-exit slice-inherit",
                            long_values="unit description slice uid gid nice working-directory",
                            long_code="shell", long_settings="property setenv host machine timer-property"),
    "systemd-cat": _wrapper("", "tp", long_values="identifier priority stderr-priority level-prefix"),
    "systemd-nspawn": _wrapper("qb", "DMu", long_values="directory machine user"),
    "systemd-socket-activate": _wrapper("a", "l"),
    "run0": _wrapper(long_values="user group chdir"),
    "pkexec": _wrapper(long_values="user"),
    "dbus-run-session": _wrapper(long_settings="config-file dbus-daemon"),
    "ltrace": _wrapper("bcCfiLrStT", "aADelnopsuwx", settings="F"),
    "valgrind": _wrapper("qv"),
    "numactl": _wrapper("l", "NmiCpP"),
    "cgexec": _wrapper("", "g", long_flags="sticky"),
    "logsave": _wrapper("asv", operands=1),
    "xvfb-run": _wrapper("al", "efnp"),
    "faketime": _wrapper("m", operands=1),
    "sshpass": _wrapper("ev", "pfdP"),
    "screen": _wrapper("dmDRqU", "St", "X", settings="cs"),
    "entr": _wrapper("acdnprxz", code="s"),
    "ifne": _wrapper("n"),
    "npx": _wrapper("y", "p", "c", long_flags="yes no", long_values="package", long_code="call"),
    "uvx": _wrapper(long_values="from with python"),
    "chpst": _wrapper("vP012", "uUbe/CnlLmdoprcft"),
    "softlimit": _wrapper("", "acdflmoprst"),
    "setlock": _wrapper("nNxX", operands=1),
    **dict.fromkeys(("setuidgid", "envuidgid", "envdir", "s6-setuidgid", "s6-envdir"), _wrapper(operands=1)),
    "tini": _wrapper("vwgs", "pe"),
    "dumb-init": _wrapper("cv", "r"),
    **dict.fromkeys(("eatmydata", "unbuffer", "torsocks", "torify", "toybox", "cttyhack", "catchsegv", "bwrap",
                     "firejail", "proxychains", "proxychains4", "rlwrap", "fakechroot"), _wrapper()),
    "strace": _wrapper("fFqvyCkrtTxwdDi", "eoOpsuEPSaXbIU"),
    "gosu": _wrapper(operands=1),
    "su-exec": _wrapper(operands=1),
    "busybox": _wrapper(),
    "chronic": _wrapper("ve"),
    "fakeroot": _wrapper(),
    "systemd-inhibit": _wrapper(long_values="what who why mode"),
    "xargs": _wrapper("0rtxopie", "InPLdEsa", long_flags="null no-run-if-empty verbose",
                      long_values="max-args max-procs max-lines delimiter arg-file max-chars eof"),
}  # fmt: skip
"""Programs that run another one, by name."""

_ALWAYS = 1000
_SHELL = Interpreter(
    Options(flags="abcefhiklmnprstuvxBCDEHPT", settings="oO",
            long=_long(Role.SETTING, "rcfile init-file") | _long(Role.FLAG, "login norc noprofile posix", 0)),
    reads=1, input_flags="s",
)  # fmt: skip
_PYTHON = Interpreter(
    Options(flags="bBdEhiIOPqsSuvVx", code="cm", settings="WX", ends_at_code=True,
            long=_long(Role.SETTING, "check-hash-based-pycs")),
    reads=1, keeping_flags="i",
)  # fmt: skip
_PERL = Interpreter(
    Options(flags="acdfnpsStTuUvwWX0123456789l", code="eE", attached="imMICDxFV"), reads=1, piping_flags="np"
)
_RUBY = Interpreter(Options(flags="acdhlnpsSvwy0123456789", code="e", settings="rICEX", attached="iFKTWx"), reads=1)
_NODE = Interpreter(
    Options(flags="ich", code="ep", settings="rC",
            long=_long(Role.CODE, "eval print") | _long(Role.SETTING, "require import loader conditions")),
    reads=1, keeping_flags="i",
)  # fmt: skip
_PHP = Interpreter(
    Options(flags="aehilmnqsvw", code="rfBRFEz", settings="cdtS",
            long=_long(Role.CODE, "run file process-begin process-code process-end")),
    reads=1, keeping_flags="a",
)  # fmt: skip
_EVALUATES = Interpreter(
    Options(flags="iEvqs", code="e", settings="l", long=_long(Role.CODE, "eval expression")), reads=1, keeping_flags="i"
)
_AWK = Interpreter(
    Options(flags="bcCgGhMnNOPrsStV", values="F", named="v", code="feEil",
            long=_long(Role.CODE, "file source exec include load") | _long(Role.NAMED, "assign")
            | _long(Role.VALUE, "field-separator")),
)  # fmt: skip
_SED = Interpreter(
    Options(flags="nErsuz", values="l", code="ef", attached="i", permutes=True,
            long=_long(Role.CODE, "expression file") | _long(Role.VALUE, "line-length")
            | _long(Role.FLAG, "in-place quiet silent regexp-extended separate null-data posix sandbox", 0)),
)  # fmt: skip
_JQ = Interpreter(
    Options(flags="cenrRsSCMajhiNy", code="fL", permutes=True,
            long=_long(Role.CODE, "from-file") | _long(Role.VALUE, "arg argjson slurpfile rawfile", 2)
            | _long(Role.VALUE, "indent") | _long(Role.FLAG, "args jsonargs raw-output null-input", 0)
            | _long(Role.FLAG, "slurp raw-input compact-output exit-status tab", 0)),
)  # fmt: skip
_SSH = Interpreter(
    Options(flags="46AaCfGgKkMNnqsTtVvXxYy", values="pil", settings="BbcDEeFIJLmOoPQRSWw", permutes=True),
    code_operand=None, code_from=1, reads=2,
)  # fmt: skip
_PSQL = Interpreter(
    Options(flags="aAbeEHlnqsStwWxXz01", values="dhpU", named="v", code="cf", settings="oLPFRT",
            permutes=True, long=_long(Role.CODE, "command file") | _long(Role.NAMED, "set variable")
            | _long(Role.VALUE, "dbname host port username") | _long(Role.SETTING, "output log-file pset")),
    code_operand=None, reads=_ALWAYS,
)  # fmt: skip
_MYSQL = Interpreter(
    Options(flags="ABbCEfGHiLNnoqrsTtVvwXj", values="huPDS", code="e", attached="p", permutes=True,
            long=_long(Role.CODE, "execute init-command") | _long(Role.VALUE, "host user port database")),
    code_operand=None, reads=_ALWAYS,
)  # fmt: skip
_SQLITE_FLAGS = "append ascii bail batch box column csv header noheader html json line list markdown readonly tabs"
_SQLITE = Interpreter(
    Options(single_dash=True, permutes=True,
            long={"-cmd": (Role.CODE, 1), "-init": (Role.CODE, 1), "-separator": (Role.VALUE, 1),
                  "-nullvalue": (Role.VALUE, 1), "-newline": (Role.VALUE, 1), "-vfs": (Role.SETTING, 1)}
            | {f"-{name}": (Role.FLAG, 0) for name in _SQLITE_FLAGS.split()}),
    code_operand=None, code_from=1, reads=2,
)  # fmt: skip
_GDB = Interpreter(
    Options(single_dash=True,
            long={dash + name: known for dash in ("-", "--") for names, known in (
                ("ex eval-command x command iex init-eval-command ix init-command", (Role.CODE, 1)),
                ("p pid", (Role.VALUE, 1)),
                ("q quiet batch n nx nh args", (Role.FLAG, 0)),
            ) for name in names.split()}),
    reads=1, keeps=True,
)  # fmt: skip
_LATER = Interpreter(Options(flags="bdlmMv", values="tq", code="f"), code_operand=None, reads=_ALWAYS)
_CRONTAB = Interpreter(Options(flags="elri", values="u"), reads=1)
_SERVICE = Interpreter(
    Options(flags="SKTbmtqovC", values="pngukRsPIN", code="xa", settings="drcO",
            long=_long(Role.CODE, "exec startas") | _long(Role.SETTING, "chdir chroot chuid output")
            | _long(Role.FLAG, "start stop status background make-pidfile test quiet oknodo verbose", 0)
            | _long(Role.VALUE, "pidfile name user group signal retry umask nicelevel procsched iosched")),
    code_operand=None,
)  # fmt: skip

_FAMILIES: tuple[tuple[Interpreter, str], ...] = (
    (_SHELL, "sh bash dash zsh ksh mksh pdksh ash fish csh tcsh rbash yash oksh posh"),
    (_PYTHON, "python pypy ipython"),
    (_PERL, "perl"),
    (_RUBY, "ruby jruby"),
    (_NODE, "node nodejs bun deno"),
    (_PHP, "php"),
    (_EVALUATES, "lua luajit Rscript osascript tclsh expect julia groovy elixir"),
    (_AWK, "awk gawk mawk nawk original-awk"),
    (_SED, "sed gsed"),
    (_JQ, "jq gojq jaq yq"),
    (_SSH, "ssh autossh slogin rsh mosh"),
    (_GDB, "gdb lldb"),
    (_LATER, "at"),
    (_CRONTAB, "crontab"),
    (_SERVICE, "start-stop-daemon"),
    (_PSQL, "psql"),
    (_MYSQL, "mysql mariadb"),
    (_SQLITE, "sqlite sqlite3"),
)
_INTERPRETERS = {name: entry for entry, names in _FAMILIES for name in names.split()}

JOINING: Mapping[str, str] = {
    "su": "use run: with sudo -u",
    "runuser": "use run: with setpriv or sudo -u",
    "watch": "give the value through env:",
    "parallel": "give the value through stdin:",
    "script": "give the value through env:",
    "scriptlive": "give the value through env:",
    "sem": "give the value through stdin:",
    "sg": "use run: with sudo -g",
    "capsh": "use run: with setpriv",
    "hyperfine": "give the value through env:",
    "pee": "give the value through stdin:",
    "mispipe": "give the value through env:",
}
"""Programs that join their arguments to code; the text is the way round."""

EVALUATING: Mapping[str, str] = {
    "eval": "write the command itself",
    ".": "name the file",
    "source": "name the file",
    "trap": "assign the value to a variable and let the trap read it",
    "let": "write $(( )) with {n|int}",
    "bind": "write it literally",
    "complete": "write it literally",
    "compgen": "write it literally",
    "enable": "write it literally",
    "jobs": "write it literally",
    "fc": "write it literally",
    "history": "write it literally",
}
"""Builtins that join or keep their arguments as code; the text is the way round."""

NAMING: Mapping[str, str] = {
    "read": "write the names, and give the value by a here-document of stdin:",
    "unset": "write the name",
    "export": "assign first, then export the name: NAME={x}; export NAME",
    "declare": "assign without it: NAME={x}",
    "typeset": "assign without it: NAME={x}",
    "local": "assign after it: local NAME; NAME={x}",
    "readonly": "assign first, then readonly NAME",
    "getopts": "write the names",
    "alias": "write a function",
    "unalias": "write the name",
    "mapfile": "write the name",
    "readarray": "write the name",
    "hash": "write the name",
}
"""Builtins whose arguments are names of variables; the text is the way round."""

DECLARING = frozenset({"declare", "typeset", "local", "export", "readonly"})
"""Builtins that assign: `export NAME=value`."""

READING: Mapping[str, str] = {"read": "REPLY", "mapfile": "MAPFILE", "readarray": "MAPFILE"}
"""Builtins that give variables what they read; the text is the variable where none is named."""


def base_name(word: Word) -> str | None:
    """The program's name without folder, or None where it is not surely known."""
    program = word.program
    return None if program is None else program.rsplit("/", 1)[-1]


def interpreter(name: str | None) -> Interpreter | None:
    """The known interpreter of that name; a version at its end is ignored (`python3.11`, `ksh93`)."""
    if name is None:
        return None
    bare = re.sub(r"-?[0-9][0-9.]*[a-z]?\Z", "", name.removesuffix(".exe"))
    return _INTERPRETERS.get(name) or _INTERPRETERS.get(bare)
