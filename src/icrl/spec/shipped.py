"""What comes with icrl, in the repository or inside the installed package: specs, reference returns, trained agents."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from icrl.errors import Problem, SpecError, show

PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = PACKAGE if (PACKAGE / "experiments").is_dir() else PACKAGE.parents[1]
"""The folder of `experiments` and `results`: the installed package, else the repository's root."""


def shipped_specs() -> dict[str, Path]:
    """Every shipped spec's file by its name, in alphabetical order."""
    return {path.stem: path for path in sorted((SHIPPED / "experiments").glob("[!.]*.yaml"))}


def shipped_references(experiment: str) -> Path:
    """Where the reference returns of an experiment lie, if they are shipped."""
    return SHIPPED / "results" / "references" / f"{experiment}.json"


def shipped_agents() -> dict[str, Path]:
    """The run directory of every shipped agent by its name, in alphabetical order."""
    agents = (SHIPPED / "results" / "pretrained").glob("[!.]*/spec.yaml")
    return {path.parent.name: path.parent for path in sorted(agents)}


def existing_path(text: str) -> Path | None:
    """The file or folder that a word of the command line names, if there is one."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, the home of nobody, a null byte
        return None


def find_spec_file(name_or_path: str) -> Path:
    """The file at that path if there is one, else the shipped spec of that name, with or without `.yaml`.

    Raises SpecError, with the shipped specs and the nearest name, if there is neither.
    """
    path = existing_path(name_or_path)
    if path and path.is_file():
        return path
    specs = shipped_specs()
    if name_or_path.removesuffix(".yaml") in specs:
        return specs[name_or_path.removesuffix(".yaml")]
    got = f"{show(name_or_path)}, a folder" if path else show(name_or_path)
    expected = f"the path of a YAML file, or the name of a shipped spec: {', '.join(specs)}"
    nearest = get_close_matches(Path(name_or_path).name.removesuffix(".yaml"), specs, n=1)
    advice = f"did you mean {nearest[0]!r}?" if nearest else ""
    raise SpecError([Problem("spec", got, expected, advice)])
