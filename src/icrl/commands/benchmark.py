"""`icrl benchmark`: time and memory of the sequence models against sequence length."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from icrl.commands.evaluate import machine
from icrl.errors import Problem, SpecError, UserError, did_you_mean, show
from icrl.models import ModelSpec
from icrl.runs.disk import to_json, write_atomically
from icrl.runs.provenance import git_commit
from icrl.spec.experiment import load_experiment, model_names
from icrl.timing import Limits, measure_length, scaling_exponent

SWEEP = tuple(2**power for power in range(7, 15))
"""128 to 16,384 steps."""
BATCH = 8
REPETITIONS = 5


def benchmark(
    spec: str | None = None, *, seq_len: str, models: Sequence[str] | None = None, out: Path | None = None
) -> None:
    """Times the models of a spec, by default meta_brax's, and writes ``benchmark.json``; prints the table.

    Raises:
        UserError: a length is no positive number, or a model is not one of the spec's.
    """
    lengths = parse_lengths(seq_len)
    chosen = _models(spec or "meta_brax", models)
    console = Console(stderr=True, highlight=False)
    records: list[dict[str, Any]] = []
    previous: dict[str, dict[str, Any]] = {}
    for length in lengths:
        console.print(f"length {length:,}")
        found = measure_length(chosen, length, batch=BATCH, repetitions=REPETITIONS, limits=Limits(), previous=previous)
        previous = {record["model"]: record for record in found}
        records.extend(found)
    exponents = {name: _exponent(records, name) for name in chosen}
    folder = out or Path("results", "benchmark")
    folder.mkdir(parents=True, exist_ok=True)
    result = {
        "schema": 1,
        "command": " ".join(["icrl", *sys.argv[1:]]),
        "git_commit": git_commit(),
        "machine": machine(),
        "repetitions": REPETITIONS,
        "records": records,
        "gradient_exponents": exponents,
    }
    write_atomically(folder / "benchmark.json", json.dumps(to_json(result), indent=1) + "\n")
    Console(highlight=False).print(_table(records, exponents))
    print(folder / "benchmark.json")


def parse_lengths(text: str) -> tuple[int, ...]:
    """The lengths that ``--seq-len`` asks for, ascending.

    Raises:
        UserError: it is neither ``sweep`` nor numbers.
    """
    if text == "sweep":
        return SWEEP
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"--seq-len: got {text!r}; expected sweep, a length in steps, or several: 128,1024")
    return tuple(sorted({int(part) for part in parts}))


def _models(spec: str, names: Sequence[str] | None) -> dict[str, ModelSpec]:
    known = model_names(spec)
    for name in names or ():
        if name not in known:
            raise SpecError([Problem("--models", show(name), f"of {', '.join(known)}", did_you_mean(name, known))])
    return {name: load_experiment(spec, model=name).model for name in names or known}


def _exponent(records: Sequence[dict[str, Any]], name: str) -> float | None:
    timed = [record for record in records if record["model"] == name and "gradient_seconds" in record]
    if len(timed) < 3:
        return None
    lengths = np.array([record["length"] for record in timed])
    return scaling_exponent(lengths, np.array([record["gradient_seconds"]["median"] for record in timed]))


def _table(records: Sequence[dict[str, Any]], exponents: dict[str, float | None]) -> Table:
    """Medians in milliseconds; the ratio is of gradients, to S5 at the same length."""
    table = Table("model", "length", "act ms", "forward ms", "gradient ms", "to s5", "memory MB", "compile s")
    s5 = {r["length"]: r["gradient_seconds"]["median"] for r in records if r["model"] == "s5" and "skipped" not in r}
    for record in records:
        if "skipped" in record:
            table.add_row(record["model"], f"{record['length']:,}", f"skipped: {record['skipped']}")
            continue
        gradient = record["gradient_seconds"]["median"]
        reference = s5.get(record["length"])
        table.add_row(
            record["model"],
            f"{record['length']:,}",
            *(f"{1e3 * record[f'{use}_seconds']['median']:.2f}" for use in ("act", "forward", "gradient")),
            "–" if reference is None else f"{gradient / reference:.2f}",
            f"{record['working_bytes']['gradient'] / 1e6:.1f}",
            f"{sum(record['compile_seconds'].values()):.1f}",
        )
    known = {name: value for name, value in exponents.items() if value is not None}
    if known:
        table.caption = "gradient time grows with length to the power " + ", ".join(
            f"{value:.2f} ({name})" for name, value in known.items()
        )
    return table
