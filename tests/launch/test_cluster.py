"""Runs as jobs, with submitit's own executor for one machine in place of a cluster."""

from pathlib import Path

import pytest

from icrl.errors import UserError
from icrl.launch import cluster
from icrl.launch.account import Account
from icrl.launch.cluster import JOB, run_in_queue
from icrl.launch.runs import Run
from tests.launch.conftest import Grid


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are processes of this machine, whatever is installed on it."""
    monkeypatch.setattr(cluster, "_queued_ids", lambda: None)


def launch(runs: list[Run]) -> Account:
    account = Account(len(runs))
    run_in_queue(runs, account, cluster="local")
    return account


def test_a_failed_job_stops_no_other_and_a_warned_one_saves_and_is_queued_again(grid: Grid):
    grid.act(FAIL="--model gru", WARN="b.yaml", SIGNAL="SIGUSR2")
    runs = grid.runs()
    (failure,) = launch(runs).failures
    log = "results/runs/a/cpu/gru/seed0/train.log"
    assert str(failure) == f"icrl train a.yaml --model gru --scale cpu: exit code 2, log {log}"
    assert [run.name for run in runs if run.finished()] == ["a cpu s5", "b cpu s5"]
    calls = [call for call in grid.calls() if "b.yaml" in call or call == "checkpoint"]
    assert calls == ["train b.yaml --model s5 --scale cpu", "checkpoint", "train b.yaml --model s5 --scale cpu"]


def test_a_job_that_dies_without_a_word_is_named(grid: Grid, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "RESULT_SECONDS", 0.5)
    grid.act(WARN="b.yaml", SIGNAL="SIGKILL")
    (failure,) = launch(grid.runs()[-1:]).failures
    assert failure.what == "icrl train b.yaml --model s5 --scale cpu"
    assert "left the queue unfinished" in failure.why


def test_a_result_that_comes_after_the_job_has_left_the_queue_is_waited_for(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
):
    grid.act(HOLD="b.yaml")
    (run,) = grid.runs()[-1:]
    answers = 0

    def queued_ids() -> set[str]:
        nonlocal answers
        answers += 1
        if answers == 3:
            (grid.folder / "released").touch()
        return {(run.directory / JOB).read_text()} if answers == 2 else set()

    monkeypatch.setattr(cluster, "_queued_ids", queued_ids)
    monkeypatch.setattr(cluster, "RESULT_SECONDS", 60.0)
    assert launch([run]).failures == []
    assert run.finished()


def test_while_the_queue_does_not_answer_nothing_is_queued_a_second_time(grid: Grid):
    runs = grid.runs()
    launch(runs[:1])
    grid.calls()
    with pytest.raises(UserError, match="squeue: got no answer, and 1 of these runs were queued before"):
        launch(runs)
    assert grid.calls() == []


def test_the_note_of_a_job_replaces_a_link_that_leads_elsewhere(grid: Grid):
    (run,) = grid.runs()[:1]
    run.directory.mkdir(parents=True)
    (run.directory / JOB).symlink_to(grid.folder / "outside")
    launch([run])
    assert not (grid.folder / "outside").exists()
    assert (run.directory / JOB).read_text().isdigit()


def test_without_slurm_s_programs_the_message_says_what_is_expected(grid: Grid, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="no program sbatch; expected a machine that queues jobs"):
        run_in_queue(grid.runs(), Account(3))
    assert not Path("results").exists()
