"""Bad input ends in a clear sentence and loses no finished result."""

import bz2
import dataclasses
import importlib.util
import math
import socket

import numpy as np
import pytest
from benchopt import BaseDataset, run_benchmark

import helpers
from benchmark_utils import backends
from benchmark_utils.files import fetch as data
from benchmark_utils.running import memory
from benchmark_utils.running.rules import Rules

SOBA = helpers.solver_classes()["soba"]


def reason(problem=None, rules=None, **parameters):
    """Return the sentence with which SOBA skips, or None."""
    return helpers.why_skipped(SOBA, problem or helpers.small_quadratic(), rules, **parameters)


def test_unknown_names_list_the_choices():
    assert reason(backend="tensorflow") == "backend is 'tensorflow'; choose one of jax, torch, torch-compiled."
    assert reason(rules=Rules(device="tpu")) == "device is 'tpu'; choose one of auto, cpu, cuda."
    assert reason(rules=Rules(precision="bfloat16")) == "precision is 'bfloat16'; choose one of float32, float64."


def test_rules_that_cannot_be_right_are_refused_by_the_objective():
    def sentence(**rules):
        return helpers.objective_class().get_instance(**rules).skip(problem=helpers.small_quadratic())[1]

    assert sentence(device="tpu") == "device is 'tpu'; choose one of auto, cpu, cuda."
    assert sentence(precision="bfloat16") == "precision is 'bfloat16'; choose one of float32, float64."
    for value in (0, -1, math.nan, "soon", True):
        for name in ("max_seconds", "max_samples"):
            assert f"{name} is {value!r}; it must be a positive number" in sentence(**{name: value})
    assert sentence(max_seconds="1e5", max_samples="inf") is None, "numbers may be text, as YAML has it"
    assert Rules.read(max_seconds="1e5", max_samples="inf").why_bad() is None


def test_rules_under_which_no_run_ends_are_refused():
    objective = helpers.objective_class().get_instance(max_seconds="inf")
    skip, sentence = objective.skip(problem=helpers.small_quadratic())
    assert skip
    assert sentence.startswith("max_seconds and max_samples are both inf")


def test_a_data_set_that_raises_is_skipped_with_its_error():
    class Broken(BaseDataset):
        name = "broken"

        def get_data(self):
            raise KeyError("column 7")

    objective = helpers.objective_class().get_instance()
    skip, sentence = objective._set_dataset(Broken.get_instance())
    assert skip
    assert sentence == "broken could not be made, KeyError: 'column 7'"


def test_long_values_are_shortened_in_sentences():
    for sentence in (reason(step_size="x" * 5000), reason(batch_size="x" * 5000), reason(backend="x" * 5000)):
        assert len(sentence) < 250


def test_missing_package_is_named_with_the_remedy(monkeypatch, backend):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == backend else find(name, *a))
    sentence = reason(backend=backend)
    assert sentence == f"the package {backend} is not installed; `pip install {backend}` or choose another backend."


def test_disabled_backend_names_the_variable(monkeypatch):
    monkeypatch.setenv("BILEVEL_DISABLE_TORCH", "1")
    assert "BILEVEL_DISABLE_TORCH" in reason(backend="torch")
    with pytest.raises(ValueError, match="BILEVEL_DISABLE_TORCH"):
        backends.get_backend("torch")


def test_cuda_without_a_gpu_says_so(monkeypatch, backend):
    import torch

    from benchmark_utils.backends.jax import arrays

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(arrays, "_has_gpu", lambda: False)
    sentence = reason(backend=backend, rules=Rules(device="cuda"))
    assert "device is 'cuda' but" in sentence
    assert "no GPU" in sentence
    assert "choose device 'cpu'" in sentence


def test_compiled_torch_without_a_compiler_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "needs a C++ compiler; install g++" in reason(backend="torch-compiled")


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_step_sizes_that_make_no_sense_are_refused(value):
    sentence = reason(step_size=value, batch_size=16)
    assert sentence == f"step_size is {value!r}; it must be a finite number that is not negative, or 'tuned'."
    assert "nothing would move" in reason(step_size=0.0, batch_size=16)


def test_batch_larger_than_the_data_is_refused():
    assert reason(batch_size=51) == (
        "batch_size is 51 but the level has 50 samples; choose between 1 and 50, or 'full'."
    )
    assert reason(batch_size=50) is None


def test_table_that_does_not_fit_is_refused_with_size_and_remedy(monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 2**12})())
    sentence = helpers.why_skipped(helpers.solver_classes()["saba"], helpers.small_quadratic(), batch_size=1)
    assert "inner_table alone 70 x 16 numbers" in sentence
    assert "raise batch_size or use a method that keeps less, such as SOBA" in sentence
    assert helpers.why_skipped(SOBA, helpers.small_quadratic(), batch_size=1) is None


def test_draws_that_do_not_fit_are_refused_with_size_and_remedy(monkeypatch):
    monkeypatch.setattr(memory, "DRAWS", 1 << 18)
    cls = helpers.solver_classes()["hozog"]
    sentence = helpers.why_skipped(cls, helpers.small_quadratic(), n_directions=10_000)
    assert "HOZOG draws 10,000 x 4 numbers (u) in one iteration, 0 MiB; the limit is 0 MiB." in sentence
    assert "n_directions = 10000" in sentence


def test_nan_in_data_is_counted_and_refused():
    problem = helpers.small_quadratic()
    arrays = {name: array.copy() for name, array in problem.rows("inner").items()}
    arrays["a"][3, 2] = math.nan
    broken = dataclasses.replace(problem, splits=problem.splits | {"train": arrays})
    objective = helpers.objective_class().get_instance()
    skip, sentence = objective.skip(problem=broken)
    assert skip
    assert "1 of the 420 entries of the inner array 'a' of simulated are NaN or infinite" in sentence
    assert objective.skip(problem=problem) == (False, None)


# ---------------------------------------------------------------------- data files
CONTENT = b"+1 1:0.5\n-1 2:0.25\n"


@pytest.fixture
def data_home(tmp_path, monkeypatch):
    """Point benchopt's data path to an empty folder."""
    monkeypatch.setattr(data, "get_data_path", lambda key: tmp_path / key)
    monkeypatch.setattr(data, "_failed", {})
    monkeypatch.setattr(data, "_checked", set())
    (tmp_path / "made_up").mkdir()
    return tmp_path / "made_up"


def fetch(sha256=None):
    """Fetch a made-up file."""
    import hashlib

    sha256 = sha256 or hashlib.sha256(CONTENT).hexdigest()
    return data.fetch("made_up", "rows.bz2", "https://example.org/rows.bz2", sha256)


def test_right_file_is_taken(data_home):
    (data_home / "rows.bz2").write_bytes(bz2.compress(CONTENT))
    assert fetch() == data_home / "rows.bz2"


def test_altered_file_is_refused_by_name(data_home):
    (data_home / "rows.bz2").write_bytes(bz2.compress(CONTENT.replace(b"0.5", b"0.6")))
    with pytest.raises(data.DataUnavailable, match=r"rows\.bz2 has sha256 .* expected .*delete it and fetch https"):
        fetch()


def test_truncated_file_is_refused_by_name(data_home):
    (data_home / "rows.bz2").write_bytes(bz2.compress(CONTENT)[:-8])
    with pytest.raises(data.DataUnavailable, match=r"rows\.bz2 is cut short or not readable"):
        fetch()


def test_no_network_says_what_to_put_where(data_home, monkeypatch):
    def refuse(*_, **__):
        raise OSError("the network is blocked in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(data.DataUnavailable) as error:
        fetch()
    sentence = str(error.value)
    assert "download https://example.org/rows.bz2 by hand and put it at" in sentence
    assert str(data_home / "rows.bz2") in sentence


# ---------------------------------------------------------------------- whole runs
def test_divergence_and_missing_data_lose_no_finished_run(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHOPT_DATA_HOME", str(tmp_path))  # no data set that needs a download can be had
    monkeypatch.setattr(socket.socket, "connect", lambda *_, **__: (_ for _ in ()).throw(OSError("blocked")))
    df = run_benchmark(
        str(helpers.ROOT),
        solver_names=["SOBA[backend=jax,step_size=[0.05,1000.0],batch_size=[16,9999]]"],
        dataset_names=["simulated[n=64,m=48,p=6,d=4]", "ijcnn1"],
        objective_filters=["Bilevel[max_seconds=0.2]"],
        max_runs=100,
        n_repetitions=1,
        plot_result=False,
        display=False,
        no_cache=True,
        output_file=str(tmp_path / "out.parquet"),
    )
    if not hasattr(df, "columns"):
        from benchopt.results import read_results

        df = read_results(df)
    assert set(df.dataset_name.str.split("[").str[0]) == {"simulated"}
    runs = {step: run for step, run in df.groupby("p_solver_step_size")}
    assert set(runs) == {0.05, 1000.0}, "the batch that is too large is skipped, the others are there"
    good, bad = runs[0.05], runs[1000.0]
    assert good.objective_value.notna().all()
    assert not good.objective_diverged.any()
    assert good.objective_value.iloc[-1] < good.objective_value.iloc[0]
    assert bad.objective_diverged.tolist() == [0] * (len(bad) - 1) + [1]
    assert math.isnan(bad.objective_value.iloc[-1])
    assert np.isfinite(bad.objective_value.iloc[0])
