"""docs/cli.md, made from the command line itself: `python -m tests.cli_document` writes it, a test compares."""

from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from icrl.cli import app

DOCUMENT = Path(__file__).parents[1] / "docs" / "cli.md"
INTRODUCTION = """\
# Commands

Made by `python -m tests.cli_document` from the command line itself: change `icrl/cli.py`, not this file.

SPEC is a YAML file or the name of a shipped one (`meta_brax`); AGENT is one that comes with icrl (`meta_brax-s5`).
`icrl VERB --help` says the same. Exit codes: 0 done, 2 your mistake, 1 the machine's or ours, 130 interrupted, after a
checkpoint was written. stdout carries results, stderr progress. A run directory holds `spec.yaml`, `manifest.json`,
`metrics.jsonl` ([its keys](metrics.md)), `checkpoints/` and, after an evaluation, `evaluation.json` and figures.
"""
MAKE = """
## make

| command | does |
|---|---|
| `make train` | installs what is missing into `.venv`, then `icrl train experiments/meta_brax.yaml` |
| `make test` | installs what is missing, then the tests |
| `make check` | what CI runs: lint, types, tests |
| `make reproduce-all [SCALE=cpu] [LAUNCHER=slurm]` | trains and records all that is published, here or in a queue |
"""


def document() -> str:
    """The Markdown: a table of the verbs, then each verb's arguments, options and examples."""
    verbs = typer.main.get_command(app).commands
    rows = "".join(f"| [`icrl {name}`](#icrl-{name}) | {_sentence(verb)} |\n" for name, verb in verbs.items())
    sections = (_section(name, verb) for name, verb in verbs.items())
    return f"{INTRODUCTION}\n| command | does |\n|---|---|\n{rows}\n" + "\n".join(sections) + MAKE


def _sentence(verb: Any) -> str:
    return (verb.help or "").split("\n\n")[0].split(". ")[0].rstrip(".").replace("\n", " ")


def _section(name: str, verb: Any) -> str:
    text, _, examples = (verb.help or "").partition("\b\n")
    shown = [parameter for parameter in verb.params if parameter.name != "help"]
    arguments = " ".join(parameter.metavar or "" for parameter in shown if parameter.param_type_name == "argument")
    hints = get_type_hints(verb.callback)
    rows = (f"| `{_name(parameter, hints[parameter.name])}` | {_cell(parameter.help or '')} |\n" for parameter in shown)
    return (
        f"## icrl {name}\n\n`icrl {name} {arguments}`\n\n{text.strip()}\n\n| | |\n|---|---|\n{''.join(rows)}\n"
        f"```bash\n{examples.strip()}\n```\n"
    )


def _name(parameter: Any, hint: Any) -> str:
    """What stands for a parameter on the command line: an argument, or an option with its value."""
    value = parameter.metavar or "|".join(choice for choice in get_args_within(hint) if isinstance(choice, str))
    return _cell(value if parameter.param_type_name == "argument" else f"{parameter.opts[0]} {value}".strip())


def get_args_within(hint: Any) -> list[Any]:
    """What a type is made of, however deep: the choices of a `Literal[...] | None`, and None."""
    return [inner for argument in get_args(hint) for inner in (get_args_within(argument) or [argument])]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
