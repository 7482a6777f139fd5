"""Random bilevel quadratics with rank-one samples."""

import numpy as np

from benchmark_utils.evaluation.quadratic import QuadraticEvaluator
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.problem.problem import Problem
from benchmark_utils.terms.quadratic import Quadratic

#: Draws of the data until h is strongly convex; the conditions asked for make the first one succeed usually.
ATTEMPTS = 20


def _orthonormal(rng, n, k):
    return np.linalg.qr(rng.standard_normal((n, k)))[0]


def _level(rng, n, p, d, mu, L, L_cross):
    """Return the factor arrays of one level: mean Hessians with spectra logspace(mu, L), rank one for each sample."""

    def factors(size, spectrum):
        return np.sqrt(n) * _orthonormal(rng, n, size) * np.sqrt(spectrum) @ _orthonormal(rng, size, size).T

    spectrum_x = np.geomspace(mu, L, d)
    spectrum_x[0] = 0  # one flat direction in x
    k = min(p, d)
    shared = np.sqrt(n) * _orthonormal(rng, n, k) * np.sqrt(np.geomspace(mu, L_cross, k))
    return {
        "a": factors(p, np.geomspace(mu, L, p)),
        "b": factors(d, spectrum_x),
        "r": shared @ _orthonormal(rng, d, k).T,
        "s": shared @ _orthonormal(rng, p, k).T,
        "c": rng.standard_normal((n, p)),
        "e": rng.standard_normal((n, d)),
    }


def quadratic_problem(n, m, p, d, mu, L, L_cross, seed):
    """Build the simulated problem.

    Parameters
    ----------
    n, m : int
        Inner and outer samples, each at least max(p, d).
    p, d : int
        Inner and outer dimensions.
    mu, L, L_cross : float
        Smallest and largest eigenvalues of the mean Hessians, largest singular value of the mean cross term.
    seed : int
        Data seed.

    Raises
    ------
    NotBuilt
        If there are fewer samples than dimensions, or no draw gives a strongly convex h.
    """
    if min(n, m) < max(p, d):
        raise NotBuilt(f"simulated needs at least max(p, d) = {max(p, d)} samples a level, got n = {n} and m = {m}.")
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        inner, outer = _level(rng, n, p, d, mu, L, L_cross), _level(rng, m, p, d, mu, L, L_cross)
        evaluator = QuadraticEvaluator(inner, outer)
        if np.linalg.eigvalsh(evaluator.h_hessian)[0] > 1e-3 * mu:
            break
    else:
        raise NotBuilt(
            f"no strongly convex h in {ATTEMPTS} draws with p = {p}, d = {d}, mu = {mu}, L = {L}; lower "
            f"L_cross = {L_cross} or change the seed."
        )
    x_star = evaluator.minimiser()
    card = Card(
        title="Simulated quadratics",
        formula="G, F = 1/n sum_i 1/2 (a_i.z)^2 + 1/2 (b_i.x)^2 + (r_i.x)(s_i.z) + c_i.z + e_i.x",
        source="drawn at construction from the data seed",
        licence="none needed",
        splits={"inner": n, "outer": m},
        notes=f"mean spectra logspace({mu}, {L}), cross terms up to {L_cross}; rank-one samples in factor form; a "
        "generator of this project's own, not the published one",
    )
    return Problem(
        name="simulated",
        inner=Quadratic(),
        outer=Quadratic(),
        splits={"train": inner, "validation": outer},
        inner_shape=(p,),
        outer_shape=(d,),
        init=lambda rng: (np.zeros(p), np.full(d, -2.0)),
        evaluator=evaluator,
        card=card,
        h_star=evaluator.solve(x_star).h,
        data_seed=seed,
    )
