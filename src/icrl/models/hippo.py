"""HiPPO-N initialisation of the diagonal state matrix (S5, arXiv 2208.04933, section 3.3 and appendix B).

Everything here runs once, in NumPy, in double precision.
"""

import numpy as np
from jaxtyping import Complex, Float


def hippo_legs(size: int) -> Float[np.ndarray, "N N"]:
    """The HiPPO-LegS matrix ``A`` (arXiv 2008.07669): the memory of a uniform measure over the past.

    ``A_nk = -sqrt(2n+1) sqrt(2k+1)`` below the diagonal, ``-(n+1)`` on it, 0 above, for n, k = 0 .. N-1.
    """
    root = np.sqrt(1 + 2 * np.arange(size))
    return -np.tril(np.outer(root, root)) + np.diag(np.arange(size))


def hippo_normal(size: int) -> Float[np.ndarray, "N N"]:
    """HiPPO-N: the normal part of HiPPO-LegS, ``A + p p^T`` with ``p_n = sqrt(n + 1/2)``."""
    p = np.sqrt(np.arange(size) + 0.5)
    return hippo_legs(size) + np.outer(p, p)


def hippo_eigenpairs(size: int) -> tuple[Complex[np.ndarray, " P"], Complex[np.ndarray, "2*P P"]]:
    """Eigenvalues with positive imaginary part and their eigenvectors, of HiPPO-N of N = 2P.

    HiPPO-N is ``-I/2`` plus a skew-symmetric matrix, so the eigenvectors are those of a Hermitian one, orthonormal, and
    the other half of the spectrum is the conjugate of this one.

    Raises:
        ValueError: ``size`` is odd or not positive.
    """
    if size < 2 or size % 2:
        raise ValueError(f"HiPPO-N size: got {size}; expected a positive even number")
    skew = hippo_normal(size) + 0.5 * np.eye(size)
    imaginary, vectors = np.linalg.eigh(-1j * skew)
    positive = imaginary > 0
    return -0.5 + 1j * imaginary[positive], vectors[:, positive]
