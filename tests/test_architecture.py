"""The architecture as a test: imports point one way, light modules stay light, files stay small."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "icrl"

LAYERS = (
    ("__version__",),
    ("errors",),
    ("plugins",),
    ("fields",),
    ("types", "compiling"),
    ("models", "envs", "distributions"),
    ("policy", "contracts"),
    ("rollout", "probe"),
    ("learners", "adaptation", "timing"),
    ("spec",),
    ("runs",),
    ("records", "agent"),
    ("launch", "report", "render", "evaluation"),
    ("commands", "exit_codes", "imports", "options"),
    ("cli",),
    ("__main__", "icrl"),
)
"""The parts of icrl, lowest layer first. A part may import itself and lower layers, never its neighbours.

`icrl` is the package's own file, which imports what acts when it is asked for it.
"""

LAYER = {part: height for height, parts in enumerate(LAYERS) for part in parts}

ONLY = {"report": ("icrl.envs.ladder", "icrl.errors", "icrl.records", "icrl.runs.provenance")}
"""Parts that may import just these modules besides their own."""

LIGHT = (
    "cli.py",
    "errors.py",
    "plugins.py",
    "records.py",
    "exit_codes.py",
    "spec/parse.py",
    "spec/shipped.py",
    "runs/directory.py",
    "runs/trackers.py",
    "report/",
)
"""Files and folders that must not load JAX, so that the command line answers at once."""

HEAVY = {"jax", "flax", "optax", "brax", "mujoco", "orbax"}

FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}
MAX_LINES = 400

SOURCES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(source: str) -> Iterator[str]:
    """Every name imported anywhere in a file, inside functions too, such as `icrl.envs.spaces.Continuous`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "icrl imports by full names"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(name: str) -> str:
    return name.split(".")[0]


def wrong_imports(module: str, source: str) -> list[str]:
    """The imports of a module that point upwards, sideways, or past what its part may know."""
    part = module.split(".")[1] if "." in module else module
    wrong = []
    for name in imported_names(source):
        if package_of(name) != "icrl":
            continue
        target = name.split(".")[1] if "." in name else "__version__"
        if target == part:
            continue
        allowed = ONLY.get(part)
        in_order = LAYER[target] < LAYER[part]
        if not in_order or (allowed and not any(f"{name}.".startswith(f"{module}.") for module in allowed)):
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_point_down_the_layers(path: Path):
    assert wrong_imports(module_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("icrl.models.s5", "from icrl.envs.spaces import Continuous"),
        ("icrl.envs.trial", "import icrl.models.scan"),
        ("icrl.envs.trial", "from icrl import models"),
        ("icrl.learners.ppo", "def f():\n    from icrl.spec.parse import parse"),
        ("icrl.learners.ppo", "from icrl.adaptation import evaluate"),
        ("icrl.spec.experiment", "from icrl.commands.train import train"),
        ("icrl.report.figures", "from icrl.runs.checkpoints import Checkpoints"),
        ("icrl.report.figures", "from icrl.spec.parse import parse"),
    ],
)
def test_an_import_against_the_layers_is_found(module: str, source: str):
    assert len(wrong_imports(module, source)) == 1


def test_every_part_of_the_package_has_its_layer():
    parts = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCES} - {"__init__"}
    assert {"cli", "errors", "types", "spec"} <= parts
    assert parts <= LAYER.keys()


def test_every_package_imported_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^\w-]", requirement)[0] for requirement in project["dependencies"]}
    imported = {package_of(name) for path in SOURCES for name in imported_names(path.read_text())}
    third_party = imported - sys.stdlib_module_names - {"icrl"}
    distributions = packages_distributions()
    assert {"jax", "numpy"} <= third_party
    assert [
        package
        for package in sorted(third_party)
        if not declared & {name.lower() for name in distributions.get(package, ())}
    ] == []


LIGHT_SOURCES = [path for path in SOURCES if path.relative_to(SOURCE).as_posix().startswith(LIGHT)]


def test_light_modules_do_not_load_jax():
    """In one process, so that what is heavy is found with the first module that loads it."""
    modules = [module_of(path) for path in LIGHT_SOURCES]
    show = f"""
import importlib, sys
for module in {modules}:
    importlib.import_module(module)
    for heavy in {HEAVY} & set(sys.modules):
        sys.exit(f"{{module}} loads {{heavy}}")
"""
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_light_modules_are_where_this_test_looks():
    found = {entry for entry in LIGHT if any(path.relative_to(SOURCE).as_posix().startswith(entry) for path in SOURCES)}
    assert found == set(LIGHT)


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_are_small_and_named_after_what_they_hold(path: Path):
    assert len(path.read_text().splitlines()) <= MAX_LINES
    assert path.name not in FORBIDDEN_NAMES
