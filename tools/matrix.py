"""Write docs/matrix.md: which solver runs on which problem with which backend, found by running it.

Usage: python -m tools.matrix [data set ...]

Every solver does one outer iteration of every problem on both backends, in float32, with the parameters of its file.
This takes some minutes and needs all data sets; with names, the columns of those data sets are renewed.
"""

import re
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tools import docs, problem_cards

PAGE = Path(__file__).parents[1] / "docs" / "matrix.md"
BACKENDS = ("jax", "torch")

#: Outer iterations of one run, and the seconds after which a loop on the host is ended in the middle of one.
N_ITER, MAX_SECONDS = 1, 10.0

HEADER = """# Which solver runs where

Written by `python -m tools.matrix`: a backend is named where one outer iteration in float32 with the parameters of
the file ended in finite numbers; "diverges" after it where they did not. Loops on the host get 10 seconds, which may
end them before. Numbers stand for the sentence with which a solver declines, below the table. `benchopt run` skips
these combinations with the same sentence. What is declined for its memory depends on the memory of the machine.
"""


def outcome(cls, problem, backend):
    """Run a solver; return the sentence with which it declines, or "runs", or "diverges"."""
    solver = cls.get_instance(backend=backend)
    reason = docs.prepare(solver, problem, N_ITER, MAX_SECONDS)
    if reason:
        return reason
    solver.run(lambda: True)
    result = solver.get_result()
    finite = all(np.isfinite(result[name]).all() for name in ("z", "x"))
    return "runs" if finite else "diverges"


def cell(outcomes, sentences):
    """Return a table cell from dict of backend to outcome; new sentences are appended to ``sentences``."""
    parts = []
    for backend, what in outcomes.items():
        if what in ("runs", "diverges"):
            parts.append(backend if what == "runs" else f"{backend} diverges")
            continue
        if what not in sentences:
            sentences.append(what)
        parts.append(f"{backend}: {sentences.index(what) + 1}")
    shown = {part.partition(": ")[2] for part in parts}
    return shown.pop() if len(shown) == 1 and "" not in shown else ", ".join(parts)


def page(table):
    """Return docs/matrix.md from dict of (solver, problem) to dict of backend to outcome."""
    solvers, problems = (list(dict.fromkeys(keys)) for keys in zip(*table, strict=True))
    sentences = []
    lines = [f"| solver | {' | '.join(problems)} |", "| --- |" + " --- |" * len(problems)]
    for solver in solvers:
        cells = [cell(table[solver, problem], sentences) for problem in problems]
        lines.append(f"| {solver} | {' | '.join(cells)} |")
    lines += ["", *(f"{i}. {sentence}" for i, sentence in enumerate(sentences, 1))]
    return "\n".join([HEADER, *lines]) + "\n"


def read_page():
    """Return the table of `page` as it stands in docs/matrix.md."""
    text = PAGE.read_text()
    sentences = dict(re.findall(r"(?m)^(\d+)\. (.+)$", text))
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    (_, *problems), _, *rows = rows
    table = {}
    for solver, *cells in rows:
        for problem, text in zip(problems, cells, strict=True):
            if text in sentences:
                table[solver, problem] = dict.fromkeys(BACKENDS, sentences[text])
                continue
            table[solver, problem] = {}
            for part in text.split(", "):
                backend, _, what = re.match(r"(\w+)(: | )?(.*)", part).groups()
                table[solver, problem][backend] = sentences.get(what, what or "runs")
    return table


def main(chosen):
    """Run the chosen data sets and write the page."""
    classes = docs.solver_classes().values()
    table = read_page() if chosen else {}
    for name in chosen or problem_cards.names():
        for call, problem in problem_cards.problems(name):
            for cls in tqdm(classes, desc=call):
                table[cls.name, call] = {backend: outcome(cls, problem, backend) for backend in BACKENDS}
            order = {cls.name: i for i, cls in enumerate(classes)}
            table = dict(sorted(table.items(), key=lambda item: (order[item[0][0]], item[0][1])))
            PAGE.write_text(page(table))


if __name__ == "__main__":
    main(sys.argv[1:])
