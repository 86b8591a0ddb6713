"""Random projections: the matrices of every rung, and when they are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.ladder import RUNGS
from icrl.envs.projection import FAMILIES, Projected, ProjectedTask, ProjectionSpec, Rung
from icrl.envs.spaces import Continuous
from icrl.envs.trial import Episodes
from icrl.errors import SpecError
from tests.envs.counting import Counting, DrawnTask
from tests.quick import jit

OUTER, INNER = 6, 4
NUM_DRAWS = 2_000
KEYS = jax.random.split(jax.random.key(0, impl="rbg"), NUM_DRAWS)  # compiles faster than the default
ISOMETRIES = [rung for rung in RUNGS if rung != "gaussian"]


def draw(rung: Rung, outer: int = OUTER, inner: int = INNER) -> np.ndarray:
    """Embeddings ``[NUM_DRAWS, outer, inner]``."""
    return np.asarray(jit(jax.vmap(lambda key: FAMILIES[rung].sample(outer, inner, key=key)))(KEYS))


@pytest.fixture(scope="module")
def drawn() -> dict[Rung, np.ndarray]:
    return {rung: draw(rung) for rung in RUNGS}


def test_every_rung_has_its_family():
    assert tuple(FAMILIES) == RUNGS


@pytest.mark.parametrize("rung", ISOMETRIES)
def test_columns_are_orthonormal(drawn: dict[Rung, np.ndarray], rung: Rung):
    gram = np.swapaxes(drawn[rung], -1, -2) @ drawn[rung]
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(INNER), gram.shape), atol=1e-5)


def test_identity_pads_with_zeros(drawn: dict[Rung, np.ndarray]):
    np.testing.assert_array_equal(drawn["identity"], np.broadcast_to(np.eye(OUTER, INNER), drawn["identity"].shape))


def test_sign_flips_coordinates_in_place_and_evenly(drawn: dict[Rung, np.ndarray]):
    np.testing.assert_array_equal(np.abs(drawn["sign"]), drawn["identity"])
    signs = np.diagonal(drawn["sign"], axis1=1, axis2=2)
    np.testing.assert_allclose(signs.mean(0), 0, atol=4 / np.sqrt(NUM_DRAWS))
    np.testing.assert_allclose(np.cov(signs.T), np.eye(INNER), atol=4 / np.sqrt(NUM_DRAWS))


def test_signed_permutation_gives_every_coordinate_a_slot_of_its_own(drawn: dict[Rung, np.ndarray]):
    matrices = drawn["signed_permutation"]
    taken = np.abs(matrices)
    assert set(np.unique(matrices)) == {-1, 0, 1}
    assert np.all(taken.sum(1) == 1) and np.all(taken.sum(2) <= 1)
    np.testing.assert_allclose(taken.mean(0), 1 / OUTER, atol=4 / np.sqrt(NUM_DRAWS))
    np.testing.assert_allclose(matrices.sum(1).mean(0), 0, atol=4 / np.sqrt(NUM_DRAWS))


def test_orthogonal_has_no_preferred_direction(drawn: dict[Rung, np.ndarray]):
    matrices = drawn["orthogonal"]
    np.testing.assert_allclose(matrices.mean(0), 0, atol=4 / np.sqrt(NUM_DRAWS * OUTER))
    np.testing.assert_allclose((matrices**2).mean(0), 1 / OUTER, atol=4 / np.sqrt(NUM_DRAWS * OUTER))


@pytest.mark.parametrize(("outer", "inner"), [(12, 12), (6, 4), (2, 1)])
def test_orthogonal_is_what_jax_draws_but_without_lapack(outer: int, inner: int):
    """On two cores, LAPACK's factorisations of two large batches at once wait for each other for ever."""
    ours = draw("orthogonal", outer, inner)
    theirs = jit(jax.vmap(lambda key: jax.random.orthogonal(key, outer)[:, :inner]))(KEYS)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    task = jax.jit(jax.vmap(lambda key: projected("orthogonal").sample_task(jnp.int32(0), key=key)))
    assert "custom_call" not in task.lower(KEYS).as_text()


def test_gaussian_keeps_a_unit_size_input_at_unit_size(drawn: dict[Rung, np.ndarray]):
    entries = drawn["gaussian"].reshape(NUM_DRAWS, -1) * np.sqrt(INNER)
    np.testing.assert_allclose(entries.mean(0), 0, atol=4 / np.sqrt(NUM_DRAWS))
    np.testing.assert_allclose(np.cov(entries.T), np.eye(OUTER * INNER), atol=6 / np.sqrt(NUM_DRAWS))
    np.testing.assert_allclose((entries**4).mean(), 3, rtol=0.05)  # a normal's kurtosis


def test_gaussian_can_shrink():
    assert draw("gaussian", outer=2, inner=5).shape == (NUM_DRAWS, 2, 5)


def projected(kind: Rung, **fields) -> Projected:
    """The counting environment with two actions, seen through 6 and acted on through 3 coordinates."""
    spec = ProjectionSpec(kind=kind, observation_size=6, action_size=3, **fields)
    return spec.build(Counting(action_space=Continuous(2)))


def sample_tasks(environment: Projected, keys: jax.Array = KEYS) -> ProjectedTask:
    tasks = jit(jax.vmap(lambda key: environment.sample_task(jnp.int32(0), key=key)))(keys)
    return jax.tree.map(np.asarray, tasks)


def test_gaussian_actions_keep_their_size_and_all_draws_are_apart():
    tasks = sample_tasks(projected("gaussian"))
    np.testing.assert_allclose(
        (np.asarray(tasks.action_matrix) ** 2).mean(0), np.full((2, 3), 1 / 3), atol=2 / np.sqrt(NUM_DRAWS)
    )
    entries = [tasks.inner.draw, tasks.observation_matrix[:, 0, 0], tasks.action_matrix[:, 0, 0]]
    np.testing.assert_allclose(np.corrcoef(np.stack(entries)), np.eye(3), atol=4 / np.sqrt(NUM_DRAWS))


def test_action_matrices_of_the_other_rungs_have_orthonormal_rows():
    matrices = np.asarray(sample_tasks(projected("signed_permutation")).action_matrix)
    assert matrices.shape == (NUM_DRAWS, 2, 3)
    gram = matrices @ np.swapaxes(matrices, -1, -2)
    np.testing.assert_array_equal(gram, np.broadcast_to(np.eye(2), gram.shape))


def test_a_curriculum_mixes_rungs_evenly_in_training_and_not_in_evaluation():
    spec = ProjectionSpec(kind="gaussian", observation_size=6, action_size=3, curriculum=("identity", "sign"))
    inner = Counting(action_space=Continuous(2))
    tasks = sample_tasks(spec.build(inner, training=True))
    identity = [np.all(np.asarray(m) == np.eye(*m.shape[1:]), axis=(1, 2)) for m in tasks[1:]]
    diagonal = [np.all(np.abs(m) == np.eye(*m.shape[1:]), axis=(1, 2)) for m in tasks[1:]]
    np.testing.assert_array_equal(*diagonal)  # observation and action are seen through the same rung
    chance = 1 / 3 + 1 / 3 / 2**4  # a sixteenth of the sign matrices of four observations are the identity
    for share, expected in ((identity[0].mean(), chance), (diagonal[0].mean(), 2 / 3)):
        assert abs(share - expected) < 4 * np.sqrt(0.25 / NUM_DRAWS)
    assert not np.any(np.asarray(sample_tasks(spec.build(inner)).observation_matrix) == 0)


def test_a_curriculum_draws_rungs_apart_from_all_else_and_leaves_the_other_draws_as_they_are():
    inner, keys = Counting(action_space=Continuous(2)), jax.random.split(jax.random.key(0), 512)
    spec = ProjectionSpec(kind="gaussian", observation_size=6, action_size=3, curriculum=("sign",))
    mixed, alone = (sample_tasks(spec.build(inner, training=training), keys) for training in (True, False))
    is_sign = np.any(mixed.observation_matrix == 0, axis=(1, 2))
    np.testing.assert_array_equal(mixed.inner.draw, alone.inner.draw)
    np.testing.assert_array_equal(mixed.observation_matrix[~is_sign], alone.observation_matrix[~is_sign])
    np.testing.assert_array_equal(mixed.action_matrix[~is_sign], alone.action_matrix[~is_sign])
    for key_T in np.moveaxis(jax.vmap(lambda key: jax.random.split(key, 3))(keys), 1, 0):
        as_if_from_it = jax.vmap(lambda key: jax.random.randint(key, (), 0, 2))(key_T)
        assert 0.4 < np.mean(is_sign == as_if_from_it) < 0.6


def test_a_curriculum_names_each_rung_once():
    for curriculum in (("sign",), ("gaussian", "gaussian")):
        with pytest.raises(SpecError, match=r"curriculum: got .*; expected rungs other than kind = sign, each once"):
            ProjectionSpec(kind="sign", curriculum=curriculum)


def test_observations_and_actions_pass_through_their_matrices():
    environment = projected("gaussian")
    rng = np.random.default_rng(0)
    m_o, m_a = rng.normal(size=(6, 4)), np.array([[0.5, 0.0, 0.0], [0.0, -1.0, 1.0]])
    task = ProjectedTask(DrawnTask(jnp.int32(0), jnp.float32(0.25)), jnp.asarray(m_o), jnp.asarray(m_a))
    state, observation = environment.reset(task, key=jax.random.key(1))
    np.testing.assert_allclose(observation, m_o @ [0.25, state.start, 0, 0], rtol=1e-5, atol=1e-6)
    # M_a a = (0.25, 0.1); Counting observes its sum.
    state, transition = environment.step(task, state, jnp.array([0.5, 0.2, 0.3]), key=jax.random.key(2))
    np.testing.assert_allclose(transition.observation, m_o @ [0.25, state.start, 1, 0.35], rtol=1e-5, atol=1e-6)
    assert transition.reward == 1 and not transition.terminated and not transition.truncated


def test_matrices_last_an_episode_and_differ_between_episodes_and_rows():
    num_rows, num_steps = 3, 8
    episodes = Episodes(projected("gaussian"), trial_steps=2, trials_per_episode=2)

    @jit
    def run(key):
        reset_key, step_key = jax.random.split(key)
        state, _ = episodes.reset(jnp.zeros(num_rows, jnp.int32), key=jax.random.split(reset_key, num_rows))

        def step(state, key):
            after, timestep = episodes.step(state, jnp.zeros((num_rows, 3)), key=jax.random.split(key, num_rows))
            return after, (state.task, timestep.episode_start)

        return jax.lax.scan(step, state, jax.random.split(step_key, num_steps))[1]

    task, episode_start = run(jax.random.key(3))
    np.testing.assert_array_equal(np.flatnonzero(episode_start.all(1)), [3, 7])
    for matrix in (task.observation_matrix, task.action_matrix):
        entries = np.asarray(matrix).reshape(2, 4, num_rows, -1)  # episode, step, row
        assert np.all(entries == entries[:, :1])
        assert len(np.unique(entries[..., 0])) == 2 * num_rows


def test_either_side_can_be_left_alone():
    observation_only = projected("sign", project_action=False)
    assert observation_only.rungs == (("sign", "identity"),)
    action_only = projected("sign", project_observation=False)
    assert action_only.rungs == (("identity", "sign"),)


def test_the_agent_sees_the_chosen_sizes():
    environment = projected("orthogonal")
    assert environment.observation_size == 6
    assert environment.action_space == Continuous(3)
    assert environment.tasks == ("endless",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            dict(kind="orthogonal", observation_size=3),
            "observation_size: got 3; expected at least 4, the observation size of endless; "
            "raise it, or choose kind gaussian",
        ),
        (
            dict(kind="sign", observation_size=1, action_size=1),
            "observation_size: got 1; expected at least 4, the observation size of endless; "
            "raise it, or choose kind gaussian\n"
            "action_size: got 1; expected at least 2, the action size of endless; raise it, or choose kind gaussian",
        ),
        (dict(observation_size=0), "observation_size: got 0; expected at least 1"),
        (dict(action_size=-1), "action_size: got -1; expected at least 1"),
    ],
)
def test_a_projection_that_cannot_fit_is_refused(fields, message):
    with pytest.raises(SpecError) as error:
        ProjectionSpec(**fields).build(Counting(action_space=Continuous(2)))
    assert str(error.value) == message


def test_gaussian_projections_fit_any_size():
    small = ProjectionSpec(kind="gaussian", observation_size=1, action_size=1)
    assert small.build(Counting(action_space=Continuous(2))).observation_size == 1
