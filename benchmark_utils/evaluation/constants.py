"""What a problem's page states: facts of its card and numbers measured on its data, in float64."""

import copy

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from benchmark_utils.evaluation.glm import DENSE_LIMIT, GLMEvaluator
from benchmark_utils.evaluation.quadratic import QuadraticEvaluator
from benchmark_utils.problem.namespace import xp

#: Step of the finite differences of h in one coordinate of x.
STEP = 0.03


def measure(problem):
    """Return dict of numbers measured at the start x0; absent where the problem's evaluator does not tell.

    Returns
    -------
    dict
        ``mu`` and ``L``, the extreme eigenvalues of the Hessian of G in z at z*(x0); ``L_start``, the largest at
        z0; ``noise_inner`` and ``noise_outer``, the standard deviation of one sample's gradient in z, in norm, at
        z*(x0); ``h`` and ``gradient_norm``; ``test_error`` at z*(x0).
    """
    if problem.evaluator is None:
        return {}
    z0, x0 = problem.init(np.random.default_rng(0))
    solution = problem.evaluator.solve(x0)
    out = {"h": solution.h, "gradient_norm": float(np.linalg.norm(solution.gradient))}
    if problem.metrics is not None:
        out["test_error"] = problem.metrics(solution.z, x0, solution).get("test_error")
    if isinstance(problem.evaluator, GLMEvaluator):
        return out | _glm(problem.evaluator, z0, x0, solution)
    return out | (_quadratic(problem, x0, solution) if isinstance(problem.evaluator, QuadraticEvaluator) else {})


def gradient_check(problem, n=20, seed=0):
    """Return (largest relative error, coordinates) of grad h against central differences of h, drawn at random.

    Fourth-order differences of solutions up to a hundred times more accurate than those of the checkpoints. Drawn
    are coordinates with at least a thousandth of the largest entry: those below drown in the rounding of h. Where the
    start has fewer than ``n`` of them, places around it follow until ``n`` have been checked. Without an evaluator the
    result is None.
    """
    if problem.evaluator is None:
        return None
    reference = copy.copy(problem.evaluator)
    if isinstance(reference, GLMEvaluator):
        reference.tolerance = max(1e-2 * reference.tolerance, 1e-12)
        reference.adjoint_tolerance = max(1e-2 * reference.adjoint_tolerance, 1e-10)
    step = getattr(reference, "difference_step", STEP)
    rng = np.random.default_rng(seed)
    x, errors = problem.init(rng)[1], []
    while len(errors) < n:
        solution = reference.solve(x)
        size = np.abs(solution.gradient)
        candidates = np.flatnonzero(size >= 1e-3 * size.max())
        for k in rng.choice(candidates, size=min(n - len(errors), len(candidates)), replace=False):
            unit = np.zeros(len(x))
            unit[k] = step
            h = [reference.solve(x + j * unit, solution).h for j in (-2, -1, 1, 2)]
            difference = (h[0] - 8 * h[1] + 8 * h[2] - h[3]) / (12 * step)
            errors.append(abs(difference - solution.gradient[k]) / size[k])
        x = x + 0.5 * rng.standard_normal(len(x))
    return max(errors), len(errors)


def _glm(reference, z0, x0, solution):
    w, q = reference.row_weights(x0), reference.penalty_diagonal(x0)
    z = solution.z.reshape(reference.shape)
    out = {}
    for name, at in (("L", z), ("L_start", z0.reshape(reference.shape))):
        u = reference.A @ at[reference.used]
        if reference.size <= DENSE_LIMIT:
            values = np.linalg.eigvalsh(reference.dense_hessian(u, w, q))
            out[name] = values[-1]
            if name == "L":
                out["mu"] = values[0]
        else:
            hessian = reference.hessian(u, w, q[reference.used])
            product = lambda v, hessian=hessian: hessian.product(v.reshape(hessian.q.shape)).ravel()
            operator = scipy.sparse.linalg.LinearOperator((hessian.q.size,) * 2, matvec=product, dtype=np.float64)
            start = np.random.default_rng(0).standard_normal(hessian.q.size)
            values = scipy.sparse.linalg.eigsh(operator, k=1, v0=start, tol=1e-4, return_eigenvectors=False)
            # The smallest is the penalty's: one vector added to the coefficients of all classes changes no loss.
            out[name], out["mu"] = values[0], q.min()
    n = len(w)
    u = reference.A @ z[reference.used]
    residual = (n * w if u.ndim == 1 else n * w[:, None]) * reference.loss.gradient(xp, u, reference.y)
    out["noise_inner"] = _deviation(reference.A, residual)
    residual = reference.outer_loss.gradient(xp, reference.B @ z, reference.t)
    out["noise_outer"] = _deviation(reference.B, residual)
    return {name: float(value) for name, value in out.items()}


def _deviation(rows, residual):
    """Return the standard deviation, in norm, of the gradients ``rows_i residual_i`` of the samples."""
    squares = rows.multiply(rows) if sp.issparse(rows) else rows * rows
    residual = residual.reshape(len(residual), -1)
    second = np.mean(np.asarray(squares.sum(axis=1)).ravel() * np.sum(residual**2, axis=1))
    mean = rows.T @ residual / len(residual)
    return np.sqrt(max(second - np.sum(mean**2), 0.0))


def _quadratic(problem, x0, solution):
    if not isinstance(problem.evaluator, QuadraticEvaluator):
        return {}
    values = scipy.linalg.eigvalsh(problem.evaluator.A)
    out = {"mu": float(values[0]), "L": float(values[-1]), "L_start": float(values[-1])}
    for name, level in (("noise_inner", problem.rows("inner")), ("noise_outer", problem.rows("outer"))):
        a, r, s, c = (level[key] for key in "arsc")
        gradients = a * (a @ solution.z)[:, None] + s * (r @ x0)[:, None] + c
        out[name] = float(np.sqrt(np.mean(np.sum((gradients - gradients.mean(axis=0)) ** 2, axis=1))))
    return out


# ---------------------------------------------------------------------- the page
def number(value):
    """Return a number as text with three significant digits."""
    return "–" if value is None else f"{value:.3g}"


def section(name, problem, measured, check):
    """Return the Markdown section of a problem.

    Parameters
    ----------
    name : str
        How the data set is called in a run.
    measured : dict
        From `measure`.
    check : tuple (float, int) or None
        From `gradient_check`.
    """
    card = problem.card
    features = problem.rows("inner").get("features")
    rows = ", ".join(f"{count:,} {split}" for split, count in card.splits.items())
    lines = [
        f"## {card.title}",
        "",
        f"`{name}`",
        "",
        f"> {card.formula}",
        "",
        "| | |",
        "| --- | --- |",
        f"| rows | {rows} |",
        f"| z, x | {problem.inner_size:,} and {problem.outer_size:,} entries |",
    ]
    if sp.issparse(features):
        share = features.nnz / (features.shape[0] * features.shape[1])
        lines.append(f"| inner features | sparse, {features.nnz:,} entries ({number(100 * share)} %) |")
    if "L" in measured:
        mu, L = measured.get("mu"), measured["L"]
        condition = L / mu if mu else None
        lines += [
            f"| μ, L of G at z\\*(x₀) | {number(mu)}, {number(L)} |",
            f"| condition number | {number(condition)} |",
            f"| L of G at z₀ | {number(measured.get('L_start'))} |",
            f"| noise: deviation of one sample's ∇_z G, ∇_z F at z\\*(x₀) | {number(measured.get('noise_inner'))}, "
            f"{number(measured.get('noise_outer'))} |",
        ]
    if "h" in measured:
        lines.append(f"| h(x₀), ‖∇h(x₀)‖ | {number(measured['h'])}, {number(measured['gradient_norm'])} |")
    else:
        lines.append("| h | not known: there is no exact solution of the lower level |")
    if measured.get("test_error") is not None:
        lines.append(f"| test error at z\\*(x₀) | {number(measured['test_error'])} |")
    if check is not None:
        error, n = check
        lines.append(f"| ∇h against central differences | largest relative error of {n} coordinates {error:.0e} |")
    lines += [f"| source | {card.source} |", f"| licence | {card.licence} |"]
    if card.notes:
        lines.append(f"| notes | {card.notes} |")
    for file, digest in card.hashes.items():
        kind, value = digest.split(":", 1) if ":" in digest else ("sha256", digest)
        lines.append(f"| {kind} of `{file}` | `{value}` |")
    return "\n".join(lines) + "\n"
