"""
Who stands for election: the best trials, and those that differ from them.
"""

from sqlml.enums import EstimatorName, TrialState
from sqlml.search.election import nominate
from sqlml.search.estimators.estimator import Choice
from sqlml.search.leaderboard import TrialResult
from sqlml.search.trial import Evaluation


def trial(number, estimator=EstimatorName.LIGHTGBM, **hyperparameters):
    """A complete trial."""
    result = TrialResult(
        number=number,
        estimator=estimator,
        hyperparameters=hyperparameters,
        state=TrialState.COMPLETE,
        score=float(number),
    )
    choice = Choice(estimator=estimator, hyperparameters=hyperparameters)
    return Evaluation(result=result, choice=choice)


def numbers(evaluations):
    """Their numbers."""
    return [each.number for each in evaluations]


def test_the_best_of_each_kind_stands_beside_many_that_are_alike():
    alike = [trial(number, encoding="codes", num_leaves=number) for number in range(1, 9)]
    other = [trial(number, encoding="stacked", num_leaves=number) for number in (9, 10)]
    assert numbers(nominate(alike + other, 3)) == [1, 2, 3, 9]


def test_the_best_two_of_each_estimator_stand():
    linear = [trial(number, EstimatorName.LINEAR, l2=1.0 * number) for number in (5, 6, 7)]
    ranked = [*(trial(number, num_leaves=number) for number in range(1, 5)), *linear]
    assert numbers(nominate(ranked, 1)) == [1, 2, 5, 6]


def test_kinds_have_an_end():
    kinds = [trial(number, encoding=f"{number}") for number in range(1, 9)]
    assert numbers(nominate(kinds, 3)) == [1, 2, 3]


def test_numbers_make_no_kind():
    ranked = [trial(number, log_target=number == 4, rate=0.1 * number) for number in range(1, 6)]
    assert numbers(nominate(ranked, 2)) == [1, 2, 4]
