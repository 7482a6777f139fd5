"""The protocol of tuning: what every solver gets, and how one configuration is preferred to another."""

import itertools
import warnings
from typing import Any, NamedTuple

import numpy as np
import optuna
from scipy.stats import qmc

from benchmark_utils.running.search_space import Choice, Int, Log, start_of

#: Names of samplers: how the values of the trials are chosen.
SAMPLERS = ("qmc", "random", "tpe", "grid")

#: First seed of tuning: those of reported runs, which benchopt hashes, are smaller.
FIRST_SEED = 1 << 32


class Protocol(NamedTuple):
    """What every solver gets on a problem."""

    sampler: str = "qmc"  # one of SAMPLERS
    n_trials: int = 64  # configurations, the start of the ranges included
    n_rounds: int = 3  # of "qmc": half of the trials over the whole ranges, the others ever closer to the best
    n_structures: int = 4  # combinations of integers and words in the first round; its trials are divided evenly
    n_seeds: int = 3  # runs of each configuration
    n_finalists: int = 8  # configurations that are run again: the best, half of them from the first round
    n_final_seeds: int = 10  # runs of each finalist, with seeds of their own
    max_samples: float = 1e7  # budget of a run
    device: str = "cpu"
    precision: str = "float32"
    seed: int = 0  # of the sampler

    def seeds(self):
        """Return the seeds of the runs of each configuration."""
        return [FIRST_SEED + i for i in range(self.n_seeds)]

    def final_seeds(self):
        """Return the seeds of the runs of each finalist: others than those by which it became one."""
        return [FIRST_SEED + self.n_seeds + i for i in range(self.n_final_seeds)]

    def quotas(self):
        """Return the trials of each round: half of them in the first, the others divided evenly."""
        if self.sampler != "qmc" or self.n_rounds == 1:
            return [self.n_trials]
        later = self.n_trials // 2 // (self.n_rounds - 1)
        return [self.n_trials - later * (self.n_rounds - 1)] + [later] * (self.n_rounds - 1)

    def why_bad(self):
        """Return a sentence about the first entry that cannot be right, or None."""
        if self.sampler not in SAMPLERS:
            return f"sampler is {self.sampler!r}; choose one of {', '.join(SAMPLERS)}."
        for name in ("n_trials", "n_rounds", "n_structures", "n_seeds", "n_finalists", "n_final_seeds"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                return f"{name} is {getattr(self, name)!r}; it must be a whole number, at least 1."
        if not self.max_samples > 0 or not np.isfinite(self.max_samples):
            return f"max_samples is {self.max_samples!r}; it must be a positive number."
        return None


# ---------------------------------------------------------------------- ranges as Optuna has them
def distributions(space):
    """Return dict of name to the Optuna distribution of a solver's ``search_space``."""
    of = {
        Log: lambda s: optuna.distributions.FloatDistribution(s.low, s.high, log=True),
        Int: lambda s: optuna.distributions.IntDistribution(s.low, s.high, log=s.low > 0),
        Choice: lambda s: optuna.distributions.CategoricalDistribution(s.options),
    }
    return {name: of[type(s)](s) for name, s in space.items()}


def starts(space, view):
    """Return dict of name to where each range starts on a problem."""
    return {name: start_of(s, view) for name, s in space.items()}


def structures(space, view, n, seed=0):
    """Return at most ``n`` different combinations of the integers and words of a search space.

    The first is that of the starts; the others are quasi-random (Sobol), integers on a logarithmic scale.
    """
    names = [name for name, s in space.items() if not isinstance(s, Log)]
    first = {name: value for name, value in starts(space, view).items() if name in names}
    found = [first]
    if not names:
        return found
    sobol = qmc.Sobol(len(names), seed=seed)
    for point in sobol.random(min(4096, 1 << (16 * n - 1).bit_length())):
        if len(found) == n:
            break
        combination = {name: _at(space[name], u) for name, u in zip(names, point, strict=True)}
        if combination not in found:
            found.append(combination)
    return found


def _at(space, u):
    """Return the value of an integer or a word at a point u of [0, 1)."""
    if isinstance(space, Choice):
        return space.options[int(u * len(space.options))]
    low, high = max(space.low, 0.5), space.high + 0.5
    value = int(np.exp(np.log(low) + u * (np.log(high) - np.log(low))) + 0.5)
    return min(max(value, space.low), space.high)


def make_sampler(protocol, fixed, n, space):
    """Return the Optuna sampler of a structure's trials.

    Parameters
    ----------
    protocol : Protocol
    fixed : dict
        Values of the structure.
    n : int
        Trials of the structure.
    space : dict of str to Optuna distribution
        Of all hyper-parameters.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _make_sampler(protocol, fixed, n, space)


def _make_sampler(protocol, fixed, n, space):
    seed = protocol.seed
    if protocol.sampler in ("random", "grid"):  # the points of a grid are enqueued
        base = optuna.samplers.RandomSampler(seed=seed)
    elif protocol.sampler == "tpe":
        base = optuna.samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=max(8, n // 4))
    else:
        base = _QuasiRandom({name: d for name, d in space.items() if name not in fixed}, seed)
    return optuna.samplers.PartialFixedSampler(fixed, base)


class _QuasiRandom(optuna.samplers.QMCSampler):
    """Optuna's Sobol points of a space that is known: by itself the sampler waits for a finished trial to tell."""

    def __init__(self, space, seed):
        super().__init__(
            qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False, warn_asynchronous_seeding=False
        )
        self.space = space

    def infer_relative_search_space(self, study, trial):
        """Return the space; nothing is inferred."""
        return self.space


def grid(space, fixed, n):
    """Return at most ``n`` configurations: as many points in each direction, whose ends are those of the ranges."""
    numbers = [name for name, s in space.items() if isinstance(s, Log)]
    each = max(1, int(np.floor(n ** (1 / max(1, len(numbers))) + 1e-9)))
    points = (np.geomspace(space[name].low, space[name].high, each).tolist() for name in numbers)
    return [fixed | dict(zip(numbers, point, strict=True)) for point in itertools.product(*points)]


def around(space, centre, n, closer, seed=0):
    """Return ``n`` quasi-random configurations (Sobol) near one, which differ from it in their numbers alone.

    Parameters
    ----------
    space : dict
        Search space.
    centre : dict
        Value of each of its parameters.
    n : int
    closer : float
        How many times shorter than the ranges, on a logarithmic scale, the sides of the box are. The box is moved
        inwards where the centre is near the end of a range.
    seed : int
    """
    numbers = [name for name, s in space.items() if isinstance(s, Log)]
    low, high = (np.log([getattr(space[name], end) for name in numbers]) for end in ("low", "high"))
    side = (high - low) / closer
    corner = np.clip(np.log([centre[name] for name in numbers]) - side / 2, low, high - side)
    points = qmc.Sobol(len(numbers), seed=seed).random(1 << max(0, n - 1).bit_length())[:n]
    values = np.clip(np.exp(corner + side * points), np.exp(low), np.exp(high))  # rounding, at the ends
    return [centre | dict(zip(numbers, point, strict=True)) for point in values.tolist()]


# ---------------------------------------------------------------------- what is preferred
class Outcome(NamedTuple):
    """What a configuration came to."""

    values: dict  # value of each parameter of the search space
    scores: Any  # one for each seed; inf where a run diverged
    samples: int  # of all its runs
    seconds: float  # wall time that was its share

    @property
    def score(self):
        """Median over the seeds; the lowest is best."""
        return float(np.median(self.scores))

    @property
    def n_failed(self):
        """Runs that diverged, or ended in no finite score."""
        return int(np.sum(~np.isfinite(self.scores)))


def ranked(outcomes):
    """Return the outcomes whose median is finite, the best first: fewest failures, then the lowest median.

    The median alone would take a configuration that diverges in nearly every second run.
    """
    return sorted((o for o in outcomes if np.isfinite(o.score)), key=lambda o: (o.n_failed, o.score))


def at_the_edge(space, values, share=0.05):
    """Return the names of parameters chosen within a share of the end of their range (logarithmic for numbers)."""
    out = []
    for name, value in values.items():
        s = space[name]
        if isinstance(s, Choice) or s.low == s.high:
            continue
        if isinstance(s, Int):
            near = value in (s.low, s.high)
        else:
            position = np.log(value / s.low) / np.log(s.high / s.low)
            near = not share <= position <= 1 - share
        if near:
            out.append(name)
    return out
