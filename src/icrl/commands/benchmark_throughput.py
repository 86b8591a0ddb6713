"""`icrl benchmark --throughput`: env steps per second of acting, learning and training, and what bounds them."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

from icrl.commands.benchmark_record import DEFAULT_SPEC, load_models, record_folder, show_tables, write_record
from icrl.commands.devices import choose_mesh, count_cores_as_devices
from icrl.compiling import jit_for_one_run
from icrl.errors import SpecError
from icrl.learners.devices import SharedLearner
from icrl.learners.learner import Learner, LearnerState
from icrl.learners.minibatches import take_rows
from icrl.learners.on_policy import acting
from icrl.records import read_object
from icrl.report.benchmark_tables import throughput_tables
from icrl.rollout import Carry, rollout
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment
from icrl.timing.machine import machine_rates, peak_bytes
from icrl.timing.physics import measure_physics
from icrl.timing.programs import Clock, Interval, Program, interleave
from icrl.types import Key, PyTree

REPETITIONS = 3
PHYSICS_STEPS = 100


def benchmark_throughput(
    spec: str | None = None,
    *,
    models: Sequence[str] | None = None,
    scale: str | None = None,
    out: Path | None = None,
) -> None:
    """Times the parts of a training spec with its default model or those named, and its physics.

    The first model is also timed with fewer tasks and at other sizes. Writes ``throughput.json`` and prints the tables.

    Raises:
        SpecError: the spec, or a model named, is wrong.
    """
    count_cores_as_devices()
    clock = time.perf_counter
    spec = spec or DEFAULT_SPEC
    experiments = list(load_models(spec, models, scale).values()) if models else [load_experiment(spec, scale=scale)]
    first = experiments[0]
    folder = record_folder(first.name, out)
    console = Console(stderr=True, highlight=False)
    console.print("the machine's rates")
    rates = machine_rates(clock=clock)
    training = [
        measure_training(experiment, rates, console, clock, at_other_sizes=experiment is first)
        for experiment in experiments
    ]
    console.print("physics of several environments in one batch")
    physics = measure_physics(
        [member.environment for member in first.build().environments.members],
        rows_each=max(1, first.num_rows // len(first.environment.train)),
        num_steps=PHYSICS_STEPS,
        repetitions=REPETITIONS,
        clock=clock,
    )
    result = {"machine_rates": rates, "training": training, "physics": physics, "peak_bytes": peak_bytes()}
    path = write_record(folder, "throughput", result)
    show_tables(throughput_tables(read_object(path)))
    print(path)


def parts(learner: Learner, state: LearnerState, clock: Clock, *, learn: Program | None = None) -> dict[str, Program]:
    """The programs of one update on one device: acting, physics included, and learning from what it gave.

    The program ``learn`` is taken where it fits, since learning does not depend on the tasks.
    """
    key = jax.random.PRNGKey(1)
    act = Program.of(
        lambda *inputs: learner.collect(*inputs[:2], key=inputs[2]), state.agent, state.carry, key, clock=clock
    )
    _, batch = act()
    inputs = state.agent, batch, key
    if learn is None or _shapes(learn.arguments) != _shapes(inputs):
        learn = Program.of(lambda *inputs: learner.learn(*inputs[:2], key=inputs[2]), *inputs, clock=clock)
    return {"act": act, "learn": replace(learn, arguments=inputs)}


def _shapes(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


def _fresh(learner: Learner) -> LearnerState:
    return jit_for_one_run(learner.init)(jax.random.PRNGKey(0))


def measure_training(
    experiment: ExperimentSpec, rates: Mapping[str, float], console: Console, clock: Clock, *, at_other_sizes: bool
) -> dict[str, Any]:
    """One model's record: speeds, shares of an update's time, limits; if wanted, the same by family, and scaling."""
    console.print(f"{experiment.name}, {experiment.model_name}: compiling and timing the parts of an update")
    learner = experiment.build()
    state = _fresh(learner)
    physics = Program.of(_physics(learner), state.carry.environment, jax.random.PRNGKey(1), clock=clock)
    policy = Program.of(_policy(learner), state.agent.params, state.carry, jax.random.PRNGKey(1), clock=clock)
    programs = parts(learner, state, clock)
    speeds = _speeds(experiment, {"physics": physics, "policy": policy, **programs}, clock)
    seconds = {name: part["seconds"]["median"] for name, part in speeds["parts"].items()}
    shares = {
        "physics": seconds["physics"] / seconds["update"],
        "policy and bookkeeping, acting": (seconds["policy"] - seconds["physics"]) / seconds["update"],
        "targets, acting": (seconds["act"] - seconds["policy"]) / seconds["update"],
        "learning": seconds["learn"] / seconds["update"],
    }
    families = {}
    members = learner.environments.members
    for family in members if at_other_sizes and len(members) > 1 else ():
        console.print(f"the same with {', '.join(family.tasks)} alone")
        alone = _with_tasks(experiment, family.tasks)
        learner_alone = alone.build()
        own = parts(learner_alone, _fresh(learner_alone), clock, learn=programs["learn"])
        families[", ".join(family.tasks)] = _speeds(alone, own, clock)
    return {
        "experiment": experiment.name,
        "model": experiment.model_name,
        "scale": experiment.scale,
        **speeds,
        "shares": shares,
        "limits": _limits(learner, programs, seconds["learn"], rates, clock),
        "training": _speed_of_training(experiment, clock),
        "families": families,
        "scaling": measure_scaling(experiment, state, programs, console, clock) if at_other_sizes else [],
    }


def _speed_of_training(experiment: ExperimentSpec, clock: Clock) -> dict[str, Any]:
    """What `icrl train` runs at once: a chunk of updates, shared by all devices that can share it."""
    learner = SharedLearner(experiment.build(), choose_mesh(experiment, None))
    keys = jax.vmap(jax.random.PRNGKey)(jnp.array(experiment.seeds, jnp.uint32))
    state = jit_for_one_run(learner.init, out_shardings=learner.sharding)(keys)
    program = Program.of(partial(learner.updates, experiment.updates_per_chunk), state, clock=clock)
    env_steps = experiment.updates_per_chunk * experiment.env_steps_per_update * experiment.num_seeds
    [samples] = interleave({"chunk": program}, REPETITIONS, clock).values()
    return {
        "devices": learner.mesh.size,
        "env_steps": env_steps,
        **_speed(samples, env_steps),
        **_compiled([program]),
    }


def measure_scaling(
    experiment: ExperimentSpec, state: LearnerState, programs: Mapping[str, Program], console: Console, clock: Clock
) -> list[dict[str, Any]]:
    """Whole updates of the spec as it is, at half and twice its rows, rollout and width, and with fewer tasks."""
    found = list(variants(experiment))
    timed: dict[tuple[int, str], Program] = {}
    for index, (axis, value, variant) in enumerate(found):
        console.print(f"whole update at {axis} {value}")
        own = programs
        if variant != experiment:
            learner = variant.build()
            of_variant = state if axis == "rollout" else _fresh(learner)
            own = parts(learner, of_variant, clock, learn=programs["learn"])
        timed |= {(index, part): own[part] for part in ("act", "learn")}
    samples = interleave(timed, REPETITIONS, clock)
    return [
        {
            "axis": axis,
            "value": value,
            "env_steps": variant.env_steps_per_update,
            **_speed(
                _one_after_the_other(samples[index, "act"], samples[index, "learn"]), variant.env_steps_per_update
            ),
            **_compiled([timed[index, "act"], timed[index, "learn"]]),
        }
        for index, (axis, value, variant) in enumerate(found)
    ]


def variants(experiment: ExperimentSpec) -> Iterator[tuple[str, int, ExperimentSpec]]:
    """The spec's sizes, one axis at a time: the axis, its value there, and the spec with it."""
    learner, model, tasks = experiment.learner, experiment.model, experiment.environment.train
    wanted = (int(factor * experiment.num_rows) for factor in (0.5, 1, 2))
    for rows in sorted({_fitting_rows(experiment, len(tasks), rows) for rows in wanted}):
        yield "rows", rows, replace(experiment, num_rows=rows)
    for factor in (0.5, 2):
        steps = max(1, int(factor * learner.rollout_steps))
        yield "rollout", steps, replace(experiment, learner=replace(learner, rollout_steps=steps))
    for factor in (0.5, 2):
        width = max(1, int(factor * model.width))
        try:
            yield "width", width, replace(experiment, model=model.of_width(width))
        except SpecError:  # such as a width that the number of heads does not divide
            continue
    for num_tasks in sorted({1, math.ceil(len(tasks) / 2)} - {len(tasks)}):
        yield "tasks", num_tasks, _with_tasks(experiment, tasks[:num_tasks])


def _with_tasks(experiment: ExperimentSpec, tasks: tuple[str, ...]) -> ExperimentSpec:
    environment = replace(experiment.environment, train=tasks, held_out=())
    rows = _fitting_rows(experiment, len(tasks), experiment.num_rows)
    return replace(experiment, environment=environment, num_rows=rows)


def _fitting_rows(experiment: ExperimentSpec, num_tasks: int, wanted: int) -> int:
    """The largest number of rows up to the wanted one, at least one set, that tasks and minibatches share equally."""
    share = num_tasks * experiment.learner.row_groups
    return max(1, wanted // share) * share


def _physics(learner: Learner) -> Callable[[PyTree, Key], PyTree]:
    """Steps the environments for a rollout with actions that do nothing."""
    environments = learner.environments

    def run(states: PyTree, key: Key) -> PyTree:
        action = environments.action_space.zeros(environments.num_rows)

        def step(states: PyTree, key: Key) -> tuple[PyTree, jax.Array]:
            states, timestep = environments.step(states, action, key=jax.random.split(key, environments.num_rows))
            return states, timestep.reward.sum()

        return jax.lax.scan(step, states, jax.random.split(key, learner.spec.rollout_steps))

    return run


def _policy(learner: Learner) -> Callable[[Any, Carry, Key], PyTree]:
    """A rollout of the policy alone: without what a learner computes besides, such as targets or a prior's opinion."""

    def run(params: PyTree, carry: Carry, key: Key) -> PyTree:
        carry = carry._replace(memory=learner.policy.initial_memory(learner.environments.num_rows))
        act = acting(learner.policy, params)
        return rollout(act, learner.environments, carry, learner.spec.rollout_steps, key=key)

    return run


def _speeds(experiment: ExperimentSpec, programs: Mapping[str, Program], clock: Clock) -> dict[str, Any]:
    """Of each program, and of an update: acting and learning, one after the other."""
    env_steps = experiment.env_steps_per_update
    samples = interleave(programs, REPETITIONS, clock)
    update = _one_after_the_other(samples["act"], samples["learn"])
    return {
        "rows": experiment.num_rows,
        "env_steps_per_update": env_steps,
        "parts": {
            **{name: _speed(samples[name], env_steps) | _compiled([program]) for name, program in programs.items()},
            "update": _speed(update, env_steps) | _compiled([programs["act"], programs["learn"]]),
        },
    }


def _one_after_the_other(*samples: Sequence[float]) -> list[float]:
    return [sum(of_round) for of_round in zip(*samples, strict=True)]


def _speed(samples: Sequence[float], env_steps: int) -> dict[str, Any]:
    seconds = Interval.of(samples)
    return {"seconds": seconds._asdict(), "env_steps_per_second": env_steps / seconds.median}


def _compiled(programs: Sequence[Program]) -> dict[str, Any]:
    """What programs that run one after the other took to compile, and the memory of the one that needs most."""
    return {
        "compile_seconds": sum(program.compile_seconds for program in programs),
        "memory_bytes": max(programs, key=lambda program: program.peak_bytes).memory_bytes,
    }


def _limits(
    learner: Learner, programs: Mapping[str, Program], learn_seconds: float, rates: Mapping[str, float], clock: Clock
) -> dict[str, float]:
    """Work of an update's gradient steps by XLA's count, beside the machine's rates.

    XLA counts a loop's body once, so the elementwise work inside a sequential scan is missing. It counts what every
    operation reads and writes, though caches hold much of it: above 1 as a share of the rate of copies says they do.
    """
    agent, batch, _ = programs["learn"].arguments
    rows = jnp.arange(learner.environments.num_rows // learner.spec.row_groups)
    minibatch = jax.jit(take_rows)(batch, rows)
    step = Program.of(jax.grad(learner.loss, has_aux=True), learner.trainable(agent), minibatch, clock=clock)
    num_steps = learner.spec.gradient_steps
    flops, bytes_moved = num_steps * step.flops, num_steps * step.bytes_accessed
    return {
        "gradient_steps": num_steps,
        "flops": flops,
        "bytes": bytes_moved,
        "share_of_product_rate": flops / learn_seconds / rates["product_flops_per_second"],
        "share_of_copy_rate": bytes_moved / learn_seconds / rates["copy_bytes_per_second"],
    }
