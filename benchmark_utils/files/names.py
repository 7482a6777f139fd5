"""Names of solvers and data sets: one file each, since benchopt would take the results of two for one."""

import ast
import inspect
from pathlib import Path


def why_twice(cls):
    """Return a sentence naming the files that state the same name as a solver or data set class, or None.

    Parameters
    ----------
    cls : type
        With the attribute ``name``; looked for are the other files of its folder, templates left out.
    """
    try:
        path = Path(inspect.getfile(cls))
    except (TypeError, OSError):  # typed into a shell
        return None
    if path.parent.name not in ("solvers", "datasets"):
        return None
    files = sorted(p for p in path.parent.glob("*.py") if not p.name.startswith(("template_", ".")))
    same = [f"{p.parent.name}/{p.name}" for p in files if p == path or stated_name(p, cls.name)]
    if len(same) < 2:
        return None
    # benchopt's cache keeps what solvers skip, but not what the objective does.
    then = " Then pass --no-cache once: benchopt keeps skips." if path.parent.name == "solvers" else ""
    return f"{' and '.join(same)} have the same name, {cls.name!r}; rename one, so that results stay apart.{then}"


def stated_name(path, name):
    """Return whether a class of a file states this ``name``."""
    text = path.read_text(encoding="utf-8")
    if name not in text:
        return False
    try:
        tree = ast.parse(text)
    except SyntaxError:  # benchopt says so
        return False
    return any(
        isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "name" for target in node.targets)
        and isinstance(node.value, ast.Constant)
        and node.value.value == name
        for body in ast.walk(tree)
        if isinstance(body, ast.ClassDef)
        for node in body.body
    )
