"""The tables of `icrl benchmark`'s records, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

USES = {"act": "act", "forward": "forward", "gradient": "forward + backward", "update": "update"}
"""What is timed of a sequence model, and how a reader sees it."""


def length_tables(record: Mapping[str, Any]) -> Iterator[Table]:
    """Milliseconds, ratios to S5 and memory by model and length; then the exponents."""
    times = Table("model", "length", *(f"{use}, ms" for use in USES.values()), "compile s", "memory MB")
    to_s5 = Table("to s5", "length", *USES.values())
    for measured in record["records"]:
        name, length = measured["model"], f"{measured['length']:,}"
        if "skipped" in measured:
            continue
        programs = measured["programs"]
        times.add_row(
            name,
            length,
            *(describe(programs[use]["seconds"], scale=1e3) for use in USES),
            f"{sum(program['compile_seconds'] for program in programs.values()):.1f}",
            f"{max(sum(program['memory_bytes'].values()) for program in programs.values()) / 1e6:,.1f}",
        )
        if name != "s5" and "to_s5" in programs["act"]:
            to_s5.add_row(name, length, *(describe(programs[use]["to_s5"]) for use in USES))
    powers = Table("grows with length to the power", *USES.values())
    for name, of_use in record["exponents"].items():
        powers.add_row(name, *(describe(of_use[use]) for use in USES))
    yield from (table for table in (times, to_s5, powers) if table.row_count)


def skipped(record: Mapping[str, Any]) -> list[str]:
    """What was not measured, and why."""
    return [
        f"skipped: {measured['model']} at {measured['length']:,}: {measured['skipped']}"
        for measured in record.get("records", [])
        if "skipped" in measured
    ]


def scan_tables(record: Mapping[str, Any]) -> Iterator[Table]:
    """Milliseconds of S5's schedules at each shape and of a whole update, and the ratios that matter."""
    table = Table("steps, rows, width, pairs", "schedule", "ms", "least ms", "compile s", "")
    for layer in record["layers"]:
        for name, measured in layer["schedules"].items():
            table.add_row(
                ", ".join(map(str, layer["shape"].values())) if name == "plain" else "",
                name,
                describe(measured["seconds"], scale=1e3),
                f"{1e3 * measured['least_seconds']:.1f}",
                f"{measured['compile_seconds']:.1f}",
                "auto's choice" if name == layer["auto"] else "",
            )
        table.add_row("", "plain / auto", describe(layer["plain_to_auto"]))
        table.add_row("", "auto / products", describe(layer["auto_to_products"]), end_section=True)
    update = record["update"]
    for name, measured in update["schedules"].items():
        table.add_row(
            "whole update" if name == "auto" else "",
            name,
            describe(measured["seconds"], scale=1e3),
            "",
            f"{measured['compile_seconds']:.1f}",
        )
    table.add_row("", "plain / auto", describe(update["plain_to_auto"]))
    yield table


def throughput_tables(record: Mapping[str, Any]) -> Iterator[Table]:
    """Env steps per second of training and of its parts, how far they are from the machine's limits, and physics."""
    for training in record["training"]:
        yield _speed_table(training)
        yield _limit_table(training, record["machine_rates"])
        if training["scaling"]:
            yield _scaling_table(training)
    physics = record["physics"]
    table = Table("physics in one batch", "ms")
    for name, seconds in physics["seconds"].items():
        table.add_row(name, describe(seconds, scale=1e3))
    table.add_row("bound / ideal", describe(physics["bound_to_ideal"]))
    table.add_row("switch / bound", describe(physics["switch_to_bound"]))
    yield table


BENCHMARKS = {
    "benchmark": ("Time and memory by sequence length", length_tables),
    "scan": ("S5's scan", scan_tables),
    "throughput": ("Throughput of training", throughput_tables),
}
"""The records of `icrl benchmark`, by their files' names: title and tables."""


def describe(interval: Mapping[str, float], digits: int = 2, scale: float = 1.0) -> str:
    """A median and its interval, as tables show them."""
    median, low, high = (f"{scale * interval[name]:,.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} [{low}, {high}]"


def _speed_table(training: Mapping[str, Any]) -> Table:
    table = Table(
        f"{training['model']}, env steps/s", "rows", "physics alone", "acting", "learning", "whole update", "compile s"
    )
    for name, record in ({"all tasks": training} | training["families"]).items():
        of = record["parts"]
        table.add_row(
            name,
            str(record["rows"]),
            *(
                f"{of[part]['env_steps_per_second']:,.0f}" if part in of else "–"
                for part in ("physics", "act", "learn", "update")
            ),
            f"{of['update']['compile_seconds']:.1f}",
        )
    split = ", ".join(f"{name} {share:.0%}" for name, share in training["shares"].items())
    table.caption = f"one device; an update's time: {split}"
    if "training" in training:
        whole = training["training"]
        speed = f"{whole['env_steps_per_second']:,.0f} env steps/s"
        table.caption += f"\na chunk of updates, as `icrl train` runs it with --devices {whole['devices']}: {speed}"
    return table


def _limit_table(training: Mapping[str, Any], rates: Mapping[str, float]) -> Table:
    limits = training["limits"]
    table = Table(f"{training['model']}, gradient steps", "of one update", "the machine at best", "share of it")
    for what, unit, count, rate in (
        ("floating-point operations", "product_flops_per_second", "flops", "share_of_product_rate"),
        ("bytes read and written", "copy_bytes_per_second", "bytes", "share_of_copy_rate"),
    ):
        table.add_row(what, f"{limits[count] / 1e9:,.2f} G", f"{rates[unit] / 1e9:,.1f} G/s", f"{limits[rate]:.0%}")
    return table


def _scaling_table(training: Mapping[str, Any]) -> Table:
    table = Table(f"{training['model']}, axis", "value", "whole update, env steps/s", "temporary MB", "compile s")
    for record in training["scaling"]:
        table.add_row(
            record["axis"],
            str(record["value"]),
            f"{record['env_steps_per_second']:,.0f}",
            f"{record['memory_bytes']['temporary'] / 1e6:,.1f}",
            f"{record['compile_seconds']:.1f}",
        )
    return table
