"""What a chunk of training is compiled to.

Nothing leaves the device, no state is held twice, nothing rare is computed at every step, and devices that share rows
exchange gradients and a few numbers.
"""

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import jax
import pytest

from tests.compiled import COLLECTIVES, Program
from tests.learners import chunks
from tests.learners.chunks import EPOCHS, MINIBATCHES, STEPS, TASKS, TRIALS, UPDATES

ROOT = Path(__file__).parents[2]
POLICY = {"encoder_0": 1, "encoder_1": 1, "state_space": 2, "gate": 1, "action_0": 1, "action": 1, "value_0": 1}
"""Its matrix products by module; that of the value's last layer, of one column, is a sum to some compilers."""


@cache
def program(num_seeds: int, backend: str) -> Program:
    """On one device; ``gpu`` takes an accelerator's paths, as far as they are ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: backend)
        return Program(chunks.compiled(1, num_seeds))


@pytest.fixture(params=[(1, "cpu"), (2, "gpu")], ids=["one seed", "two seeds side by side"])
def chunk(request: pytest.FixtureRequest) -> Program:
    return program(*request.param)


def test_nothing_leaves_the_device(chunk: Program):
    opcodes = {instruction.opcode for instruction in chunk.all()}
    assert "while" in opcodes
    outside = ("infeed", "outfeed", "send", "recv", "custom-call")  # a callback is a custom call
    assert [opcode for opcode in opcodes if opcode.startswith(outside)] == []


def test_the_next_state_lies_where_the_last_one_lay(chunk: Program):
    leaves = jax.tree.leaves(chunks.state(chunks.learner(1, 1), 1))
    assert chunk.aliased == set(range(len(leaves)))


def test_no_number_has_64_bits(chunk: Program):
    complex_pairs, counters_of_random_bits = "c64", "u64"
    assert chunk.types <= {"pred", "s32", "u32", "f32", complex_pairs, counters_of_random_bits}


def products(chunk: Program, computation: str) -> Counter[str]:
    """The policy's matrix products in a computation, but for those that need not run."""
    names = [i.name for i in chunk.always(computation) if i.opcode == "dot" and "/Policy/" in i.name]
    return Counter(module for name in names if (module := name.split("/")[-2]) != "value")


def draws(chunk: Program, computation: str) -> set[str]:
    """What is drawn in a computation, but for that which need not be."""
    return {i.name for i in chunk.always(computation) if "threefry" in i.name or "jit(_uniform)" in i.name}


def sorts(chunk: Program, computation: str) -> int:
    """Permutations drawn in a computation, but for those that need not be."""
    return sum(i.opcode == "sort" for i in chunk.always(computation))


def rare(chunk: Program, computation: str, opcode: str) -> str:
    """What the one loop without a fixed number of turns, or the one conditional, in a computation does if it must."""
    idle = {"parameter", "get-tuple-element", "tuple", "bitcast", "copy", "constant", "broadcast", "fusion"}
    found = [name for i in chunk.always(computation) if i.opcode == opcode for name in i.sometimes]
    [busy] = [name for name in found if not {i.opcode for i in chunk.always(name)} <= idle]
    return busy


def test_a_step_is_one_pass_of_the_policy_and_one_draw_a_row(chunk: Program):
    step = chunk.loop(STEPS)
    assert products(chunk, step) == POLICY
    assert draws(chunk, step)
    assert all("jit(_normal)" in name for name in draws(chunk, step))  # the action's noise
    assert sorts(chunk, step) == 0


def test_resets_tasks_and_the_bootstrap_run_only_where_needed(chunk: Program):
    step = chunk.loop(STEPS)
    trial_end, bootstrap = rare(chunk, step, "while"), rare(chunk, step, "conditional")
    assert draws(chunk, trial_end)  # the start
    assert sorts(chunk, trial_end) == 0
    episode_end = rare(chunk, trial_end, "while")
    assert sorts(chunk, episode_end) == 2  # the projections of observation and action
    assert not draws(chunk, bootstrap)
    assert products(chunk, bootstrap) == {name: n for name, n in POLICY.items() if "action" not in name}


@cache
def shared() -> Program:
    """Two seeds on eight devices, four each; as a process of its own, since JAX fixes their number at its start."""
    environment = {
        **os.environ,
        "JAX_NUM_CPU_DEVICES": "8",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    command = [sys.executable, "-m", "tests.learners.chunks", "8", "2"]
    return Program(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def test_devices_of_a_seed_exchange_gradients_and_a_few_numbers():
    sent = shared().communication()
    assert {(kind, devices) for kind, devices, _ in sent} == {("all-reduce", 4)}
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(chunks.state(chunks.learner(1, 1), 1).agent.params))
    [gradients] = [what for what in sent if what[2] == 4 * num_parameters]
    assert sent.pop(gradients) == UPDATES * EPOCHS * MINIBATCHES
    moments_of_advantages, explained_variance, metrics, ratio, trials = 2 * TASKS, 4, 7, 1, 2 * TASKS * TRIALS
    numbers = moments_of_advantages + explained_variance + metrics + ratio + trials
    assert sum(size * count for (*_, size), count in sent.items()) == UPDATES * 4 * numbers
    assert sum(sent.values()) == UPDATES * 6


def test_a_state_stays_on_its_devices():
    assert shared().aliased == set(range(len(jax.tree.leaves(chunks.state(chunks.learner(1, 2), 2)))))
    assert {i.opcode for i in shared().all() if i.opcode.startswith(COLLECTIVES)} == {"all-reduce"}
