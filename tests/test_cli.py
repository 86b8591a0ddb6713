"""The command line: what each verb hands to its command, and what every failure becomes."""

import errno
import io
import signal
import subprocess
import sys
import warnings
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import icrl
from icrl import cli
from icrl.cli import app
from icrl.errors import MachineError, SpecError, UserError

VERBS = ("train", "evaluate", "render", "references", "benchmark", "check", "compare", "report", "reproduce")
"""Each is a function of the module of `icrl.commands` that is named like it."""
REQUIRED = {
    "train": ["some.yaml"],
    "evaluate": ["some.yaml"],
    "render": ["some.yaml"],
    "references": ["some.yaml"],
    "benchmark": ["--seq-len", "sweep"],
    "check": ["my_models:DecaySpec"],
    "compare": ["a_run", "another"],
    "report": [],
    "reproduce": [],
}


class Commands:
    """Stands in for the functions of `icrl.commands`: records every call, raises `error` if there is one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.error: BaseException | None = None
        for verb in VERBS:
            module = ModuleType(f"icrl.commands.{verb}")
            setattr(module, verb, self._call)
            monkeypatch.setitem(sys.modules, module.__name__, module)

    def _call(self, *arguments: Any, **options: Any) -> None:
        self.calls.append((arguments, options))
        if self.error is not None:
            raise self.error


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(monkeypatch)


def run(*arguments: str) -> Result:
    with warnings.catch_warnings():  # a verb silences third-party warnings for its whole process
        return CliRunner().invoke(app, arguments, prog_name="icrl")


def run_failing(commands: Commands, error: BaseException, *options: str) -> Result:
    commands.error = error
    return run("train", "some.yaml", *options)


def test_train_hands_over_every_argument(commands: Commands):
    done = run(
        "train", "a.yaml", "learner.learning_rate=1e-3", "--model", "gru", "--seed", "3", "--num-seeds", "2",
        "--scale", "smoke", "--point", "64", "--devices", "2", "--out", "there", "--wandb", "disabled",
        "--coordinator", "host:1234", "--num-processes", "4", "--process-id", "3", "--heartbeat-seconds", "30",
        "environment.train=[a,b]",
    )  # fmt: skip
    assert done.exit_code == 0
    options = {
        "model": "gru",
        "seed": 3,
        "num_seeds": 2,
        "scale": "smoke",
        "point": "64",
        "devices": "2",
        "coordinator": "host:1234",
        "num_processes": 4,
        "process_id": 3,
        "heartbeat_seconds": 30,
        "out": Path("there"),
        "wandb": "disabled",
    }
    overrides = ["learner.learning_rate=1e-3", "environment.train=[a,b]"]
    assert commands.calls == [(("a.yaml",), {**options, "overrides": overrides})]


def test_evaluate_hands_over_every_argument(commands: Commands):
    done = run(
        "evaluate", "runs/s5", "--model", "s5", "--seed", "0", "--scale", "cpu", "--point", "64", "--tasks", "held_out",
        "--episodes", "8", "--trials", "6", "--probe", "--out", "there", "evaluation.sample_actions=false",
    )  # fmt: skip
    assert done.exit_code == 0
    options = {"model": "s5", "seed": 0, "scale": "cpu", "tasks": "held_out", "episodes": 8, "trials": 6}
    rest = {"probe": True, "point": "64", "out": Path("there"), "overrides": ["evaluation.sample_actions=false"]}
    assert commands.calls == [(("runs/s5",), {**options, **rest})]


def test_render_hands_over_every_argument(commands: Commands):
    done = run(
        "render", "runs/s5", "--model", "s5", "--seed", "1", "--scale", "cpu", "--point", "64", "--task", "a",
        "--trials", "6", "--episode", "2", "--beside", "mlp", "--out", "there.gif",
    )  # fmt: skip
    assert done.exit_code == 0
    options = {"model": "s5", "seed": 1, "scale": "cpu", "point": "64", "task": "a", "trials": 6}
    assert commands.calls == [(("runs/s5",), {**options, "episode": 2, "beside": "mlp", "out": Path("there.gif")})]


def test_references_hands_over_every_argument(commands: Commands):
    done = run("references", "a.yaml", "--scale", "smoke", "--out", "there", "specialist.num_rows=8")
    assert done.exit_code == 0
    options = {"scale": "smoke", "out": Path("there"), "overrides": ["specialist.num_rows=8"]}
    assert commands.calls == [(("a.yaml",), options)]


def test_benchmark_and_report_hand_over_every_argument(commands: Commands):
    sections = ("--seq-len", "128,256", "--throughput", "--scan")
    options = ("--models", "s5,gru", "--match", "width", "--scale", "smoke", "--out", "there")
    assert run("benchmark", "a.yaml", *sections, *options).exit_code == 0
    assert run("report", "results", "--out", "there").exit_code == 0
    out = Path("there")
    assert commands.calls == [
        (
            ("a.yaml",),
            {
                "seq_len": "128,256",
                "throughput": True,
                "scan": True,
                "models": ["s5", "gru"],
                "match": "width",
                "scale": "smoke",
                "out": out,
            },
        ),
        ((Path("results"),), {"out": out}),
    ]


def test_what_is_not_given_is_left_to_the_command(commands: Commands):
    for verb in VERBS:
        assert run(verb, *REQUIRED[verb]).exit_code == 0
    train, evaluate, render, references, benchmark, check, compare, report, reproduce = commands.calls
    nothing = {"model": None, "seed": None, "scale": None, "point": None, "out": None, "overrides": []}
    processes = {"coordinator": None, "num_processes": None, "process_id": None, "heartbeat_seconds": None}
    assert train == (("some.yaml",), {**nothing, **processes, "num_seeds": None, "devices": None, "wandb": None})
    ask = {"tasks": "all", "episodes": None, "trials": None, "probe": False}
    assert evaluate == (("some.yaml",), {**nothing, **ask})
    no_run = {"model": None, "seed": None, "scale": None, "point": None, "out": None}
    assert render == (("some.yaml",), {**no_run, "task": None, "trials": None, "episode": None, "beside": None})
    assert references == (("some.yaml",), {"scale": None, "out": None, "overrides": []})
    ask = {"seq_len": "sweep", "throughput": False, "scan": False, "models": None, "match": None, "scale": None}
    assert benchmark == ((None,), {**ask, "out": None})
    assert check == (("my_models:DecaySpec",), {"overrides": []})
    assert compare == ((["a_run", "another"],), {"out": None})
    assert report == ((None,), {"out": None})
    assert reproduce == (([],), {"scale": None, "launcher": "local", "jobs": None, "dry_run": False})


@pytest.mark.parametrize("verb", VERBS)
def test_the_real_command_takes_what_its_verb_hands_over(verb: str, monkeypatch: pytest.MonkeyPatch):
    command = getattr(import_module(f"icrl.commands.{verb}"), verb)
    commands = Commands(monkeypatch)
    run(verb, *REQUIRED[verb])
    ((arguments, options),) = commands.calls
    bound = signature(command).bind(*arguments, **options)
    assert bound.arguments.keys() == signature(command).parameters.keys()


def test_a_tilde_is_the_home_folder_in_every_path(commands: Commands, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/me")
    taking = [verb for verb in VERBS if "--out" in run(verb, "--help").stdout]
    assert len(taking) == 7
    for verb in taking:
        assert run(verb, *REQUIRED[verb], "--out=~/there").exit_code == 0
    assert run("report", "~/results").exit_code == 0
    assert [options["out"] for _, options in commands.calls] == [Path("/home/me/there")] * 7 + [None]
    assert commands.calls[-1][0] == (Path("/home/me/results"),)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "some.yaml", "--out=~nobody_of_this_name/x"], "'--out': got '~nobody_of_this_name/x'; expected"),
        (["train"], "Missing argument"),
        (["tarin", "some.yaml"], "No such command 'tarin'"),
        (["train", "some.yaml", "--sed", "1"], "No such option: --sed"),
        (["train", "some.yaml", "--seed", "1.5"], "'--seed': got '1.5'; expected a whole number"),
        (["train", "some.yaml", "--num-seeds", "0"], "got '0'; expected a whole number from 1"),
        (["train", "some.yaml", "--wandb", "onlin"], "'onlin' is not one of 'offline', 'online', 'disabled'"),
        (["evaluate", "some.yaml", "--tasks", "test"], "'test' is not one of 'train', 'held_out', 'all'"),
        (["evaluate", "some.yaml", "--trials", "0"], "got '0'; expected a whole number from 1"),
        (["evaluate", "some.yaml", "--episodes", "9999999999"], "got '9999999999'; expected a whole number"),
        (["benchmark", "--match", "depth"], "'depth' is not one of 'parameters', 'width', 'none'"),
    ],
)
def test_a_mistyped_command_is_the_users_mistake(commands: Commands, arguments: list[str], complaint: str):
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert commands.calls == []


@pytest.mark.parametrize(
    ("error", "exit_code", "message"),
    [
        (UserError("no run in there"), 2, "icrl train: no run in there\n"),
        (MachineError("no space left in there"), 1, "icrl train: no space left in there\n"),
        (SpecError.of("seed", got="x", expected="int"), 2, "icrl train: seed: got 'x'; expected int\n"),
        (KeyboardInterrupt(), 130, "icrl train: interrupted\n"),
    ],
)
def test_an_expected_failure_is_one_message_and_its_exit_code(
    commands: Commands, error: BaseException, exit_code: int, message: str
):
    done = run_failing(commands, error)
    assert (done.exit_code, done.stdout, done.stderr) == (exit_code, "", message)


def test_several_mistakes_stand_one_below_the_other(commands: Commands):
    error = SpecError(
        [*SpecError.of("a", got=1, expected="2").problems, *SpecError.of("b", got=3, expected="4").problems]
    )
    done = run_failing(commands, error)
    assert done.stderr == "icrl train:\n  a: got 1; expected 2\n  b: got 3; expected 4\n"


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), ["runs/a", "no space left", "--out"]),
        (
            OSError(errno.EROFS, "Read-only file system", "runs/a"),
            ["runs/a", "Read-only file system", "--out"],
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs/a"),
            ["runs/a", "Permission denied", "--out"],
        ),
        (MemoryError(), ["out of memory", "num_rows", "--scale"]),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"),
            ["out of memory", "num_rows", "--scale"],
        ),
    ],
)
def test_a_failure_of_the_machine_says_what_to_do(commands: Commands, error: Exception, parts: list[str]):
    done = run_failing(commands, error)
    assert done.exit_code == 1
    assert [part for part in parts if part not in done.stderr] == []
    assert len(done.stderr.splitlines()) == 1


def test_our_own_failure_keeps_its_traceback_in_a_file(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = run_failing(commands, ZeroDivisionError("by zero"))
    (kept,) = tmp_path.iterdir()
    assert done.exit_code == 1
    assert "ZeroDivisionError: by zero" in done.stderr
    assert str(kept) in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in kept.read_text()


def test_our_own_failure_is_told_where_no_file_can_be_written(commands: Commands, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    done = run_failing(commands, ZeroDivisionError("by zero"))
    assert done.exit_code == 1
    assert "ZeroDivisionError: by zero\n  this is a fault of icrl or of a library below it: please" in done.stderr
    assert done.stderr.endswith("\n  --verbose prints the traceback\n")


def test_our_own_failure_without_a_word_says_where_it_was(commands: Commands):
    done = run_failing(commands, AssertionError())
    assert f"AssertionError: without a word, in {Path(__file__).name}, line " in done.stderr


@pytest.mark.parametrize("text", ["", "Unable to initialize backend 'cuda': no GPU (set JAX_PLATFORMS='' to ...)"])
def test_a_missing_device_is_told_with_what_to_do(commands: Commands, text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(AssertionError) as of_jax:
        exec(compile(f"raise AssertionError({text!r})", "jax/_src/xla_bridge.py", "exec"))
    done = run_failing(commands, of_jax.value)
    assert done.exit_code == 2
    assert "train: JAX_PLATFORMS: got cuda; expected devices of this machine" in done.stderr
    assert f"({text.partition(' (set')[0] or 'JAX finds no such device'}); unset it" in done.stderr


@pytest.mark.parametrize(("error", "exit_code"), [(UserError("mine"), 2), (ZeroDivisionError("ours"), 1)])
def test_verbose_prints_the_traceback(commands: Commands, error: Exception, exit_code: int):
    done = run_failing(commands, error, "--verbose")
    assert done.exit_code == exit_code
    assert "Traceback" in done.stderr
    assert f" {error}\n" in done.stderr.partition("\nicrl train:")[2]


def test_what_packages_print_on_import_stays_off_stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "icrl.commands", package := ModuleType("icrl.commands"))
    package.__path__ = [str(tmp_path)]
    source = "print('noise')\ndef report(results, *, out):\n    print('result')\n"
    (tmp_path / "report.py").write_text(source)
    monkeypatch.delitem(sys.modules, "icrl.commands.report", raising=False)
    done = run("report")
    monkeypatch.delitem(sys.modules, "icrl.commands.report")
    assert (done.exit_code, done.stdout) == (0, "result\n")


def test_version():
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"icrl {icrl.__version__}\n")


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_examples(verb: str):
    done = run(verb, "--help")
    assert done.exit_code == 0
    assert f"\n  icrl {verb}" in done.stdout


def test_help_answers_without_loading_what_only_runs_need():
    command = [sys.executable, "-X", "importtime", "-m", "icrl", "train", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "icrl.cli" in imported
    assert not imported & {"jax", "numpy", "scipy", "brax", "flax", "wandb", "matplotlib", "orbax"}


def test_a_reader_that_leaves_early_is_no_failure(commands: Commands):
    done = run_failing(commands, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert done.exit_code == 1
    assert done.stderr == ""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_terminal_that_cannot_show_a_character_is_shown_another(monkeypatch: pytest.MonkeyPatch, stream: str):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, stream, io.TextIOWrapper(shown, encoding="ascii"))
    monkeypatch.setattr(cli, "app", lambda prog_name: print("score – 0.5 ★", file=getattr(sys, stream), flush=True))
    before = signal.getsignal(signal.SIGTERM)
    try:
        cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert shown.getvalue() == b"score ? 0.5 ?\n"
