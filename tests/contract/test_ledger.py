"""The ledger equals a hand count: from the draws, block by block, the ragged last one included."""

import numpy as np
import pytest

import helpers
from benchmark_utils.oracles.blocks import Partition
from benchmark_utils.oracles.draws import DrawStreams, bernoulli, inner, integers, outer
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.running.solver import BilevelSolver

N_ITER = 37
SIZES = {"inner": Partition.of(70, 16).sizes(), "outer": Partition.of(50, 16).sizes()}


def drawn_samples(solver_class, **parameters):
    """Return dict of role to the number of samples drawn in N_ITER iterations, recomputed from the seed."""
    plan = helpers.resolved(solver_class, batch_size=16, **parameters).draws()
    partitions = {"inner": Partition.of(70, 16), "outer": Partition.of(50, 16)}
    draws = DrawStreams(plan, partitions, seed=0).take(N_ITER)
    return {role: int(SIZES[plan[role].kind][ids].sum()) for role, ids in draws.items()}


def soba(drawn):
    return dict(grad_inner=drawn["xi"], hvp=drawn["xi"], cross=drawn["xi"], grad_outer=drawn["zeta"])


def saba(drawn):
    count = soba(drawn)
    first_pass = dict(grad_inner=70, grad_outer=50)  # v = 0: no products
    return {name: count[name] + first_pass.get(name, 0) for name in count}


def double_loop(drawn):
    return dict(grad_inner=drawn["z"], hvp=drawn["v"], cross=drawn["x"], grad_outer=drawn["f"])


def subbio(drawn):
    return double_loop(drawn) | dict(hvp=3 * drawn["v"])


def lancbio(drawn):  # with one vector every iteration starts anew
    return double_loop(drawn) | dict(hvp=2 * drawn["v"])


def anil(drawn):  # two steps, and the way back through them
    steps = {name: 2 * drawn["xi"] for name in ("grad_inner", "hvp", "cross")}
    return steps | dict(grad_outer=drawn["zeta"])


def maml(drawn):
    return anil(drawn) | dict(grad_inner_x=2 * drawn["xi"])


CASES = {
    "anil": ({"n_inner_steps": 2}, anil),
    "maml": ({"n_inner_steps": 2}, maml),
    "soba": ({}, soba),
    "saba": ({"memory": "full"}, saba),
    "saba-zero": ({"memory": "zero"}, soba),
    "stocbio": ({"n_inner_steps": 5, "n_neumann_steps": 7}, double_loop),
    "amigo": ({"n_inner_steps": 4, "n_linear_steps": 6}, double_loop),
    "stfbo": ({}, soba),
    "dtfbo": ({"n_inner_steps": 4, "n_linear_steps": 6}, double_loop),
    "subbio": ({"n_inner_steps": 4}, subbio),
    "lancbio": ({"n_inner_steps": 4, "dimension": 1}, lancbio),
}


@pytest.mark.parametrize("case", CASES)
def test_ledger_equals_hand_count(case, backend):
    parameters, count_by_hand = CASES[case]
    cls = helpers.solver_classes()[case.split("-")[0]]
    result = helpers.run(cls, helpers.small_quadratic(), N_ITER, backend=backend, batch_size=16, **parameters)
    expected = dict.fromkeys(ORACLES, 0) | count_by_hand(drawn_samples(cls, **parameters))
    assert result["counts"] == expected
    assert all(type(count) is int for count in result["counts"].values())


def test_an_estimator_for_each_direction_costs_what_it_reads(backend):
    """PnPBO by default: D_z at two points; D_v and D_x at two points too, or in full passes of all rows at one."""
    cls, period = helpers.solver_classes()["pnpbo"], 5
    result = helpers.run(cls, helpers.small_quadratic(), N_ITER, backend=backend, batch_size=16, period=period)
    partitions = {"inner": Partition.of(70, 16), "outer": Partition.of(50, 16)}
    plan = {"xi": inner(), "zeta": outer(), "full": bernoulli(1 / period)}
    draws = DrawStreams(plan, partitions, seed=0).take(N_ITER)
    full = draws["full"] == 1
    full[0] = True
    assert 1 < full.sum() < N_ITER
    xi, zeta = SIZES["inner"][draws["xi"]], SIZES["outer"][draws["zeta"]]
    products = int(np.where(full, 70, 2 * xi).sum())
    assert result["counts"] == dict.fromkeys(ORACLES, 0) | dict(
        grad_inner=int(2 * xi.sum()), hvp=products, cross=products, grad_outer=int(np.where(full, 50, 2 * zeta).sum())
    )


def test_large_batches_cost_what_they_read(backend):
    cls, period, k = helpers.solver_classes()["spaba"], 3, 2
    solver = helpers.make_solver(
        cls, helpers.small_quadratic(), N_ITER, backend=backend, precision="float64", batch_size=16, period=period,
        large_batch=k,
    )  # fmt: skip
    solver.run(lambda: True)
    draws = DrawStreams(solver.plan, solver.partitions, seed=0).take(N_ITER)
    large = draws["full"] == 1
    large[0] = False
    assert 3 < large.sum() < N_ITER - 3
    small = ~large & (np.arange(N_ITER) > 0)  # at the start all rows, and gradients alone
    inner_, outer_ = (
        int(SIZES[level][draws[f"large_{role}"]][large].sum() + 2 * SIZES[level][draws[role]][small].sum())
        for level, role in (("inner", "xi"), ("outer", "zeta"))
    )
    expected = dict(grad_inner=inner_ + 70, grad_outer=outer_ + 50, hvp=inner_, cross=inner_)
    assert solver.get_result()["counts"] == dict.fromkeys(ORACLES, 0) | expected


def test_ragged_blocks_are_drawn_in_these_tests():
    drawn = drawn_samples(helpers.solver_classes()["soba"])
    assert drawn["xi"] < 16 * N_ITER
    assert drawn["zeta"] < 16 * N_ITER


def test_full_batches_cost_all_samples(backend):
    result = helpers.run(
        helpers.solver_classes()["stocbio"], helpers.small_quadratic(), 3, backend=backend, batch_size="full",
        n_inner_steps=2, n_neumann_steps=4,
    )  # fmt: skip
    assert result["counts"] == dict.fromkeys(ORACLES, 0) | dict(
        grad_inner=3 * 2 * 70, hvp=3 * 4 * 70, cross=3 * 70, grad_outer=3 * 50
    )


@pytest.mark.parametrize("rare", [False, True])
def test_control_flow_counts_what_ran(backend, rare):

    class Branching(BilevelSolver):
        name = "Branching"
        parameters = {"backend": ["jax"], "batch_size": [16]}

        def draws(self):
            return {"xi": inner(5), "length": integers(0, 5), "coin": bernoulli(0.4)}

        @classmethod
        def state_class(cls):
            return helpers.solver_classes()["soba"].state_class()

        def step(self, s, oracles, hp, draws):
            z = oracles.repeat(draws.length, lambda k, z: z - 0.1 * oracles.grad_inner(z, s.x, draws.xi[k]), s.z)
            v = oracles.cond(
                draws.coin,
                lambda v: oracles.hvp(z, s.x, v, "full"),
                lambda v: v + oracles.grad_outer(z, s.x, 0)[0],
                s.v,
                rare=rare,
            )
            return s._replace(z=z, v=v, t=s.t + 1)

    solver = helpers.make_solver(
        Branching, helpers.small_quadratic(), N_ITER, backend=backend, precision="float64", batch_size=16
    )
    solver.run(lambda: True)
    partitions = {"inner": Partition.of(70, 16), "outer": Partition.of(50, 16)}
    draws = DrawStreams(solver.draws(), partitions, seed=0).take(N_ITER)
    used = np.arange(5) < draws["length"][:, None]
    assert (draws["length"] == 0).any()
    coins = int(draws["coin"].sum())
    assert 0 < coins < N_ITER
    assert solver.get_result()["counts"] == dict.fromkeys(ORACLES, 0) | dict(
        grad_inner=int(SIZES["inner"][draws["xi"]][used].sum()), hvp=70 * coins, grad_outer=16 * (N_ITER - coins)
    )
