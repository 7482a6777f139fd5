"""Every file is read and written as UTF-8, whatever the machine's encoding is."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmark_utils", "datasets", "plots", "solvers", "tests", "tools")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))] + [ROOT / "objective.py"]

#: Positions of the mode and of the encoding among the arguments, of functions and of methods.
OPEN, METHOD = (1, 3), (0, 2)
TEXT = {"read_text": 0, "write_text": 1}


def without_encoding(tree):
    """Yield the lines of calls that open text without saying its encoding."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(k.arg == "encoding" for k in node.keywords):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
        keywords = {k.arg: k.value for k in node.keywords}
        if name in TEXT and isinstance(function, ast.Attribute):
            if len(node.args) <= TEXT[name]:
                yield node.lineno
        elif name == "open" and isinstance(function, ast.Name):
            mode = keywords.get("mode", node.args[1] if len(node.args) > 1 else ast.Constant("r"))
            if isinstance(mode, ast.Constant) and "b" not in mode.value:
                yield node.lineno
        elif getattr(keywords.get("text"), "value", False) is True:  # of subprocess
            yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_processes_are_read_with_a_stated_encoding(path):
    lines = list(without_encoding(ast.parse(path.read_text(encoding="utf-8"))))
    assert not lines, f"pass encoding='utf-8' in line {lines}"


def test_calls_without_an_encoding_are_seen():
    wrong = (
        "open(p)", "open(p, 'w')", "open(p, mode='a')", "p.read_text()", "p.write_text(t)",
        "subprocess.run(c, text=True)",
    )  # fmt: skip
    right = (
        "open(p, 'rb')", "open(p, mode='wb')", "open(p, encoding='utf-8')", "p.read_text('utf-8')",
        "p.write_text(t, encoding='utf-8')", "p.write_text(t, 'utf-8')", "os.open(p, flags)",
        "subprocess.run(c, text=True, encoding='utf-8')", "gzip.open(p, 'rb')",
    )  # fmt: skip
    assert all(list(without_encoding(ast.parse(code))) for code in wrong)
    assert not any(list(without_encoding(ast.parse(code))) for code in right)


def test_tools_write_utf8():
    """Each program of tools/ that prints makes its output UTF-8."""
    for path in sorted((ROOT / "tools").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if 'if __name__ == "__main__":' in text:
            assert "    write_utf8()\n" in text, path.name
