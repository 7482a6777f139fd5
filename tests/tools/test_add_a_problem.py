"""The guide docs/add_a_problem.md does what it says: its commands and files are run, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

import helpers
from benchmark_utils.evaluation.glm import GLMEvaluator
from benchmark_utils.evaluation.smooth import SmoothEvaluator
from benchmark_utils.files import tables
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.penalties import ExpRidge
from benchmark_utils.terms.term import Term

GUIDE = helpers.ROOT / "docs" / "add_a_problem.md"
LEFT_OUT = (".git", ".venv", "__cache__", "__pycache__", "outputs", "data", ".*_cache", "shared", "golden")


def steps():
    """Return the steps of the guide in order: ("run", commands) or ("write", (file, text))."""
    text = re.sub(r"<!-- begin (\S+) -->.*?<!-- end \1 -->", "", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    pattern = r"<!-- file (\S+) -->\n```python\n([\s\S]*?)```|((?:^    \S.*\n)+)"
    found = []
    for match in re.finditer(pattern, text, flags=re.MULTILINE):
        file, code, commands = match.groups()
        found.append(("write", (file, code)) if file else ("run", re.sub(r"(?m)^    ", "", commands)))
    return found


def shown_file(name):
    """Return the text of a file that the guide gives in full."""
    (text,) = (text for kind, (file, text) in (s for s in steps() if s[0] == "write") if file == name)
    return text


def test_the_guide_has_the_steps_that_are_run():
    kinds = [kind for kind, _ in steps()]
    assert kinds.count("write") == 1
    commands = "".join(what for kind, what in steps() if kind == "run")
    for name in ("mine", "my_problem", "my_network"):
        assert f"benchopt run . -d {name} " in commands
    assert commands.startswith("make venv && source .venv/bin/activate\n")


@pytest.mark.slow
def test_every_command_of_the_guide_works_and_gives_curves(tmp_path):
    copy = Path(shutil.copytree(helpers.ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(*LEFT_OUT)))
    bin_folder = Path(sys.executable).parent
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BENCHOPT", "XLA_FLAGS", "JAX"))}
    env |= {"PATH": f"{bin_folder}:{env['PATH']}", "MPLBACKEND": "Agg", "BROWSER": "true"}
    output = ""
    (_, first), *rest = steps()
    assert first.startswith("make venv"), "not run here: the packages of this interpreter are used"
    for kind, what in rest:
        if kind == "write":
            (copy / what[0]).write_text(what[1], encoding="utf-8")
            continue
        commands = re.sub(r"(?m)^(benchopt run .*)$", r"\1 --no-display", what)
        run = dict(cwd=copy, env=env, capture_output=True, encoding="utf-8", timeout=400, check=False)
        done = subprocess.run(["bash", "-ec", commands], **run)
        assert done.returncode == 0, f"{what}\n{done.stdout}\n{done.stderr}"
        output += done.stdout + done.stderr
    assert "could not be built" not in output
    rows = [line.split() for line in output.splitlines() if re.match(r" *(mine|my_problem) ", line)]
    assert len(rows) == 5, output  # SOBA on two backends and StocBiO on mine, SOBA on two backends on my_problem
    for row in rows:
        values = [float(cell) for cell in row if re.fullmatch(r"[\d.]+e[+-]\d+", cell)]
        assert len(values) == 3
        assert values[1] < values[0], "the best stationarity is better than that of the start"
    figures = [path.name for path in (copy / "outputs" / "figures").glob("*.pdf")]
    assert any("mine_" in name and "_value_" in name for name in figures)
    assert any("my_network_" in name and "_outer_loss_" in name for name in figures)


# ---------------------------------------------------------------------- the files, in a moment
@pytest.fixture
def csv(tmp_path):
    """Return a CSV of 300 digits, as the guide makes one of all."""
    load_digits(as_frame=True).frame[:300].to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path / "mine.csv"


def built(module):
    """Return the problem of a module's data set."""
    data = module.Dataset.get_instance().get_data()
    assert data["problem"] is not None, data["reason"]
    return data["problem"]


def short_run(problem, backend, **parameters):
    """Return F at the start and after ten iterations of SOBA."""
    objective = helpers.objective_class().get_instance()
    objective.set_data(problem)
    assert objective.skip(problem=problem) == (False, None)
    rows = []
    soba = helpers.solver_classes()["soba"]
    solver = helpers.make_solver(soba, problem, 10, backend=backend, batch_size=32, **parameters)
    solver.run(lambda: rows.append(objective.evaluate_result(**solver.get_result())) or True)
    return rows[0], rows[-1]


def test_the_template_of_a_table_reads_the_file_and_its_curve_goes_down(csv, monkeypatch, backend):
    module = helpers.load(helpers.ROOT / "datasets" / "template_dataset.py")
    monkeypatch.setattr(module, "FILE", csv)
    problem = built(module)
    assert problem.card.hashes == {"mine.csv": tables.digest(csv)}
    assert (problem.inner_shape, problem.outer_shape) == ((64, 10), (64,))
    first, last = short_run(problem, backend)
    assert last["h"] < first["h"]
    assert last["outer_loss"] < first["outer_loss"]


def test_the_template_of_a_table_says_what_to_do_without_a_file():
    data = helpers.load(helpers.ROOT / "datasets" / "template_dataset.py").Dataset.get_instance().get_data()
    if not (helpers.ROOT / "data" / "mine.csv").exists():
        assert data["problem"] is None
        assert "there is no file" in data["reason"]
        assert "put it there, or write its full path into the data set's file." in data["reason"]


def test_the_template_of_a_lower_level_has_a_curve_of_h(backend):
    problem = built(helpers.load(helpers.ROOT / "datasets" / "template_problem.py"))
    first, last = short_run(problem, backend, step_size=0.3, outer_ratio=0.1)
    assert last["h"] < first["h"]
    assert last["reference_residual"] < 1e-9
    assert 0 < last["hypergrad_cosine"] <= 1


def test_the_network_of_the_guide_runs(csv, tmp_path, backend):
    text = shown_file("datasets/my_network.py").replace("data/mine.csv", str(csv))
    (tmp_path / "my_network.py").write_text(text, encoding="utf-8")
    first, last = short_run(built(helpers.load(tmp_path / "my_network.py")), backend)
    assert last["outer_loss"] < first["outer_loss"]
    assert np.isnan(last["h"])


# ---------------------------------------------------------------------- values are enough
class ValueOnly(Term):
    """A term without closed forms, with the values of another."""

    def __init__(self, term):
        self.term = term
        self.sample_values, self.penalty = term.sample_values, term.penalty


@pytest.mark.parametrize("framework", helpers.BACKENDS)
def test_solutions_by_automatic_differentiation_are_those_by_closed_forms(framework, monkeypatch):
    other = {"jax": "TORCH", "torch": "JAX"}[framework]
    monkeypatch.setenv(f"BILEVEL_DISABLE_{other}", "1")
    rng = np.random.default_rng(0)
    splits = {
        split: {"features": rng.standard_normal((n, 4)), "targets": rng.choice([-1.0, 1.0], n)}
        for split, n in (("train", 30), ("validation", 20))
    }
    inner, outer = GLM("logistic", ExpRidge(1.0)), GLM("logistic")
    exact = GLMEvaluator(inner, outer, splits["train"], splits["validation"])
    ours = SmoothEvaluator(ValueOnly(inner), ValueOnly(outer), splits, (4,), (4,))
    assert ours._backend().name == framework
    start = None
    for shift in (0.0, 1e-3):
        x = rng.standard_normal(4) + shift
        a, start = exact.solve(x), ours.solve(x, start)
        assert start.residual <= 1e-10
        for name in ("z", "v", "h", "gradient"):
            assert_allclose(getattr(start, name), getattr(a, name), rtol=1e-7, atol=1e-9, err_msg=name)
        assert_allclose(ours.outer_value(a.z, x), exact.outer_value(a.z, x), rtol=1e-12)


class Bent(Term):
    """A loss of a dict z, curved in z and x, and dependent on x in F too."""

    def sample_values(self, xp, z, x, rows):
        return xp.sqrt(1 + (rows["a"] @ z["w"] + z["b"][0] - x[0]) ** 2) + 0.1 * x[1] ** 2

    def penalty(self, xp, z, x):
        return 0.5 * xp.exp(x[1]) * (xp.sum(z["w"] ** 2) + xp.sum(z["b"] ** 2))


def test_the_gradient_of_h_is_that_of_differences_of_h():
    rng = np.random.default_rng(1)
    splits = {split: {"a": rng.standard_normal((n, 3))} for split, n in (("train", 12), ("validation", 9))}
    evaluator = SmoothEvaluator(Bent(), Bent(), splits, {"w": (3,), "b": (1,)}, (2,))
    x = np.array([0.7, -0.5])
    h = lambda k, step: evaluator.solve(x + step * np.eye(2)[k]).h
    differences = [(h(k, 1e-4) - h(k, -1e-4)) / 2e-4 for k in range(2)]
    assert_allclose(evaluator.solve(x).gradient, differences, rtol=1e-6)


class Flat(Term):
    """A loss without a minimum."""

    def sample_values(self, xp, z, x, rows):
        return rows["a"] @ z + x[0]


def test_what_is_not_known_is_not_a_number_and_sparse_rows_are_refused():
    splits = {split: {"a": np.ones((2, 3))} for split in ("train", "validation")}
    solution = SmoothEvaluator(Flat(), Flat(), splits, (3,), (1,)).solve(np.zeros(1))
    assert np.isnan(solution.h)
    assert np.isnan(solution.gradient).all()
    rows = {"train": {"a": helpers.scipy.sparse.eye_array(3)}}
    with pytest.raises(NotBuilt, match="takes dense rows"):
        SmoothEvaluator(Flat(), Flat(), rows | {"validation": splits["validation"]}, (3,), (1,))
