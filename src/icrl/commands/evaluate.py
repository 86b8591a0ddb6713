"""`icrl evaluate`: how trained agents adapt to projections and tasks they have not seen."""

from collections.abc import Sequence
from pathlib import Path

from icrl.agent import trained_spec
from icrl.commands.progress import Progress
from icrl.evaluation import Tasks, evaluate_run
from icrl.records import RESULTS, save_record
from icrl.report.evaluation import show_evaluation
from icrl.runs import compilation_cache, numerics
from icrl.runs.checkpoints import Checkpoint
from icrl.runs.directory import EVALUATION
from icrl.runs.disk import require_folder
from icrl.runs.find import find_run, find_run_of
from icrl.runs.past import last_time
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.parse import apply_overrides, parse
from icrl.spec.shipped import shipped_agents


def evaluate(
    target: str,
    *,
    model: str | None = None,
    seed: int | None = None,
    scale: str | None = None,
    point: str | None = None,
    tasks: Tasks = "all",
    episodes: int | None = None,
    trials: int | None = None,
    probe: bool = False,
    out: Path | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Evaluates a run, a checkpoint or a shipped agent; prints the table and writes the record.

    Raises:
        UserError: there is no such run, or its checkpoint does not fit the spec.
    """
    numerics.pin()
    compilation_cache.enable()
    path = find_run(target, model=model, scale=scale, seed=seed, point=point)
    run = find_run_of(path)
    checkpoint = Checkpoint.newest(path)
    trained = trained_spec(checkpoint)
    spec = parse(ExperimentSpec, apply_overrides(run.spec if run else trained, overrides))
    own = run.path if run else checkpoint.folder
    if out is None and own.resolve() in shipped_agents().values():
        out = RESULTS / "runs" / own.name  # what came with icrl stays as it came
    folder = own if out is None else require_folder(out)
    options = {"--tasks": None if tasks == "all" else tasks, "--episodes": episodes, "--trials": trials}
    changes = [*overrides, *(f"{option} {value}" for option, value in options.items() if value is not None)]
    last = last_time("evaluate_seconds", run) if run and not changes else None
    with Progress(1) as progress:
        record = evaluate_run(
            checkpoint,
            spec,
            run=run,
            tasks=tasks,
            episodes=episodes,
            trials=trials,
            changes=changes,
            probe=probe,
            phase=progress.phase("evaluating", last),
        )
    show_evaluation(save_record(record, folder / EVALUATION), folder)
