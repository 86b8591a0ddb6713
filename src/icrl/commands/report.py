"""`icrl report`: the tables and figures, made anew from the recorded results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icrl.errors import UserError
from icrl.records import read_object
from icrl.report.benchmark import draw_sweep
from icrl.report.benchmark_tables import BENCHMARKS
from icrl.report.comparison import load_comparisons
from icrl.report.grid import load_grids
from icrl.report.illustrations import illustrate, illustrate_grid
from icrl.report.page import PAGE, write_page
from icrl.report.readme import benchmark_section, write_readme
from icrl.report.style import save

SWEEP = "Bands hold the middle half of the repetitions; grey lines grow with the length and with its square."


def report(results: Path | None = None, *, out: Path | None = None) -> None:
    """Write the README.md, index.html and figures/ of a results folder, into it or into `out`; print their paths.

    Raises UserError if the folder holds no record, or a malformed one; nothing is written then.
    """
    results = results or Path("results")
    out = out or results
    comparisons, grids = load_comparisons(results), load_grids(results)
    folder = results / "benchmark"
    benchmarks = {name: read_object(file) for name in BENCHMARKS if (file := folder / f"{name}.json").exists()}
    sections = _benchmark_sections(benchmarks, folder, out)
    captions = {comparison.name: illustrate(comparison, out / "figures") for comparison in comparisons}
    captions |= {grid.name: illustrate_grid(grid, out / "figures") for grid in grids}
    print(write_readme(comparisons, captions, out / "README.md", grids, sections))
    print(write_page(comparisons, captions, out / PAGE, grids, sections))
    for paths in captions.values():
        print(*paths, sep="\n")


def _benchmark_sections(benchmarks: Mapping[str, Mapping[str, Any]], folder: Path, out: Path) -> list[str]:
    """What README.md says of `icrl benchmark`. Raises UserError if a record lacks something."""
    sections = []
    for name, record in benchmarks.items():
        try:
            figures = (
                {save(draw_sweep(record), out / "benchmark" / "benchmark.png"): SWEEP} if name == "benchmark" else {}
            )
            sections.append(benchmark_section(name, record, figures, out))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            file = folder / f"{name}.json"
            raise UserError(f"{file}: is not a record of `icrl benchmark` ({error!r}); make it again") from error
    return sections
