"""A report has one file a figure and a table, and LaTeX takes the tables."""

import shutil
import subprocess

import pytest

from made_up_results import FIELD, results
from tools import report


def result_frame(**columns):
    """Return made-up results of three solvers on two problems."""
    return results(FIELD).assign(p_solver_backend="jax", objective_diverged=0, **columns)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pdf", "svg"])
def test_every_problem_has_its_figures_and_its_table(tmp_path, form):
    written = report.write(result_frame(), tmp_path, "run", form, 1e-3)
    assert len(set(written)) == len(written)
    assert sorted(path.suffix for path in written) == [f".{form}"] * (len(written) - 2) + [".tex"] * 2
    assert {"samples", "seconds"} <= {
        word for path in written for word in path.stem.lower().replace("-", "_").split("_")
    }
    assert all(path.stat().st_size > 0 for path in written)


def test_where_seconds_do_not_compare_there_is_no_figure_against_them(tmp_path):
    written = report.write(result_frame(time=None), tmp_path, "run", "svg")
    assert written
    assert not any("seconds" in path.stem.lower() for path in written)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="LaTeX is not installed")
def test_latex_takes_the_tables(tmp_path):
    tables = [path for path in report.write(result_frame(), tmp_path, "run", "svg") if path.suffix == ".tex"]
    page = "\n".join([
        r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}",
        *(rf"\input{{{path.name}}}" for path in tables), r"\end{document}",
    ])  # fmt: skip
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 1000
