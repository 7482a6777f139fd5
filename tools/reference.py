"""Publish a result file with the repository, in outputs/reference/, or check those that are there.

    python -m tools.reference outputs/ijcnn1.parquet --config configs/ijcnn1.yml
    python -m tools.reference --check

The last iterates, the paths of files and what else need not travel are left out, measured numbers keep seven digits;
`manifest.yml` says of each file what it is, what made it, and its hash. The folder holds less than 10 MB.
"""

import argparse
import hashlib
import re
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import yaml
from benchopt.results import read_results

from benchmark_utils.files.whole import replacing, write_whole
from benchmark_utils.running.rules import VERSION
from benchmark_utils.statistics.final import final_results
from benchmark_utils.statistics.labels import IDENTITY, MACHINE, PREFIX, whole_runs
from tools import write_utf8
from tools.comparable import machines, why_not_of_this_version

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "outputs" / "reference"
MANIFEST = "manifest.yml"

#: Most bytes of the folder.
LARGEST = 10_000_000

#: Columns that travel besides names, identity, parameters, metrics and versions.
KEPT = ("idx_rep", "stop_val", "time", "sampling_strategy", "run_date", "obj_description", "solver_description",
        "platform-architecture", "platform-release")  # fmt: skip
KEPT_PREFIXES = (*PREFIX.values(), "objective_", "version-")

#: An absolute path as part of a text: of Linux, a home, or a drive.
ABSOLUTE = re.compile(r"(?:^|[\s=\[(,:'\"])(?:/|~/|[A-Za-z]:[\\/])[\w.~-]+[\\/]")

HEADER = "# Written by `python -m tools.reference`: what each file is, what made it, and its hash (docs/compare.md).\n"

#: Programs whose versions are stated.
PROGRAMS = ("benchopt", "numpy", "scipy", "jax", "jaxlib", "torch")


# ---------------------------------------------------------------------- what is there
def manifest(folder=None):
    """Return dict of file name to what the manifest says of it; empty where there is none."""
    path = (folder or FOLDER) / MANIFEST
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("files", {}) if path.exists() else {}


def hash_of(path):
    """Return the sha256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def why_not_as_stated(folder=None):
    """Return one sentence for each file of the folder that is not what the manifest says, or is not in it."""
    folder = folder or FOLDER
    stated = manifest(folder)
    found = {path.name: path for path in sorted(folder.glob("*")) if path.name != MANIFEST}
    gone = [name for name in stated if name not in found]
    out = [f"{name} is in the manifest, but not in {folder.name}/: restore it with git." for name in gone]
    for name, path in found.items():
        if name not in stated:
            out.append(f"{name} is not in the manifest: publish it by `python -m tools.reference`, or delete it.")
        elif hash_of(path) != stated[name]["sha256"]:
            size = f"{path.stat().st_size} bytes where {stated[name]['bytes']} are stated"
            out.append(f"{name} is damaged or was changed ({size}): restore it with git, or publish it again.")
    return out


def read(path):
    """Return the results of a reference file; one that stands in a manifest beside it must be as stated there.

    Raises
    ------
    SystemExit
        With a sentence that names the file.
    """
    path = Path(path)
    if not path.exists():
        raise SystemExit(f"there is no {path}; files here: {', '.join(manifest()) or 'none'} (in {FOLDER}).")
    if path.name in manifest(path.parent):
        for sentence in why_not_as_stated(path.parent):
            if sentence.startswith(f"{path.name} "):
                raise SystemExit(sentence)
    df = read_results(path)
    reason = why_not_of_this_version(df)
    if reason:
        raise SystemExit(f"{path.name}: {reason}")
    return df.astype({c: float for c in df.columns if df[c].dtype == np.float32})


# ---------------------------------------------------------------------- publishing
def travelling(df):
    """Return what of results travels: whole runs, without iterates, files and what else names a machine's folders.

    Raises
    ------
    SystemExit
        With a sentence, if a text that is left names a folder.
    """
    columns = [c for c in df.columns if c in (*PREFIX, *IDENTITY, *KEPT) or c.startswith(KEPT_PREFIXES)]
    df = whole_runs(df)[columns].reset_index(drop=True)
    for column in columns:
        if column.endswith("_description"):  # texts of the project's files
            continue
        for value in {value for value in df[column] if isinstance(value, str)}:
            if ABSOLUTE.search(value):
                raise SystemExit(
                    f"{column} holds a folder of this machine, {value!r}; what travels must name none. Give data sets "
                    "paths below BENCHOPT_DATA_HOME, and run it again."
                )
    return df


def facts(df, environments, config):
    """Return what the manifest says of results, but for the file itself.

    Parameters
    ----------
    df : pandas.DataFrame
        From `travelling`.
    environments : pandas.DataFrame
        From `final_results`: one row a run, with its names and its environment.
    config : Path
        The run configuration.
    """
    records = list(environments.environment)
    problems = {}
    for name, rows in df.groupby("dataset_name"):
        ours = environments[environments.dataset_name == name].environment
        tuned = ROOT / "tuned" / f"{name.split('[')[0].lower()}.yml"
        problems[name] = {
            "version": one_of(rows.objective_problem_version, f"versions of {name}"),
            "data": next(iter(ours), {}).get("data_hashes") or {},
            "tuned": {"file": f"tuned/{tuned.name}", "sha256": hash_of(tuned)} if tuned.exists() else None,
        }
    machine = machines(df)
    if len(machine) > 1:
        raise SystemExit("these are runs of several machines or worker numbers; publish one file for each.")
    values = lambda column: sorted(set(df[column]))
    return {
        "rows": len(df),
        "problems": problems,
        "rules": values("objective_name"),
        "rules_version": VERSION,
        "solvers": values("solver_name"),
        "repetitions": int(df.idx_rep.nunique()),
        "seeds": [int(seed) for seed in values("base_seed")],
        "machine": {MACHINE[column]: str(value) for column, value in machine.iloc[0].items()},
        "versions": {name: sorted({r["versions"].get(name) or "none" for r in records}) for name in PROGRAMS},
        "commit": sorted({r["git_commit"] or "unknown" for r in records}),
        "uncommitted_changes": any(r["git_dirty"] for r in records),
        "date": {"first": min(df.run_date), "last": max(df.run_date)},
        "configuration": {"file": config.resolve().relative_to(ROOT).as_posix(), "sha256": hash_of(config)},
    }


def one_of(values, what):
    """Return the one value that there is.

    Raises
    ------
    SystemExit
        If there are several.
    """
    found = sorted(set(values))
    if len(found) > 1:
        raise SystemExit(f"these are results of several {what}: {', '.join(found)}; publish one file for each.")
    return found[0]


def publish(path, config, name=None, folder=None):
    """Write what travels of a result file into the folder, and the manifest anew; return the path.

    Parameters
    ----------
    path : Path
        A result file.
    config : Path
        The configuration that made it, a file of the project.
    name : str, optional
        Of the file, without its ending; that of the configuration where left out.
    folder : Path, optional

    Raises
    ------
    SystemExit
        With a sentence, for results that cannot travel, and where the folder would become too large.
    """
    folder, config = folder or FOLDER, Path(config)
    if not config.resolve().is_relative_to(ROOT) or not config.exists():
        raise SystemExit(f"{config} is no file of the project; give the configuration that made {path}.")
    df = read_results(path)
    reason = why_not_of_this_version(df)
    if reason:
        raise SystemExit(f"{path}: {reason}")
    if "final_results" not in df.columns:
        raise SystemExit(f"{path} has no environment records; give the file as benchopt wrote it.")
    df = travelling(df)
    entry = facts(df, final_results(path), config)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name or config.stem}.parquet"
    with replacing(target) as beside:
        write_small(df, beside)
        others = sum(p.stat().st_size for p in folder.iterdir() if p not in (target, beside))
        size = beside.stat().st_size
        if size + others >= LARGEST:
            raise SystemExit(
                f"{target.name} would take {size:,} bytes, and with what is there {folder.name}/ {size + others:,}; "
                f"less than {LARGEST:,} are allowed. Publish fewer solvers or repetitions, or delete an old file."
            )
        entry = {"sha256": hash_of(beside), "bytes": size} | entry
    files = {n: e for n, e in manifest(folder).items() if (folder / n).exists()} | {target.name: entry}
    write_manifest(files, folder)
    return target


def is_measured(column, dtype):
    """Return whether a column holds measured numbers, which travel with seven digits."""
    of_a_run = column == "time" or column.startswith("objective_")
    return of_a_run and not column.startswith("objective_hp_") and dtype == np.float64


def write_small(df, path):
    """Write results with measured numbers in float32, byte by byte, which compresses to half."""
    measured = [c for c in df.columns if is_measured(c, df[c].dtype)]
    table = pyarrow.Table.from_pandas(df.astype(dict.fromkeys(measured, "float32")), preserve_index=False)
    pyarrow.parquet.write_table(
        table, path, compression="zstd", compression_level=19, write_statistics=False,
        use_dictionary=[c for c in df.columns if c not in measured],
        column_encoding=dict.fromkeys(measured, "BYTE_STREAM_SPLIT"),
    )  # fmt: skip


def write_manifest(files, folder=None):
    """Write the manifest: dict of file name to what is said of it."""
    text = yaml.safe_dump({"files": dict(sorted(files.items()))}, sort_keys=False, allow_unicode=True, width=110)
    write_whole((folder or FOLDER) / MANIFEST, HEADER + text)


def main(arguments=None):
    """Publish a file, or check those that are published."""
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__.split("\n\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="a result file")
    parser.add_argument("--config", type=Path, help="the run configuration that made it")
    parser.add_argument("--name", help="of the file; that of the configuration where left out")
    parser.add_argument("--check", action="store_true", help="check the files that are there")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        wrong = why_not_as_stated()
        if wrong:
            raise SystemExit("\n".join(wrong))
        print(f"{len(manifest())} files in {FOLDER.relative_to(ROOT)} are as the manifest says.")
        return
    if chosen.file is None or chosen.config is None:
        parser.error("give a result file and --config, the configuration that made it; or --check.")
    print(publish(chosen.file, chosen.config, chosen.name))


if __name__ == "__main__":
    write_utf8()
    main()
