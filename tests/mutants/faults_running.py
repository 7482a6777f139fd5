"""Faults in programs, the run loop, the journal, sweeps, values of parameters, rules and hosts."""

from .fault import Fault

JAX_PROGRAM = "benchmark_utils/backends/jax/program.py"
JAX_MEMBERS = "benchmark_utils/backends/jax/members.py"
JAX_COUNTS = "benchmark_utils/backends/jax/counts.py"
TORCH = "benchmark_utils/backends/torch/eager.py"
PROGRAM = "benchmark_utils/running/program.py"
RUN = "benchmark_utils/running/run.py"
STATE = "benchmark_utils/running/run_state.py"
JOURNAL = "benchmark_utils/running/journal.py"
SOLVER = "benchmark_utils/running/solver.py"
SWEEP = "benchmark_utils/running/sweep.py"
SPACE = "benchmark_utils/running/search_space.py"
RULES = "benchmark_utils/running/rules.py"

DIRECTIONS = "tests/contract/test_directions.py -k 'before and (soba-jax or soba-torch)'"
ARRAYS = "tests/core/test_arrays_on_the_device.py"
BUDGETS = "tests/core/test_budgets.py"
CLOCK = "tests/core/test_clock.py -k "
VALUES = "tests/core/test_values_of_a_run.py"
BAD = "tests/core/test_bad_input.py -k "
RESUME = "tests/contract/test_resume.py -k soba-torch"
JOURNALS = "tests/core/test_journal.py"
LONG = "tests/core/test_long_runs.py -k "
GUARD = "benchmark_utils/running/guard.py"
GUARDED = "tests/core/test_guard.py -k "
IDLE = "tests/core/test_idle_members.py -k jax"
SWEEPS = "tests/contract/test_sweep.py -k '[soba-jax]'"
HOST = "tests/contract/test_host_solvers.py -k "

UNTIMED = "if not recorded and not callback(state): return state"
TIMED = """began = time.perf_counter()
        if not recorded and not callback(state):
            return state
        state = state._replace(seconds=state.seconds + time.perf_counter() - began)"""

FAULTS = (
    # ------------------------------------------------------------------ states and programs
    Fault(
        "program.old_iterates_start_at_zero", SOLVER,
        "if role.starts or name == role.axes[0] else", "if name == role.axes[0] else",
        "tests/contract/test_variance_reduction.py -k old_iterates",
    ),
    Fault(
        "program.x_before_is_x", JAX_PROGRAM,
        "return new, state.x, carried", "return new, new.x, carried", DIRECTIONS,
    ),
    Fault(
        "program.x_before_of_the_launch", TORCH,
        "x_before = state.x state, counts", "state, counts", DIRECTIONS,
    ),
    Fault(
        "program.no_warm_up", PROGRAM,
        "self.bk.sync(self._advance(state, self.hp, data, self.take(self.streams(), 1), 1)[0])",
        "pass", CLOCK + "everything_has_run",
    ),
    Fault(
        "program.compilation_of_the_start_left_out", PROGRAM,
        "self.counted_init, *self._start(), self.data) self.compile_time += seconds",
        "self.counted_init, *self._start(), self.data)", ARRAYS,
    ),
    Fault(
        "program.data_of_another_precision", PROGRAM,
        "str(self.bk.device), self.rules.precision)", "str(self.bk.device))", ARRAYS,
    ),
    Fault("program.data_of_other_blocks", PROGRAM, "key = (*partitions,", "key = (", ARRAYS),
    Fault(
        "program.precision_of_the_rules_ignored", PROGRAM,
        "backend, rules.device, rules.precision)", 'backend, rules.device, "float32")', ARRAYS,
    ),
    Fault(
        "program.repetition_keeps_its_seed", PROGRAM,
        "self.z0, self.x0, self.seed = z0, x0, seed", "self.z0, self.x0 = z0, x0", VALUES,
    ),
    Fault(
        "program.divergence_not_seen", JAX_PROGRAM,
        "jnp.isfinite(state.z).all() & jnp.isfinite(state.x).all()", "jnp.bool_(True)",
        BUDGETS,
    ),
    # ------------------------------------------------------------------ run loop
    Fault(
        "run.seconds_include_evaluation", RUN, UNTIMED, TIMED,
        CLOCK + "'slow_callback and torch'",
    ),
    Fault(
        "run.first_state_untimed", RUN,
        "seconds = time.perf_counter() - began", "seconds = 0.0", CLOCK + "'slow_start and torch'",
    ),
    Fault(
        "run.rows_at_1_2_4_5_8", RUN,
        "count = round(2 ** (j / per_octave))", "count = int(2 ** (j / per_octave))",
        CLOCK + "rows_are_where",
    ),
    Fault(
        "run.one_row_too_many", RUN,
        "view.max_checkpoints - 2", "view.max_checkpoints - 1", CLOCK + "rows_are_at_most",
    ),
    Fault(
        "run.overshoot_where_costs_grow", RUN,
        "max(used / state.n_iter, recent)", "used / state.n_iter", BUDGETS + " -k stairs",
    ),
    Fault(
        "run.all_that_is_left_at_once", RUN,
        "LAUNCHED_SHARE, LAST_SHARE = 1 / 3", "LAUNCHED_SHARE, LAST_SHARE = 1", BUDGETS + " -k 'linear or slower'",
    ),
    Fault("run.launches_of_any_length", RUN, "min(n, state.n_iter, math", "min(n, math", BUDGETS + " -k no_row"),
    Fault(
        "jax.counter_of_32_bits", "benchmark_utils/backends/jax/arrays.py",
        "jnp.int64(0), self.device", "jnp.int32(0), self.device", LONG + "'32_bits and jax'",
    ),
    Fault("solver.keeps_its_program", SOLVER, "before.release()", "pass", LONG + "'frees and torch'"),
    Fault(
        "solver.freed_while_in_use", SOLVER, "if journal is not None:  # benchopt's", "if True:  # benchopt's",
        LONG + "'in_turn and torch'",
    ),
    # ------------------------------------------------------------------ guard
    Fault("guard.written_in_place", GUARD, 'f".{path.name}.{os.getpid()}.tmp"', "path.name", GUARDED + "as_it_was"),
    Fault("guard.other_run_overwritten", GUARD, "while path not in self._read:", "while False:", GUARDED + "at_once"),
    Fault("guard.not_called_again", GUARD, "if name in NOT_COLLECTED:", "if False:", GUARDED + "collected_by"),
    Fault(
        "guard.forced_stay_forced", GUARD, 'if name in ("-f", "--force-solver"):', "if False:",
        GUARDED + "collected_by",
    ),
    Fault(
        "memory.rows_of_an_iteration", "benchmark_utils/running/memory.py", "if n * each <= have:",
        "if each <= have:", "tests/core/test_few_shot.py -k more_tasks",
    ),
    Fault("guard.one_group", GUARD, "// most) if most else", "// most) if False else", GUARDED + "read_back"),
    Fault("guard.collects_alone", GUARD, "or isinstance(sys.excepthook, Failed)", 'or "--collect" in arguments',
        GUARDED + "collecting_writes"),
    Fault("guard.workers_too", GUARD, ' == "MainProcess" else None', " else None", GUARDED + "only_the_process"),
    Fault(
        "run.status_lost", RUN, "launched.n_done, status,", 'launched.n_done, "running",',
        BUDGETS,
    ),
    Fault("run.ledger_of_the_last_launch", RUN, "state.ledger + counts", "counts", BUDGETS),
    Fault(
        "run.iterations_asked_for", RUN, "state.n_iter + launched.n_done", "state.n_iter + n",
        BUDGETS,
    ),
    Fault(
        "run.start_not_in_the_ledger", RUN,
        "np.zeros(len(ORACLES), np.int64) + counts", "np.zeros(len(ORACLES), np.int64)", BUDGETS,
    ),
    # ------------------------------------------------------------------ journal
    Fault("journal.row_lost", JOURNAL, "rows=self.rows,", "rows=self.rows[:-1],", JOURNALS),
    Fault(
        "journal.row_doubled", SOLVER, "recorded = state is not None", "recorded = False",
        JOURNALS,
    ),
    Fault("journal.draws_restart", STATE, 'streams.go_to(saved["draws"])', "pass", RESUME),
    Fault(
        "journal.ledger_restarts", STATE,
        'streams, *saved["rest"])', 'streams, 0 * saved["rest"][0], *saved["rest"][1:])', RESUME,
    ),
    Fault(
        "journal.times_are_lost", JOURNAL,
        "time.perf_counter() - (clock - callback.time_iter)", "time.perf_counter()", JOURNALS,
    ),
    Fault(
        "journal.taken_up_by_other_code", JOURNAL, "|{solver_name}|{code}", "|{solver_name}",
        JOURNALS,
    ),
    Fault(
        "journal.taken_up_by_another_solver", JOURNAL, "|{solver_name}|{code}", "|{code}",
        JOURNALS,
    ),
    # ------------------------------------------------------------------ sweep
    Fault(
        "sweep.draws_of_member_0", SWEEP, "of_seed.setdefault(member.seed, [])", "of_seed.setdefault(0, [])",
        IDLE,
    ),
    Fault(
        "sweep.values_of_member_0", SWEEP, "float(v[name]) for v", "float(values[0][name]) for v",
        IDLE,
    ),
    Fault(
        "sweep.start_of_member_0", SWEEP, "*start(members[0].seed), members", "*start(0), members",
        SWEEPS,
    ),
    Fault(
        "sweep.rows_of_another_member", SWEEP, "callback(numbers[i], state)", "callback(i, state)",
        IDLE,
    ),
    Fault(
        "tuning.programs_of_one_structure_for_all", "benchmark_utils/tuning/trials.py",
        "key, sweeps = tuple(sorted(structure.items()))", "key, sweeps = ()",
        "tests/tools/test_tuning.py",
    ),
    Fault(
        "sweep.products_of_points_by_sums", "benchmark_utils/backends/jax/products.py",
        "return _few_matvecs(A, z), True", "return jax.vmap(lambda z: jnp.sum(A * z, axis=1))(z), True",
        "tests/core/test_compiled_programs.py -k multiplied",
    ),
    Fault("sweep.idle_member_counts", SWEEP, "for i in going:", "for i in range(len(states)):", IDLE),
    Fault("sweep.idle_member_moves", SWEEP, "for i in set(ended) - set(self.ends):", "for i in ():", IDLE),
    Fault("sweep.nobody_is_set_aside", SWEEP, "if going:  # else", "if False:  # else", IDLE),
    Fault(
        "sweep.counts_of_draws_lost", JAX_MEMBERS,
        "jnp.concatenate([totals, of_draws], axis=1)", "jnp.concatenate([totals, 0 * of_draws], axis=1)", IDLE,
    ),
    Fault(
        "sweep.counts_of_one_iteration", JAX_COUNTS,
        "np.tile(self.n * np.array", "np.tile(np.array", IDLE,
    ),
    Fault(
        "sweep.nothing_in_common", JAX_MEMBERS, "return [i in common for i in fields]", "return [False] * len(state)",
        IDLE,
    ),
    Fault(
        "sweep.divergence_lost", SWEEP,
        'status="running" if finite[i] else "diverged"', 'status="running"', IDLE,
    ),
    # ------------------------------------------------------------------ values and rules
    Fault(
        "values.start_ignored", SPACE, "return space.start", "return space.low",
        VALUES,
    ),
    Fault("values.number_of_the_user_ignored", SPACE, "and value == TUNED", "", VALUES),
    Fault(
        "values.tuned_value_ignored", SPACE, "tuned[name] if name in tuned else start_of(", "start_of(",
        VALUES,
    ),
    Fault(
        "values.tuned_for_another_solver", SPACE,
        ".get(solver_class.name, {})", ".get(next(iter(tuned_values(view.name)), None), {})",
        VALUES,
    ),
    Fault(
        "rules.inf_is_text", RULES, "as_number(value) for", "value for",
        BAD + "rules_that_cannot",
    ),
    Fault("rules.no_budget_is_a_budget", RULES, "or not value > 0", "", BAD + "rules_that_cannot"),
    Fault(
        "rules.too_large_is_not_refused", "benchmark_utils/running/memory.py",
        "if need <= have:", "if True:", BAD + "table_that_does_not_fit",
    ),
    # ------------------------------------------------------------------ odd values and names
    Fault(
        "odd.no_upper_bound", SPACE, "least <= value <= most", "least <= value",
        "tests/contract/test_odd_parameters.py -k 'edges and mrbo'",
    ),
    Fault(
        "odd.division_by_zero_raises", SOLVER, "except (ZeroDivisionError, OverflowError) as error:",
        "except MemoryError as error:", "tests/contract/test_odd_parameters.py -k 'zero and f2sa'",
    ),
    Fault(
        "odd.draws_may_fill_the_memory", "benchmark_utils/running/memory.py",
        "or bytes_of(plan[largest]) <= DRAWS", "or True", BAD + "draws_that_do_not_fit",
    ),
    Fault(
        "odd.rises_one_late", "benchmark_utils/formulas/steps.py", "rises <= t", "rises < t",
        "tests/contract/test_random_lengths.py -k rises",
    ),
    Fault(
        "odd.error_of_a_data_set_ends_the_command", "objective.py", "except Exception as error:",
        "except MemoryError as error:", BAD + "raises_is_skipped",
    ),
    Fault("odd.run_without_an_end", "objective.py", "or self._why_endless()", "", BAD + "no_run_ends"),
    Fault(
        "names.text_stays_text", "benchmark_utils/problem/parameters.py",
        "{name: as_number(value) for", "{name: value for", "tests/core/test_names.py -k arrive_as_text",
    ),
    Fault(
        "names.whole_floats_lose_their_point", SOLVER,
        "name in hyper_parameter_names(cls) or super().is_fraction(name)", "super().is_fraction(name)",
        "tests/core/test_names.py -k one_value",
    ),
    # ------------------------------------------------------------------ loops on the host
    Fault(
        "host.samples_not_looked_at", "benchmark_utils/running/host_program.py",
        "or self.counts.sum() >= self.samples_left", "", HOST + "'samples_of_the_budget and hoag'",
    ),
    Fault(
        "host.calls_not_counted", "benchmark_utils/running/host.py",
        "program.count(counts)", "pass",
        "tests/contract/test_host_files.py -k 'counted_function and torch'",
    ),
)  # fmt: skip
