"""The command line: one verb a function of `icrl.commands`.

A command is imported when its verb runs, so that `--help` answers at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from icrl import __version__, options
from icrl.exit_codes import failing_with_an_exit_code, forget_a_closed_terminal
from icrl.imports import quiet_imports
from icrl.runs.interruption import ending_signals

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def main() -> None:
    """Runs the command line and ends the process with the exit code of the command contract."""
    for number in ending_signals():
        signal.signal(number, signal.default_int_handler)  # so that each ends any command as Ctrl-C does
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a character costs that character only
    if sys.platform == "win32":
        typer.echo("icrl is made for Linux and macOS, and untested on Windows; WSL 2 runs it", err=True)
    try:
        app(prog_name="icrl")
    finally:
        forget_a_closed_terminal()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"icrl {__version__}")
        raise typer.Exit


@app.callback()
def icrl(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """In-context reinforcement learning with structured state space models.

    \b
    icrl train meta_brax              teach an agent to adapt to randomly projected tasks
    icrl evaluate meta_brax           how it adapts to projections and tasks it has never seen
    icrl render meta_brax-s5          an animation of one episode: its first trial beside its last
    icrl benchmark --seq-len sweep    how the cost of each sequence model grows with its context
    icrl report                       tables and figures from the recorded results
    """


@app.command()
def train(
    spec: options.Spec,
    overrides: options.Overrides = None,
    model: options.Model = None,
    seed: options.Seed = None,
    num_seeds: options.NumSeeds = None,
    scale: options.Scale = None,
    point: options.Point = None,
    devices: options.Devices = None,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
    heartbeat_seconds: options.Heartbeat = None,
    out: options.Out = None,
    wandb: options.Wandb = None,
    verbose: options.Verbose = False,
) -> None:
    """Train the agents of a spec. The same command again resumes where it stopped.

    \b
    icrl train meta_brax
    icrl train experiments/meta_brax.yaml --model gru --num-seeds 3
    icrl train meta_brax --scale smoke learner.learning_rate=1e-3 --out /tmp/run
    """
    with failing_with_an_exit_code("train", verbose):
        with quiet_imports():
            from icrl.commands.train import train as run
        run(
            spec,
            model=model,
            seed=seed,
            num_seeds=num_seeds,
            scale=scale,
            point=point,
            devices=devices,
            coordinator=coordinator,
            num_processes=num_processes,
            process_id=process_id,
            heartbeat_seconds=heartbeat_seconds,
            out=out,
            wandb=wandb,
            overrides=overrides or [],
        )


@app.command()
def evaluate(
    target: options.Target,
    overrides: options.Overrides = None,
    model: options.Model = None,
    seed: Annotated[
        int | None,
        typer.Option(
            parser=options.seed_number, metavar="N", help="Take the newest run with this seed.  [default: with any]"
        ),
    ] = None,
    scale: options.Scale = None,
    point: options.Point = None,
    tasks: options.Tasks = None,
    episodes: options.Episodes = None,
    trials: options.Trials = None,
    probe: options.Probe = False,
    out: options.Out = None,
    verbose: options.Verbose = False,
) -> None:
    """Measure how trained agents adapt.

    No gradient step is taken; projections and held-out tasks are ones that the agents have not seen.

    \b
    icrl evaluate meta_brax
    icrl evaluate meta_brax-s5
    icrl evaluate results/runs/meta_brax/cpu/s5/seed0 --tasks held_out --trials 8
    """
    with failing_with_an_exit_code("evaluate", verbose):
        with quiet_imports():
            from icrl.commands.evaluate import evaluate as run
        run(
            target,
            model=model,
            seed=seed,
            scale=scale,
            point=point,
            tasks=tasks or "all",
            episodes=episodes,
            trials=trials,
            probe=probe,
            out=out,
            overrides=overrides or [],
        )


@app.command()
def render(
    target: options.Target,
    model: options.Model = None,
    seed: Annotated[
        int | None,
        typer.Option(parser=options.seed_number, metavar="N", help="Which of its agents.  [default: the first]"),
    ] = None,
    scale: options.Scale = None,
    point: options.Point = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="A task of the spec.  [default: the first of training]")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(parser=options.count, metavar="N", help="Trials of the episode.  [default: as in training]"),
    ] = None,
    episode: Annotated[
        int | None,
        typer.Option(
            parser=options.seed_number,
            metavar="N",
            help="Another number: other projections, starts, actions.  [default: 0]",
        ),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(metavar="MODEL|RUN_DIR", help="Another agent in the same episode, such as mlp.  [default: none]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=options.path, metavar="FILE", help="A .gif or, with ffmpeg, .mp4.  [default: in the run's folder]"
        ),
    ] = None,
    verbose: options.Verbose = False,
) -> None:
    """Watch a trained agent adapt: an animation of one episode, its first trial beside its last.

    \b
    icrl render meta_brax-s5 --task reacher_spin
    icrl render meta_brax --task cartpole_balance --beside mlp --out balance.mp4
    """
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo's renderer, which the Control Suite is drawn by
    with failing_with_an_exit_code("render", verbose):
        with quiet_imports():
            from icrl.commands.render import render as run
        run(
            target,
            model=model,
            seed=seed,
            scale=scale,
            point=point,
            task=task,
            trials=trials,
            episode=episode,
            beside=beside,
            out=out,
        )


@app.command()
def references(
    spec: options.Spec,
    overrides: options.Overrides = None,
    scale: options.Scale = None,
    out: options.Out = None,
    verbose: options.Verbose = False,
) -> None:
    """Train and measure what scores of 0 and 1 stand for, on every task of a spec.

    Scores of 0: a random policy, or one that does nothing. Scores of 1: a specialist, trained on that task alone.

    \b
    icrl references meta_brax
    icrl references meta_brax specialist.total_env_steps=2000000 --out /tmp/references
    """
    with failing_with_an_exit_code("references", verbose):
        with quiet_imports():
            from icrl.commands.references import references as run
        run(spec, scale=scale, out=out, overrides=overrides or [])


@app.command()
def benchmark(
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC", help="Spec whose sizes are measured.  [default: benchmark]")
    ] = None,
    *,
    seq_len: Annotated[
        str | None,
        typer.Option(metavar="sweep|N[,N...]", help="Time the models at these context lengths, in steps."),
    ] = None,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Time the parts of training in env steps per second.")
    ] = False,
    scan: Annotated[bool, typer.Option("--scan", help="Time S5's scan and update against the plain form.")] = False,
    models: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Models of --seq-len or --throughput.  [default: all, the spec's]"),
    ] = None,
    match: options.Match = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="smoke|cpu|gpu|paper",
            help="Size of the models.  [default: the spec's; paper for --scan without one]",
        ),
    ] = None,
    out: options.Out = None,
    verbose: options.Verbose = False,
) -> None:
    """Time the sequence models, training and S5's scan; one of the three options at least.

    \b
    icrl benchmark --seq-len sweep
    icrl benchmark meta_brax --seq-len 128,1024 --models s5,gru
    icrl benchmark meta_brax --throughput
    icrl benchmark --scan
    """
    with failing_with_an_exit_code("benchmark", verbose):
        with quiet_imports():
            from icrl.commands.benchmark import benchmark as run
        run(
            spec,
            seq_len=seq_len,
            throughput=throughput,
            scan=scan,
            models=models.split(",") if models else None,
            match=match,
            scale=scale,
            out=out,
        )


@app.command()
def check(
    name: Annotated[
        str, typer.Argument(metavar="module:Class", help="As a spec names it: a model, a suite, a projection family.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Fields of a model's spec, values in YAML.")
    ] = None,
    verbose: options.Verbose = False,
) -> None:
    """Try a model, an environment or a projection family of yours against its contract.

    Its module is an installed one, or lies in the working folder. Ends with 2 if a part of the contract is broken.

    \b
    icrl check my_models:DecaySpec width=16
    icrl check my_envs:Walk
    """
    with failing_with_an_exit_code("check", verbose):
        with quiet_imports():
            from icrl.commands.check import check as run
        run(name, overrides=overrides or [])


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN_DIR...", help="Run directories, or agents of icrl's own.")],
    out: options.Out = None,
    verbose: options.Verbose = False,
) -> None:
    """Put runs side by side, finished or not: learning curves, adaptation by trial, tables, their specs' differences.

    \b
    icrl compare results/runs/meta_brax/cpu/s5/seed0 results/runs/meta_brax/cpu/gru/seed0
    icrl compare results/runs/meta_brax/cpu/*/seed0 --out /tmp/compared
    """
    with failing_with_an_exit_code("compare", verbose):
        with quiet_imports():
            from icrl.commands.compare import compare as run
        run(runs, out=out)


@app.command()
def report(
    results: Annotated[
        Path | None,
        typer.Argument(parser=options.path, metavar="RESULTS_DIR", help="Folder of records.  [default: results]"),
    ] = None,
    out: options.Out = None,
    verbose: options.Verbose = False,
) -> None:
    """Make tables and figures from recorded results.

    Nothing is trained or evaluated.

    \b
    icrl report
    icrl report results --out /tmp/figures
    """
    with failing_with_an_exit_code("report", verbose):
        with quiet_imports():
            from icrl.commands.report import report as run
        run(results, out=out)


@app.command()
def reproduce(
    specs: Annotated[
        list[str] | None, typer.Argument(metavar="[SPEC]...", help="Specs.  [default: all shipped]")
    ] = None,
    scale: options.Scale = None,
    launcher: Annotated[Literal["local", "slurm"], typer.Option(help="This machine, or a cluster's queue.")] = "local",
    jobs: Annotated[
        int | None,
        typer.Option(parser=options.count, metavar="N", help="Runs at once here.  [default: as many as fit]"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the runs: what for, whether recorded, how long they take.")
    ] = False,
    verbose: options.Verbose = False,
) -> None:
    """Train and record everything that the experiments publish, then report.

    The same command again resumes; what is recorded is not trained again. A failed run does not stop the rest.

    \b
    icrl reproduce --dry-run
    icrl reproduce --scale smoke
    icrl reproduce popgym meta_cartpole --launcher slurm
    """
    with failing_with_an_exit_code("reproduce", verbose):
        with quiet_imports():
            import jax

            jax.config.update("jax_platforms", "cpu")  # accelerators are for the runs, this process only starts them
            from icrl.commands.reproduce import reproduce as run
        run(specs or [], scale=scale, launcher=launcher, jobs=jobs, dry_run=dry_run)
