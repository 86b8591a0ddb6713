"""The specs that come with icrl: `experiments/*.yaml`, in the repository or inside the installed package."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from icrl.errors import Problem, SpecError, show

PACKAGE = Path(__file__).resolve().parents[1]
SPECS_FOLDER = next(
    (folder for folder in (PACKAGE / "experiments", PACKAGE.parents[1] / "experiments") if folder.is_dir()),
    PACKAGE / "experiments",
)
"""Where the shipped specs lie: beside the modules in an installed package, else in the repository's root."""


def shipped_specs() -> dict[str, Path]:
    """Every shipped spec's file by its name, in alphabetical order."""
    return {path.stem: path for path in sorted(SPECS_FOLDER.glob("*.yaml"))}


def find_spec_file(name_or_path: str) -> Path:
    """The file at that path if there is one, else the shipped spec of that name, with or without `.yaml`.

    Raises SpecError, with the shipped specs and the nearest name, if there is neither.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    specs = shipped_specs()
    if name_or_path.removesuffix(".yaml") in specs:
        return specs[name_or_path.removesuffix(".yaml")]
    got = f"{show(name_or_path)}, a folder" if path.is_dir() else show(name_or_path)
    expected = f"the path of a YAML file, or the name of a shipped spec: {', '.join(specs)}"
    nearest = get_close_matches(path.name.removesuffix(".yaml"), specs, n=1)
    advice = f"did you mean {nearest[0]!r}?" if nearest else ""
    raise SpecError([Problem("spec", got, expected, advice)])
