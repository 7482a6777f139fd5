"""Faults in oracles, terms, draws, blocks, formulas and backends."""

from .fault import Fault

FULL_PASS = "benchmark_utils/oracles/full_pass.py"
ORACLES = "benchmark_utils/oracles/oracles.py"
DIFFERENTIATE = "benchmark_utils/oracles/differentiate.py"
BLOCKS = "benchmark_utils/oracles/blocks.py"
DRAWS = "benchmark_utils/oracles/draws.py"
GLM = "benchmark_utils/terms/glm.py"
LINEAR = "benchmark_utils/formulas/linear_system.py"
HYPERGRADIENT = "benchmark_utils/formulas/hypergradient.py"
STEPS = "benchmark_utils/formulas/steps.py"
REDUCTION = "benchmark_utils/formulas/variance_reduction.py"
JAX = "benchmark_utils/backends/jax/arrays.py"
JAX_PROGRAM = "benchmark_utils/backends/jax/program.py"
TORCH = "benchmark_utils/backends/torch/eager.py"

AVERAGE = "tests/core/test_blocks_and_draws.py -k 'full_sum and simulated and torch'"
STREAMS = "tests/core/test_shuffle_and_streams.py"
EARLY = "tests/core/test_counts_known_early.py -k jax"
POINTS = "tests/core/test_several_points.py -k 'equal_calls and jax'"
CLOSED = "tests/core/test_closed_forms.py -k 'torch and logistic and dense'"
MAPS = "tests/core/test_closed_forms.py -k 'torch and affine'"
FIXED_POINT = "tests/core/test_problem_shapes.py -k 'fixed_point_residual and torch'"
CONTROL_FLOW = "tests/contract/test_ledger.py -k 'control_flow and torch'"
SYSTEMS = "tests/core/test_linear_systems.py -k torch"
ARRAYS = "tests/core/test_arrays_on_the_device.py"
LIMITS = "tests/contract/test_deterministic_limits.py -k 'long_loops and torch'"
STARTS = "tests/contract/test_variance_reduction.py -k 'first_direction or old_iterates'"
TRANSCRIBED = "tests/contract/test_transcriptions.py -k "
PROGRAMS = "tests/core/test_compiled_programs.py -k "
EMBEDDED = "tests/core/test_embedded_problems.py -k "

FAULTS = (
    # ------------------------------------------------------------------ oracles
    Fault(
        "oracles.cross_sign", ORACLES,
        'return self._ask("inner", ("cross",), z,', 'return -self._ask("inner", ("cross",), z,',
        FIXED_POINT,
    ),
    Fault(
        "oracles.hvp_point", ORACLES,
        '"inner", ("hvp",), z, x, v,', '"inner", ("hvp",), 0 * z, x, v,',
        "tests/contract/test_stable.py -k 'weighted_multinomial and torch'",
    ),
    Fault("oracles.ragged_count", BLOCKS, "part.last_size != n", "False", CONTROL_FLOW),
    Fault(
        "oracles.full_weights", BLOCKS,
        "blocks.weights.reshape((-1,)) / part.n_blocks", "blocks.weights.reshape((-1,))", AVERAGE,
    ),
    Fault(
        "oracles.outer_counted_twice", ORACLES,
        '("grad_z", "grad_x"), z, x, None, batch, ("grad_outer",)',
        '("grad_z", "grad_x"), z, x, None, batch, ("grad_outer", "grad_outer")',
        "tests/contract/test_ledger.py -k 'full_batches and torch'",
    ),
    Fault(
        "oracles.sparse_rows_not_renumbered", BLOCKS,
        "[:, None] * batch_size", "[:, None] * 0",
        "tests/core/test_problem_shapes.py -k 'sparse_rows_give and grad_inner and torch'",
    ),
    Fault(
        "oracles.at_points_counts_once", JAX, "ledger.add(static, n)", "ledger.add(static, 1)",
        EARLY,
    ),
    Fault("oracles.vmap_counts_once", JAX, "total = total.sum()", "total = total[0]", POINTS),
    Fault(
        "oracles.loop_counts_once", JAX,
        "for name, count in spent.items() if isinstance(count, int)}, n)",
        "for name, count in spent.items() if isinstance(count, int)}, 1)",
        EARLY,
    ),
    Fault(
        "oracles.both_branches_counted", TORCH,
        "return on_true(*operands) if pred else on_false(*operands)",
        "return (on_false(*operands), on_true(*operands))[int(pred)]", CONTROL_FLOW,
    ),
    Fault(
        "oracles.rare_branch_never_taken", JAX,
        "out, spent = lax.cond(pred,", "out, spent = lax.cond(pred & (not rare),",
        "tests/contract/test_ledger.py -k 'control_flow and jax'",
    ),
    Fault(
        "oracles.map_sign", DIFFERENTIATE,
        "residual = lambda z, x: z - phi(z, x)", "residual = lambda z, x: z + phi(z, x)", MAPS,
    ),
    Fault(
        "oracles.symmetry_not_recorded", ORACLES,
        'self.asked.add("symmetric_hvp")', "pass",
        "tests/contract/test_deterministic_limits.py -k refuse_fixed_points",
    ),
    Fault(
        "oracles.full_pass_not_recorded", ORACLES,
        'self.asked.add("full_pass") part', "part", "tests/core/test_requirements.py",
    ),
    Fault(
        "oracles.full_pass_sums_the_blocks", FULL_PASS, "total / n_blocks", "total",
        "tests/core/test_blocks_and_draws.py -k goes_block_by_block",
    ),
    Fault(
        "oracles.full_pass_over_all_rows_at_once", FULL_PASS, "columns and oracles.bk.loops", "False",
        "tests/core/test_blocks_and_draws.py -k goes_block_by_block",
    ),
    Fault(
        "oracles.long_sums_over_blocks", "benchmark_utils/running/requirements.py",
        "max(part.batch_size, part.n_blocks * whole)", "part.batch_size",
        "tests/core/test_compiled_programs.py -k sums_are_short",
    ),
    Fault(
        "oracles.branches_not_listened_to", "benchmark_utils/backends/recording.py",
        "results = on_false(*operands), on_true(*operands)",
        "return on_false(*operands)", "tests/core/test_requirements.py",
    ),
    Fault(
        "oracles.map_offers_everything", "benchmark_utils/problem/problem.py",
        "if not self.inner.is_map:", "if True:",
        "tests/contract/test_deterministic_limits.py -k refuse_fixed_points",
    ),
    # ------------------------------------------------------------------ terms
    Fault(
        "terms.penalty_times_block_weight", GLM,
        "out[name] + q * direction", "out[name] + xp.sum(weights) * q * direction", CLOSED,
    ),
    Fault(
        "terms.penalty_in_value_times_block_weight", "benchmark_utils/terms/term.py",
        "xp.sum(weights * values) + self.penalty(xp, z, x)",
        "xp.sum(weights * values) + xp.sum(weights) * self.penalty(xp, z, x)", CLOSED,
    ),
    Fault(
        "terms.logistic_curvature", "benchmark_utils/terms/links.py", "c = s * (1 - s)", "c = s",
        "tests/core/test_evaluators.py -k 'derivatives_of_links and torch'",
    ),
    Fault(
        "terms.sigmoid_derivative", GLM,
        "weights * s * (1 - s) * link.value", "weights * s * link.value", CLOSED,
    ),
    Fault(
        "terms.sigmoid_derivative_of_cross", GLM,
        "slopes = weights * s * (1 - s) * (along", "slopes = weights * s * (along", CLOSED,
    ),
    Fault(
        "terms.penalty_without_its_half", "benchmark_utils/terms/penalties.py",
        "return 0.5 * self.scale * xp.sum(xp.exp(x)", "return self.scale * xp.sum(xp.exp(x)",
        CLOSED,
    ),
    Fault(
        "terms.quadratic_cross_sign", "benchmark_utils/terms/quadratic.py",
        'out["cross"] = (w * (rows["s"]', 'out["cross"] = -(w * (rows["s"]',
        "tests/core/test_closed_forms.py -k 'torch and quadratic'",
    ),
    Fault(
        "terms.slope_of_tanh", "benchmark_utils/terms/network.py",
        "d_flat + inner * bend * d_units", "d_flat + 0.5 * inner * bend * d_units",
        EMBEDDED + "'closed_forms and network'",
    ),
    Fault(
        "terms.noise_reaches_the_predictions_once", "benchmark_utils/terms/poisoned.py",
        "_outer(second, z) + _outer(first, v)", "_outer(second, z)",
        EMBEDDED + "'closed_forms and poisoned'",
    ),
    Fault(
        "terms.projection_stops_early", "benchmark_utils/problem/sets.py",
        "NEWTON_STEPS = 12", "NEWTON_STEPS = 1", EMBEDDED + "dykstras",
    ),
    # ------------------------------------------------------------------ blocks and draws
    Fault(
        "blocks.ragged_weights", BLOCKS, "np.full(n, n_blocks / n)", "np.full(n, 1 / b)", STREAMS,
    ),
    Fault(
        "blocks.no_shuffle", BLOCKS,
        "np.random.default_rng(seed).permutation(n)", "np.arange(n)", STREAMS,
    ),
    Fault(
        "blocks.padding_counts_as_rows", BLOCKS, "n_samples - (n_blocks - 1) * int(b)", "int(b)",
        "tests/core/test_blocks_and_draws.py -k exactly_one",
    ),
    Fault("draws.one_seed_for_all_roles", DRAWS, "zlib.crc32(role.encode())", "0", STREAMS),
    Fault(
        "draws.seed_ignored", DRAWS, "[seed, zlib", "[0, zlib",
        "tests/core/test_blocks_and_draws.py -k role_more",
    ),
    Fault("draws.peek_moves_on", DRAWS, "self.go_to(position) return", "return", STREAMS),
    Fault(
        "draws.upper_bound_included", DRAWS, "(*draw.bounds,", "(*draw.bounds, endpoint=True,",
        STREAMS,
    ),
    Fault("draws.probability_of_zero", DRAWS, "< draw.bounds[0]", "> draw.bounds[0]", STREAMS),
    # ------------------------------------------------------------------ formulas
    Fault(
        "formulas.cg_one_step_short", LINEAR, "oracles.repeat(n, step,",
        "oracles.repeat(n - 1, step,", SYSTEMS,
    ),
    Fault(
        "formulas.shia_one_term_short", LINEAR, "oracles.repeat(n, term,",
        "oracles.repeat(n - 1, term,", SYSTEMS,
    ),
    Fault(
        "formulas.hia_one_product_more", LINEAR, "oracles.repeat(length,",
        "oracles.repeat(length + 1,", SYSTEMS,
    ),
    Fault("formulas.hia_factor", LINEAR, "return -n * eta", "return -eta", SYSTEMS),
    Fault(
        "formulas.implicit_sign", HYPERGRADIENT, "F_x + oracles.cross(", "F_x - oracles.cross(",
        LIMITS,
    ),
    Fault(
        "formulas.storm_weight", REDUCTION,
        "new + (1 - a) * (d - old)", "new + a * (d - old)", TRANSCRIBED + "mrbo",
    ),
    Fault(
        "formulas.average_weights_swapped", REDUCTION,
        "(1 - a) * d + a * new", "a * d + (1 - a) * new",
        "tests/contract/test_variance_reduction.py -k 'without_memory and torch'",
    ),
    Fault(
        "formulas.sarah_sign", REDUCTION, "return d + new - old", "return d + old - new",
        TRANSCRIBED + "srba",
    ),
    Fault(
        "formulas.schedule_one_late", STEPS, "((t + 0 * c) / offset + 1)", "((t + 0 * c) / offset + 2)",
        TRANSCRIBED + "soba",
    ),
    Fault(
        "formulas.first_direction_with_memory", STEPS, "backend.select(t == 0, 1.0, a)", "a",
        STARTS,
    ),
    Fault(
        "formulas.lbfgs_looks_at_the_largest_entry", "benchmark_utils/formulas/lbfgs.py",
        "if np.linalg.norm(gradient) <= tolerance", "if np.abs(gradient).max() <= tolerance",
        "tests/contract/test_host_files.py -k lbfgs_meets",
    ),
    # ------------------------------------------------------------------ backends
    Fault(
        "backends.matmul_precision_not_applied", JAX_PROGRAM,
        "with jax.default_matmul_precision(MATMUL_PRECISION):",
        'with jax.default_matmul_precision("default"):', ARRAYS,
    ),
    Fault(
        "backends.torch_matmul_precision", TORCH, 'set_float32_matmul_precision("highest")',
        'set_float32_matmul_precision("medium")', ARRAYS,
    ),
    Fault("backends.jax_does_not_wait", JAX, "jax.block_until_ready(tree)", "pass", ARRAYS),
    Fault(
        "backends.torch_does_not_wait", TORCH, "torch.cuda.synchronize(self.device)", "pass",
        "tests/core/test_clock.py -k asynchronous",
    ),
    Fault(
        "backends.one_dtype", JAX, "jnp.array(a, self.dtype if", "jnp.array(a, jnp.float32 if",
        ARRAYS,
    ),
    Fault(
        "backends.swap_copies_the_table", JAX,
        "return (old := self.row_read(table, i)), self.row_set(table, i, jnp.where(i < 0, old, row))",
        "return self.row_get(table, i), self.row_set(table, i, row)",
        PROGRAMS + "copies",
    ),
    Fault(
        "running.start_makes_sums_long", "benchmark_utils/running/requirements.py",
        "asked_by_step(solver, with_start)", "asked_by_step(solver)", PROGRAMS + "short",
    ),
)  # fmt: skip
