"""What several verbs of the command line take: their arguments and options, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def count(text: str) -> int:
    """A number of things, from 1 on."""
    return _whole_number(text, least=1, most=2**31 - 1)


def seed_number(text: str) -> int:
    """A seed, from 0 on."""
    return _whole_number(text, least=0, most=2**32 - 1)


def _whole_number(text: str, *, least: int, most: int) -> int:
    """The number that an option's text is. Raises Typer's usage error if it is none in that range."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise typer.BadParameter(f"got {text!r}; expected a whole number from {least} to {most}")
    return number


def path(text: str) -> Path:
    """A path, its `~` expanded: a shell leaves the one of `--out=~/runs` alone."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise typer.BadParameter(f"got {text!r}; expected a path; the home folder of its ~ is unknown") from None


Spec = Annotated[
    str,
    typer.Argument(metavar="SPEC", help="Path of a YAML spec, or the name of a shipped one (meta_brax)."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY.PATH=VALUE", help="Fields of the spec to change, values in YAML."),
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="SPEC|RUN_DIR|CHECKPOINT|AGENT",
        help="A spec (its newest run is taken), a run directory, a checkpoint, or an agent that comes with icrl.",
    ),
]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="One of the spec's models.  [default: the spec's]")]
Scale = Annotated[
    str | None, typer.Option(metavar="smoke|cpu|gpu|paper", help="Size of the experiment.  [default: the spec's]")
]
Point = Annotated[
    str | None, typer.Option(metavar="NAME", help="One of the spec's grid of runs.  [default: off the grid]")
]
Seed = Annotated[
    int | None, typer.Option(parser=seed_number, metavar="N", help="Seed of every draw.  [default: the spec's]")
]
Out = Annotated[
    Path | None, typer.Option(parser=path, metavar="DIR", help="Where to write.  [default: below results/]")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print the traceback of a failure.")]
Coordinator = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where the processes of a run on several machines meet: process 0."),
]
NumProcesses = Annotated[
    int | None,
    typer.Option(parser=count, metavar="N", help="How many they are; 1: alone.  [default: as the launcher says]"),
]
ProcessId = Annotated[
    int | None, typer.Option(parser=seed_number, metavar="K", help="Which of them this one is, from 0.")
]
Heartbeat = Annotated[
    int | None,
    typer.Option(parser=count, metavar="S", help="A process silent for so long is lost.  [default: 100]"),
]
NumSeeds = Annotated[
    int | None,
    typer.Option(parser=count, metavar="N", help="Independent agents, trained together.  [default: the spec's]"),
]
Devices = Annotated[
    str | None,
    typer.Option(metavar="N|all", help="Devices that share seeds and rows; CPU cores count.  [default: all]"),
]
Wandb = Annotated[
    Literal["offline", "online", "disabled"] | None,
    typer.Option(help="Weights & Biases mode; offline needs no account.  [default: offline]", show_default=False),
]
Tasks = Annotated[
    Literal["train", "held_out", "all"] | None,
    typer.Option(help="Which tasks of the spec.  [default: all]", show_default=False),
]
Episodes = Annotated[
    int | None, typer.Option(parser=count, metavar="N", help="Episodes a task.  [default: the spec's]")
]
Trials = Annotated[
    int | None,
    typer.Option(
        parser=count,
        metavar="N",
        help="Trials an episode; may exceed training's.  [default: the spec's]",
    ),
]
Probe = Annotated[
    bool, typer.Option("--probe", help="Also tell what a linear probe reads off what the heads are given, by step.")
]
Match = Annotated[
    Literal["parameters", "width", "none"] | None,
    typer.Option(help="What the models of --seq-len share with s5.  [default: the spec's]", show_default=False),
]
