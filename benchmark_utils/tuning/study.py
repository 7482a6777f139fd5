"""One Optuna study for each solver and problem: trials asked for in batches, run together, told, taken up again."""

import contextlib
import datetime
import functools
import math
import os
import platform

import optuna
import psutil
from optuna.trial import TrialState

from benchmark_utils.tuning.protocol import (
    Outcome,
    around,
    distributions,
    grid,
    make_sampler,
    ranked,
    starts,
    structures,
)
from benchmark_utils.tuning.trials import numbers_of, run_configurations

#: Attributes of a trial: round, machine and process when it begins; scores, samples and seconds when it ends. Each
#: attribute is a transaction of the storage, which on a disk costs more than many a run.
BEGUN, ENDED = "begun", "ended"

#: Attribute of a study, with the number of a round: the configuration around which its points lie.
CENTRE = "centre of round"

#: Points that are run between the best finalist and the safest.
BETWEEN = 7

#: How many times shorter the ranges of a round are than those of the round before, on a logarithmic scale.
CLOSER = 4

#: Attribute of a study: what the best trials came to when they were run again.
FINAL = "final runs"

#: Minutes after which a trial that a killed worker has left running is given up.
STALE = 60


class Tuning:
    """Trials of one solver on one problem, kept in an Optuna storage that several workers may share.

    Parameters
    ----------
    solver_class : type
    problem : Problem
    protocol : Protocol
    storage : optuna storage or str
        URL as Optuna takes it: SQLite, PostgreSQL, …
    given : dict, optional
        Parameters outside the search space.
    run : callable, optional
        In the place of `run_configurations`: a made-up solver, say.
    alone : context manager, optional
        Held while trials are counted and asked for: of workers that begin at once, only one may do so at a time.
    """

    def __init__(self, solver_class, problem, protocol, storage, given=None, run=None, alone=None):
        self.alone = alone or contextlib.nullcontext()
        self.cls, self.problem, self.protocol = solver_class, problem, protocol
        self.run = run or functools.partial(run_configurations, sweeps={})  # compiled programs are kept
        self.given, self.space = given or {}, solver_class.search_space
        view = problem.view
        self.structures = structures(self.space, view, min(protocol.n_structures, protocol.n_trials), protocol.seed)
        self.starts, self.distributions = starts(self.space, view), distributions(self.space)
        #: Trials of each round; a solver without numbers to tune has one.
        self.rounds = protocol.quotas() if numbers_of(self.space, self.starts)[1] else [protocol.n_trials]
        later = ("n_trials", "n_finalists", "n_final_seeds")  # what may change while a study goes on
        rules = {k: v for k, v in protocol._asdict().items() if k not in later}
        name = "; ".join([problem.name, solver_class.name, *(f"{k}={v}" for k, v in (rules | self.given).items())])
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)

    def quotas(self):
        """Return how many trials of the first round each structure gets: the same, or one more where it is uneven."""
        each, more = divmod(self.rounds[0], len(self.structures))
        return [each + (i < more) for i in range(len(self.structures))]

    def go(self, on_batch=lambda done, total: None):
        """Run the trials that are missing.

        Parameters
        ----------
        on_batch : callable
            ``on_batch(done, total)`` after each batch, in trials.
        """
        report = lambda: on_batch(len(self.outcomes()), self.protocol.n_trials)
        report()
        self._give_up_stale_trials()
        for structure, quota in zip(self.structures, self.quotas(), strict=True):
            begun, points = [], []
            with self.alone:
                if structure == self.structures[0] and not self._trials(0, structure):
                    self.study.enqueue_trial(self.starts)
                    begun = [self._ask(0)]
            self.study.sampler = make_sampler(self.protocol, structure, quota, self.distributions)
            if self.protocol.sampler == "grid":
                before = structure == self.structures[0]  # the start of the ranges
                points = [{}] * before + grid(self.space, structure, quota - before)
                quota = len(points)
            self._run_missing(0, structure, quota, points, report, begun)
        for i, quota in enumerate(self.rounds[1:], start=1):
            points = self._points(i, quota)
            if points:
                self._run_missing(i, numbers_of(self.space, points[0])[0], quota, points, report)

    def _points(self, i, n):
        """Return the points of a later round, around what was best when it began; that is kept in the study."""
        key = f"{CENTRE} {i}"
        if key not in self.study.user_attrs:
            best = ranked(self.outcomes())
            self.study.set_user_attr(key, best[0].values if best else self.starts)
        return around(self.space, self.study.user_attrs[key], n, CLOSER**i, self.protocol.seed + i)

    def _run_missing(self, i, structure, quota, points, report, begun=()):
        """Run the trials of a round and structure that no worker has begun, at points or where the sampler says.

        Trials in ``begun`` have been asked for, and are run first.
        """
        batch = 16 if self.protocol.sampler == "tpe" else quota
        of_round = structure if i == 0 else None  # later rounds have one structure each
        while True:
            with self.alone:
                done = len(self._trials(i, of_round))
                n = min(quota - done, batch)
                for point in points[done : done + n]:
                    self.study.enqueue_trial(point)
                trials, begun = [*begun, *(self._ask(i) for _ in range(n))], ()
            if not trials:
                return
            self._run_batch(structure, trials)
            report()

    def finalists(self):
        """Run the best trials again, with seeds of their own, and return their outcomes, the best first.

        The lowest of many scores over a few seeds is partly luck: what counts is how it does with others. Kept in the
        study, so that it is done once.
        """
        outcomes, n = self.outcomes(), self.protocol.n_finalists
        # Of the first round too, and the start of the ranges: later rounds gather in one place, where luck may have
        # led them.
        early = [outcome for i, outcome in finished(self.study) if i == 0]
        picks = [o.values for o in [*ranked(outcomes)[: n - n // 2], *ranked(early)]]
        start = outcomes[0].values
        picks = [values for i, values in enumerate(picks) if values not in [*picks[:i], start]]
        chosen = [*picks[: max(1, n - 1)], start]
        kept = self.study.user_attrs.get(FINAL, {})
        if kept.get("of") != chosen:
            found = []
            for structure in self.structures:
                found += self._run_final(structure, [v for v in chosen if structure.items() <= v.items()])
            found += self._towards_safety(found)
            kept = {"of": chosen, "outcomes": [o._asdict() for o in found]}
            self.study.set_user_attr(FINAL, kept)
        return ranked(Outcome(**{**o, "scores": [_number(s) for s in o["scores"]]}) for o in kept["outcomes"])

    def _run_final(self, structure, configurations):
        if not configurations:
            return []
        numbers = [numbers_of(self.space, values)[1] for values in configurations]
        return self.run(
            self.cls, self.problem, structure, numbers, self.protocol, self.given, self.protocol.final_seeds()
        )

    def _towards_safety(self, found):
        """Run points between the finalist with the best score and the best of those that diverge least.

        The lowest scores lie where some runs diverge. The point sought is as near to them as runs allow that diverge no
        more than the safest finalist.
        """
        order = ranked(found)
        if not order:
            return []
        safe, bold = order[0], min(order, key=lambda o: o.score)
        if bold.n_failed <= safe.n_failed:
            return []
        structure, bold_numbers = numbers_of(self.space, bold.values)
        _, safe_numbers = numbers_of(self.space, safe.values)
        shares = [(i + 1) / (BETWEEN + 1) for i in range(BETWEEN)]  # of the way to the bold end
        points = [{k: v**s * safe_numbers[k] ** (1 - s) for k, v in bold_numbers.items()} for s in shares]
        return self._run_final(structure, [structure | point for point in points])

    def _run_batch(self, structure, trials):
        configurations = [numbers_of(self.space, trial.params)[1] for trial in trials]
        try:
            outcomes = self.run(self.cls, self.problem, structure, configurations, self.protocol, self.given)
        except BaseException:
            for trial in trials:
                self.study.tell(trial, state=TrialState.FAIL)
            raise
        for trial, outcome in zip(trials, outcomes, strict=True):
            trial.set_user_attr(ENDED, [outcome.scores, outcome.samples, outcome.seconds])
            self.study.tell(trial, outcome.score)

    def _trials(self, i, structure=None):
        """Return the trials of a round that count, finished or being run by some worker, of one structure or of all."""
        found = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        found = [t for t in found if t.user_attrs.get(BEGUN, [None])[0] == i]
        return [t for t in found if structure is None or structure.items() <= t.params.items()]

    def _ask(self, i):
        trial = self.study.ask(self.distributions)
        trial.set_user_attr(BEGUN, [i, platform.node(), os.getpid()])
        return trial

    def _give_up_stale_trials(self):
        """Give up trials whose worker is dead, if it ran on this machine, or has been silent for an hour."""
        now = datetime.datetime.now()
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            _, node, process = trial.user_attrs.get(BEGUN, (None, None, None))
            dead = node == platform.node() and not psutil.pid_exists(process)
            if dead or now - trial.datetime_start > datetime.timedelta(minutes=STALE):
                self.study.tell(trial.number, state=TrialState.FAIL)

    def outcomes(self):
        """Return the outcomes of the finished trials, in the order in which they were asked for."""
        return [outcome for _, outcome in finished(self.study)]


def finished(study):
    """Return (round, `Outcome`) of the finished trials of an Optuna study, in the order of their numbers."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ends = [(t.user_attrs[BEGUN][0], t.params, *t.user_attrs[ENDED]) for t in sorted(trials, key=lambda t: t.number)]
    return [(i, Outcome(values, [_number(s) for s in scores], *cost)) for i, values, scores, *cost in ends]


def _number(value):
    """Return a score as a float: JSON has no infinity of its own, so that some storages write a word."""
    return math.inf if value is None else float(value)
