"""Which run a command's target means."""

from pathlib import Path

from icrl.errors import UserError
from icrl.plugins import search_like
from icrl.runs.checkpoints import is_checkpoint
from icrl.runs.directory import MANIFEST, RunDirectory, run_folder
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import parse
from icrl.spec.shipped import existing_path, shipped_agents


def find_run(
    target: str,
    *,
    model: str | None = None,
    scale: str | None = None,
    seed: int | None = None,
    point: str | None = None,
) -> Path:
    """The run directory or checkpoint that a command's target means.

    Args:
        target: its path, the name of a shipped agent, or a spec, which means its newest run.
        model: of the spec's run, as are scale, seed and point.
        scale: by default the spec's.
        seed: one that the run trained; by default any.
        point: by default off the grid.

    Raises:
        UserError: there is none.
    """
    path = existing_path(target) or shipped_agents().get(target)
    if path and path.is_dir():
        given = {"--model": model, "--scale": scale, "--seed": seed, "--point": point}
        ineffective = [option for option, value in given.items() if value is not None]
        if ineffective:
            raise UserError(f"{', '.join(ineffective)}: got a value; expected none, since {path} is one run already")
        return path
    if "/" in target and path is None:
        raise UserError(f"{target}: got nothing there; expected a run directory, a checkpoint or a spec")
    spec = load_experiment(target, model=model, scale=scale, point=point)
    folder = spec.default_directory.parent
    runs = [RunDirectory.read(manifest.parent) for manifest in folder.glob("[!.]*/manifest.json")]
    if seed is not None:
        runs = [run for run in runs if seed in _seeds(run)]
    if not runs:
        at_point = f" --point {point}" if point else ""
        raise UserError(
            f"{target}: got no run of it in {folder}{'' if seed is None else f' with seed {seed}'}; expected one; "
            f"run: icrl train {target} --model {spec.model_name} --scale {spec.scale}{at_point}"
        )
    return max(runs, key=lambda run: run.manifest["started"]).path


def find_run_of(path: Path) -> RunDirectory | None:
    """The run in a folder or around a checkpoint; None around a checkpoint that was copied out of its run.

    Raises:
        UserError: the folder is neither, or the run is damaged.
    """
    if is_checkpoint(path) and not (run_folder(path) / MANIFEST).exists():
        return None
    return RunDirectory.read(path)


def _seeds(run: RunDirectory) -> range:
    search_like(run.manifest.get("plugins"), run.path)
    return parse(ExperimentSpec, run.spec).seeds
