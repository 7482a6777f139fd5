"""Blocks average to the full sum, streams are reproducible, independent of chunks and of each other."""

import itertools
import json
import re

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmark_utils.oracles.blocks import Partition, by_columns, make_blocks
from benchmark_utils.oracles.draws import PERIODS, DrawStreams, bernoulli, inner, integers, iterations_of, normal, outer
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.oracles.oracles import FULL
from helpers import CALLS, make_oracles, small_quadratic

RAGGED = {"simulated": 16, "ijcnn1": 5000, "digits_cleaning": 64}


@pytest.mark.parametrize("call", CALLS)
def test_average_over_blocks_is_the_full_sum(problem_name, problem, backend, call):
    oracles = make_oracles(problem, backend, RAGGED[problem_name])
    level, function = CALLS[call]
    part = oracles.spec.partitions[level]
    assert part.last_size < part.batch_size, "the last block must be ragged"
    rng = np.random.default_rng(0)
    sizes = (problem.inner_size, problem.outer_size, problem.inner_size)
    z, x, v = (oracles.bk.asarray(rng.standard_normal(size)) for size in sizes)
    full = [oracles.bk.to_numpy(a) for a in function(oracles, z, x, v, FULL)]
    blocks = [[oracles.bk.to_numpy(a) for a in function(oracles, z, x, v, i)] for i in range(part.n_blocks)]
    for expected, parts in zip(full, zip(*blocks, strict=True), strict=True):
        scale = max(1.0, np.abs(expected).max())
        assert_allclose(np.mean(parts, axis=0), expected, rtol=0, atol=1e-12 * scale)
    if not (problem_name == "ijcnn1" and call in ("cross", "grad_inner_x")):  # there only the penalty depends on x
        assert max(np.abs(a - b).max() for a, b in zip(full, blocks[0], strict=True)) > 1e-6, "blocks must differ"


@pytest.mark.parametrize("batch_size", [16, 35])
def test_a_full_pass_goes_block_by_block_where_rows_are_kept_by_columns(batch_size):
    """Under JAX nothing has all rows of a level as an operand; 70 rows are 5 blocks of 16, one ragged, or 2 of 35."""
    problem = small_quadratic()
    oracles, rows = make_oracles(problem, "jax", batch_size), problem.rows("inner")
    rng = np.random.default_rng(1)
    z, x, v = (rng.standard_normal(size) for size in (6, 4, 6))
    operations = str(jax.make_jaxpr(lambda *at: oracles.inner_joint(*at, FULL))(z, x, v))
    assert "scan" in operations
    assert not re.search(r"\[(70|80),\d+\]", operations)
    oracles = make_oracles(problem, "jax", batch_size)
    D_z, Hv, Cv = map(oracles.bk.to_numpy, oracles.inner_joint(*map(oracles.bk.asarray, (z, x, v)), FULL))
    a, r, s, c = (rows[name] for name in "arsc")
    assert_allclose(D_z, (a.T @ (a @ z) + s.T @ (r @ x)) / 70 + c.mean(0), rtol=0, atol=1e-12)
    assert_allclose(Hv, a.T @ (a @ v) / 70, rtol=0, atol=1e-12)
    assert_allclose(Cv, r.T @ (s @ v) / 70, rtol=0, atol=1e-12)
    assert oracles.ledger.counts == dict.fromkeys(ORACLES, 0) | dict.fromkeys(("grad_inner", "hvp", "cross"), 70)


def test_each_row_is_in_exactly_one_block():
    arrays = {"a": np.arange(1.0, 23.0)}
    blocks = make_blocks(arrays, Partition.of(22, 5), seed=0)
    real = blocks.weights > 0
    assert real.sum() == 22
    assert_array_equal(np.sort(blocks.ids[real]), np.arange(22))
    assert_array_equal(blocks.arrays["a"][real], blocks.ids[real] + 1.0)
    assert not blocks.arrays["a"][~real].any()
    assert_array_equal(real.sum(axis=1), Partition.of(22, 5).sizes())


def test_short_rows_and_no_others_are_kept_by_columns():
    rng, part = np.random.default_rng(0), Partition.of(70, 16)
    targets = rng.standard_normal(70)
    for columns, kept in ((1, False), (6, True), (16, True), (17, False)):
        blocks = make_blocks({"a": rng.standard_normal((70, columns)), "targets": targets}, part, seed=0)
        put = by_columns(blocks).arrays
        assert hasattr(put["a"], "blocks") == kept
        assert_array_equal(put["a"].blocks.swapaxes(1, 2) if kept else put["a"], blocks.arrays["a"])
        assert_array_equal(put["targets"], blocks.arrays["targets"])


def test_block_draws_are_uniform_and_repeat_no_block_on_purpose():
    draws = DrawStreams({"xi": inner()}, {"inner": Partition.of(40, 10)}, seed=3).take(40_000)["xi"]
    share = np.bincount(draws, minlength=4) / len(draws)
    assert_allclose(share, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / len(draws)))
    again = np.mean(draws[1:] == draws[:-1])
    assert_allclose(again, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / len(draws)))


PLAN = {"a": inner(3), "b": outer(), "c": integers(0, 7), "d": bernoulli(0.3), "e": normal(2)}
PARTITIONS = {"inner": Partition.of(101, 10), "outer": Partition.of(77, 10)}


def test_streams_do_not_depend_on_how_they_are_cut():
    whole = DrawStreams(PLAN, PARTITIONS, seed=5).take(23)
    streams = DrawStreams(PLAN, PARTITIONS, seed=5)
    pieces = [streams.take(n) for n in (1, 5, 2, 15)]
    for role, expected in whole.items():
        assert_array_equal(np.concatenate([piece[role] for piece in pieces]), expected)


def test_a_role_more_leaves_the_others_unchanged():
    few = DrawStreams({"a": PLAN["a"]}, PARTITIONS, seed=5).take(9)
    many = DrawStreams(PLAN, PARTITIONS, seed=5).take(9)
    assert_array_equal(few["a"], many["a"])
    assert not np.array_equal(DrawStreams(PLAN, PARTITIONS, seed=6).take(9)["a"], many["a"])


def test_partition_refuses_a_batch_larger_than_the_data():
    with pytest.raises(ValueError, match="batch_size is 23 but the level has 22 samples"):
        Partition.of(22, 23)
    assert Partition.of(22, "full") == Partition(22, 22, 1, 22)


SHUFFLED = ("reshuffled", "shuffled_once")


@pytest.mark.parametrize("sampling", SHUFFLED)
def test_without_replacement_every_block_comes_once_a_pass(sampling):
    drawn = DrawStreams(PLAN, PARTITIONS, seed=5, sampling=sampling).take(33)
    passes = drawn["a"].ravel().reshape(-1, 11)
    assert_array_equal(np.sort(passes, axis=1), np.tile(np.arange(11), (len(passes), 1)))
    same = [np.array_equal(a, b) for a, b in itertools.pairwise(passes)]
    assert all(same) if sampling == "shuffled_once" else not any(same)
    assert not np.array_equal(np.argsort(drawn["a"].ravel()[:8]), np.argsort(drawn["b"][:8])), "roles are independent"
    for role in ("c", "d", "e"):  # what is no batch is drawn as ever
        assert_array_equal(drawn[role], DrawStreams(PLAN, PARTITIONS, seed=5).take(33)[role])


@pytest.mark.parametrize("sampling", SHUFFLED)
def test_without_replacement_neither_cuts_nor_a_resume_change_the_draws(sampling):
    make = lambda: DrawStreams(PLAN, PARTITIONS, seed=5, sampling=sampling)
    whole, streams, pieces = make().take(40), make(), []
    for n in (1, 5, 2, 15, 17):
        pieces.append(streams.take(n))
        position, streams = json.loads(json.dumps(streams.position())), make()
        streams.go_to(position)
    for role, expected in whole.items():
        assert_array_equal(np.concatenate([piece[role] for piece in pieces]), expected)


@pytest.mark.parametrize(
    ("period", "iterations"),
    [
        ("epoch_hundredth", 10),
        ("epoch_half", 500),
        ("epoch", 1000),
        ("epochs_8", 8000),
        ("epochs_512", 512_000),
        (7, 7),
    ],
)
def test_periods_in_epochs_are_iterations(period, iterations):
    partitions = {"inner": Partition.of(6400, 10), "outer": Partition.of(3600, 5)}
    plan = {"z": inner(), "full": bernoulli(0.5)}  # ten samples an iteration of ten thousand
    assert iterations_of(period, plan, partitions) == iterations
    assert set(PERIODS) == {"epoch_hundredth", "epoch_half", "epoch", "epochs_8", "epochs_512"}


def test_a_period_is_at_least_one_iteration():
    partitions = {"inner": Partition.of(10, 10), "outer": Partition.of(10, 10)}
    assert iterations_of("epoch_hundredth", {"z": inner()}, partitions) == 1
