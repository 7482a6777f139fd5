"""The file of tuned values of a problem, and where its numbers come from."""

import datetime

import filelock
import yaml

from benchmark_utils.files.provenance import environment
from benchmark_utils.files.whole import write_whole
from benchmark_utils.running import search_space
from benchmark_utils.tuning.protocol import at_the_edge

#: First lines of every file.
HEAD = "# Tuned values, written by `python -m tools.tune`; see tuned/README.md and docs/tuning.md.\n"


def significant(value, digits=4):
    """Return a number with a few significant digits, so that the file reads well; anything else unchanged."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def entry(solver_class, problem, protocol, outcomes, finalists, given=None):
    """Return (values, provenance) of a solver, for its problem's file.

    Parameters
    ----------
    outcomes : list of Outcome
        Of all trials, the start of the ranges first.
    finalists : list of Outcome
        Of the best ones, run again; the first is taken.

    Raises
    ------
    ValueError
        If every configuration diverged, or some have not been run yet.
    """
    if len(outcomes) < protocol.n_trials and protocol.sampler != "grid":
        raise ValueError(
            f"{len(outcomes)} of {protocol.n_trials} trials have finished; the others are being run by another worker. "
            "Run the same command when it is done."
        )
    if not finalists:
        raise ValueError(
            f"all {len(outcomes)} configurations of {solver_class.name} on {problem.name} diverged or left no finite "
            "score; widen its search_space downwards or raise the budget."
        )
    chosen = finalists[0]
    values = {name: significant(value) for name, value in chosen.values.items()}
    facts = environment(problem, protocol.seed, {})
    record = {
        "protocol": protocol.sampler,
        "trials": len(outcomes),
        "diverged_trials": sum(not o.score < float("inf") for o in outcomes),
        "seeds": protocol.seeds(),
        "max_samples_of_a_run": float(protocol.max_samples),
        "precision": protocol.precision,
        "finalists": len(finalists),
        "final_seeds": protocol.final_seeds(),
        "final_runs_that_diverged": chosen.n_failed,
        "score": significant(chosen.score, 8),
        "score_at_the_start": significant(outcomes[0].score, 8),
        "samples": int(sum(o.samples for o in [*outcomes, *finalists])),
        "seconds": round(sum(o.seconds for o in [*outcomes, *finalists]), 1),
        "versions": {name: facts["versions"][name] for name in ("jax", "torch", "numpy")},
        "commit": facts["git_commit"],
        "date": datetime.date.today().isoformat(),
    }
    if given:
        record["with"] = dict(given)
    edges = at_the_edge(solver_class.search_space, chosen.values)
    if edges:
        record["at_the_edge_of_the_range"] = edges
    return values, record


def write(problem_name, solver_name, values, record):
    """Put a solver's values into the file of a problem: written beside and renamed, one writer at a time."""
    path = search_space.TUNED_FOLDER / f"{problem_name}.yml"
    path.parent.mkdir(exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.stem}.lock")):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        content = content or {}
        for key, value in (("solvers", values), ("tuned_with", record)):
            content[key] = dict(sorted((content.get(key, {}) | {solver_name: value}).items()))
        text = HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_whole(path, text)
    search_space.tuned_values.cache_clear()
    return path
