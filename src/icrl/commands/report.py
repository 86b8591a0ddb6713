"""`icrl report`: the tables and figures, made anew from the recorded results."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from icrl.errors import UserError
from icrl.report.benchmark import draw_sweep
from icrl.report.comparison import load_comparisons
from icrl.report.fields import read_object
from icrl.report.grid import load_grids
from icrl.report.illustrations import illustrate, illustrate_grid
from icrl.report.readme import write_readme
from icrl.report.style import save


def report(results: Path | None = None, *, out: Path | None = None) -> None:
    """Write the README.md and figures/ of a results folder, into it or into `out`; print their paths.

    Raises UserError if the folder holds no record, or a malformed one; nothing is written then.
    """
    results = results or Path("results")
    out = out or results
    comparisons, grids = load_comparisons(results), load_grids(results)
    captions = {comparison.name: illustrate(comparison, out / "figures") for comparison in comparisons}
    captions |= {grid.name: illustrate_grid(grid, out / "figures") for grid in grids}
    print(write_readme(comparisons, captions, out / "README.md", grids))
    for paths in captions.values():
        print(*paths, sep="\n")
    if (sweep := results / "benchmark" / "benchmark.json").exists():
        print(save(_drawn(sweep), out / "benchmark" / "benchmark.png"))


def _drawn(sweep: Path) -> Figure:
    """The figure of a benchmark's record. Raises UserError if it lacks something."""
    try:
        return draw_sweep(read_object(sweep))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{sweep}: is not a record of `icrl benchmark --seq-len` ({error!r}); make it again") from error
