"""What a compiled program does, read from XLA's optimised HLO: its loops, its branches, and what stands in each."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

BYTES = {"pred": 1, "s8": 1, "u8": 1, "f16": 2, "bf16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "c64": 8}
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


@dataclass(frozen=True)
class Instruction:
    """One operation."""

    opcode: str
    result: str
    """Its type, such as `f32[4,2]{1,0}`, or a tuple of such."""
    text: str

    @property
    def name(self) -> str:
        """Where in the traced program it comes from, such as `jit(f)/while/body/Policy/encoder_0/dot_general`."""
        found = re.search(r'op_name="([^"]*)"', self.text)
        return found[1] if found else ""

    @property
    def turns(self) -> int | None:
        """How often a loop runs its body; None where that depends on data."""
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"', self.text)
        return int(found[1]) if found else None

    @property
    def always(self) -> list[str]:
        """Computations that run whenever it does: what it fuses, maps or repeats."""
        return [] if self.sometimes else re.findall(r"(?:body|calls|to_apply)=%?([\w.-]+)", self.text)

    @property
    def sometimes(self) -> list[str]:
        """Computations that need not run: a loop's body that may take no turn, branches in the order false, true."""
        if self.opcode == "while" and self.turns is None:
            return re.findall(r"body=%?([\w.-]+)", self.text)
        if several := re.search(r"branch_computations=\{([^}]*)\}", self.text):
            return [name.strip().lstrip("%") for name in several[1].split(",")]
        return [
            found for side in ("false", "true") for found in re.findall(rf"{side}_computation=%?([\w.-]+)", self.text)
        ]

    @property
    def group_size(self) -> int:
        """Devices among which a collective communicates, in any of the ways in which XLA says it."""
        if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", self.text):  # {{0,1},{2,3}}
            return len(listed[1].split(","))
        if iota := re.search(r"replica_groups=\[\d+,(\d+)\]", self.text):  # [2,2]<=[4]
            return int(iota[1])
        axes = re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", self.text)  # mesh['a'=2,'b'=2] {'b'}
        assert axes, f"groups in other words: {self.text[:200]}"
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", axes[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", axes[2]))

    @property
    def bytes(self) -> int:
        """Size of its result."""
        shapes = re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", self.result)
        return sum(BYTES[kind] * math.prod(int(n) for n in dims.split(",") if n) for kind, dims in shapes)


class Program:
    """The text of a compiled program, taken apart."""

    def __init__(self, text: str) -> None:
        """Reads what ``Compiled.as_text`` gives."""
        self.text = text
        self.computations: dict[str, list[Instruction]] = {}
        for is_entry, name, body in re.findall(r"^(ENTRY )?%?([\w.-]+) \(.*?\{$\n(.*?)^\}", text, re.M | re.S):
            found = re.findall(r"^\s+(?:ROOT )?%?[\w.-]+ = (.*?) ([a-z][\w-]*)\((.*)$", body, re.M)
            self.computations[name] = [Instruction(opcode, result, rest) for result, opcode, rest in found]
            if is_entry:
                self.entry = name

    def always(self, computation: str) -> Iterator[Instruction]:
        """The instructions of a computation and of what it calls, but for those that need not run."""
        for instruction in self.computations[computation]:
            yield instruction
            for called in instruction.always:
                yield from self.always(called)

    def all(self) -> Iterator[Instruction]:
        """The instructions of every computation."""
        for instructions in self.computations.values():
            yield from instructions

    def loop(self, turns: int) -> str:
        """The body of the one loop of ``turns`` turns in which something need not run."""
        bodies = {
            body
            for instruction in self.all()
            if instruction.opcode == "while" and instruction.turns == turns
            for body in instruction.always
            if any(inner.sometimes for inner in self.always(body))
        }
        assert len(bodies) == 1, f"loops of {turns} turns: {bodies}"
        return bodies.pop()

    @property
    def aliased(self) -> set[int]:
        """Numbers of the arguments whose buffers hold results in the end."""
        header = self.text.partition("\n")[0]
        return {int(n) for n in re.findall(r"\{[\d, ]*\}: \((\d+), \{[\d, ]*\}, (?:may|must)-alias\)", header)}

    @property
    def types(self) -> set[str]:
        """Names of all element types."""
        return set(re.findall(r"\b(pred|(?:s|u|f|bf|c)\d+)\[", self.text))

    def communication(self, computation: str | None = None) -> Counter[tuple[str, int, int]]:
        """How often one run of a computation, by default of all, communicates: collective, devices of a group, bytes.

        Nothing that need not run may: the devices would wait for those that do not run it.
        """
        found: Counter[tuple[str, int, int]] = Counter()
        for instruction in self.computations[computation or self.entry]:
            if instruction.opcode.removesuffix("-start") in COLLECTIVES:
                found[instruction.opcode, instruction.group_size, instruction.bytes] += 1
            for called in instruction.always:
                for what, count in self.communication(called).items():
                    found[what] += count * (instruction.turns or 1)
            assert not any(self.communication(called) for called in instruction.sometimes)
        return found
