"""S5 (arXiv 2208.04933) with a resettable state (arXiv 2303.03982).

Symbols follow the papers: ``lambda_P`` eigenvalues, ``B``, ``C``, ``D``, ``delta_P`` time steps; P counts conjugate
pairs, so a state of size N has P = N / 2. Complex numbers are stored as real and imaginary halves throughout.
"""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from icrl.errors import Problem, show
from icrl.fields import PositiveFloat, PositiveInt
from icrl.models.hippo import hippo_eigenpairs
from icrl.models.pairs import to_complex, to_halves
from icrl.models.scan import Schedule, reference_scan, resettable_scan
from icrl.models.sequence import ModelSpec, SequenceModel, in_turn
from icrl.types import PyTree

Gate = Literal["full_glu", "half_glu1", "half_glu2", "gelu"]
BInit = Literal["lecun_normal", "fan_in_normal"]
CInit = Literal["lecun_normal", "complex_normal", "fan_in_normal"]


@dataclass(frozen=True)
class S5Spec(ModelSpec):
    """A stack of S5 layers."""

    kind: Literal["s5"] = "s5"
    width: PositiveInt = 64
    """H, features per step."""
    num_layers: PositiveInt = 2
    state_size: PositiveInt = 64
    """N, real dimensions of a layer's state: N / 2 conjugate pairs."""
    num_blocks: PositiveInt = 1
    """The state matrix starts as this many HiPPO-N blocks on the diagonal."""
    discretization: Literal["zoh", "bilinear", "dirac"] = "zoh"
    """How inputs enter: held over a time step, averaged over it, or (``dirac``) as pulses, whatever the time step."""
    rotation: Literal["none", "ring"] = "none"
    """``ring``: every pair also turns by a fixed angle of its own a step; the angles are even over half a circle."""
    delta_min: PositiveFloat = 0.001
    """Shortest initial time step; drawn log-uniformly per pair."""
    delta_max: PositiveFloat = 0.1
    """Longest initial time step."""
    selective: bool = False
    """Let every step choose its time steps by its input, as in Mamba (arXiv 2312.00752): short ones pass an input by
    and keep the state, long ones let it in and forget. They start as drawn, whatever the input."""
    gate: Gate = "half_glu1"
    """Non-linearity after the state space, as named in the original code."""
    norm: Literal["layer", "none"] = "layer"
    prenorm: bool = True
    """Normalise the layer's input; otherwise its output, after the residual sum."""
    b_init: BInit = "lecun_normal"
    """Law of B, real ``[N, H]`` before the eigenbasis: variance 1 / N as in the original code, or 1 / H, its fan-in."""
    c_init: CInit = "lecun_normal"
    """Law of C: complex ``[H, N]`` before the eigenbasis, variance 2 / (N H), as in the original code; complex
    ``[H, P]`` of variance 1 in the eigenbasis; or real ``[H, N]`` before it, variance 1 / N, its fan-in."""
    clip_eigenvalues: bool = True
    """Keep the real parts of the eigenvalues at or below -1e-4, so that the state can never grow."""
    longest_memory: PositiveFloat | None = None
    """Time constant, in steps, that no mode can be trained beyond, so that the state has settled before training's
    episodes end, and in longer ones is no stranger; null: no such bound. Not for ``bilinear``, whose modes of high
    frequency it would not hold."""
    reset: bool = True
    """False is the paper's ablation: memory runs on across episode starts."""
    schedule: Schedule = "auto"

    def problems(self) -> list[Problem]:
        """Bounds, blocks of unequal size, and time steps in the wrong order."""
        found = super().problems()
        if not found and self.state_size % (2 * self.num_blocks):
            expected = f"a multiple of 2 * num_blocks = {2 * self.num_blocks}"
            found.append(Problem("state_size", show(self.state_size), expected))
        if self.longest_memory is not None and self.discretization == "bilinear":
            found.append(Problem("longest_memory", show(self.longest_memory), "null with discretization = bilinear"))
        if self.delta_min > self.delta_max:
            found.append(Problem("delta_min", show(self.delta_min), f"at most delta_max = {self.delta_max}"))
        return found

    def build(self, name: str | None = None) -> "S5":
        """The model this describes."""
        return S5(self, name=name)


class S5(SequenceModel):
    """Residual stack of `S5Layer`. Its state is ``[B, 2P]`` per layer."""

    spec: S5Spec

    def initial_state(self, batch: int) -> PyTree:
        """Zeros."""
        return tuple(jnp.zeros((batch, self.spec.state_size)) for _ in range(self.spec.num_layers))

    @nn.compact
    def __call__(
        self, state: PyTree, x: Float[Array, "T B H"], reset: Bool[Array, "T B"]
    ) -> tuple[PyTree, Float[Array, "T B H"]]:
        """See `SequenceModel`."""
        if not self.spec.reset:
            reset = jnp.zeros_like(reset)
        layers = [S5Layer(self.spec, name=f"layer_{index}") for index in range(self.spec.num_layers)]
        return in_turn(layers, state, x, reset)


class S5Layer(nn.Module):
    """State space, gate, residual connection, normalisation."""

    spec: S5Spec

    @nn.compact
    def __call__(
        self, state: Float[Array, "B N"], x_TBH: Float[Array, "T B H"], reset_TB: Bool[Array, "T B"]
    ) -> tuple[Float[Array, "B N"], Float[Array, "T B H"]]:
        """One layer of `S5`."""
        spec = self.spec
        normalise = nn.LayerNorm(name="norm") if spec.norm == "layer" else lambda x: x
        inputs = normalise(x_TBH) if spec.prenorm else x_TBH
        state, y_TBH = StateSpace(spec, name="state_space")(state, inputs, reset_TB)
        y_TBH = x_TBH + self._gate(y_TBH)
        return state, y_TBH if spec.prenorm else normalise(y_TBH)

    def _gate(self, y):
        spec = self.spec
        activated = nn.gelu(y)
        match spec.gate:
            case "gelu":
                return activated
            case "half_glu1":
                return activated * nn.sigmoid(nn.Dense(spec.width, name="gate")(activated))
            case "half_glu2":
                return y * nn.sigmoid(nn.Dense(spec.width, name="gate")(activated))
            case "full_glu":
                value = nn.Dense(spec.width, name="value")(activated)
                return value * nn.sigmoid(nn.Dense(spec.width, name="gate")(activated))


class StateSpace(nn.Module):
    """The discretised diagonal state space: ``x_t = lambda_bar x_{t-1} + B_bar u_t``, ``y_t = 2 Re(C x_t) + D u_t``."""

    spec: S5Spec

    @nn.compact
    def __call__(
        self, state_B2P: Float[Array, "B N"], u_TBH: Float[Array, "T B H"], reset_TB: Bool[Array, "T B"]
    ) -> tuple[Float[Array, "B N"], Float[Array, "T B H"]]:
        """Consumes ``u``; gives the last state and ``y``."""
        spec = self.spec
        pairs = spec.state_size // 2
        eigenvalues, vectors = _block_eigenpairs(spec.state_size, spec.num_blocks)

        lambda_re = self.param("lambda_re", lambda _: jnp.asarray(np.real(eigenvalues), jnp.float32))
        lambda_im = self.param("lambda_im", lambda _: jnp.asarray(np.imag(eigenvalues), jnp.float32))
        log_delta = self.param("log_delta", _log_uniform(spec.delta_min, spec.delta_max), (pairs,))
        b_H2P = self.param("B", _b_init(vectors, spec.b_init), (spec.width, 2 * pairs))
        c_2PH = self.param("C", _c_init(vectors, spec.c_init), (2 * pairs, spec.width))
        d_H = self.param("D", nn.initializers.normal(1.0), (spec.width,))

        if spec.clip_eigenvalues:
            lambda_re = jnp.minimum(lambda_re, -1e-4)
        delta = jnp.exp(log_delta)
        if spec.selective:  # [T, B, P]; softplus, with that of log_delta for its bias, as in Mamba
            choice = nn.Dense(pairs, use_bias=False, kernel_init=nn.initializers.zeros, name="choice")(u_TBH)
            delta = nn.softplus(choice + jnp.log(jnp.expm1(delta)))
        if spec.longest_memory is not None:
            lambda_re = jnp.minimum(lambda_re, -1 / (spec.longest_memory * delta))
        eigenvalue = jax.lax.complex(lambda_re, jnp.broadcast_to(lambda_im, lambda_re.shape))
        lambda_bar, input_scale = discretize(eigenvalue, delta, spec.discretization)
        if spec.rotation == "ring":  # after discretisation: no time step, and no training, changes the angles
            lambda_bar = lambda_bar * ring(pairs)
        if input_scale.ndim == 1:  # of all steps: into B, once
            b_bar_H2P, scale_TBP = to_halves(to_complex(b_H2P) * input_scale), None
        else:
            b_bar_H2P, scale_TBP = b_H2P, input_scale
        state_B2P, y_TBH = project_scan_project(
            to_halves(lambda_bar), b_bar_H2P, c_2PH, u_TBH, reset_TB, state_B2P, spec.schedule, scale_TBP
        )
        return state_B2P, y_TBH + d_H * u_TBH


def project_scan_project(
    lambda_2P: Float[Array, " N"] | Float[Array, "T B N"],
    b_H2P: Float[Array, "H N"],
    c_2PH: Float[Array, "N H"],
    u_TBH: Float[Array, "T B H"],
    reset_TB: Bool[Array, "T B"],
    state_B2P: Float[Array, "B N"],
    schedule: Schedule = "auto",
    scale_TBP: Complex[Array, "T B P"] | None = None,
) -> tuple[Float[Array, "B N"], Float[Array, "T B H"]]:
    """The last state and ``scan(u B) C``; N = 2P. ``u B`` is multiplied by ``scale_TBP``, if given.

    The schedule ``plain`` is the paper's form throughout: the projections too are complex.
    """
    if schedule == "plain":
        c_PH = to_complex(c_2PH.T).conj().T
        bu_TBP = u_TBH @ to_complex(b_H2P)
        bu_TBP = bu_TBP if scale_TBP is None else scale_TBP * bu_TBP
        x_TBP = reference_scan(to_complex(lambda_2P), bu_TBP, reset_TB, to_complex(state_B2P))
        return to_halves(x_TBP[-1]), (x_TBP @ c_PH).real
    bu_TB2P = u_TBH @ b_H2P
    bu_TB2P = bu_TB2P if scale_TBP is None else to_halves(scale_TBP * to_complex(bu_TB2P))
    x_TB2P = resettable_scan(lambda_2P, bu_TB2P, reset_TB, state_B2P, schedule)
    return x_TB2P[-1], x_TB2P @ c_2PH


def discretize(
    lambda_P: Complex[Array, "*#S P"], delta_P: Float[Array, "*#S P"], method: str
) -> tuple[Complex[Array, "*#S P"], Complex[Array, "*#S P"]]:
    """Discrete eigenvalues and the factor that each row of B takes on (S5, section 3.2 and appendix).

    Zero-order hold: ``exp(lambda delta)``, ``(lambda_bar - 1) / lambda``; bilinear:
    ``(1 + lambda delta / 2) / (1 - lambda delta / 2)``, ``delta / (1 - lambda delta / 2)``; Dirac (arXiv 2404.18508):
    ``exp(lambda delta)``, 1.
    """
    if method == "zoh":
        lambda_bar = jnp.exp(lambda_P * delta_P)
        return lambda_bar, (lambda_bar - 1) / lambda_P
    if method == "dirac":
        return jnp.exp(lambda_P * delta_P), jnp.ones_like(lambda_P)
    inverse = 1 / (1 - 0.5 * delta_P * lambda_P)
    return inverse * (1 + 0.5 * delta_P * lambda_P), inverse * delta_P


def _block_eigenpairs(
    state_size: int, num_blocks: int
) -> tuple[Complex[np.ndarray, " P"], Complex[np.ndarray, "2*P P"]]:
    """Eigenvalues and block-diagonal eigenvectors of ``num_blocks`` HiPPO-N blocks."""
    eigenvalues, vectors = hippo_eigenpairs(state_size // num_blocks)
    return np.tile(eigenvalues, num_blocks), np.kron(np.eye(num_blocks), vectors)


def ring(pairs: int) -> Complex[np.ndarray, " P"]:
    """By how much each pair turns in a step, as factors of modulus 1, in an order of their own (not HiPPO's).

    A state with eigenvalue ``exp(i angle) lambda_bar`` remembers the input as seen from a frame that turns with it:
    what stays the same from step to step averages out there, and no longer drowns what came once, long ago. Hence no
    angle 0.
    """
    angles = np.pi * (np.arange(pairs) + 0.5) / pairs
    return np.exp(1j * np.random.default_rng(0).permutation(angles)).astype(np.complex64)


def _log_uniform(low: float, high: float):
    def init(key, shape):
        return jax.random.uniform(key, shape, minval=np.log(low), maxval=np.log(high))

    return init


def _b_init(vectors: np.ndarray, method: BInit):
    """B as halves ``[H, 2P]``: ``V^* B`` transposed, B real ``[N, H]``."""
    axis = -1 if method == "lecun_normal" else -2  # what the initialiser takes for B's inputs: the state, or rightly u

    def init(key, shape):
        real = nn.initializers.lecun_normal(axis, -3 - axis)(key, (shape[0], vectors.shape[0]))
        return to_halves(real @ jnp.asarray(vectors.conj(), jnp.complex64))

    return init


def _c_init(vectors: np.ndarray, method: CInit):
    """C as real halves ``[2P, H]`` such that ``x @ C = 2 Re(C x)`` for the stored half of the spectrum."""

    def init(key, shape):
        pairs, width = shape[0] // 2, shape[1]
        to_eigenbasis = jnp.asarray(vectors.T, jnp.complex64)
        match method:
            case "lecun_normal":  # JAX takes the first axis of three for a receptive field: the fan-in is N H
                parts = nn.initializers.lecun_normal()(key, (width, vectors.shape[0], 2))
                c_PH = to_eigenbasis @ jax.lax.complex(parts[..., 0], parts[..., 1]).T
            case "complex_normal":
                parts = jax.random.normal(key, (2, pairs, width)) * np.sqrt(0.5)
                c_PH = jax.lax.complex(*parts)
            case "fan_in_normal":
                c_PH = to_eigenbasis @ nn.initializers.lecun_normal()(key, (vectors.shape[0], width))
        return 2 * jnp.concatenate([c_PH.real, -c_PH.imag])

    return init
