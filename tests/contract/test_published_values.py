"""The search spaces contain the values with which other benchmarks and papers published their curves."""

import pytest

import helpers
from benchmark_utils.running.search_space import Log

#: Method -> (step of z, step of z over step of x): the best of their grids in the configurations that were published
#: with the poster of SABA (2022) and with SRBA (2024): IJCNN1, covtype, hyper-cleaning with .5, .7, .9 wrong labels,
#: quadratics.
STEPS = {
    "amigo": [(0.125, 0.316), (0.03125, 0.1), (1e-3, 1e-5), (0.125, 0.1), (0.01, 0.1), (1e-3, 1e-6)],
    "mrbo": [(0.5, 0.0316), (1, 0.01), (0.1, 1e-4), (0.1, 0.1), (1, 1e-6)],
    "vrbo": [(0.0625, 1), (0.25, 0.01), (0.1, 1e-4), (0.1, 1e-3), (0.0625, 0.0316), (0.1, 1e-5)],
    "saba": [(0.125, 1), (0.1, 1e-3), (0.01, 1e-4), (0.25, 1)],
    "stocbio": [(0.125, 1), (0.0625, 0.01), (0.01, 1e-5), (0.25, 1), (0.1, 1), (100, 1)],
    "srba": [(0.25, 1), (0.03125, 0.01), (1e-3, 1e-5), (0.5, 1), (0.1, 1)],
    "soba": [(0.03125, 0.01), (1, 0.01), (1, 1e-4), (1, 1e-3)],
    "fsla": [(0.03125, 0.01), (1, 0.01), (1, 1e-4), (1, 1e-5), (1, 1e-3)],
    "sustain": [(0.5, 0.1), (0.5, 0.01), (0.1, 1e-4)],
    "ttsa": [(0.5, 0.0316), (0.5, 0.01), (0.1, 1e-5)],
    "bsa": [(0.5, 0.01), (0.1, 1e-5)],
    "pzobo": [(0.5, 0.316), (0.25, 0.01), (0.01, 0.01), (1, 0.01)],
    "f2sa": [(0.1, 1), (0.1, 1e-4)],
    "aid_cg": [(100, 1)],  # 20 Newsgroups of stocBiO, with the next two
    "aid_fp": [(100, 1)],
    "itd_bio": [(100, 1), (0.05, 25)],
}
#: Method -> other values of the same sources, and the lengths of the poisoning table of BSGM.
OTHERS = {
    "amigo": {"n_inner_steps": (10, 155), "n_linear_steps": (10, 155)},
    "bsgm": {"n_steps": (10, 287, 10_000)},
    "stocbio": {"n_inner_steps": (10, 200, 418), "n_neumann_steps": (3, 10, 2477)},
    "alset": {"n_linear_steps": (85,)},
    "mrbo": {"momentum": (0.5,), "inner_momentum": (0.5,), "n_neumann_steps": (10,)},
    "sustain": {"momentum": (0.5,), "inner_momentum": (0.5,), "n_neumann_steps": (10,)},
    "pzobo": {"smoothing": (0.01, 0.1), "n_directions": (1, 10)},
    "f2sa": {"penalty": (1,), "n_inner_steps": (10,)},
    "itd_bio": {"n_inner_steps": (5, 10, 20)},
    "maml": {"n_inner_steps": (3, 5)},
    "anil": {"n_inner_steps": (5, 10, 20)},
}


def contains(space, value):
    """Return whether a range holds a value."""
    if isinstance(space, Log):
        return space.low <= value <= space.high
    return space.low <= value <= space.high and value == int(value)


@pytest.mark.parametrize("file", STEPS)
def test_steps_that_were_published_can_be_found_by_the_tuner(file):
    space = helpers.solver_classes()[file].search_space
    for step_size, outer_ratio in STEPS[file]:
        assert contains(space["step_size"], step_size), step_size
        assert contains(space["outer_ratio"], outer_ratio), outer_ratio


@pytest.mark.parametrize("file", OTHERS)
def test_lengths_and_weights_that_were_published_can_be_found_by_the_tuner(file):
    space = helpers.solver_classes()[file].search_space
    for name, values in OTHERS[file].items():
        assert [value for value in values if not contains(space[name], value)] == [], name
