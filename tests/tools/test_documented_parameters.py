"""Every parameter of every solver is documented, in order, and nothing else is."""

import importlib.util
import re
from pathlib import Path

import pytest

from benchmark_utils.running.search_space import Choice, Log
from tools import docs, docstrings

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "solvers").glob("*.py"), key=lambda path: path.stem)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def cls(request):
    """Return the solver class of a file, templates included."""
    spec = importlib.util.spec_from_file_location(f"documented_{request.param.stem}", request.param)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Solver


def test_every_parameter_is_documented_and_nothing_else(cls):
    assert list(docstrings.read(cls).parameters) == list(cls.parameters)


def test_allowed_words_are_those_that_are_documented(cls):
    documented = docstrings.read(cls).parameters
    # A search may be over some of the words only.
    words = {name: s.options for name, s in cls.search_space.items() if isinstance(s, Choice)} | cls.choices
    for name, options in words.items():
        assert set(re.findall(r'"(.+?)"', documented[name].kind)) == {w for w in options if isinstance(w, str)}, name
        assert ("int" in documented[name].kind) == (int in options), name


def test_types_are_those_of_the_search_space(cls):
    documented = docstrings.read(cls).parameters
    for name, space in cls.search_space.items():
        kind = {"Log": "float", "Int": "int"}.get(type(space).__name__)
        assert kind is None or documented[name].kind == kind, name


def test_every_solver_says_where_it_differs(cls):
    text = docstrings.read(cls)
    assert text.differences
    assert text.summary.endswith(".")


def test_the_page_shows_every_parameter_with_its_default():
    class Made:
        name = "Made"
        parameters = {"backend": ["jax", "torch"], "rate": ["tuned"], "kind": ["tuned"], "n": [3]}
        search_space = {"rate": Log(1e-4, 1e3, start=0.1), "kind": Choice.of("a", "b", start="b")}

    documented = {name: docstrings.Parameter("t", "one | two") for name in Made.parameters}
    assert docs.parameter_table(Made, documented)[2:] == [
        r"| `backend` | t | `jax`, `torch` | one \| two |",
        r"| `rate` | t | tuned in 0.0001 … 1000; start `0.1` | one \| two |",
        r"| `kind` | t | tuned among a, b; start `b` | one \| two |",
        r"| `n` | t | `3` | one \| two |",
    ]
    del documented["n"]
    with pytest.raises(ValueError, match="does not document its parameter n"):
        docs.parameter_table(Made, documented)


def documented(text):
    """Return the `Docstring` of a class with this text."""
    return docstrings.read(type("Solver", (), {"name": "Made", "__doc__": text}))


def test_a_docstring_is_cut_into_its_parts():
    found = documented(
        """Made: one line,
        and one more.

        A. Author, 2020, eq. (3).

        Parameters
        ----------
        a, b : float
            Step: of z, see
            eq. (2).
        c : {"x", "y"}
            Word.

        Differs from the paper
        ----------------------
        - One thing
          in two lines.
        - Another - with a dash.
        """
    )
    assert (found.summary, found.about) == ("Made: one line, and one more.", "A. Author, 2020, eq. (3).")
    assert found.parameters["b"] == found.parameters["a"] == ("float", "Step: of z, see eq. (2).")
    assert list(found.parameters) == ["a", "b", "c"]
    assert found.differences == ["One thing in two lines.", "Another - with a dash."]


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ("Parameters\n----------\na\n    Text.", "must read 'name : type'"),
        ("Parameters\n----------\na : int\n", "has no text"),
        ("Parameters\n----------\na : int\n    Text.\na : int\n    Text.", "documented twice"),
        ("Differs from the paper\n----------------------\n1. One.", "must be bullets"),
        ("Notes\n-----\nText.", "has the section 'Notes'"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(sections, sentence):
    with pytest.raises(ValueError, match=sentence):
        documented(f"Made.\n\n{sections}\n")
