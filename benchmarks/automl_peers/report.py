"""
The results as markdown for `docs/benchmarks.md`, and the diagrams that it shows.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.automl_peers.comparison import BASELINE, Cell, Comparison, compare
from benchmarks.automl_peers.diagram import draw_diagram
from benchmarks.automl_peers.environments import PEERS
from benchmarks.automl_peers.runs import Run, take_latest
from benchmarks.automl_peers.scoring import SIGNS
from benchmarks.automl_peers.tables import METRICS

TITLES = {"sqlml": "sqlml", "sqlml-unlimited": "sqlml, any cost"} | {
    name: peer.title for name, peer in PEERS.items()
}
LABELS = {"roc_auc": "ROC AUC", "log_loss": "log loss", "rmse": "RMSE"}
LEAST_FOR_RANKS = 3
"""So many systems and tables make a ranking."""

DEFINITIONS = """\
Scores are of the test part, from predictions (sqlml's by `predict()` and `predict_proba()`), mean ±
standard deviation over the seeds, all by one definition; the best in bold. A failed run, marked †,
counts as a constant prediction. *Fit* is what the user waits for: for sqlml the whole statement,
with reading the table; for the peers the fit from a table in memory, without imports and, for H2O,
without the start of its cluster. A fit is ended at three times its limit. *Late* counts fits that
took more than 1.05 limits and a second. *Prediction* is a row's share in a batch of 10 000, median
over the runs and the greatest: for sqlml a query over the table, for the peers from a table in
memory to predictions there. *Normalised*: 0 is the linear baseline, 1 the best peer; where no peer
is better than the linear baseline, 1 is the linear baseline and 0 a constant prediction; kept
between -1 and 2 for each table, then averaged."""


def write_report(runs: Sequence[Run], diagrams: Path) -> str:
    """The markdown; draws a diagram for each comparison with enough systems and tables."""
    latest = take_latest(runs)
    parts = [DEFINITIONS, describe_versions(latest)]
    for comparison in compare(latest, METRICS):
        cores = f"{comparison.cores} core" + ("s" if comparison.cores > 1 else "")
        parts += [f"### {comparison.seconds:g} s, {cores}", make_scores(comparison)]
        parts += [*describe_failures(comparison), *describe_defeats(comparison)]
        is_ranking = min(len(comparison.rivals), len(comparison.common_tables)) >= LEAST_FOR_RANKS
        parts.append(make_summary(comparison, is_ranking))
        if is_ranking:
            name = f"automl-{comparison.seconds:g}s-{comparison.cores}.svg"
            titles = {TITLES[system]: rank for system, rank in comparison.ranks().items()}
            diagrams.mkdir(parents=True, exist_ok=True)
            (diagrams / name).write_text(draw_diagram(titles, comparison.critical_difference()))
            parts.append(describe_ranks(comparison, name))
    return "\n\n".join(parts)


def describe_versions(runs: Sequence[Run]) -> str:
    """Which versions ran, once each."""
    lines = {
        TITLES[run.key.system]: ", ".join(f"{name} {value}" for name, value in run.versions.items())
        for run in runs
    }
    return "\n".join(f"- {title}: {versions}" for title, versions in lines.items())


def make_scores(comparison: Comparison) -> str:
    """A line for each table, a column for each system."""
    rows = []
    for table, metric in comparison.metrics.items():
        cells = {
            system: comparison.cells[table, system]
            for system in comparison.systems
            if (table, system) in comparison.cells
        }
        best = max(SIGNS[metric] * cell.mean for cell in cells.values())
        row = [
            format_cell(cells[system], SIGNS[metric] * cells[system].mean == best)
            if system in cells
            else ""
            for system in comparison.systems
        ]
        rows.append([f"{table}, {LABELS[metric]}", *row])
    return make_table(["table", *(TITLES[system] for system in comparison.systems)], rows)


def format_cell(cell: Cell, is_best: bool) -> str:
    """Mean ± sd, with as many digits as tell systems apart."""
    digits = max(0, 4 - len(str(int(abs(cell.mean))).lstrip("0")))
    text = f"{cell.mean:.{digits}f}"
    text = f"**{text}**" if is_best else text
    text += "" if cell.sd is None else f" ± {cell.sd:.{digits}f}"
    return text + "†" * len(cell.failures)


def make_summary(comparison: Comparison, is_ranking: bool) -> str:
    """A line for each system."""
    ranks = comparison.ranks() if is_ranking else {}
    rows = []
    for system in comparison.systems:
        costs = comparison.predict_us(system)
        keeps_time = system not in PEERS or PEERS[system].keeps_time
        rows.append(
            [
                TITLES[system],
                format_number(ranks.get(system), 2),
                format_number(comparison.mean_normalised(system), 3),
                format_number(comparison.worst_time(system), 2) if keeps_time else "",
                str(comparison.overrun_count(system)) if keeps_time else "",
                f"{costs[0]:.1f}, {costs[1]:.1f}" if costs else "",
                str(len(comparison.runs(system))),
            ]
        )
    heads = ("system", "average rank", "normalised", "longest fit ÷ limit", "late")
    return make_table([*heads, "prediction, µs a row", "runs"], rows)


def describe_ranks(comparison: Comparison, diagram: str) -> str:
    """The diagram and what it says."""
    return (
        f"![Average ranks and the critical difference]({diagram})\n\n"
        f"{len(comparison.common_tables)} tables, {len(comparison.rivals)} systems."
        f" Friedman's test: p = {comparison.friedman_p():.2g}. Critical difference of average ranks"
        f" (Nemenyi, 5 %; Demšar 2006): {comparison.critical_difference():.2f}."
    )


def describe_failures(comparison: Comparison) -> list[str]:
    """What the marks stand for."""
    lines = [
        f"- † {table}, {TITLES[system]}: {failure}"
        for (table, system), cell in comparison.cells.items()
        for failure in dict.fromkeys(cell.failures)
    ]
    return ["\n".join(lines)] if lines else []


def describe_defeats(comparison: Comparison) -> list[str]:
    """Where sqlml is worse than LightGBM's default or the linear baseline."""
    lines = []
    for table, metric in comparison.metrics.items():
        ours = comparison.cells.get((table, "sqlml"))
        for system in ("lightgbm", BASELINE):
            theirs = comparison.cells.get((table, system))
            if ours and theirs and SIGNS[metric] * (ours.mean - theirs.mean) < 0:
                gap = abs(ours.mean - theirs.mean)
                lines.append(
                    f"- {table}: sqlml is worse than {TITLES[system]} by {gap:.3g}"
                    f" (sd over seeds {format_number(ours.sd, 4) or 'unknown'})"
                )
    return ["\n".join(lines)] if lines else []


def format_number(value: float | None, digits: int) -> str:
    """The number, or nothing where there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def make_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; the first column is text, the others are numbers."""
    rule = ["---"] + ["--:"] * (len(heads) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))
