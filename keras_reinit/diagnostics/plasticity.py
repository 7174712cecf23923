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
        features: Array of shape (examples, features).

    Returns:
        Float in [1, min(examples, features)], or 0 for zeros.

    Example:

    >>> round(effective_rank(np.eye(4)), 6)
    4.0
    """
    values = _singular(features)
    share = values / values.sum() if values.any() else values[:0]
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share)))) if share.size else 0.0


def stable_rank(features):
    """The squared Frobenius norm over the squared spectral norm, ||A||_F^2 / ||A||_2^2.

    Args:
        features: Array of shape (examples, features).

    Returns:
        Float in [1, rank], or 0 for zeros.

    Example:

    >>> round(stable_rank(np.diag([2.0, 1.0, 1.0])), 6)
    1.5
    """
    values = np.square(_singular(features))
    return float(values.sum() / values.max()) if values.any() else 0.0


def norm(arrays):
    """The Euclidean norm of all numbers of some arrays together, a float."""
    # In double precision, which many small numbers need.
    return float(np.sqrt(sum(np.sum(np.square(a, dtype="float64")) for a in arrays)))


def _singular(features):
    return np.linalg.svd(np.asarray(features, "float64"), compute_uv=False)
