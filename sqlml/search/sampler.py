"""
What to try next: a portfolio in a fixed order, then a sampler of Optuna's.

Owns the Optuna study, which lives in memory for one search.
"""

import importlib.util
import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import optuna

from sqlml.enums import EstimatorName, TrialState
from sqlml.errors import OptionNotUsable
from sqlml.search.estimators.estimator import Choice, Task
from sqlml.search.leaderboard import Hyperparameters, TrialResult, rank
from sqlml.search.plan import Plan, SamplerName
from sqlml.search.space import Choices, Dimension
from sqlml.search.wishes import Space, make_portfolio, nearest

STATES = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.FAIL: optuna.trial.TrialState.FAIL,
}
PACKAGES = {SamplerName.CMAES: "cmaes", SamplerName.GP: "torch"}
FLAT = frozenset({SamplerName.CMAES, SamplerName.GP})
"""Samplers that need every trial to have the same parameters: those of all estimators."""
ESTIMATOR = "estimator"
RERUN_TRIALS = 3
"""So many of the best trials of an interrupted search run again first."""
GRID_STEPS = 4
MAX_SHUFFLED = 100_000
Revise = Callable[[Choice], Choice]


class Sampler:
    """Chooses estimator and hyperparameters of each trial."""

    def __init__(
        self,
        plan: Plan,
        spaces: Mapping[EstimatorName, Space],
        task: Task,
        rate: float,
        revise: Revise | None = None,
    ):
        """Take the portfolio at a learning rate; `revise` changes it, within the spaces."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spaces = spaces
        self._is_flat = plan.sampler in FLAT
        self._trials: dict[int, optuna.Trial] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(
                direction=task.metric.direction.value, sampler=make_sampler(plan)
            )
        portfolio = _portfolio(plan, spaces, task, rate)
        if revise is not None:
            portfolio = [_completed(spaces, revise(each)) for each in portfolio]
        self._waiting = deque(_first_choices(plan, spaces, task, portfolio))
        self._best: Choice | None = None
        self.portfolio_size = len(self._waiting)
        self._grid: Iterator[Choice] | None = None
        if plan.sampler is SamplerName.GRID:
            self._grid = make_grid(spaces, plan.seed)
        for result in plan.finished:
            self._remember(result)

    def ask(self, number: int) -> Choice | None:
        """Choose what trial `number` tries, which is to be told; None: a grid is done."""
        choice = self._waiting.popleft() if self._waiting else None
        if choice is None and self._grid is not None:
            choice = next(self._grid, None)
            if choice is None:
                return None
        if choice is not None:
            self._study.enqueue_trial(self._named(choice))
        trial = self._study.ask()
        self._trials[number] = trial
        return self._suggest(trial)

    def reorder(self, places: Mapping[int, float]) -> None:
        """Sort the waiting choices by what is known of some, best (smallest) first."""
        waiting = list(self._waiting)
        known = sorted(places, key=lambda index: places[index])
        others = [index for index in range(len(waiting)) if index not in places]
        self._waiting = deque(waiting[index] for index in [*known, *others])

    def prefer(self, fits: Callable[[Choice], bool]) -> bool:
        """
        Let the first waiting choice that fits come next; tell whether there is one.

        With an empty portfolio the next choice is not known: what has fitted best so far
        stands for it.
        """
        if not self._waiting:
            return self._best is None or fits(self._best)
        place = next((place for place, each in enumerate(self._waiting) if fits(each)), None)
        if place is None:
            return False
        choice = self._waiting[place]
        del self._waiting[place]
        self._waiting.appendleft(choice)
        return True

    @property
    def waiting(self) -> tuple[Choice, ...]:
        """The choices of the portfolio that have not been asked for, in their order."""
        return tuple(self._waiting)

    def drop(self, choices: tuple[Choice, ...]) -> None:
        """Forget waiting choices that have lost already."""
        self._waiting = deque(each for each in self._waiting if each not in choices)

    def tell(self, result: TrialResult, scores: tuple[float, ...]) -> None:
        """Learn how a trial ended, and what its folds scored."""
        trial = self._trials.pop(result.number)
        for step, score in enumerate(scores, start=1):
            if np.isfinite(score):
                trial.report(score, step=step)
        value = result.score if result.state is TrialState.COMPLETE else None
        self._study.tell(trial, value, state=STATES[result.state])
        if value is not None and self._study.best_trial.number == trial.number:
            self._best = Choice(estimator=result.estimator, hyperparameters=result.hyperparameters)

    def _suggest(self, trial: optuna.Trial) -> Choice:
        """Draw, or take what was enqueued."""
        names = tuple(name.value for name in self._spaces)
        estimator = EstimatorName(trial.suggest_categorical(ESTIMATOR, names))
        drawn: dict[EstimatorName, Hyperparameters] = {}
        for name, space in self._spaces.items():
            if self._is_flat or name is estimator:
                drawn[name] = {
                    each: _draw(trial, f"{name}.{each}", dimension)
                    for each, dimension in space.dimensions.items()
                }
        values = {**drawn[estimator], **self._spaces[estimator].fixed}
        return Choice(estimator=estimator, hyperparameters=values)

    def _named(self, choice: Choice) -> Hyperparameters:
        """Name a choice's values as they are drawn."""
        space = self._spaces[choice.estimator]
        named = {
            f"{choice.estimator}.{name}": choice.hyperparameters[name] for name in space.dimensions
        }
        return {ESTIMATOR: choice.estimator.value, **named}

    def _remember(self, result: TrialResult) -> None:
        """Tell the study of a trial that ran before, if the space still has it."""
        if result.estimator not in self._spaces or result.score is None:
            return
        space = self._spaces[result.estimator]
        if any(name not in result.hyperparameters for name in space.dimensions):
            return
        choice = Choice(
            estimator=result.estimator, hyperparameters=space.complete(result.hyperparameters)
        )
        distributions: dict[str, optuna.distributions.BaseDistribution] = {
            f"{result.estimator}.{name}": _distribution(dimension)
            for name, dimension in space.dimensions.items()
        }
        names = tuple(name.value for name in self._spaces)
        distributions[ESTIMATOR] = optuna.distributions.CategoricalDistribution(names)
        is_complete = result.state is TrialState.COMPLETE
        self._study.add_trial(
            optuna.trial.create_trial(
                params=self._named(choice),
                distributions=distributions,
                state=STATES[result.state],
                value=result.score if is_complete else None,
                intermediate_values={} if is_complete else {1: result.score},
            )
        )


def make_sampler(plan: Plan) -> optuna.samplers.BaseSampler:
    """Make the sampler that a plan asks for."""
    package = PACKAGES.get(plan.sampler)
    if package is not None and importlib.util.find_spec(package) is None:
        raise OptionNotUsable(
            f'sampler "{plan.sampler}" needs a package that is not installed',
            detail=f'The Python package "{package}" was not found.',
            hint=f"Install {package} where the worker runs, or choose sampler = tpe.",
        )
    match plan.sampler:
        case SamplerName.TPE:
            # What runs beside is taken for bad, lest the same be tried twice.
            return optuna.samplers.TPESampler(
                seed=plan.seed, constant_liar=True, multivariate=True, group=True
            )
        case SamplerName.CMAES:
            return optuna.samplers.CmaEsSampler(seed=plan.seed, warn_independent_sampling=False)
        case SamplerName.GP:
            return optuna.samplers.GPSampler(seed=plan.seed, warn_independent_sampling=False)
        case _:
            return optuna.samplers.RandomSampler(seed=plan.seed)


def make_grid(spaces: Mapping[EstimatorName, Space], seed: int) -> Iterator[Choice]:
    """
    Go through the grid of all estimators, in an order that is random with the seed.

    A range has four points. Optuna's own would hold the whole product in memory.
    """
    rng = np.random.default_rng(seed)
    grids = [
        (estimator, space, [_points(each) for each in space.dimensions.values()])
        for estimator, space in spaces.items()
    ]
    sizes = [int(np.prod([len(each) for each in axes], dtype=np.float64)) for _, _, axes in grids]
    for index in _shuffled(sum(sizes), rng):
        place = int(np.searchsorted(np.cumsum(sizes), index, side="right"))
        estimator, space, axes = grids[place]
        left = index - sum(sizes[:place])
        values: Hyperparameters = {}
        for name, points in zip(space.dimensions, axes, strict=True):
            left, step = divmod(left, len(points))
            values[name] = points[step]
        yield Choice(estimator=estimator, hyperparameters={**values, **space.fixed})


def _shuffled(size: int, rng: np.random.Generator) -> Iterator[int]:
    """Go through the numbers below a size at random; very many are drawn with replacement."""
    if size <= MAX_SHUFFLED:
        yield from rng.permutation(size).tolist()
    else:
        yield from (int(rng.integers(size)) for _ in itertools.count())


def _points(dimension: Dimension) -> list[str | int | float | bool]:
    """Choose the values of a dimension that a grid has."""
    if isinstance(dimension, Choices):
        return list(dimension.values)
    space = np.geomspace if dimension.is_log else np.linspace
    points = space(dimension.low, dimension.high, GRID_STEPS).tolist()
    return list(dict.fromkeys(nearest(dimension, float(point)) for point in points))


def _portfolio(
    plan: Plan, spaces: Mapping[EstimatorName, Space], task: Task, rate: float
) -> list[Choice]:
    """Make the portfolio; a grid has none."""
    return [] if plan.sampler is SamplerName.GRID else list(make_portfolio(spaces, task, rate))


def _completed(spaces: Mapping[EstimatorName, Space], choice: Choice) -> Choice:
    """Bring a choice into its space."""
    hyperparameters = spaces[choice.estimator].complete(choice.hyperparameters)
    return Choice(estimator=choice.estimator, hyperparameters=hyperparameters)


def _first_choices(
    plan: Plan, spaces: Mapping[EstimatorName, Space], task: Task, portfolio: list[Choice]
) -> Iterator[Choice]:
    """What comes before the sampler: the best of an interrupted search, then the portfolio."""
    done = [
        _completed(spaces, Choice(estimator=each.estimator, hyperparameters=each.hyperparameters))
        for each in rank(plan.finished, task.metric.direction)
        if each.estimator in spaces
    ]
    yield from done[:RERUN_TRIALS]
    yield from (each for each in portfolio if each not in done)


def _draw(trial: optuna.Trial, name: str, dimension: Dimension) -> str | int | float | bool:
    """Draw a value."""
    if isinstance(dimension, Choices):
        chosen = trial.suggest_categorical(name, dimension.values)
        assert chosen is not None
        return chosen
    low, high = dimension.low, dimension.high
    if dimension.is_integer:
        return int(trial.suggest_int(name, int(low), int(high), log=dimension.is_log))
    return float(trial.suggest_float(name, low, high, log=dimension.is_log))


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    """Describe a dimension as Optuna does."""
    if isinstance(dimension, Choices):
        return optuna.distributions.CategoricalDistribution(dimension.values)
    low, high = dimension.low, dimension.high
    if dimension.is_integer:
        return optuna.distributions.IntDistribution(int(low), int(high), log=dimension.is_log)
    return optuna.distributions.FloatDistribution(low, high, log=dimension.is_log)
