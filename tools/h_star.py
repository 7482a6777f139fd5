"""Find h* = min h of a regularisation problem deterministically: L-BFGS on the exact h from several starts.

Usage: python -m tools.h_star ijcnn1 [starts]

Prints the best value, the norm of the gradient there and the spread over the starts; data set files state the value.
"""

import sys

import numpy as np
import scipy.optimize
from benchopt.benchmark import Benchmark

from tools import write_utf8

#: log-penalties beyond this bound change h by less than rounding.
BOUND = 20.0


def minimise(problem, x0):
    """Return SciPy's result of L-BFGS-B on h from x0, with the exact gradient and warm-started inner solutions."""
    last = [None]

    def value_and_gradient(x):
        last[0] = problem.evaluator.solve(x, last[0])
        return last[0].h, last[0].gradient

    bounds = [(-BOUND, BOUND)] * len(x0)
    options = dict(maxiter=5000, maxfun=10_000, ftol=0.0, gtol=1e-10, maxcor=50)
    return scipy.optimize.minimize(value_and_gradient, x0, jac=True, bounds=bounds, method="L-BFGS-B", options=options)


def main(name, starts=4):
    """Print what `minimise` finds."""
    (cls,) = Benchmark(".").check_dataset_patterns([name], class_only=True)
    problem = cls.get_instance().get_data()["problem"]
    results = []
    for seed in range(starts):
        result = minimise(problem, problem.init(np.random.default_rng(seed))[1] - 2 * seed)
        results.append(result)
        largest = np.abs(result.jac).max()
        print(f"start {seed}: h = {result.fun:.15e}, largest |dh/dx| = {largest:.1e}, {result.nfev} evaluations")
    best = min(results, key=lambda result: result.fun)
    print(f"h* = {best.fun!r}\nx* = {np.array2string(best.x, precision=4, separator=', ')}")


if __name__ == "__main__":
    write_utf8()
    main(sys.argv[1], *map(int, sys.argv[2:3]))
