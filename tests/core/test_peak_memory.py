"""Peak memory is that of the device where it tells, else what was resident since the run began."""

import sys
import types

import numpy as np
import pytest

import helpers
from benchmark_utils.running.memory import forget_peak, peak_memory

HOST = types.SimpleNamespace(peak_memory=lambda: None)
CLASS = helpers.solver_classes()["soba"]
BALLAST = 200_000_000  # bytes


def test_a_device_that_tells_is_believed():
    assert peak_memory(types.SimpleNamespace(peak_memory=lambda: 12345)) == 12345


def test_what_is_resident_is_plausible():
    assert 10e6 < peak_memory(HOST) < 1e12


@pytest.mark.skipif(sys.platform != "linux", reason="the peak begins anew on Linux alone")
def test_a_peak_outlives_its_arrays_and_not_the_run():
    forget_peak()
    before = peak_memory(HOST)
    ballast = np.ones(BALLAST // 8)
    del ballast
    assert peak_memory(HOST) > before + 0.9 * BALLAST
    forget_peak()
    assert peak_memory(HOST) < before + 0.5 * BALLAST


@pytest.mark.skipif(sys.platform != "linux", reason="the peak begins anew on Linux alone")
def test_each_run_begins_its_own_peak():
    solver = helpers.make_solver(CLASS, helpers.small_quadratic(), 1, backend="torch", batch_size=16)
    ballast = np.ones(BALLAST // 8)
    del ballast
    solver.run(lambda: True)
    of_the_first = solver.get_result()["peak_memory"]
    helpers.at_start(solver, helpers.small_quadratic(), max_iterations=1)
    solver.run(lambda: True)
    assert solver.get_result()["peak_memory"] < of_the_first - 0.5 * BALLAST
