"""The version of a problem changes with what is solved, and with nothing else."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import helpers
from benchmark_utils.builders.quadratic import quadratic_problem
from benchmark_utils.problem.feasible_set import Box
from benchmark_utils.problem.version import fingerprint, version_of
from benchmark_utils.running.rules import VERSION
from benchmark_utils.statistics.labels import told_apart, whole_runs
from made_up_results import FIELD, results


def with_rows(problem, split, name, array):
    """Return the problem with one array of a split replaced."""
    return dataclasses.replace(problem, splits=problem.splits | {split: problem.splits[split] | {name: array}})


def changes():
    """Yield (what, problem) for problems that differ from `small_quadratic` in one thing."""
    problem = helpers.small_quadratic()
    rows = problem.splits["train"]["a"]
    entry, shorter = rows.copy(), {name: a[:-1] for name, a in problem.splits["train"].items()}
    entry[3, 2] *= 1 + 1e-3
    yield "an entry", with_rows(problem, "train", "a", entry)
    yield "the order of the rows", with_rows(problem, "train", "a", rows[::-1].copy())
    yield "the number of rows", dataclasses.replace(problem, splits=problem.splits | {"train": shorter})
    yield "a row of the test split", dataclasses.replace(problem, splits=problem.splits | {"test": shorter})
    yield "the start", dataclasses.replace(problem, init=lambda rng: (np.ones(6), np.zeros(4)))
    yield "the set", dataclasses.replace(problem, feasible_set=Box(-1.0, 1.0))
    yield "a bound of the set", dataclasses.replace(problem, feasible_set=Box(-1.0, 2.0))
    yield "the shuffle", dataclasses.replace(problem, data_seed=problem.data_seed + 1)
    yield "h*", dataclasses.replace(problem, h_star=problem.h_star + 0.1)
    yield "the formula", dataclasses.replace(problem, card=dataclasses.replace(problem.card, formula="G = F"))
    yield "the generator's seed", quadratic_problem(70, 50, 6, 4, mu=0.5, L=1.0, L_cross=0.2, seed=1)


@pytest.mark.parametrize(("what", "changed"), [pytest.param(*pair, id=pair[0]) for pair in changes()])
def test_what_is_solved_is_part_of_the_version(what, changed):
    assert version_of(changed) != helpers.small_quadratic().version, what


def test_parameters_of_terms_are_part_of_the_version():
    problem = helpers.small_sparse()
    penalty = dataclasses.replace(problem.inner.penalty_term, scale=2 * problem.inner.penalty_term.scale)
    other = dataclasses.replace(problem, inner=dataclasses.replace(problem.inner, penalty_term=penalty))
    assert version_of(other) != problem.version


def test_the_same_data_have_the_same_version_whatever_rounds_and_whatever_is_worded():
    make = lambda: quadratic_problem(70, 50, 6, 4, mu=0.5, L=1.0, L_cross=0.2, seed=0)
    problem = make()
    assert re.fullmatch("[0-9a-f]{12}", problem.version)
    assert make().version == problem.version
    rng = np.random.default_rng(0)
    last_bits = lambda a: a * (1 + 1e-15 * rng.standard_normal(a.shape))
    for _ in range(20):
        train = {name: last_bits(a) for name, a in problem.splits["train"].items()}
        rounded = dataclasses.replace(problem, splits=problem.splits | {"train": train})
        assert version_of(rounded) == problem.version
    card = dataclasses.replace(problem.card, title="Another title", notes="a note")
    assert version_of(dataclasses.replace(problem, card=card)) == problem.version


def test_sparse_rows_have_the_fingerprint_of_dense_ones():
    rows = sp.random_array((50, 20), density=0.2, format="csr", rng=np.random.default_rng(0))
    assert fingerprint(rows) == fingerprint(rows.toarray())
    assert fingerprint(rows) != fingerprint(rows[:, ::-1])
    assert fingerprint(np.zeros((3, 2))) != fingerprint(np.zeros((2, 3)))


def test_one_label_of_many_rows_is_seen():
    rows = np.random.default_rng(0).standard_normal((1_000_000, 20))
    before = fingerprint(rows)
    rows[777_777, 7] += 1
    assert fingerprint(rows) != before


def test_a_run_records_the_version_on_both_backends(backend):
    versions = set()
    for _ in range(2):
        problem = quadratic_problem(70, 50, 6, 4, mu=0.5, L=1.0, L_cross=0.2, seed=0)
        objective = helpers.objective_class().get_instance()
        objective.set_data(problem)
        solver = helpers.make_solver(helpers.solver_classes()["soba"], problem, 2, backend=backend, batch_size=16)
        solver.run(lambda: True)
        row = objective.evaluate_result(**solver.get_result())
        assert type(row["problem_version"]) is str
        versions.add(row["problem_version"])
    assert versions == {helpers.small_quadratic().version}


def test_runs_of_two_versions_are_never_taken_together():
    df = results(FIELD, objective_problem_version="a", run_date="1")
    other = results(FIELD, objective_problem_version="b", run_date="2")
    df = pd.concat([df, other], ignore_index=True)
    assert "objective_problem_version" in told_apart(df)
    assert len(whole_runs(df)) == len(df)


def test_the_version_of_the_rules_is_that_of_the_changelog():
    text = (helpers.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\d+\.\d+)\.\d+$", text, flags=re.MULTILINE)[1]
    project = (helpers.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert newest == VERSION
    assert f'version = "{VERSION}.' in project
