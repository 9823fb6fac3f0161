"""
A leaderboard becomes a version: compiled, verified, and with answers to be checked by.

Owns what must hold before anything is published. Does not write it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.catalogue.golden import GOLDEN_ROWS, make_golden
from sqlml.catalogue.version import Version, VersionMember
from sqlml.compile.artifact import compile_model
from sqlml.compile.sql import ModelSql, make_sql
from sqlml.errors import ArtifactDisagrees, NotCompilable
from sqlml.job.importance import measure_importances
from sqlml.predict.scorer import Scorer
from sqlml.search.fitted import Blend, FittedModel, TreePart
from sqlml.search.leaderboard import Leaderboard

TOLERANCE = 1e-9
"""
Relative, where not only the leaves of trees are added: scikit-learn adds a linear score's
terms in another order, and an exp of numpy's is not always the C library's.
"""
NS_PER_US = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMaker:
    """Makes the versions of one job."""

    model_name: str
    skipped_rows: int
    seed: int
    needs_sql: bool
    """Whether a model is of no use unless SQL can evaluate it."""
    first_trial: int
    """The number in the catalogue of the trial that a leaderboard numbers 0."""

    def make(self, leaderboard: Leaderboard) -> Version:
        """Compile, verify and describe the model of a leaderboard."""
        compiled = compile_model(leaderboard.model)
        artifact = compiled.data
        scorer = Scorer(artifact, self.model_name)
        verify(scorer, leaderboard)
        model_sql = make_sql(leaderboard.model, compiled.trees)
        if self.needs_sql and model_sql.text is None:
            raise refuse_without_sql(self.model_name, model_sql)
        return Version(
            problem_type=leaderboard.problem_type,
            classes=leaderboard.model.classes,
            columns=tuple(column.name for column in leaderboard.model.columns),
            estimator=leaderboard.winner.estimator,
            hyperparameters=dict(leaderboard.winner.hyperparameters),
            metric=leaderboard.metric,
            direction=leaderboard.direction,
            score=leaderboard.score,
            score_interval=leaderboard.interval,
            baseline_score=leaderboard.baseline_score,
            split=leaderboard.split,
            train_rows=leaderboard.train_row_count,
            holdout_rows=leaderboard.holdout_row_count,
            skipped_rows=self.skipped_rows,
            artifact=artifact,
            golden=draw_golden(scorer, leaderboard, self.seed),
            sql=model_sql,
            predict_us=round(leaderboard.predict_cost_ns / NS_PER_US, 3),
            members=self._list_members(leaderboard),
            decisions=leaderboard.decisions,
            importances=measure_importances(
                scorer, leaderboard.checked_rows, len(artifact), self.seed
            ),
        )

    def _list_members(self, leaderboard: Leaderboard) -> tuple[VersionMember, ...]:
        estimators = {trial.number: trial.estimator for trial in leaderboard.trials}
        return tuple(
            VersionMember(
                trial=self.first_trial + member.number,
                estimator=estimators[member.number],
                weight=member.weight,
                fit_count=member.fit_count,
            )
            for member in leaderboard.members
        )


def verify(scorer: Scorer, leaderboard: Leaderboard) -> None:
    """Refuse an artifact whose answers are not its estimator's."""
    expected = leaderboard.checked_scores
    actual = scorer.raw_scores(leaderboard.checked_rows)
    tolerance = 0.0 if _is_exact(leaderboard.model) else TOLERANCE
    differs = ~np.isclose(actual, expected, rtol=tolerance, atol=tolerance).all(axis=1)
    if np.any(differs):
        first = int(np.argmax(differs))
        raise ArtifactDisagrees(
            "the compiled model does not give the answers of its estimator",
            detail=f"{np.count_nonzero(differs)} of {len(actual)} rows differ; the first by"
            f" {np.abs(actual[first] - expected[first]).max():g}.",
            hint="This is a defect of sqlml; nothing was published.",
        )


def _is_exact(model: FittedModel) -> bool:
    """Tell whether estimator and artifact add the same numbers in the same order."""
    return model.blend is Blend.RAW and all(isinstance(part, TreePart) for part in model.parts)


def refuse_without_sql(model_name: str, model_sql: ModelSql) -> NotCompilable:
    """Where only SQL can predict, a model that it cannot hold is of no use."""
    return NotCompilable(
        f'model "{model_name}" cannot be written as SQL',
        detail=f"In this database models can be evaluated as SQL only: {model_sql.problem}.",
        hint="Train a smaller one, such as WITH (num_trees = 100, num_leaves = 15), or install"
        " an extension of sqlml.",
    )


def draw_golden(scorer: Scorer, leaderboard: Leaderboard, seed: int) -> list[dict[str, Any]]:
    """
    Put rows together of held-out values, with the scores that the verified artifact gives.

    Whoever may predict may read them: so each column is shuffled by itself, lest they be rows
    of the relation.
    """
    rng = np.random.default_rng(seed)
    held_out = leaderboard.checked_rows.slice(0, GOLDEN_ROWS)
    rows = pa.table(
        {
            name: held_out.column(name).take(rng.permutation(len(held_out)))
            for name in held_out.column_names
        }
    )
    return make_golden(
        leaderboard.model.columns, rows.to_pylist(), scorer.raw_scores(rows).tolist()
    )
