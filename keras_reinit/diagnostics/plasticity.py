"""Measures of how well a network can still learn, on arrays."""

import numpy as np


def dormant(activity, threshold):
    """Which units of a layer are dormant (Sokar et al. 2023, arXiv 2302.12902).

    Args:
        activity: Array of shape (units,), each unit's mean |h|.
        threshold: Float >= 0, of the score, a unit's activity over the layer's mean: 1
            is that of an average unit.

    Returns:
        Boolean array of shape (units,).

    Example:

    >>> dormant(np.array([0.0, 1.0, 3.0]), threshold=0.025)
    array([ True, False, False])
    """
    return activity / (np.mean(activity) + 1e-9) <= threshold


def effective_rank(features):
    """The exponential of the entropy of normalized singular values.

    Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality".

    Args:
        features: Array of shape (examples, features), or of its singular values.

    Returns:
        Float in [1, min(examples, features)], or 0 for zeros.

    Example:

    >>> round(effective_rank(np.eye(4)), 6)
    4.0
    """
    values = singular_values(features)
    share = values / values.sum() if values.any() else values[:0]
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share)))) if share.size else 0.0


def stable_rank(features):
    """The squared Frobenius norm over the squared spectral norm, ||A||_F^2 / ||A||_2^2.

    Dohare et al. 2024 use this name for another measure, `srank`.

    Args:
        features: Array of shape (examples, features), or of its singular values.

    Returns:
        Float in [1, rank], or 0 for zeros.

    Example:

    >>> round(stable_rank(np.diag([2.0, 1.0, 1.0])), 6)
    1.5
    """
    values = np.square(singular_values(features))
    return float(values.sum() / values.max()) if values.any() else 0.0


def srank(features, delta=0.01):
    """The smallest number of singular values that hold 1 - delta of their sum.

    Kumar et al. 2021, "Implicit Under-Parameterization Inhibits Data-Efficient Deep
    Reinforcement Learning" (arXiv 2010.14498). Dohare et al. 2024 call it stable rank.

    Args:
        features: Array of shape (examples, features), or of its singular values.
        delta: Float in [0, 1).

    Returns:
        Integer in [1, rank], or 0 for zeros.

    Example:

    >>> srank(np.diag([50.0, 49.0, 1.0]))
    2
    """
    values = singular_values(features)
    if not values.any():
        return 0
    shares = np.cumsum(values) / values.sum()  # Largest first.
    return int(np.sum(shares < 1 - delta)) + 1


def norm(arrays):
    """The Euclidean norm of all numbers of some arrays together, a float."""
    # In double precision, which many small numbers need.
    return float(np.sqrt(sum(np.sum(np.square(a, dtype="float64")) for a in arrays)))


def singular_values(features):
    """Returns the singular values of a matrix, largest first; a vector as it is."""
    features = np.asarray(features, "float64")
    return features if features.ndim == 1 else np.linalg.svd(features, compute_uv=False)
