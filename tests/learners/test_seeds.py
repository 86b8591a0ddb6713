"""Several seeds in one program give what each gives alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.learners.seeds import over_seeds


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_every_seed_gets_what_it_would_get_alone(monkeypatch: pytest.MonkeyPatch, backend: str):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)

    def f(inputs):
        weights, bias = inputs
        return {"sum": jnp.tanh(weights @ jnp.ones(3) + bias), "count": bias > 0}

    weights, bias = np.arange(12.0).reshape(2, 2, 3) / 10, np.array([-1.0, 1.0])
    together = jax.jit(over_seeds(f))((weights, bias))
    for seed in range(2):
        alone = f((weights[seed], bias[seed]))
        np.testing.assert_allclose(together["sum"][seed], alone["sum"], rtol=1e-6)
        assert together["count"][seed] == alone["count"]
