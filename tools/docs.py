"""Write the generated documents: the files shown in the guides docs/add_a_*.md, and docs/solvers.md.

Usage: python -m tools.docs [guide] [solvers] [solver file stems ...]

Without arguments everything is written. With stems (``soba hoag``) only these solvers are measured again. Nothing in
docs/solvers.md is typed by hand: texts come from the docstrings, costs from the ledger of short runs.
"""

import math
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from benchopt.benchmark import Benchmark

from benchmark_utils.builders.quadratic import quadratic_problem
from benchmark_utils.files.whole import write_whole
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.running import run, run_state
from benchmark_utils.running.host import HostSolver
from benchmark_utils.running.rules import Rules
from benchmark_utils.running.search_space import Choice, start_of
from benchmark_utils.running.start import put_at_start
from tools import docstrings, write_utf8
from tools.guides import GUIDES, guide

ROOT = Path(__file__).parents[1]
SOLVERS = ROOT / "docs" / "solvers.md"

#: Sizes of the quadratic on which costs are measured; multiples of the default batch of 64.
N_INNER, N_OUTER, P, D = 640, 512, 12, 8
#: Outer iterations averaged over, for step functions and for loops on the host.
N_ITER, N_ITER_HOST = 100, 20
#: Steps of the measuring runs: small, so that nothing diverges; costs do not depend on them.
STEPS = {"step_size": 0.01, "outer_ratio": 10.0}

#: Kinds of draws on which the cost of an iteration depends.
RANDOM = ("integers", "bernoulli")

COLUMNS = ("grad_z G", "grad_x G", "grad F", "H v", "C v", "values")

HEADER = f"""# The solvers

Written by `python -m tools.docs solvers`, from the files and from measured ledgers.

**Cost** is the average of the first {N_ITER} outer iterations, in samples by oracle, on a quadratic with n = {N_INNER}
inner and m = {N_OUTER} outer samples (p = {P}, d = {D}) with the defaults of the file and the start of every searched
range, so 64 is one mini-batch and {N_INNER} or {N_OUTER} a full pass. "Start" is what is spent once, before the first
iteration. Numbers with a ~ (the average of the first {N_ITER_HOST}) depend on how fast an inner problem is solved and
differ from problem to problem. Where an iteration draws lengths or branches the cost is its expectation.

**Loop** is double where one outer iteration takes several inner steps. **Warm start** names what an iteration takes
over from the one before: z, and v ~ -H^{{-1}} grad_z F where the method keeps one; measured by moving it.
**Requires** names what the method asks of a problem, found by listening to its step: the oracles it calls,
`full_pass` (a sum over all samples), `dense` (whole matrices), `symmetric_hvp` (a symmetric H), `value_inner` (the
value of G). A problem that does not offer one of them is skipped with a sentence.

**Default** "tuned" stands for the tuned value of the problem (`tuned/`); where there is none the start is used, and
the run says so. A number given by the user always wins: `-s "SOBA[step_size=0.3]"`. Signs and symbols:
[notation.md](notation.md).
"""


# ---------------------------------------------------------------------- what a solver costs
def solver_classes():
    """Return dict of file stem to class of the solvers that benchopt finds, so without the templates."""
    found = {Path(cls._module_filename).stem: cls for cls in Benchmark(ROOT).get_solvers()}
    return dict(sorted(found.items(), key=lambda item: item[1].name.lower()))


def quadratic():
    """Return the problem on which costs are measured."""
    return quadratic_problem(N_INNER, N_OUTER, P, D, mu=0.5, L=1.0, L_cross=0.2, seed=0)


def measuring_solver(cls, n_iter, **parameters):
    """Return a solver at the defaults of its file and the starts of its ranges, with small steps, ready to run."""
    backend = "torch" if "torch" in cls.parameters["backend"] else "jax"
    given = {
        name: start_of(space, quadratic().view) for name, space in cls.search_space.items() if name in cls.parameters
    }
    if not issubclass(cls, HostSolver):
        given |= {name: step for name, step in STEPS.items() if name in cls.parameters}
    solver = cls.get_instance(backend=backend, **given | parameters)
    reason = put_at_start(solver, quadratic(), device="cpu", precision="float64", max_iterations=n_iter)
    if reason:
        raise ValueError(f"{cls.name} cannot be measured: {reason}")
    return solver


class Measured(NamedTuple):
    """What a short run of a solver tells."""

    start: np.ndarray  # samples by oracle, before the first iteration
    cost: np.ndarray  # samples by oracle, average of one iteration
    warm: tuple  # what an iteration takes over, of ("z", "v")
    requires: list  # names of what the method asks of a problem
    loop: str  # "single" or "double"


def measure(cls):
    """Run a solver for a few iterations; return what its run tells, `Measured`."""
    n_iter = N_ITER_HOST if issubclass(cls, HostSolver) else N_ITER
    solver = measuring_solver(cls, n_iter)
    totals = []
    solver.run(lambda: totals.append(solver.run_state.ledger.copy()) or True)
    if solver.run_state.n_iter != n_iter:
        raise ValueError(f"{cls.name} stopped after {solver.run_state.n_iter} iterations of the measuring run.")
    cost = (solver.run_state.ledger - totals[0]) / n_iter
    if any(draw.kind in RANDOM for draw in solver.program.plan.values()):
        cost = expected_cost(solver)
    warm = cls.warm_starts if issubclass(cls, HostSolver) else warm_starts(solver)
    return Measured(totals[0], cost, tuple(warm), sorted(solver.required()), loop(solver))


class Evenly:
    """Draws of a run whose random lengths and branches come with their exact frequencies, one after the other."""

    def __init__(self, streams):
        self.streams, self.done = streams, 0

    def take(self, n):
        """Return the draws of the next n iterations."""
        k = np.arange(self.done, self.done + n)
        self.done += n

        def value(draw):
            if draw.kind == "integers":
                low, high = draw.bounds
                return low + k % (high - low)
            period = round(1 / draw.bounds[0])
            return (k % period == period - 1).astype(int)

        even = {
            role: np.zeros((n, *draw.shape), np.int32) + value(draw).reshape(-1, *(1 for _ in draw.shape))
            for role, draw in self.streams.plan.items()
            if draw.kind in RANDOM
        }
        return self.streams.take(n) | {role: array.astype(np.int32) for role, array in even.items()}


def expected_cost(solver):
    """Return the expected samples by oracle of one iteration after the first, over random lengths and branches."""
    plan = solver.program.plan.values()
    ranges = [draw.bounds[1] - draw.bounds[0] for draw in plan if draw.kind == "integers"]
    ranges += [round(1 / draw.bounds[0]) for draw in plan if draw.kind == "bernoulli"]
    n_iter = math.lcm(*ranges)
    state = run.advance(solver.program, run.begin(solver.program), 1)
    before = state.ledger.copy()
    state = state._replace(draws=Evenly(state.draws))
    return (run.advance(solver.program, state, n_iter).ledger - before) / n_iter


def warm_starts(solver):
    """Return which of the state's z and v have an effect on the next iterates, by moving them."""
    program, found = solver.program, []
    saved = run_state.save(program, solver.run_state)
    after = lambda saved: run_state.save(program, run.advance(program, run_state.load(program, saved), 1))["carry"]
    reference = after(saved)
    for name in ("z", "v"):
        if name in saved["carry"]:
            moved = after(saved | {"carry": saved["carry"] | {name: saved["carry"][name] + 1.0}})
            same = all(np.array_equal(moved[key], reference[key]) for key in {"z", "x", name})
            found += [] if same else [name]
    return tuple(found)


def loop(solver):
    """Return "single" or "double"."""
    lengths = [getattr(solver, name) for name in ("n_inner_steps", "n_steps") if name in solver.parameters]
    return solver.loop_kind or ("double" if any(length > 1 for length in lengths) else "single")


def backends(cls):
    """Return the backends a solver runs on with the parameters of its file."""
    solver = cls.get_instance(backend="torch-compiled")
    solver.prepare(quadratic().view, Rules())
    return cls.parameters["backend"] + ([] if solver.why_not_backend() else ["torch-compiled"])


# ---------------------------------------------------------------------- docs/solvers.md
def entry(stem, cls):
    """Return (row of the overview, row of the costs, section) of one solver."""
    found = measure(cls)
    about = "~" if issubclass(cls, HostSolver) else ""
    cells = [number(c, about) for c in found.cost] + [number(found.cost.sum(), about), number(found.start.sum(), "")]
    link = f"[{cls.name}](#{re.sub(r'[^a-z0-9 -]', '', cls.name.lower()).replace(' ', '-')})"
    facts = [found.loop, " and ".join(found.warm) or "–", ", ".join(backends(cls))]
    overview = " | ".join(["", link, *facts, ", ".join(found.requires), ""]).strip()
    return overview, " | ".join(["", link, *cells, ""]).strip(), section(stem, cls)


def number(value, about):
    """Return a count for a table cell: 0 as a dash, averages with one digit, or ~ and two significant digits."""
    if value == 0:
        return "–"
    if about:
        return f"~{round(value, 1 - math.floor(math.log10(value))):.0f}"
    return f"{value:.1f}".removesuffix(".0")


def section(stem, cls):
    """Return the Markdown section of one solver."""
    text = docstrings.read(cls)
    lines = [
        f"## {cls.name}",
        markdown(text.summary),
        markdown(text.about),
        "\n".join(f"- {markdown(reference)}" for reference in cls.references),
        f"File [`solvers/{stem}.py`](../solvers/{stem}.py).",
        "\n".join(parameter_table(cls, text.parameters)),
        "Differs from the paper:" if text.differences else "",
        "\n".join(f"- {markdown(item)}" for item in text.differences),
    ]
    return "\n\n".join(line for line in lines if line)


def parameter_table(cls, documented):
    """Return the lines of the table of a solver's parameters, in the order of the file."""
    lines = ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name in cls.parameters:
        if name not in documented:
            raise ValueError(f"{cls.name} does not document its parameter {name}; add it to 'Parameters'.")
        kind, meaning = (markdown(text).replace("|", "\\|") for text in documented[name])
        lines.append(f"| `{name}` | {kind} | {default(cls, name)} | {meaning} |")
    return lines


def default(cls, name):
    """Return the default of a parameter for a table cell: its value, or how it is tuned."""
    space = cls.search_space.get(name)
    if space is None:
        return ", ".join(f"`{shown(value)}`" for value in cls.parameters[name])
    words = space.options if isinstance(space, Choice) else None
    where = "among " + ", ".join(map(shown, words)) if words else f"in {shown(space.low)} … {shown(space.high)}"
    return f"tuned {where}; start `{shown(space.start)}`"


def shown(value):
    """Return a value of a parameter as a user would write it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


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
        for path in GUIDES:
            write_whole(path, guide(path))
    if stems or "solvers" in arguments or not arguments:
        known = read_entries(SOLVERS.read_text(encoding="utf-8")) if stems and SOLVERS.exists() else {}
        entries = {}
        for stem, cls in classes.items():
            keep = stems and stem not in stems and cls.name in known
            entries[stem] = known[cls.name] if keep else entry(stem, cls)
            print(f"{cls.name}: {'kept' if keep else 'measured'}", flush=True)
        write_whole(SOLVERS, page(entries.values()))


if __name__ == "__main__":
    write_utf8()
    main(sys.argv[1:])
