"""Stated derivatives of every term equal automatic ones, for every oracle, on whole, ragged, dense and sparse rows."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

import benchmark_utils.terms
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.problem import Problem
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.penalties import ExpRidge, NoPenalty, Ridge
from benchmark_utils.terms.quadratic import AffineMap, Quadratic
from benchmark_utils.terms.term import Term
from helpers import CALLS, CARD, make_oracles, small_quadratic

N, FEATURES, CLASSES, BATCH = 23, 6, 3, 5  # the last block holds 3 rows
PENALTIES = {"none": NoPenalty(), "ridge": Ridge(0.3), "feature": ExpRidge(0.2), "class": ExpRidge(0.2, per="class")}


def glm_case(link, penalty, weighted, sparse):
    """Return (term, rows, shape of z, size of x) of a generalised linear term."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N, FEATURES)) * (rng.random((N, FEATURES)) < 0.5)
    labels = rng.integers(0, CLASSES, N)
    n_classes = 1 if link == "logistic" else CLASSES
    targets = np.where(labels > 0, 1.0, -1.0) if link == "logistic" else np.eye(CLASSES)[labels]
    term = GLM(link, PENALTIES[penalty], weighted, n_classes)
    rows = {"features": sp.csr_array(features) if sparse else features, "targets": targets}
    size = N if weighted else CLASSES if penalty == "class" else FEATURES
    return term, rows, (FEATURES,) if n_classes == 1 else (FEATURES, CLASSES), size


def quadratic_case():
    problem = small_quadratic(n=N, m=N)
    return Quadratic(), problem.rows("inner"), (6,), 4


def map_case():
    rng = np.random.default_rng(3)
    rows = dict(zip(("left", "right", "shift"), rng.standard_normal((3, N, FEATURES)), strict=True))
    return AffineMap(), rows, (FEATURES,), FEATURES


CASES = {"quadratic": quadratic_case, "affine map": map_case}
for _link in ("logistic", "multinomial"):
    for _penalty, _weighted in [*((p, False) for p in PENALTIES), ("none", True), ("ridge", True)]:
        if (_link, _penalty) == ("logistic", "class"):
            continue  # one class
        for _sparse in (False, True):
            name = f"{_link}, {_penalty}, {'weighted' if _weighted else 'plain'}, {'sparse' if _sparse else 'dense'}"
            CASES[name] = lambda a=(_link, _penalty, _weighted, _sparse): glm_case(*a)


def problem_of(term, case):
    """Return a problem with one term on both levels (below a map, the quadratic above)."""
    _, rows, shape, size = case
    outer, outer_rows = (term, rows) if not term.is_map else (Quadratic(), small_quadratic(p=6, d=6).rows("outer"))
    splits = {"train": rows, "validation": outer_rows}
    return Problem("case", term, outer, splits, shape, (size,), init=None, evaluator=None, card=CARD)


def differentiated(term):
    """Return the same term without closed forms."""
    cls = type("Differentiated", (type(term),), {"closed_forms": frozenset()})
    return cls(**{field.name: getattr(term, field.name) for field in dataclasses.fields(term)})


@pytest.mark.parametrize("name", CASES)
def test_stated_derivatives_equal_automatic_ones(name, backend):
    case = CASES[name]()
    term = case[0]
    assert term.closed_forms
    stated, automatic = (make_oracles(problem_of(t, case), backend, BATCH) for t in (term, differentiated(term)))
    assert not automatic.spec.terms["inner"].closed_forms
    rng = np.random.default_rng(1)
    p, d = int(np.prod(case[2])), case[3]
    z, x, v = (stated.bk.asarray(rng.standard_normal(size)) for size in (p, d, p))
    ids = [0, stated.spec.partitions["inner"].n_blocks - 1, FULL]
    for call, (_, function) in CALLS.items():
        if term.is_map and call in ("grad_inner_x", "grad_inner_both", "value_inner", "grad_outer", "value_outer"):
            continue  # a map has no value, and F is another term
        for batch in ids:
            found, exact = ([o.bk.to_numpy(a) for a in function(o, z, x, v, batch)] for o in (stated, automatic))
            for a, b in zip(found, exact, strict=True):
                assert a.shape == b.shape
                assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=f"{call} on batch {batch}")
    assert {k: int(c) for k, c in stated.ledger.counts.items()} == {
        k: int(c) for k, c in automatic.ledger.counts.items()
    }


#: Terms whose derivatives are compared in test_embedded_problems.py.
EMBEDDED = {"Poisoned", "Scaled", "Equilibrium", "ReadOut", "LastLayer", "Network"}


def test_every_term_that_states_derivatives_is_compared():
    compared = {type(case()[0]).__name__ for case in CASES.values()} | EMBEDDED
    for module in pkgutil.iter_modules(benchmark_utils.terms.__path__):
        importlib.import_module(f"benchmark_utils.terms.{module.name}")
    todo, found = [Term], set()
    while todo:
        todo += (new := todo.pop().__subclasses__())
        found |= {t.__name__ for t in new if t.__module__.startswith("benchmark_utils.terms") and t.closed_forms}
    assert found <= compared, "add the new terms to CASES"


def test_a_wrong_closed_form_is_seen():
    """The comparison above tells: one per cent in one of the forms."""

    class Wrong(GLM):
        def derivatives(self, xp, want, *args):
            out = super().derivatives(xp, want, *args)
            return out | ({"cross": 1.01 * out["cross"]} if "cross" in out else {})

    case = glm_case("logistic", "feature", False, False)
    wrong = Wrong("logistic", PENALTIES["feature"])
    a, b = (make_oracles(problem_of(t, case), "torch", BATCH) for t in (wrong, differentiated(case[0])))
    z, x, v = (a.bk.asarray(np.ones(FEATURES)) for _ in range(3))
    assert np.abs(a.bk.to_numpy(a.cross(z, x, v, 0) - b.cross(z, x, v, 0))).max() > 1e-6
