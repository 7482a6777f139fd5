"""Draw the random search of Table 3 of Grazzi, Pontil and Salzo (JMLR 2023), and rank what it found.

    python -m tools.poisoning_search draw 6 > configs/papers/poisoning_table_3_search.yml
    python -m tools.poisoning_search draw 6 outer_batch_size=90
    python -m tools.poisoning_search draw 8 after=6    # the next eight, in turn of the methods
    python -m tools.poisoning_search rank outputs/reference/poisoning_table_3_search*.parquet [k]

``draw`` writes a run configuration: so many configurations of each of the six methods, log-uniform in the published
ranges, each from a stream of its own, so that more of them begin with the same. ``after`` leaves out those that ran
before; the methods take turns then, so that a search that is cut short has as many of each. ``rank`` orders the last
rows of each method, of all files given, by validation accuracy after training anew, as published, and prints the best
one and mean and standard deviation of the best k (3). The paper draws 200 and takes the best 10.
"""

import sys

import numpy as np
import pandas as pd

from benchmark_utils.statistics.final import read_rows
from tools import write_utf8

SEED, BATCH, BUDGET = 2, 90, 2e6

#: Ranges of lengths, of steps of z and v, and of x.
LENGTH, STEP, OUTER_STEP = (10, 1e4), (1e-4, 10.0), (1e3, 1e9)

DATA_SET = "mnist_poisoning[projection=sequential,exact=False,retrain=100,checkpoints=2]"

HEADER = """# Data poisoning of MNIST, the random search of Table 3 of Grazzi, Pontil and Salzo (JMLR 24(167), 2023,
# arXiv:2202.03397) with its ranges, budget and batches, written by `python -m tools.poisoning_search draw {arguments}`;
# the paper draws 200 configurations a method. Trained anew by 100 steps instead of 1,000, which is for the best.
"""


# ------------------------------------- methods: a stream -> (parameters, step of z, step of x)
def _draw(rng, bounds):
    return float(f"{np.exp(rng.uniform(*np.log(bounds))):.3g}")


def stocbio(rng):
    """T steps of z from its last value, K of the series and J = K cross products."""
    n, k = int(_draw(rng, LENGTH)), int(_draw(rng, LENGTH))
    lengths = {"n_inner_steps": n, "n_neumann_steps": k, "n_cross_batches": k}
    return lengths | {"neumann_step": _draw(rng, STEP)}, _draw(rng, STEP), _draw(rng, OUTER_STEP)


def amigo(rng):
    """T = K = J, both loops from their last values, one step for both."""
    n = int(_draw(rng, LENGTH))
    lengths = dict.fromkeys(("n_inner_steps", "n_linear_steps", "n_cross_batches"), n)
    return lengths | {"linear_ratio": 1.0}, _draw(rng, STEP), _draw(rng, OUTER_STEP)


def bsgm(rng):
    """T = K = J, both loops from zero, one step for both."""
    fixed = {"length_schedule": "constant", "schedule": "constant", "decay_offset": 1000.0, "linear_ratio": 1.0}
    return {"n_steps": int(_draw(rng, LENGTH)), **fixed}, _draw(rng, STEP), _draw(rng, OUTER_STEP)


def alset(rng):
    """One step of z, K of v from zero, one cross product."""
    fixed = {"n_inner_steps": 1, "linear_solver": "sgd", "n_neumann_steps": 1, "schedule": "constant"}
    lengths = {"n_linear_steps": int(_draw(rng, LENGTH)), "neumann_step": _draw(rng, STEP)}
    return fixed | lengths, _draw(rng, STEP), _draw(rng, OUTER_STEP)


def alset_dagger(rng):
    """One step of z, one of v, a step of its own each, one cross product."""
    step, of_v = _draw(rng, STEP), _draw(rng, STEP)
    return {"schedule": "constant", "linear_ratio": float(f"{of_v / step:.3g}")}, step, _draw(rng, OUTER_STEP)


def alset_dagger_det(rng):
    """One step each of z and v, the same, with all rows of G."""
    return {"schedule": "constant", "linear_ratio": 1.0}, _draw(rng, STEP), _draw(rng, OUTER_STEP)


METHODS = {
    "StocBiO": stocbio,
    "AmIGO": amigo,
    "BSGM": bsgm,
    "ALSET-dagger-DET": alset_dagger_det,
    "ALSET-dagger": alset_dagger,
    "ALSET": alset,
}


def configurations(method, n, outer_batch_size="full", after=0):
    """Return ``n`` solvers as `benchopt run -s` takes them, those that come after the first ``after``."""
    rng, out = np.random.default_rng([SEED, list(METHODS).index(method)]), []
    for _ in range(after + n):
        own, step, outer_step = METHODS[method](rng)
        common = {"backend": "jax", "batch_size": BATCH, "outer_batch_size": outer_batch_size}
        steps = {"step_size": step, "outer_ratio": float(f"{step / outer_step:.3g}")}
        values = ",".join(f"{name}={value}" for name, value in (common | own | steps).items())
        out.append(f"{method}[{values}]")
    return out[after:]


def draw(n, outer_batch_size="full", after=0):
    """Return the text of a run configuration with ``n`` configurations of each method, after the first ``after``."""
    n, after = int(n), int(after)
    sampled = "" if outer_batch_size == "full" else f" outer_batch_size={outer_batch_size}"
    later = f" after={after}" if after else ""
    lines = [HEADER.format(arguments=f"{n}{sampled}{later}").rstrip(), "objective:"]
    lines += [f'  - "Bilevel[max_seconds=600.0,max_samples={BUDGET}]"', "dataset:", f'  - "{DATA_SET}"', "solver:"]
    drawn = [configurations(method, n, outer_batch_size, after) for method in METHODS]
    lines += [f'  - "{solver}"' for group in (zip(*drawn, strict=True) if after else drawn) for solver in group]
    name = "poisoning_table_3_search" + ("_sampled" if sampled else "") + (f"_{after + 1}_{after + n}" if after else "")
    lines += ["n-repetitions: 1", "max-runs: 1000", "timeout: 3000", "seed: 0", f"output: {name}"]
    return "\n".join(lines) + "\n"


def rank(frame, k=3):
    """Return a table of the methods, strongest attack first, accuracies in per cent.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows of a run on mnist_poisoning, all of them.
    k : int
        Configurations in the means; all that ended in finite numbers where there are fewer.
    """
    last = frame.sort_values("stop_val").drop_duplicates("solver_name", keep="last")  # NaN included
    last["method"] = last["solver_name"].str.split("[").str[0]
    rows = []
    for method, group in last.groupby("method"):
        finite = group[group["objective_diverged"] == 0].dropna(subset="objective_validation_error_retrained")
        best = finite.sort_values("objective_validation_error_retrained", ascending=False)  # the strongest attack
        test, validation = (100 * (1 - best[f"objective_{s}_error_retrained"]) for s in ("test", "validation"))
        if not len(best):
            rows.append({"method": method, "runs": len(group), "finite": 0})
            continue
        top = slice(0, k)
        rows.append(
            {
                "method": method,
                "runs": len(group),
                "finite": len(best),
                "test": test.iloc[0],
                "validation": validation.iloc[0],
                "test, best k": f"{test.iloc[top].mean():.2f} ± {test.iloc[top].std(ddof=0):.2f}",
                "validation, best k": f"{validation.iloc[top].mean():.2f} ± {validation.iloc[top].std(ddof=0):.2f}",
                "solver": best["solver_name"].iloc[0],
            }
        )
    return pd.DataFrame(rows).sort_values("validation", ignore_index=True)


def main(arguments):
    """Draw a search or rank the result of one."""
    if len(arguments) < 2 or arguments[0] not in ("draw", "rank"):
        raise SystemExit(__doc__)
    options = dict(a.split("=", 1) for a in arguments[2:] if "=" in a)
    if arguments[0] == "draw":
        print(draw(arguments[1], **options), end="")
    else:
        k = [int(a) for a in arguments[1:] if a.isdigit()]
        table = rank(pd.concat([read_rows(a) for a in arguments[1:] if not a.isdigit()]), *k[:1])
        print(table.to_string(float_format="{:.2f}".format))


if __name__ == "__main__":
    write_utf8()
    main(sys.argv[1:])
