"""Every word of every choice and the edges of every integer give a run or a sentence, never a traceback."""

import pytest

import helpers
from benchmark_utils.running.search_space import Choice, Int, hyper_parameter_names
from helpers import small_quadratic, stated_steps

CLASSES = helpers.solver_classes()


def words_of(cls):
    """Return dict of parameter to its words; whole numbers are stood for by ``int``."""
    words = {name: tuple(options) for name, options in cls.choices.items()}
    return words | {n: s.options for n, s in cls.search_space.items() if isinstance(s, Choice) and n not in words}


def integers_of(cls):
    """Return the names of the parameters that are whole numbers, or may be."""
    whole = lambda name: (
        isinstance(cls.search_space.get(name), Int)
        or type(cls.parameters[name][0]) is int
        or int in words_of(cls).get(name, ())
    )
    return [name for name in cls.parameters if whole(name)]


def outcome(cls, name, value):
    """Return the sentence with which a solver declines a value, or None after a run of two iterations."""
    backend = "torch" if "torch" in cls.parameters["backend"] else "jax"
    common = {"batch_size": 16, **stated_steps(cls), "backend": backend, name: value}
    solver = cls.get_instance(**{k: v for k, v in common.items() if k in cls.parameters})
    rules = helpers.Rules(precision="float64", max_iterations=2)
    skip, sentence = solver.skip(problem=small_quadratic().view, rules=rules)
    if skip:
        assert isinstance(sentence, str)
        assert sentence
        return sentence
    helpers.at_start(solver, small_quadratic(), **rules._asdict())
    solver.run(lambda: True)
    result = solver.get_result()
    assert result["n_iter"] == 2 or result["diverged"]
    return None


@pytest.mark.parametrize("file_stem", CLASSES)
def test_every_word_runs_or_is_declined_and_no_other_word_is_taken(file_stem):
    cls = CLASSES[file_stem]
    for name, options in words_of(cls).items():
        ran = [outcome(cls, name, option) is None for option in options if option is not int]
        assert any(ran), f"no word of {name} runs on the quadratic"
        sentence = outcome(cls, name, "nonsense")
        assert f"{name} is 'nonsense'; choose one of " in sentence
        for option in options:
            assert ("a whole number" if option is int else repr(option)) in sentence


@pytest.mark.slow
@pytest.mark.parametrize("file_stem", CLASSES)
def test_edges_of_every_integer_run_or_are_declined_by_name(file_stem):
    cls = CLASSES[file_stem]
    for name in integers_of(cls):
        least = cls.least.get(name, 1)
        sentence = outcome(cls, name, least)
        assert sentence is None or name in sentence or "n_grid_points" in sentence
        for value in (least - 1, 2.5, least + 0.5, "many", -3, True, 10**12, "1e300", 10**400, [3], None):
            sentence = outcome(cls, name, value)
            assert sentence is not None, f"{name} = {value!r} is taken"
            assert name in sentence
            assert "least" in sentence or "choose" in sentence
        if name != "batch_size":
            assert "tuned" in cls.parameters[name] or isinstance(cls.parameters[name][0], (int, str))


@pytest.mark.parametrize("file_stem", CLASSES)
def test_a_whole_number_may_be_written_with_a_point_or_as_text(file_stem):
    cls = CLASSES[file_stem]
    for name in integers_of(cls):
        values = [getattr(helpers.resolved(cls, **{name: given}), name) for given in (3, 3.0, "3")]
        assert [(value, type(value)) for value in values] == [(3, int)] * 3


@pytest.mark.slow
@pytest.mark.parametrize("file_stem", CLASSES)
def test_zero_of_every_hyper_parameter_runs_or_is_declined_by_name(file_stem):
    cls = CLASSES[file_stem]
    for name in hyper_parameter_names(cls):
        sentence = outcome(cls, name, 0.0)
        assert sentence is None or name in sentence


@pytest.mark.parametrize("file_stem", CLASSES)
def test_numbers_that_make_no_sense_are_declined_by_name(file_stem):
    cls = CLASSES[file_stem]
    for name in hyper_parameter_names(cls):
        for value in (-1.0, float("nan"), float("inf"), "much", True, None):
            sentence = outcome(cls, name, value)
            assert f"{name} is {value!r}" in sentence or f"{name} is -1" in sentence
    for name in {"step_size", "outer_ratio"} & set(hyper_parameter_names(cls)):
        assert "nothing would move" in outcome(cls, name, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("file_stem", CLASSES)
def test_huge_numbers_run_or_are_declined_by_name(file_stem):
    cls = CLASSES[file_stem]
    for name in hyper_parameter_names(cls):
        for value in (1e300, 10**400):
            sentence = outcome(cls, name, value)
            assert sentence is None or name in sentence, f"{name} = {value!r}: {sentence}"
