"""Write docs/matrix.md: which solver runs on which problem with which backend, found by running it.

Usage: python -m tools.matrix [data set ...] [solver file stem ...]

Every solver does one outer iteration of every problem on both backends, in float32, with the values that a run uses.
This takes some minutes and needs all data sets; with names of data sets their columns are renewed, with stems
(``soba hoag``) the rows of these solvers. Cells whose data cannot be had here stay as they are, or "not tried".
"""

import re
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmark_utils.files.whole import write_whole
from benchmark_utils.running.start import put_at_start
from tools import docs, problem_cards, write_utf8

PAGE = Path(__file__).parents[1] / "docs" / "matrix.md"
BACKENDS = ("jax", "torch")

#: Data sets that are tried on a part of themselves, which declines the same solvers: all batches of one iteration of
#: the whole take half a minute of some solvers.
PARTS = {"mnist_equilibrium": {"n_images": 600}}

#: Data sets that are tried only where they are named: half a minute and more for each solver and backend.
LEFT_OUT = ("fewshot",)

#: Outer iterations of one run, and the seconds after which a loop on the host is ended in the middle of one.
N_ITER, MAX_SECONDS = 1, 10.0

UNFINISHED, NOT_TRIED = "unfinished", "not tried"
OUTCOMES = ("runs", "diverges", UNFINISHED)

HEADER = """# Which solver runs where

Written by `python -m tools.matrix`: a backend is named where one outer iteration in float32 with the defaults of the
file (tuned values where `tuned/` has them, else the starts of the ranges) ended in finite numbers, with "diverges"
after it where they did not, and "unfinished" where 10 seconds were not enough (loops on the host solve the inner
problem in one iteration). Numbers stand for the sentence with which a solver declines, below the table.
`benchopt run` skips these combinations with the same sentence. What is declined for its memory depends on the memory
of the machine. mnist_equilibrium is tried on its first 600 images. fewshot, where a solver takes half a minute and
more, is not tried; fewshot_digits has the same shape.
"""


def outcome(cls, problem, backend):
    """Run a solver; return the sentence with which it declines, or "runs", or "diverges"."""
    solver = cls.get_instance(backend=backend)
    reason = put_at_start(solver, problem, max_iterations=N_ITER, max_seconds=MAX_SECONDS)
    if reason:
        return reason
    solver.run(lambda: True)
    result = solver.get_result()
    if not all(np.isfinite(result[name]).all() for name in ("z", "x") if result[name] is not None):
        return "diverges"
    return "runs" if result["n_iter"] == N_ITER else UNFINISHED


def cell(outcomes, sentences):
    """Return a table cell from dict of backend to outcome; new sentences are appended to ``sentences``."""
    if not outcomes:
        return NOT_TRIED
    parts = []
    for backend, what in outcomes.items():
        if what in OUTCOMES:
            parts.append(backend if what == "runs" else f"{backend} {what}")
            continue
        if what not in sentences:
            sentences.append(what)
        parts.append(f"{backend}: {sentences.index(what) + 1}")
    shown = {part.partition(": ")[2] for part in parts}
    return shown.pop() if len(shown) == 1 and "" not in shown else ", ".join(parts)


def page(table):
    """Return docs/matrix.md from dict of (solver, problem) to dict of backend to outcome."""
    solvers, problems = list(dict.fromkeys(s for s, _ in table)), sorted({p for _, p in table})
    sentences = []
    lines = [f"| solver | {' | '.join(problems)} |", "| --- |" + " --- |" * len(problems)]
    for solver in solvers:
        cells = [cell(table.get((solver, problem), {}), sentences) for problem in problems]
        lines.append(f"| {solver} | {' | '.join(cells)} |")
    lines += ["", *(f"{i}. {sentence}" for i, sentence in enumerate(sentences, 1))]
    return "\n".join([HEADER, *lines]) + "\n"


def read_page():
    """Return the table of `page` as it stands in docs/matrix.md."""
    text = PAGE.read_text(encoding="utf-8")
    sentences = dict(re.findall(r"(?m)^(\d+)\. (.+)$", text))
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    (_, *problems), _, *rows = rows
    table = {}
    for solver, *cells in rows:
        for problem, text in zip(problems, cells, strict=True):
            if text == NOT_TRIED:
                continue
            if text in sentences:
                table[solver, problem] = dict.fromkeys(BACKENDS, sentences[text])
                continue
            table[solver, problem] = {}
            for part in text.split(", "):
                backend, _, what = re.match(r"(\w+)(: | )?(.*)", part).groups()
                table[solver, problem][backend] = sentences.get(what, what or "runs")
    return table


def renewed(table, name, classes):
    """Return the table with the outcomes of the classes on all variants of a data set."""
    for call, problem in problem_cards.problems(name, PARTS.get(name)):
        for cls in tqdm(classes, desc=call):
            table |= {(cls.name, call): {backend: outcome(cls, problem, backend) for backend in BACKENDS}}
    return table


def main(chosen):
    """Run what is chosen and write the page."""
    classes, names = docs.solver_classes(), problem_cards.names()
    unknown = set(chosen) - set(classes) - set(names)
    if unknown:
        raise SystemExit(f"neither a data set nor a solver file: {', '.join(sorted(unknown))}")
    stems = [stem for stem in classes if stem in chosen]
    table = read_page() if PAGE.exists() else {}
    order = [cls.name for cls in classes.values()]
    table = {key: outcomes for key, outcomes in table.items() if key[0] in order}
    for name in [name for name in names if name in chosen] or [name for name in names if name not in LEFT_OUT]:
        try:
            table = renewed(table, name, [classes[stem] for stem in stems or classes])
        except SystemExit as error:  # its data cannot be had
            print(f"{name}: left as it is. {error}")
            continue
        table = dict(sorted(table.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))
        write_whole(PAGE, page(table))


if __name__ == "__main__":
    write_utf8()
    main(sys.argv[1:])
