"""The outer direction that a run takes next, and where it is taken, without moving the run on."""

from benchmark_utils.oracles.listening import ListeningOracles


class NextDirection:
    """One more step from a state of a run, thrown away: what it takes as outer direction, at which z and v.

    The draws are those that the run takes next. Nothing is counted and the clock stands.

    Parameters
    ----------
    program : benchmark_utils.running.program.Program
        Of a problem without tasks.
    """

    def __init__(self, program):
        self.program, self._compiled = program, None

    def _listened(self, state, hp, data, draws):
        """Return ({"d", "z", "v"} with None for what is not known, counts)."""
        program, solver = self.program, self.program.solver
        one = draws[0] if isinstance(draws, list) else type(draws)(*(a[0] for a in draws))
        oracles = ListeningOracles(program.bk, program.spec, data, state.x)
        new = solver.step(state, oracles, hp, one)
        heard = {"z": oracles.z, "v": oracles.v()}
        return {"d": new.d_x} | {name: heard[name] for name in solver.direction_at}, oracles.ledger.vector()

    def __call__(self, run_state):
        """Return dict of "d" and those of "z" and "v" that are known to float64 vectors, at the x of the state.

        Parameters
        ----------
        run_state : RunState
            Not consumed.
        """
        program, bk, carry = self.program, self.program.bk, run_state.carry
        if bk.eager:  # tables are written in place there
            carry = bk.tree_map(lambda a: bk.from_host(bk.to_host(a)), carry)
        draws = bk.pack_draws(program.draws_type(**run_state.draws.peek(1)), 1)
        arguments = carry, program.hp, program.data, draws
        if self._compiled is None:
            self._compiled, _ = bk.compile_once(self._listened, *arguments)
        found, _ = self._compiled(*arguments)
        return {name: bk.to_numpy(array) for name, array in found.items() if array is not None}
