"""Record what every solver computes today, so that rebuilt code can be compared with it.

Usage, from the root of the repository: ``python -m tests.golden.record``

Writes ``cases.json`` (one case a line: parameters, final h, squared stationarity and ledger, or
the sentence with which the solver declines) and ``iterates.npz`` (final z and x of each case).
Everything is float64. The step size of a case is the first of a halving sequence with which both
backends stay finite and agree closely: where they do not, rounding errors grow, and no rebuilt
code could be compared. It takes about ten minutes on two free cores. Do not run it to make a red
test green, only where a change of the numbers is wanted.
"""

import functools
import json
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    # As in tests/conftest.py, and before any framework is imported: a program that differs in its
    # step sizes only is compiled once.
    FOLDER = Path(__file__).parent
    sys.path[:0] = [str(FOLDER.parents[1]), str(FOLDER.parent), str(FOLDER.parent / "contract")]
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    CACHE = FOLDER.parents[1] / ".pytest_cache" / "jax"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

import numpy as np
from test_golden import CASES_FILE, ITERATES_FILE, compute, evaluate

import helpers
from benchmark_utils.running.search_space import BELOW_MU, INVERSE_L

#: Largest difference between backends, relative to max(1, largest entry), that a case may have.
AGREE = 1e-11
#: The search for a step size goes on until they agree this well, as long as it has halvings left.
AGREE_WELL = 1e-13
HALVINGS = 8

#: Problem -> (outer iterations, batch size, first step size, outer_ratio).
PROBLEMS = {
    "simulated": (64, 16, 0.1, 2.0),
    "digits_cleaning": (64, 64, 0.2, 0.01),
    "ijcnn1": (16, 64, 0.1, 0.1),
    "breast_cancer": (64, 16, 0.1, 0.02),
}

#: Outer iterations where those of the problem would take too long for a test.
SHORT = {
    "hoag": {"simulated": 32, "breast_cancer": 8, "digits_cleaning": 16, "ijcnn1": 4},
    "implicit_diff": {"simulated": 16, "breast_cancer": 16, "digits_cleaning": 8, "ijcnn1": 4},
    "optuna": {"simulated": 16, "breast_cancer": 16, "digits_cleaning": 4, "ijcnn1": 2},
    "stable": {"digits_cleaning": 4},  # dense matrices of 640 x 1000
} | dict.fromkeys(
    # full batches of 141,691 rows
    "aid_bio aid_cg aid_fp aid_neumann ba bome g_pbgd itd_bio pzobo v_pbgd".split(),
    {"ijcnn1": 4},
)

#: Short loops everywhere, so that the cases are fast.
STRUCTURE = dict(
    n_inner_steps=3, n_linear_steps=3, n_neumann_steps=4, n_steps=5, max_inner_steps=6,
    max_steps=5, growth=1 / 16, n_directions=3, ramp=20, penalty=5.0,
)  # fmt: skip
OWN_STRUCTURE = {
    # BFGS stops by its tolerance; a cap as low as that of the others would leave it at the start.
    "implicit_diff": dict(max_steps=30, inner_tolerance=1e-2, linear_tolerance=1e-2),
    "optuna": dict(inner_tolerance=1e-1),
}

#: Variants that are algorithms of their own: on ``simulated``, both backends.
VARIANTS = {}
#: Other words of the structure, and numbers for full batches: on ``simulated``, by torch alone
#: where the solver has it, since compiling is slow. A file that has a ``schedule`` has the case
#: ``schedule="constant"`` besides.
WORDS = {
    "aid_bio": [dict(inner_schedule="theory"), dict(batch_size=16)],
    "aid_cg": [dict(warm_start="none"), dict(batch_size=16)],
    "aid_fp": [dict(warm_start="none"), dict(batch_size=16)],
    "aid_neumann": [dict(warm_start="none"), dict(batch_size=16)],
    "alset": [dict(n_inner_steps=1)],
    "amigo": [dict(inner_solver="nesterov"), dict(linear_solver="cg")],
    "ba": [dict(warm_start="z"), dict(batch_size=16)],
    "bome": [dict(barrier="value"), dict(batch_size=16)],
    "bsa": [dict(inner_schedule="theory"), dict(warm_start="none")],
    "bsgm": [dict(length_schedule="constant"), dict(warm_start="z"), dict(warm_start="z_and_v")],
    "g_pbgd": [dict(batch_size=16)],
    "hoag": [dict(decrease="quadratic"), dict(decrease="cubic")],
    "implicit_diff": [dict(inner_solver="lbfgs"), dict(outer_optimiser="sgd")],
    "itd_bio": [dict(truncation=2), dict(warm_start="none"), dict(batch_size=16)],
    "optuna": [dict(sampler="random"), dict(sampler="grid")],
    "pzobo": [
        dict(warm_start="none"),
        dict(batch_size=16),
    ],
    "saba": [dict(memory="zero")],
    "smb": [dict(averaged="x_and_z")],
    "soba": [dict(batch_size="full")],
    "spaba": [dict(period=8)],
    "srba": [dict(period=8)],
    "stocbio": [dict(batch_growth="theory")],
    "v_pbgd": [dict(batch_size=16)],
    "vrbo": [dict(period=8)],
}


def choices(stem, cls, problem):
    """Return [(structure, backends), ...] of a solver on a problem; the first is the default."""
    have = [backend for backend in helpers.BACKENDS if backend in cls.parameters["backend"]]
    found = [({}, have)]
    if problem == "simulated":
        words = WORDS.get(stem, []) + [dict(schedule="constant")] * ("schedule" in cls.parameters)
        found += [(choice, have) for choice in VARIANTS.get(stem, [])]
        found += [(choice, have[-1:]) for choice in words]
    return found


def parameters_of(stem, cls, problem, choice, step_size):
    """Return the parameters of a case: those among our choices that the solver has."""
    _, batch_size, _, outer_ratio = PROBLEMS[problem]
    wanted = dict(STRUCTURE, step_size=step_size, outer_ratio=outer_ratio)
    if cls.parameters.get("batch_size") != ["full"]:
        wanted["batch_size"] = batch_size
    wanted |= OWN_STRUCTURE.get(stem, {}) | choice
    # Every searched value is recorded, so that a start may change later.
    for name, space in cls.search_space.items():
        wanted.setdefault(name, {INVERSE_L: step_size, BELOW_MU: 0.1}.get(space.start, space.start))
    return {name: value for name, value in wanted.items() if name in cls.parameters}


def cases_of(stem, cls, problem, choice, backends):
    """Return [(case, z, x), ...], one for each backend, at the first step size that is robust.

    A solver without a step size takes fewer iterations instead.
    """
    n_iter, _, step_size, _ = PROBLEMS[problem]
    n_iter = SHORT.get(stem, {}).get(problem, n_iter)
    word = "-".join(f"{name}={value}" for name, value in choice.items())
    best, best_off = None, np.inf
    for _ in range(HALVINGS):
        results = []
        parameters = parameters_of(stem, cls, problem, choice, step_size)
        for backend in backends:
            case = dict(
                id="-".join(filter(None, (stem, word, problem, backend))),
                solver=stem, problem=problem, backend=backend, parameters=parameters,
                n_iter=n_iter, quick=is_quick(stem, problem, backend, choice),
            )  # fmt: skip
            began = time.perf_counter()
            results.append((case, compute(case), time.perf_counter() - began))
        if "declined" in results[0][1]:
            best = results
            break
        if len(results) == 2:
            other = results[1][1]
        else:  # only one backend: a step of another rounding stands for the other
            nudged = {k: v * (1 + 1e-15) if k == "step_size" else v for k, v in parameters.items()}
            other = compute(case | dict(parameters=nudged))
        off = difference(results[0][1], other)
        if grew(results[0]):  # finite perhaps, but on its way out
            off = max(off, AGREE)
        if best is None or off < best_off:
            best, best_off = results, off
        if off <= AGREE_WELL:
            break
        if "step_size" in parameters:
            step_size /= 2
        else:
            n_iter = max(1, n_iter // 2)
    else:
        assert best_off <= AGREE, f"{stem} {choice} {problem}: {best_off}"
    report(best, best_off)
    rest = lambda r: {k: v for k, v in r.items() if k not in ("z", "x")}
    return [(case | rest(r), r.get("z"), r.get("x")) for case, r, _ in best]


def is_quick(stem, problem, backend, choice):
    """Return whether each test run takes a case; by jax, which compiles, every second solver."""
    if choice:
        return backend == "torch"
    i, j = sorted(helpers.solver_classes()).index(stem), list(PROBLEMS).index(problem)
    turn = i + 1 if backend == "torch" else i // 2
    return turn % len(PROBLEMS) == j and (backend == "torch" or i % 2 == 0)


@functools.cache
def start_of(problem):
    """Return (z, x, h(x)) at the start of a problem."""
    problem = helpers.dataset_problem(problem)
    z0, x0 = problem.init(np.random.default_rng(0))
    return z0, x0, evaluate(problem, x0)[0]


def grew(result):
    """Return whether h is clearly larger at the end of a run than at its start."""
    case, result, _ = result
    h0 = start_of(case["problem"])[2]
    return not result["h"] <= h0 + 0.1 * abs(h0)


def difference(a, b):
    """Return the largest relative difference of two results; infinite where one is not finite."""
    if a["ledger"] != b["ledger"] or a["n_iter"] != b["n_iter"]:
        return np.inf
    names = ("z", "x", "h", "value")
    off = [np.abs(a[k] - b[k]).max() / max(1.0, np.abs(b[k]).max()) for k in names]
    return max(off) if np.isfinite([*off, *a["z"], *a["x"]]).all() else np.inf


def report(results, off):
    """Print what was found, to see that x and z move and where time goes."""
    case, result, _ = results[0]
    if "declined" in result:
        print(case["id"], "declines:", result["declined"], flush=True)
        return
    z0, x0, h0 = start_of(case["problem"])
    moved = [np.abs(result[k] - start).max() for k, start in (("z", z0), ("x", x0))]
    seconds = " ".join(f"{s:.1f}" for _, _, s in results)
    print(
        f"{case['id']:60} {case['n_iter']} step {case['parameters'].get('step_size', 0):.3g} "
        f"off {off:.1e} moved {moved[0]:.1e} {moved[1]:.1e} "
        f"h {h0:.4g} {result['h']:.6g} s {seconds}",
        flush=True,
    )


def main(stems):
    """Record the cases of all solvers, or print those of the solvers named."""
    rows, failed = [], []
    for problem in PROBLEMS:
        for stem, cls in helpers.solver_classes().items():
            if stems and stem not in stems:
                continue
            for choice, backends in choices(stem, cls, problem):
                try:
                    rows += cases_of(stem, cls, problem, choice, backends)
                except Exception as error:  # the others are worth seeing
                    failed.append(f"{stem} {choice} {problem}: {error!r}")
                    print("FAILED", failed[-1], flush=True)
        if not stems:
            write(rows)
    sys.exit("\n".join(failed) or None)


def write(rows):
    """Write both files."""
    CASES_FILE.write_text("[\n" + ",\n".join(json.dumps(case) for case, *_ in rows) + "\n]\n", encoding="utf-8")
    iterates = {}
    for case, z, x in rows:
        if "declined" not in case:
            iterates |= {f"{case['id']}/z": z, f"{case['id']}/x": x}
    np.savez_compressed(ITERATES_FILE, **iterates)


if __name__ == "__main__":
    main(sys.argv[1:])
