"""The rules of a simple command: where its words may hold values, seen from the program it runs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from smd.shell.evaluated import refuse_evaluated, refuse_named
from smd.shell.input import given_by_xargs, names_input, remote_words, replaced_by_xargs, starts_shell
from smd.shell.options import Role, classify
from smd.shell.programs import (
    DECLARING,
    EVALUATING,
    JOINING,
    NAMING,
    READING,
    WRAPPERS,
    Interpreter,
    Wrapper,
    base_name,
    interpreter,
)
from smd.shell.refusal import refuse, refuse_tainted, refuse_written
from smd.shell.variables import never_assigned
from smd.shell.words import Hole, Rule, Word

_FORCED = frozenset({"test", "[", "wait"})
_PASSING = frozenset({"command", "builtin"})
_EXECUTING = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_WHY_CODE = "the value would be read as code"
_FIX_CODE = "write the code constant and pass the value as an argument after it, through env: or through stdin:"
_WHY_PROGRAM = "data must not choose the program"


class Commands:
    """Places the holes of simple commands.

    Args:
        allow_dash: True when values may begin with `-`.
        carried: variables that carry values; those found to are added.
        builtins: False where no shell reads the words, so that the names of its builtins are those of programs.
        given: stands for the standard input where that comes from data; xargs makes arguments of it.
    """

    def __init__(
        self, *, allow_dash: bool, carried: dict[str, Hole], builtins: bool = True, given: Hole | None = None
    ) -> None:
        self.allow_dash = allow_dash
        self.carried = carried
        self.builtins = builtins
        self.given = given
        self._within_find = False
        self.argument_words: list[Word] = []
        self.evaluates_assignments = False
        self.defines_aliases = False

    def permit(self, word: Word, *, ended: bool = False, forced: bool = False) -> None:
        """Allow the word's holes as argument text.

        Args:
            word: an argument.
            ended: True after `--`, where no value is an option.
            forced: True where a leading dash is refused whatever the author allowed.
        """
        self.argument_words.append(word)
        for hole in word.holes:
            hole.rule = Rule.WORD
        for hole, before in word.leading():
            hole.dash_checked = self._within_find or (not ended and (forced or not self.allow_dash))
            hole.follows = before

    def assignment(self, word: Word, *, bash: bool) -> bool:
        """Place the holes of `name=value`; False if the word is none.

        Raises:
            ChartError: a subscript holds a placeholder, or the variable chooses programs.
        """
        indexed = word.subscript() is not None
        if indexed:
            self._subscript(word)
        name = word.array_name() if indexed and bash else word.assigned_name()
        if name is None:
            return False
        self.gives(name, word)
        for hole in word.holes:
            hole.rule = Rule.WORD
        for element in word.elements:
            self._element(element)
        return True

    def gives(self, name: str, word: Word) -> None:
        """Note that a variable is given the value of a word.

        Raises:
            ChartError: a placeholder's value reaches the word, and the variable chooses programs.
        """
        if never_assigned(name) and (hole := word.tainted):
            refuse(hole, f"as the value of {name}", _WHY_PROGRAM, "use a variable of your own")
        if name and (hole := word.carried) and self.carried.get(name, hole).printed >= hole.printed:
            self.carried[name] = hole

    def gives_input(self, words: list[Word]) -> bool:
        """True for a command that gives what it reads to variables, as `read` does."""
        return _reading(words) is not None

    def reads(self, words: list[Word], text: Word) -> None:
        """Note what such a command reads: its variables have the value."""
        for word in words[1:]:
            self.gives(word.literal or "", text)
        self.gives(_reading(words) or "", text)

    def _subscript(self, word: Word) -> None:
        parts = word.subscript() or []
        for part in parts:
            if part.hole is not None:
                refuse(part.hole, "in a subscript", "bash evaluates it", "use a constant subscript")
        text = " ".join(part.text for part in parts)
        refuse_named(text.partition("[")[2].rpartition("]")[0], self.carried, word.line, "in a subscript")

    def _subscripted(self, word: Word) -> None:
        refuse_named(word.prefix.partition("[")[2].partition("]")[0], self.carried, word.line, "in a subscript")

    def _element(self, element: Word) -> None:
        if element.prefix.startswith("["):
            refuse_written([element], "in an array element with a subscript", "bash evaluates it", "assign it alone")
            end = next((n for n, part in enumerate(element.parts) if "]" in part.text), 0)
            refuse_evaluated(element.parts[:end], self.carried, element.line, "in a subscript")
            refuse_named(element.prefix.partition("]")[0], self.carried, element.line, "in a subscript")
        self.permit(element)

    def simple(self, words: list[Word]) -> bool:
        """Place the holes of a command's words; True if the command runs its standard input as code.

        Raises:
            ChartError: a placeholder where a value would be a program, code or a name.
        """
        head = words[0]
        if hole := head.tainted:
            fix = "write the program and pass the value as an argument, through env: or through stdin:"
            refuse(hole, "in command position", _WHY_PROGRAM, fix)
        name = base_name(head)
        if name is None:
            return self._unknown(words)
        if self.builtins:
            self._note(name, words)
        if refused := self._refused(name):
            refuse_written(words, f"as an argument of {name}", *refused)
            self._named(name, words, *refused)
            return starts_shell(name, words)
        if name in WRAPPERS:
            return self._wrapped(name, words, WRAPPERS[name])
        if known := interpreter(name):
            return self._interpreted(name, words, known)
        if name == "find":
            return self._find(words)
        if self.builtins:
            self._special(name, words)
        return self._arguments(words, forced=self.builtins and name in _FORCED)

    def _refused(self, name: str) -> tuple[str, str] | None:
        tables: tuple[tuple[Mapping[str, str], str], ...] = (
            (JOINING, _WHY_CODE),
            (EVALUATING, _WHY_CODE),
            (NAMING, "the value would be a name or be evaluated"),
        )
        known = tables if self.builtins else tables[:1]
        return next(((why, table[name]) for table, why in known if name in table), None)

    def _named(self, name: str, words: list[Word], why: str, fix: str) -> None:
        flags = "".join(word.prefix for word in words[1:] if word.prefix.startswith("-"))
        compound = name in DECLARING and bool(set("aAin") & set(flags))
        for word in words[1:]:
            assigned = word.assigned_name() if name in DECLARING else None
            if assigned is None or (compound and not word.elements):
                refuse_tainted([word], f"as an argument of {name}", why, fix)
            if assigned is not None:
                self.assignment(word, bash=False)
            self._subscripted(word)
            if name == "let":
                refuse_named(word.prefix, self.carried, word.line, "in let")

    def _note(self, name: str, words: list[Word]) -> None:
        self.defines_aliases |= name == "alias"
        if name in DECLARING:
            flags = "".join(word.prefix for word in words[1:] if word.prefix.startswith(("-", "+")))
            self.evaluates_assignments |= bool(set("in") & set(flags))

    def _unknown(self, words: list[Word]) -> bool:
        if words[0].splits or words[0].literal is not None:
            fix = 'write the program plainly, or quote the variable: "$PROGRAM"'
            refuse_written(words, "after a program named by an expansion", "it may be an interpreter", fix)
        for index, word in enumerate(words[1:], start=1):
            option = word.prefix
            if option.startswith("-") and set("ceE") & set(option):
                refuse_written(words[index:], f"after {option} of a program named by a variable", _WHY_CODE, _FIX_CODE)
        return self._arguments(words)

    def _special(self, name: str, words: list[Word]) -> None:
        if name == "printf":
            self._printf(words)
        elif name in {"test", "["}:
            self._test(name, words)
        elif name == "wait":
            for index, word in enumerate(words):
                if word.prefix.startswith("-") and "p" in word.prefix:
                    refuse_tainted(words[index : index + 2], "after -p of wait", "it would be a name", "write the name")
        elif name == "set":
            options = list(takewhile(lambda word: word.literal != "--", words))
            refuse_tainted(options, "as an option of set", "it would change the shell", "write set -- before it")

    def _test(self, name: str, words: list[Word]) -> None:
        for index, word in enumerate(words):
            if word.literal in {"-v", "-R"}:
                following = words[index + 1 : index + 2]
                refuse_tainted(following, f"after {word.literal} of {name}", "it would be a name", "write it")
                for named in following:
                    self._subscripted(named)
            loose = [hole for hole in word.variables if word.splits and not hole.printed]
            if loose:
                refuse(loose[0], f"without quotes in {name}", "it could become -v a[$(command)]", "quote it")

    def _printf(self, words: list[Word]) -> None:
        at = 1
        if len(words) > at and words[at].prefix.startswith("-v"):
            refuse_tainted(words[at : at + 2], "after -v of printf", "it would be a name", "write the name")
            alone = words[at].literal == "-v"
            name = "".join(word.literal or "" for word in words[at : at + 1 + alone]).removeprefix("-v")
            for word in words[at : at + 1 + alone]:
                self._subscripted(word)
            for word in words[at + 1 + alone :]:
                self.gives(name, word)
            at += 1 + alone
        at += int(len(words) > at and words[at].literal == "--")
        why = "% and \\ of the value would be directives, and %n assigns"
        refuse_tainted(words[at : at + 1], "in the format of printf", why, "write printf '%s\\n' with it as argument")

    def _arguments(self, words: list[Word], *, forced: bool = False) -> bool:
        ended = False
        for index, word in enumerate(words[1:], start=1):
            if self._starts_interpreter(words[index:]):
                return self.simple(words[index:])
            self.permit(word, ended=ended, forced=forced)
            ended = ended or word.literal == "--"
        return False

    def _starts_interpreter(self, words: list[Word]) -> bool:
        known = interpreter(base_name(words[0]))
        return known is not None and known.is_language and len(words) > 1 and words[1].prefix.startswith("-")

    def _wrapped(self, name: str, words: list[Word], wrapper: Wrapper) -> bool:
        operands, ended = wrapper.operands, False
        for index, role, word in classify(words[1:], wrapper.options):
            own, rest = words[: index + 1], words[index + 1 :]
            unsure = role in {Role.CODE, Role.UNKNOWN} or (role is Role.FLAG and word.tainted)
            if unsure or word.splits:
                what = f"after {word.prefix or 'an expansion'} of {name}"
                refuse_written(words, what, "it may be a program or code", _FIX_CODE)
                surely = words[index + 1 :] if role in {Role.CODE, Role.UNKNOWN} else [word]
                refuse_tainted(surely, what, _WHY_PROGRAM, _FIX_CODE)
                return name == "xargs"
            if role is Role.SETTING:
                refuse_tainted([word], f"after an option of {name}", _WHY_PROGRAM, _FIX_CODE)
            elif role is Role.VALUE or (role is Role.OPERAND and operands > 0):
                self.permit(word, ended=ended, forced=True)
                operands -= role is Role.OPERAND
            elif role is Role.OPERAND and not (wrapper.assigns and self.assignment(word, bash=False)):
                return self._inner(name, own, rest)
            ended = ended or role is Role.END
        return starts_shell(name, words)

    def _inner(self, name: str, own: list[Word], words: list[Word]) -> bool:
        head = words[0]
        if head.prefix.startswith("-"):
            refuse_tainted(words, f"after {head.prefix} of {name}", _WHY_PROGRAM, "write the options first")
            return False
        if name != "xargs":
            return self.simple(words)
        mark = replaced_by_xargs(own)
        if self.given is not None:
            self._check_given(words, mark, self.given)
        runs_input = self.simple(words)
        return runs_input or (mark is not None and interpreter(base_name(head)) is not None)

    def _check_given(self, words: list[Word], mark: str | None, given: Hole) -> None:
        filled, holes = given_by_xargs(words, mark, given)
        self.simple(filled)
        for hole in holes:
            if hole.dash_checked:
                what = f"in the arguments that xargs gives to {words[0].prefix}"
                refuse(given, what, "it could be an option that holds code", "write -- after the options")

    def _interpreted(self, name: str, words: list[Word], known: Interpreter) -> bool:
        options, flags, operands = known.options, set[str](), list[Word]()
        code = ended = unsure = from_input = False
        for _, role, word in classify(words[1:], options):
            flags |= set(options.flags_of(word)) if role is not Role.OPERAND else set()
            given = code or bool(flags & set(known.input_flags))
            is_code = self._takes_code(known, role, word, len(operands), given=given)
            unsure = unsure or (word.splits and not code)
            if is_code or unsure or flags & set(known.piping_flags):
                surely = is_code or word.splits or bool(flags & set(known.piping_flags))
                check = refuse_tainted if surely else refuse_written
                check([word], f"in the code or options of {name}", _WHY_CODE, _FIX_CODE)
            settled = not options.permutes and (operands or (code and options.ends_at_code))
            self.permit(word, ended=ended, forced=not settled)
            from_input = from_input or (is_code and names_input(word))
            operands += [word] if role is Role.OPERAND else []
            code = code or role is Role.CODE or (role is Role.OPERAND and is_code)
            ended = ended or word.literal == "--"
        bare = len(operands) < known.reads and (not code or known.code_from is not None)
        flagged = flags & set(known.input_flags + known.keeping_flags)
        return bare or from_input or known.keeps or bool(flagged) or (name == "ssh" and self._remote(operands[1:]))

    def _remote(self, words: list[Word]) -> bool:
        plain = remote_words(words)
        return bool(plain) and self.simple(plain)

    def _takes_code(self, known: Interpreter, role: Role, word: Word, operand: int, *, given: bool) -> bool:
        if role is Role.OPERAND:
            return self._is_code(known, operand, given=given)
        if role is Role.NAMED:
            return "=" not in word.prefix
        return role not in {Role.VALUE, Role.END}

    def _is_code(self, known: Interpreter, operand: int, *, given: bool) -> bool:
        first = known.code_operand is not None and operand == known.code_operand and not given
        return first or (known.code_from is not None and operand >= known.code_from)

    def _find(self, words: list[Word]) -> bool:
        index, runs_input, outside = 1, False, self._within_find
        self._within_find = True
        while index < len(words):
            self.permit(words[index])
            if words[index].literal in _EXECUTING:
                end = next((i for i in range(index + 1, len(words)) if words[i].literal in {";", "+"}), len(words))
                inner = words[index + 1 : end]
                runs_input |= bool(inner) and self._executed(words, inner)
                index = end
            index += 1
        self._within_find = outside
        return runs_input

    def _executed(self, words: list[Word], inner: list[Word]) -> bool:
        if any((word.literal or word.prefix) != "{}" and "{}" in word.prefix for word in inner[1:]):
            what = "in a find whose -exec writes {} into a longer word"
            if any(interpreter(base_name(word)) for word in inner):
                refuse_tainted(words, what, _WHY_CODE, "pass {} as an argument of its own after the code")
        return self.simple(inner)


def _reading(words: list[Word]) -> str | None:
    """The variable that `read` and its like fill where none is named; None for another command."""
    names = (word.literal for word in words)
    return READING.get(next((name for name in names if name not in _PASSING), None) or "")
