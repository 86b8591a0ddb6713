"""`icrl render`: an animation of one episode, in which a trained agent can be watched adapting."""

from __future__ import annotations

from pathlib import Path

from icrl.agent import Agent, find_agent, load
from icrl.errors import UserError
from icrl.records import RESULTS
from icrl.render.film import require_kind, save_film
from icrl.render.frames import frames
from icrl.render.playback import choose_task, play
from icrl.report.comparison import label
from icrl.runs import compilation_cache, numerics
from icrl.runs.directory import run_folder
from icrl.runs.disk import require_folder
from icrl.spec.experiment_file import ExperimentFile
from icrl.spec.shipped import existing_path, shipped_agents, shipped_specs


def render(
    target: str,
    *,
    model: str | None = None,
    seed: int | None = None,
    scale: str | None = None,
    point: str | None = None,
    task: str | None = None,
    trials: int | None = None,
    episode: int | None = None,
    beside: str | None = None,
    out: Path | None = None,
) -> None:
    """Plays one episode of a trained agent, writes it as an animation and prints the returns of its trials.

    Raises:
        UserError: there is no such run or task, the agents to be seen side by side do not play the same, or the
            animation cannot be written.
    """
    numerics.pin()
    compilation_cache.enable()
    agent = load(target, model=model, seed=seed, scale=scale, point=point)
    task = choose_task(agent, task)
    if out is None:
        own = run_folder(find_agent(target, model=model, seed=seed, scale=scale, point=point))
        folder = RESULTS / "runs" / own.name if own.resolve() in shipped_agents().values() else own
        out = folder / f"{task}.gif"
    require_kind(out)
    require_folder(out.parent)
    other = _other(agent, beside, target, seed) if beside else None
    if other and other.environments([task]) != agent.environments([task]):
        raise UserError(f"--beside: got {beside}, which plays {task} otherwise; expected a run on the same environment")
    played = play(agent, task, name=_name(agent), trials=trials, episode=episode or 0)
    next_to_it = play(other, task, name=_name(other), trials=trials, episode=episode or 0) if other else None
    save_film(list(frames(played, next_to_it)), out)
    for name, one in ((_name(agent), played), *([(_name(other), next_to_it)] if other and next_to_it else [])):
        returns = " ".join(f"{trial.returns[-1]:.2f}" for trial in one.trials)
        print(f"{name} on {task}, return by trial: {returns}")
    print(out)


def _other(agent: Agent, beside: str, target: str, seed: int | None) -> Agent:
    """The agent of a model of the same spec, the target or a shipped one, or of whatever `load` takes."""
    path = existing_path(target) or shipped_agents().get(target)
    is_run = path is not None and path.is_dir()
    spec = agent.spec.name if is_run else target
    if (not is_run or spec in shipped_specs()) and beside in ExperimentFile(spec).models:
        return load(spec, model=beside, seed=seed, scale=agent.spec.scale, point=agent.spec.point or None)
    return load(beside)


def _name(agent: Agent) -> str:
    return label(agent.spec.model_name).partition(" (")[0]
