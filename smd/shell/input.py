"""Standard input that becomes code or arguments: of interpreters, of shells over ssh, through xargs."""

from __future__ import annotations

import re
from dataclasses import replace

from smd.shell.words import Hole, Kind, Part, Word

_INPUT = re.compile(r"(?:-[A-Za-z]*f|--[a-z-]+=)?(?:-|/dev/(?:stdin|fd/0)|/proc/self/fd/0)")
_SHELL_OPTION = re.compile(r"-(?:[A-Za-z]*[si]|-shell|-login)")
_SHELLS_ALONE = frozenset({"chroot", "unshare", "nsenter", "screen", "capsh", "sg", "run0", "systemd-nspawn"})
_REPLACES = re.compile(r"(?:-[0rtxop]*(?P<asks>I)|-[0rtxop]*i|--replace(?:=|\Z))(?P<mark>.*)", re.DOTALL)


def names_input(word: Word) -> bool:
    """True for the name of a script or code file that is the standard input: `-`, `-f-`, `/dev/stdin`."""
    return _INPUT.fullmatch(word.literal or "") is not None


def starts_shell(name: str, words: list[Word]) -> bool:
    """True for a program that starts a shell, which runs its input, where no command of its own is given."""
    if name in {"su", "runuser", "script"}:
        return not any(word.prefix.startswith(("-c", "--command")) for word in words)
    if name == "parallel":
        return all(word.prefix.startswith("-") or word.prefix.isdecimal() for word in words[1:])
    asked = any(_SHELL_OPTION.fullmatch(word.prefix) for word in words)
    return name in _SHELLS_ALONE or (name in {"sudo", "doas"} and asked)


def replaced_by_xargs(options: list[Word]) -> str | None:
    """The text that xargs replaces by what it reads, or None if it appends that to the arguments."""
    texts = [word.literal or "" for word in options]
    for index, text in enumerate(texts):
        if found := _REPLACES.fullmatch(text):
            following = texts[index + 1 : index + 2] if found["asks"] else []
            return found["mark"] or next(iter(following), "{}")
    return None


def given_by_xargs(words: list[Word], mark: str | None, given: Hole) -> tuple[list[Word], list[Hole]]:
    """The command as xargs runs it, with a hole wherever what it reads stands, and these holes."""
    if mark is None:
        filled = [*words, Word(0), Word(0)]
        for word in filled[-2:]:
            word.parts.append(Part(Kind.HOLE, quoted=True, hole=replace(given)))
    else:
        filled = [_filled(word, mark, given) for word in words]
    return filled, [hole for word in filled for hole in word.holes if hole.placeholder == given.placeholder]


def _filled(word: Word, mark: str, given: Hole) -> Word:
    if word.literal is None or mark not in word.literal:
        return word
    made = Word(word.line)
    for index, text in enumerate(word.literal.split(mark)):
        if index:
            made.parts.append(Part(Kind.HOLE, quoted=True, hole=replace(given)))
        if text:
            made.add_text(text, quoted=True)
    return made


def remote_words(words: list[Word]) -> list[Word]:
    """The words of a command that ssh hands to a remote shell; none where they are not all known."""
    found: list[Word] = []
    for text in " ".join(word.literal or "" for word in words).split():
        found.append(Word(words[0].line))
        found[-1].add_text(text, quoted=True)
    return found if all(word.literal is not None for word in words) else []
