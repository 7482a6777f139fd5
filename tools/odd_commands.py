"""Give odd values to `benchopt run`, as patterns and in a configuration file, next to a run that must survive them.

What `tools.odd_values` does through benchopt's classes is done here from outside, for a sample: one command with odd
solvers, data sets and rules as patterns, and one with them in a YAML file. Each also asks for one plain run. It must
end with status 0, print no traceback, and the plain run must be in the result file. Values that benchopt's own pattern
language cannot read, such as -inf or a dict, go into the YAML file only.

Usage: python -m tools.odd_commands [count=4] [seed=0]

``count`` values each for solvers, data sets and rules. It takes minutes.
"""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml
from benchopt.utils.parametrized_name_mixin import _extract_options

from tools import classes, write_utf8
from tools.odd_values import VALUES, Trial, places

#: Folder -> what benchopt calls it in a configuration, the option, and the plain one that must be in the results.
KINDS = {
    "solvers": ("solver", "-s", "SOBA[backend=torch,batch_size=16]"),
    "datasets": ("dataset", "-d", "simulated[d=4,m=128,n=128,p=6]"),
    "objective": ("objective", "-o", "Bilevel[max_samples=2000,max_seconds=0.5]"),
}

#: Values that benchopt takes for several ones, or sets apart, and numbers that would run for long.
LEFT_OUT = ("list", "huge", "large", "long")


def class_of(folder, stem):
    """Return the class of a file."""
    if folder == "objective":
        return classes.objective_class()
    return (classes.solver_classes() if folder == "solvers" else classes.dataset_classes())[stem]


def options_of(trial):
    """Return the parameters of a trial, with limits that keep a run short."""
    options = {trial.parameter: trial.value}
    if trial.folder == "objective":
        return {"max_seconds": 0.5, "max_samples": 2000} | options
    if trial.folder == "solvers" and "torch" in class_of("solvers", trial.stem).parameters["backend"]:
        return {"backend": "torch"} | options
    return options


def pattern_of(trial):
    """Return the pattern that gives the value of a trial, or None where benchopt would read another value."""
    options = ",".join(f"{name}={value}" for name, value in options_of(trial).items())
    text = f"{class_of(trial.folder, trial.stem).name}[{options}]"
    try:
        _, _, found = _extract_options(text)
    except (ValueError, SyntaxError):
        return None
    return text if str(found.get(trial.parameter)) == str(trial.value) else None


def drawn(folder, count, seed):
    """Return ``count`` trials of a folder, each of another parameter as far as there are enough."""
    rng = random.Random(f"{folder} {seed}")
    where = [place for place in places() if place[0] == folder and not place[1].startswith("template")]
    where = [place for place in where if "filelock" not in class_of(*place[:2]).requirements]  # nothing is downloaded
    rng.shuffle(where)
    kinds = [kind for kind in sorted(VALUES) if kind not in LEFT_OUT]
    chosen = [(where[k % len(where)], rng.choice(kinds)) for k in range(count)]
    return [Trial(*place, kind, rng.choice(VALUES[kind])) for place, kind in chosen]


def command(trials, as_yaml, output):
    """Return (arguments of benchopt, configuration as text)."""
    config = {}
    arguments = ["run", ".", "--no-cache", "--no-plot", "-r", "1", "-n", "20", "--output", str(output)]
    for kind, (word, option, plain) in KINDS.items():
        odd = [trial for trial in trials if trial.folder == kind]
        if as_yaml:
            config[word] = [plain, *({class_of(t.folder, t.stem).name: options_of(t)} for t in odd)]
        else:
            patterns = [pattern_of(t) for t in odd]
            for pattern in [plain, *filter(None, patterns)]:
                arguments += [option, pattern]
    return arguments, yaml.safe_dump(config)


def outcome(trials, as_yaml):
    """Run a command and return a list of what is wrong with it, and how many configurations ran besides the plain."""
    with tempfile.TemporaryDirectory() as temporary:
        output, config = Path(temporary) / "odd.parquet", Path(temporary) / "odd.yml"
        arguments, text = command(trials, as_yaml, output)
        if as_yaml:
            config.write_text(text, encoding="utf-8")
            arguments += ["--config", str(config)]
        done = subprocess.run(
            [sys.executable, "-m", "benchopt", *arguments], cwd=classes.ROOT, capture_output=True, text=True,
            encoding="utf-8", check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        wrong = [] if done.returncode == 0 else [f"status {done.returncode}"]
        wrong += ["a traceback:\n" + said[said.index("Traceback") :][-3000:]] if "Traceback" in said else []
        if not output.exists():
            return [*wrong, "no result file:\n" + said[-2000:]], 0
        results = pd.read_parquet(output)
        names = results.groupby(["solver_name", "dataset_name", "objective_name"]).size()
        found = any(
            s.startswith("SOBA[backend=torch,batch_size=16") and d.startswith("simulated[") for s, d, _ in names.index
        )
        return wrong + ([] if found else [f"the plain run is not among {list(names.index)}:\n{said[-2000:]}"]), len(
            names
        ) - 1


def main(arguments):
    """Run two commands; return 1 unless both are right."""
    options = {"count": 4, "seed": 0} | {name: int(value) for name, _, value in (a.partition("=") for a in arguments)}
    trials = [trial for folder in KINDS for trial in drawn(folder, options["count"], options["seed"])]
    bad = 0
    for as_yaml in (False, True):
        kept = [t for t in trials if as_yaml or pattern_of(t)]
        wrong, ran = outcome(kept, as_yaml)
        bad += bool(wrong)
        how, verdict = "configuration" if as_yaml else "patterns", "; ".join(wrong) or "right"
        print(f"{how:14} {len(kept)} odd values, {ran} configurations ran besides the plain one: {verdict}", flush=True)
        print("  " + "\n  ".join(f"{t.label} = {t.value!r}"[:150] for t in kept), flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    write_utf8()
    sys.exit(main(sys.argv[1:]))
