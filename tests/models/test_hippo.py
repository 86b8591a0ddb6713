"""HiPPO matrices by hand, and their spectrum by another route."""

import numpy as np
import pytest

from icrl.models.hippo import hippo_eigenpairs, hippo_legs, hippo_normal


def test_hippo_legs_of_size_four_by_hand():
    r3, r5, r7, r15, r21, r35 = np.sqrt([3, 5, 7, 15, 21, 35])
    np.testing.assert_allclose(
        hippo_legs(4),
        [
            [-1, 0, 0, 0],
            [-r3, -2, 0, 0],
            [-r5, -r15, -3, 0],
            [-r7, -r21, -r35, -4],
        ],
        rtol=1e-14,
    )


def test_hippo_normal_of_size_two_by_hand():
    # p = (sqrt(1/2), sqrt(3/2)): A + p p^T = [[-1 + 1/2, r3/2], [-r3 + r3/2, -2 + 3/2]].
    half_r3 = np.sqrt(3) / 2
    np.testing.assert_allclose(hippo_normal(2), [[-0.5, half_r3], [-half_r3, -0.5]], rtol=1e-14)


@pytest.mark.parametrize("size", [2, 4, 16, 64])
def test_hippo_normal_commutes_with_its_transpose(size: int):
    matrix = hippo_normal(size)
    np.testing.assert_allclose(matrix @ matrix.T, matrix.T @ matrix, atol=1e-9 * size**2)


@pytest.mark.parametrize("size", [2, 4, 16, 64])
def test_eigenvalues_are_those_of_the_dense_matrix(size: int):
    eigenvalues, _ = hippo_eigenpairs(size)
    dense = np.linalg.eigvals(hippo_normal(size))
    half = dense[dense.imag > 0]
    np.testing.assert_allclose(np.sort(eigenvalues.imag), np.sort(half.imag), rtol=1e-9)
    np.testing.assert_allclose(eigenvalues.real, -0.5)
    np.testing.assert_allclose(dense.real, -0.5, atol=1e-9)


@pytest.mark.parametrize("size", [2, 4, 16, 64])
def test_eigenvectors_and_their_conjugates_are_an_orthonormal_eigenbasis(size: int):
    eigenvalues, vectors = hippo_eigenpairs(size)
    assert vectors.shape == (size, size // 2)
    basis = np.concatenate([vectors, vectors.conj()], axis=1)
    spectrum = np.concatenate([eigenvalues, eigenvalues.conj()])
    np.testing.assert_allclose(basis.conj().T @ basis, np.eye(size), atol=1e-12)
    np.testing.assert_allclose(basis * spectrum @ basis.conj().T, hippo_normal(size), atol=1e-10 * size)


@pytest.mark.parametrize("size", [-2, 0, 3])
def test_a_size_without_conjugate_pairs_is_refused(size: int):
    with pytest.raises(ValueError, match=f"HiPPO-N size: got {size}; expected a positive even number"):
        hippo_eigenpairs(size)
