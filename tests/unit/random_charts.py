"""Random charts that `appendix_d.py` can interpret: nested, parallel, final and history states, and what raises events.

Every block tells of itself by a `log`, so that comparing the logs compares the order of everything that ran.
"""

from __future__ import annotations

import random
from typing import Any

Part = dict[str, Any]

CONTEXT = {"n": 0}
EVENTS = ["a", "b", "c", "x.y", "x.z.w", "x", "done.state.s1", "error.execution"]
_DESCRIPTORS = ["a", "b", "c", "x.y", "x.*", "x.z.*", "*", "x", "error.execution", "i.1", "i.*"]
_GUARDS = ["context.n % 2 == 0", "context.n < 6", "event.type == 'a'", "context.none > 1"]
_DEEPEST = 4
_COUNT: Part = {"type": "assign", "set": {"n": "context.n + 1"}}


def random_chart(seed: int) -> Part:
    """The document made from this seed, of about 6 to 30 states."""
    return _Maker(random.Random(seed)).document()


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.size = chance.choice([6, 14, 30])
        self.parts: dict[str, Part] = {}
        self.kinds: dict[str, str] = {}
        self.above: dict[str, list[str]] = {}

    def document(self) -> Part:
        states = dict(self.state([]) for _ in range(self.chance.randint(2, 3)))
        if self.odds(0.3):
            states |= [self.declare("final", [])]
        self.names = list(self.parts)
        self.real = [name for name in self.names if self.kinds[name] != "history"]
        for name in self.names:
            self.furnish(name)
        return {"machine": "m", "context": CONTEXT, "states": states}

    def odds(self, share: float) -> bool:
        return self.chance.random() < share

    # --- the tree --------------------------------------------------------------------------------------------

    def declare(self, kind: str, above: list[str]) -> tuple[str, Part]:
        name, part = f"s{len(self.parts) + 1}", {} if kind in {"atomic", "compound"} else {"type": kind}
        self.parts[name], self.kinds[name], self.above[name] = part, kind, above
        return name, part

    def state(self, above: list[str]) -> tuple[str, Part]:
        """A state and all below it; `above` are its ancestors, its parent first."""
        roll, kind = self.chance.random(), "atomic"
        if len(above) < _DEEPEST and len(self.parts) < self.size and roll < 0.5:
            kind = "parallel" if roll < 0.22 else "compound"
        elif roll > 0.85 and above and self.kinds[above[0]] != "parallel":
            kind = "final"
        name, part = self.declare(kind, above)
        if kind in {"parallel", "compound"}:
            inside = [name, *above]
            children = [self.state(inside) for _ in range(self.chance.randint(2, 3))]
            for _ in range(self.chance.choice([0, 1, 1, 2])):
                pseudo, history = self.declare("history", inside)
                if self.odds(0.5):
                    history["deep"] = True
                children.insert(self.chance.choice([0, len(children)]), (pseudo, history))
            part["states"] = dict(children)
        return name, part

    def below(self, name: str) -> list[str]:
        return [other for other in self.names if name in self.above[other]]

    def orthogonal(self, one: str, two: str) -> bool:
        """Can both be targets of one transition? A history state stands for anything in its parent."""
        places = [self.above[name][0] if self.kinds[name] == "history" else name for name in (one, two)]
        ways = [[place, *self.above[place]] for place in places]
        common = next((name for name in ways[0] if name in ways[1]), None)
        return common is not None and self.kinds[common] == "parallel" and common not in places

    # --- what states have ------------------------------------------------------------------------------------

    def furnish(self, name: str) -> None:
        part, kind = self.parts[name], self.kinds[name]
        if kind == "history":
            self.default(name, part)
            return
        part["entry"] = [_told(f"+{name}"), *self.actions(0.25)]
        part["exit"] = [_told(f"-{name}"), *self.actions(0.25)]
        if kind == "compound" and self.odds(0.6):
            part["initial"] = self.way(f"I{name}", self.targets(self.below(name)))
        if kind == "final":
            return
        descriptors = [*_DESCRIPTORS, f"done.state.{self.chance.choice(self.real)}"]
        for event in self.chance.sample(descriptors, self.chance.randint(0, 4)):
            part.setdefault("on", {})[event] = [self.transition(name) for _ in range(self.chance.randint(1, 2))]
        if self.odds(0.1):
            part["always"] = self.eventless(name)

    def default(self, name: str, part: Part) -> None:
        parent = self.above[name][0]
        pool = [other for other in self.below(parent) if self.kinds[other] != "history"]
        if not part.get("deep"):
            pool = [other for other in pool if self.above[other][0] == parent]
        if self.odds(0.6):
            part["default"] = self.way(f"H{name}", self.targets(pool))

    def way(self, label: str, targets: list[str]) -> Any:
        return {"to": targets, "actions": [_told(label), *self.actions(0.4)]} if self.odds(0.5) else targets

    def targets(self, pool: list[str]) -> list[str]:
        found = [self.chance.choice(pool)]
        while self.odds(0.5):
            more = [name for name in pool if all(self.orthogonal(name, other) for other in found)]
            if not more:
                break
            found.append(self.chance.choice(more))
        return found

    def transition(self, name: str) -> Part:
        made: Part = {"actions": [_told(f"T{name}"), *self.actions(0.4)]}
        if self.odds(0.9):
            inner = self.below(name)
            made["to"] = self.targets(inner if inner and self.odds(0.5) else self.names)
            made["internal"] = self.odds(0.35)
        if self.odds(0.3):
            made["if"] = self.guard(_GUARDS)
        return made

    def eventless(self, name: str) -> Part:
        """One that ends: it counts, and its guard does not hold for ever."""
        made = self.transition(name)
        made["if"] = self.guard(_GUARDS[:2])
        made["actions"].append(_COUNT)
        return made

    def guard(self, plain: list[str]) -> str:
        return self.chance.choice([*plain, *(f"in_state('{self.chance.choice(self.real)}')" for _ in plain)])

    def actions(self, share: float) -> list[Part]:
        return [self.action() for _ in range(self.chance.randint(1, 2))] if self.odds(share) else []

    def action(self) -> Part:
        where = {"type": "assign", "set": {"q": f"in_state('{self.chance.choice(self.real)}')"}}
        event = {"type": "raise", "event": self.chance.choice(["a", "b", "i.1", "i.2"])}
        fails = {"type": "assign", "set": {"z": "context.none"}}
        return self.chance.choice([_COUNT, _COUNT, _COUNT, event, where, fails, _told("act")])


def _told(label: str) -> Part:
    return {"type": "log", "message": label + " {n} {event.type}"}
