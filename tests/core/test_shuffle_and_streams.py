"""Rows are shuffled once by the data seed; streams of roles are independent of each other."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from benchmark_utils.oracles.blocks import Partition, make_blocks
from benchmark_utils.oracles.draws import DrawStreams, bernoulli, inner, integers, normal, outer

PARTITIONS = {"inner": Partition.of(101, 10), "outer": Partition.of(101, 10)}


def order(n, batch_size, seed):
    """Return the numbers of the rows in the order of the blocks."""
    blocks = make_blocks({"a": np.arange(float(n))}, Partition.of(n, batch_size), seed)
    return blocks.ids[blocks.weights > 0]


def test_rows_are_shuffled_by_the_seed_and_not_by_the_size_of_the_blocks():
    first = order(200, 16, seed=1)
    assert np.mean(first == np.arange(200)) < 0.05
    assert np.mean(first == order(200, 16, seed=2)) < 0.05
    for batch_size in (1, 7, 200, "full"):
        assert_array_equal(order(200, batch_size, seed=1), first)


def test_every_row_weighs_the_same_and_padding_nothing():
    for n, batch_size in ((22, 5), (20, 5), (7, 7), (9, 1)):
        part = Partition.of(n, batch_size)
        weights = make_blocks({"a": np.ones(n)}, part, seed=1).weights
        assert_allclose(np.sort(weights.ravel())[-n:], part.n_blocks / n, rtol=1e-15)
        assert not np.sort(weights.ravel())[:-n].any()
        assert_allclose(weights.sum(axis=1).mean(), 1, rtol=1e-15)


def test_no_two_roles_have_the_same_draws():
    plan = {"a": inner(), "b": inner(), "c": outer(), "d": outer()}
    drawn = list(DrawStreams(plan, PARTITIONS, seed=4).take(2000).values())
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            assert abs(np.mean(a == b) - 1 / 11) < 4 * np.sqrt(10 / 121 / 2000)


def test_looking_at_draws_does_not_move_on():
    plan = {"a": inner(3), "b": normal(2), "c": bernoulli(0.3)}
    streams, untouched = (DrawStreams(plan, PARTITIONS, seed=4) for _ in range(2))
    seen = streams.peek(5)
    for role, expected in untouched.take(5).items():
        assert_array_equal(seen[role], expected)
    for role, drawn in streams.take(5).items():
        assert_array_equal(drawn, seen[role])


def test_a_position_is_gone_to_in_other_streams():
    plan = {"a": inner(3), "b": normal(2), "c": bernoulli(0.3)}
    streams, others = (DrawStreams(plan, PARTITIONS, seed=seed) for seed in (4, 9))
    streams.take(3)
    others.go_to(streams.position())
    expected, drawn = streams.take(7), others.take(7)
    for role in plan:
        assert_array_equal(drawn[role], expected[role])


def test_ranges_and_probabilities_are_those_asked_for():
    drawn = DrawStreams({"n": integers(2, 6), "b": bernoulli(0.2)}, PARTITIONS, seed=0).take(4000)
    assert_array_equal(np.unique(drawn["n"]), [2, 3, 4, 5])
    assert abs(drawn["b"].mean() - 0.2) < 4 * np.sqrt(0.16 / 4000)
    assert set(np.unique(drawn["b"])) == {0, 1}
