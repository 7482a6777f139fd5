"""Minimisation on the host to a tolerance on the gradient."""

import numpy as np
import scipy.optimize


def lbfgs(value_and_gradient, z0, tolerance, relative=False, precision="float64", max_iterations=1000):
    """Minimise on the host with SciPy's L-BFGS-B, until the gradient is small in the Euclidean norm.

    Parameters
    ----------
    value_and_gradient : callable
        ``z -> (value, gradient)``.
    z0 : array of shape (p,)
    tolerance : float
        Stop at ``‖gradient‖ <= tolerance``, or where a decrease is below the rounding of ``precision``.
    relative : bool
        Whether ``tolerance`` is a fraction of the norm of the gradient at z0.
    precision : {"float32", "float64"}
        Precision of the values.
    max_iterations : int

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``nfev`` is the number of calls of ``value_and_gradient``.
    """
    value, gradient = value_and_gradient(z0)
    size = np.linalg.norm(gradient)
    tolerance = tolerance * size if relative else tolerance
    if not size > tolerance:  # SciPy would look at the largest entry instead
        return scipy.optimize.OptimizeResult(x=z0, fun=value, jac=gradient, nfev=1, nit=0)
    first = [(value, gradient)]

    def evaluate(z):  # SciPy's first call is at z0 again
        nonlocal gradient
        value, gradient = first.pop() if first else value_and_gradient(z)
        return value, gradient

    def stop(intermediate_result):  # called after a line search, whose last evaluation is the new iterate
        if np.linalg.norm(gradient) <= tolerance:
            raise StopIteration

    options = {
        "maxiter": max_iterations,
        "maxfun": 20 * max_iterations,
        "gtol": 0.0,
        "ftol": float(np.finfo(precision).eps),
    }
    return scipy.optimize.minimize(evaluate, z0, method="L-BFGS-B", jac=True, callback=stop, options=options)
