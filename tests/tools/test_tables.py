"""LaTeX tables: one file each, every sign printed as itself, columns that fit the rows."""

import re

import pytest

from made_up_results import FIELD, results
from tools import tables


def test_every_data_set_has_a_table_whose_rows_fit_its_columns(tmp_path):
    df = results(FIELD).assign(p_solver_backend="jax")
    written = tables.write(df, tmp_path, "run", 1e-3)
    assert len(set(written)) == 2
    for path in written:
        text = path.read_text(encoding="utf-8")
        (columns,) = re.findall(r"\\begin\{tabular\}\{(lr*)\}", text)
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len(rows) == 4
        assert all(row.count(" & ") == len(columns) - 1 for row in rows)
        assert "5 of 5" in text


@pytest.mark.parametrize(
    ("text", "printed"), [("a_b", r"a\_b"), ("5 % [∞]", r"5 \% [$\infty$]"), ("\\", r"\textbackslash{}")]
)
def test_signs_are_printed_as_themselves(text, printed):
    assert tables.escape(text) == printed


def test_a_column_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no column objective_x"):
        tables.write(results(FIELD), tmp_path, "run", metric="objective_x")
