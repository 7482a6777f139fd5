"""Write the generated documents: the template's text in docs/add_a_solver.md, and docs/solvers.md.

Usage: python -m tools.docs [guide] [solvers] [solver file stems ...]

Without arguments everything is written. With stems (``soba hoag``) only these solvers are measured again. Nothing in
docs/solvers.md is typed by hand: texts come from the docstrings, costs from the ledger of short runs.
"""

import inspect
import math
import re
import sys
from pathlib import Path

from benchopt.benchmark import Benchmark

from benchmark_utils.host_solver import HostSolver
from benchmark_utils.ledger import ORACLES
from benchmark_utils.quadratic import quadratic_problem
from benchmark_utils.solver_base import hyper_parameter_names
from benchmark_utils.timed_solver import put_at_start

ROOT = Path(__file__).parents[1]
GUIDE, SOLVERS = ROOT / "docs" / "add_a_solver.md", ROOT / "docs" / "solvers.md"

#: Sizes of the quadratic on which costs are measured; multiples of the default batch of 64.
N_INNER, N_OUTER, P, D = 640, 512, 12, 8
#: Outer iterations averaged over, for step functions and for loops on the host.
N_ITER, N_ITER_HOST = 100, 20
#: Steps of the measuring runs: small, so that nothing diverges; costs do not depend on them.
STEPS = {"step_size": 0.01, "outer_ratio": 10.0}

COLUMNS = ("grad_z G", "grad_x G", "grad F", "H v", "C v", "values")

HEADER = f"""# The solvers

Written by `python -m tools.docs solvers`, from the files and from measured ledgers.

**Cost** is the average of the first {N_ITER} outer iterations, in samples by oracle, on a quadratic with n = {N_INNER}
inner and m = {N_OUTER} outer samples (p = {P}, d = {D}) with the parameters of the file, so 64 is one mini-batch and
{N_INNER} or {N_OUTER} a full pass. "Start" is what is spent once, before the first iteration. Numbers with a ~ (the
average of the first {N_ITER_HOST}) depend on how fast an inner problem is solved and differ from problem to problem.

**Loop** is double where one outer iteration takes several inner steps. **Warm start** names what an iteration takes
over from the one before: z, and v ~ -H^{{-1}} grad_z F where the method keeps one; measured by moving it.
"""


# ---------------------------------------------------------------------- the guide
def guide():
    """Return the text of the guide with the solver files between its markers as they are now."""
    text = GUIDE.read_text()
    for path in re.findall(r"<!-- begin (\S+) -->", text):
        shown = f"<!-- begin {path} -->\n```python\n{(ROOT / path).read_text()}```\n<!-- end {path} -->"
        marked = f"<!-- begin {re.escape(path)} -->.*?<!-- end {re.escape(path)} -->"
        text = re.sub(marked, lambda _, shown=shown: shown, text, flags=re.DOTALL)
    return text


# ---------------------------------------------------------------------- what a solver costs
def solver_classes():
    """Return dict of file stem to class of the solvers that benchopt finds, so without the templates."""
    found = {Path(cls._module_filename).stem: cls for cls in Benchmark(ROOT).get_solvers()}
    return dict(sorted(found.items(), key=lambda item: item[1].name.lower()))


def measuring_solver(cls, n_iter):
    """Return a solver with the file's parameters and small steps, about to do ``n_iter`` iterations."""
    problem = quadratic_problem(N_INNER, N_OUTER, P, D, mu=0.5, L=1.0, L_cross=0.2, seed=0)
    backend = "torch" if "torch" in cls.parameters["backend"] else "jax"
    steps = {} if issubclass(cls, HostSolver) else {k: v for k, v in STEPS.items() if k in cls.parameters}
    solver = cls.get_instance(backend=backend, precision="float64", **steps)
    reason = put_at_start(solver, problem, max_iterations=n_iter)
    if reason:
        raise ValueError(f"{cls.name} cannot be measured: {reason}")
    return solver


def measure(cls):
    """Return (samples of the start, average samples of one iteration, what is warm-started)."""
    n_iter = N_ITER_HOST if issubclass(cls, HostSolver) else N_ITER
    solver = measuring_solver(cls, n_iter)
    totals = []
    solver.run(lambda: totals.append(solver.ledger_totals.copy()) or True)
    if solver.n_iter != n_iter:
        raise ValueError(f"{cls.name} stopped after {solver.n_iter} iterations of the measuring run.")
    per_iteration = (solver.ledger_totals - totals[0]) / n_iter
    return totals[0], per_iteration, cls.warm_starts if issubclass(cls, HostSolver) else warm_starts(solver)


def warm_starts(solver):
    """Return which of the state's z and v have an effect on the next iterates, by moving them."""
    draws = solver.take_draws(1)
    after = lambda state: solver._advance(state, solver.hp, solver.data, draws, 1)[0]
    clone = lambda state: type(state)(*(a.clone() if hasattr(a, "clone") else a for a in state))
    reference, found = after(clone(solver.state)), []
    for name in ("z", "v"):
        if name in solver.state._fields:
            moved = after(clone(solver.state)._replace(**{name: getattr(solver.state, name) + 1.0}))
            same = all(bool((getattr(moved, key) == getattr(reference, key)).all()) for key in ("z", "x", name))
            found += [] if same else [name]
    return tuple(found)


# ---------------------------------------------------------------------- docs/solvers.md
def entry(stem, cls):
    """Return (row of the overview, row of the costs, section) of one solver."""
    start, cost, warm = measure(cls)
    about = "~" if issubclass(cls, HostSolver) else ""
    cells = [number(c, about) for c in cost] + [number(cost.sum(), about), number(start.sum(), "")]
    link = f"[{cls.name}](#{re.sub(r'[^a-z0-9 -]', '', cls.name.lower()).replace(' ', '-')})"
    facts = [loop(cls), " and ".join(warm) or "–", ", ".join(backends(cls))]
    overview = " | ".join(["", link, *facts, ", ".join(cls.requires), ""]).strip()
    return overview, " | ".join(["", link, *cells, ""]).strip(), section(stem, cls)


def number(value, about):
    """Return a count for a table cell: 0 as a dash, averages with one digit, or ~ and two significant digits."""
    if value == 0:
        return "–"
    if about:
        return f"~{round(value, 1 - math.floor(math.log10(value))):.0f}"
    return f"{value:.1f}".removesuffix(".0")


def loop(cls):
    """Return "single" or "double"."""
    lengths = [cls.parameters[name][0] for name in ("n_inner_steps", "n_steps") if name in cls.parameters]
    return cls.loop_kind or ("double" if any(length > 1 for length in lengths) else "single")


def backends(cls):
    """Return the backends a solver runs on with the parameters of its file."""
    compiled = cls.get_instance(backend="torch-compiled").why_not_backend()
    return cls.parameters["backend"] + ([] if compiled else ["torch-compiled"])


def section(stem, cls):
    """Return the Markdown section of one solver."""
    text, _, differences = inspect.getdoc(cls).partition("Differs from the paper in:")
    first, _, rest = text.partition("\n\n")
    parameters = {k: v[0] for k, v in cls.parameters.items() if k not in ("backend", "device", "precision")}
    floats = hyper_parameter_names(cls)
    shown = ", ".join(f"`{k}={v:g}`" if k in floats else f"`{k}={v}`" for k, v in parameters.items())
    lines = [
        f"## {cls.name}",
        markdown(first),
        markdown(rest).strip(),
        "\n".join(f"- {markdown(reference)}" for reference in cls.references),
        f"File [`solvers/{stem}.py`](../solvers/{stem}.py); parameters {shown or 'none'}.",
        "Differs from the paper in:" if differences else "",
        "\n".join(f"{i}. {item}" for i, item in enumerate(numbered(markdown(differences)), 1)),
    ]
    return "\n\n".join(line for line in lines if line)


def numbered(text):
    """Cut "1. one; 2. two." into its items.

    Raises
    ------
    ValueError
        If the numbers are not 1, 2, 3, ...
    """
    text = " ".join(text.split())
    parts = re.split(r"(?:^|[;.,:]\s+)(\d+)\.\s", text)
    numbers, items = list(map(int, parts[1::2])), parts[2::2]
    if text and (parts[0] or numbers != list(range(1, len(items) + 1))):
        raise ValueError(f"the list of differences is not numbered 1, 2, 3, ...: {text!r}")
    return [item.rstrip(" ;.") + "." for item in items]


def markdown(text):
    """Turn the text of a docstring into Markdown: double backticks into single ones, characters that are no markup."""
    pieces = text.replace("``", "`").split("`")
    pieces[::2] = [re.sub(r"([*_<])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def page(entries):
    """Return docs/solvers.md from the entries of the solvers, in their order."""
    overviews, costs, sections = zip(*entries, strict=True)
    overview = ["| solver | loop | warm start | backends | requires |", "| --- | --- | --- | --- | --- |", *overviews]
    head = ["| solver |", *(f" {name} |" for name in COLUMNS), " sum | start |"]
    table = ["".join(head), "| --- |" + " ---: |" * (len(ORACLES) + 2), *costs]
    return "\n".join([HEADER, *overview, "", *table, "", "\n\n".join(sections)]) + "\n"


def read_entries(text):
    """Return dict of solver name to its entry in the text of docs/solvers.md."""
    rows = re.findall(r"(?m)^\| \[(.+?)\]\(#.*$", text)
    lines = [line for line in text.splitlines() if line.startswith("| [")]
    half = len(lines) // 2
    sections = {part.splitlines()[0]: "## " + part.strip() for part in re.split(r"(?m)^## ", text)[1:]}
    return {name: (lines[i], lines[half + i], sections[name]) for i, name in enumerate(rows[:half])}


def main(arguments):
    """Write the documents that are asked for."""
    classes = solver_classes()
    stems = [a for a in arguments if a in classes]
    unknown = set(arguments) - set(stems) - {"guide", "solvers"}
    if unknown:
        raise SystemExit(f"neither a document nor a solver file: {', '.join(sorted(unknown))}")
    if "guide" in arguments or not arguments:
        GUIDE.write_text(guide())
    if stems or "solvers" in arguments or not arguments:
        known = read_entries(SOLVERS.read_text()) if stems and SOLVERS.exists() else {}
        entries = {}
        for stem, cls in classes.items():
            keep = stems and stem not in stems and cls.name in known
            entries[stem] = known[cls.name] if keep else entry(stem, cls)
            print(f"{cls.name}: {'kept' if keep else 'measured'}", flush=True)
        SOLVERS.write_text(page(entries.values()))


if __name__ == "__main__":
    main(sys.argv[1:])
