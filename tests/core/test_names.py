"""Every name that benchopt prints selects the same configuration when it is pasted back."""

import functools
import math

import pytest
import yaml
from benchopt.benchmark import Benchmark
from benchopt.utils.parametrized_name_mixin import _get_used_parameters

import helpers
from benchmark_utils.running.search_space import Choice, Int, Log

BENCHMARK = Benchmark(helpers.ROOT)
for listing in ("get_solvers", "get_datasets"):  # benchopt loads every file again for each pattern
    setattr(BENCHMARK, listing, functools.cache(getattr(BENCHMARK, listing)))
SELECT = {
    "solver": (BENCHMARK.get_solvers(), BENCHMARK.check_solver_patterns),
    "dataset": (BENCHMARK.get_datasets(), BENCHMARK.check_dataset_patterns),
    "objective": ([BENCHMARK.get_benchmark_objective()], BENCHMARK.check_objective_filters),
}
CLASSES = [(kind, cls) for kind, (classes, _) in SELECT.items() for cls in classes]

#: Floats as Python writes them.
FLOATS = (1e-05, 0.1 + 0.2, 1e16, 2.0, 1e300, 123456789.0)


def selected(kind, pattern):
    """Return the instances that benchopt makes of a pattern, a string or a dict as in a configuration file."""
    return [
        cls.get_instance(**parameters)
        for cls, given in SELECT[kind][1]([pattern])
        for parameters in _get_used_parameters(cls, given)
    ]


def values_of(cls, name, default):
    """Return values that a parameter may take."""
    space, words = getattr(cls, "search_space", {}).get(name), getattr(cls, "choices", {}).get(name, ())
    found = [7 if word is int else word for word in words]
    if isinstance(space, Choice):
        found += space.options
    elif isinstance(space, Int):
        found += [space.low, space.high]
    elif isinstance(space, Log):
        found += [space.low, space.high, *FLOATS]
    elif isinstance(default, float):
        found += [*FLOATS, math.inf]
    elif isinstance(default, bool):
        found += [True, False]
    elif isinstance(default, int):
        found += [default + 1, 10**12]
    return [default, *found]


def variants(cls):
    """Yield parameters of instances in which one parameter after the other has each of its values."""
    yield {}
    for names, (default, *others) in cls.parameters.items():
        for name, value in zip(names.split(","), default if "," in names else [default], strict=True):
            for other in [*values_of(cls, name.strip(), value), *([] if "," in names else others)]:
                yield {name.strip(): other}


@pytest.mark.parametrize(("kind", "cls"), CLASSES, ids=lambda value: getattr(value, "name", value))
def test_every_printed_name_can_be_pasted_back(kind, cls):
    for parameters in variants(cls):
        printed = cls.get_instance(**parameters)
        (pasted,) = selected(kind, str(printed))
        assert str(pasted) == str(printed)
        for name, value in printed._parameters.items():
            found = getattr(pasted, name)
            assert (found, type(found)) == (value, type(value)), f"{name} of {printed}"


@pytest.mark.parametrize("text", ["inf", "1e5", "100000", "1.0e+5"])
def test_numbers_that_arrive_as_text_are_numbers_in_the_name_and_in_the_results(text):
    for pattern in (f"Bilevel[max_samples={text}]", yaml.safe_load(f"Bilevel: {{max_samples: {text}}}")):
        (objective,) = selected("objective", pattern)
        assert type(objective.max_samples) is float
        assert type(objective._parameters["max_samples"]) is float
        assert objective.max_samples == float(text)
        assert f"max_samples={float(text)}," in str(objective)


def test_one_value_has_one_name():
    for given in (("3", 3, 3.0), ("3e-1", 0.3), (1, 1.0, "1")):
        names = {str(helpers.solver_classes()["soba"].get_instance(step_size=value)) for value in given}
        assert len(names) == 1
        assert f"step_size={float(given[0])}" in names.pop().strip("]").split(",")
    names = {str(helpers.solver_classes()["aid_cg"].get_instance(n_inner_steps=n)) for n in (3, 3.0, "3", "3.0")}
    assert len(names) == 1
    assert "n_inner_steps=3," in names.pop()


def test_what_is_no_number_stays_as_it_was_given():
    cls = helpers.solver_classes()["soba"]
    for value in ("nonsense", None, True, [1, 2], {"a": 1}, ""):
        assert cls.get_instance(step_size=value).step_size is value
