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
    files = [
        file for name in BENCHMARKS for file in (folder / f"{name}.json", *sorted(folder.glob(f"[!.]*/{name}.json")))
    ]
    sections = _benchmark_sections({file: read_object(file) for file in files if file.exists()}, results, out)
    captions = {comparison.name: illustrate(comparison, out / "figures") for comparison in comparisons}
    captions |= {grid.name: illustrate_grid(grid, out / "figures") for grid in grids}
    print(write_readme(comparisons, captions, out / "README.md", grids, sections))
    print(write_page(comparisons, captions, out / PAGE, grids, sections))
    for paths in captions.values():
        print(*paths, sep="\n")


def _benchmark_sections(benchmarks: Mapping[Path, Mapping[str, Any]], results: Path, out: Path) -> list[str]:
    """What README.md says of `icrl benchmark`. Raises UserError if a record lacks something."""
    sections = []
    for file, record in benchmarks.items():
        try:
            figure = out / file.relative_to(results).with_suffix(".png")
            figures = {save(draw_sweep(record), figure): SWEEP} if file.stem == "benchmark" else {}
            experiment = "" if file.parent == results / "benchmark" else file.parent.name
            sections.append(benchmark_section(file.stem, record, figures, out, experiment=experiment))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{file}: is not a record of `icrl benchmark` ({error!r}); make it again") from error
    return sections
