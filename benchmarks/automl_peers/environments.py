"""
The peers and their virtual environments, made from PyPI where they are missing.
"""

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
READ_VERSIONS = """
import importlib.metadata, json, sys
found = {d.name.lower(): d.version for d in importlib.metadata.distributions()}
print(json.dumps({name: found[name] for name in sys.argv[1:] if name in found}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A peer: what it is called, what it needs, and the program that runs it."""

    title: str
    environment: str
    requirements: tuple[str, ...]
    distributions: tuple[str, ...]
    """Whose versions matter; the first one's is the peer's."""
    program: str
    keeps_time: bool = True
    """Whether the time limit means something to it."""


_LIGHTGBM = ("lightgbm", "optuna", "scikit-learn", "pandas", "pyarrow")

PEERS = {
    "autogluon": Peer(
        title="AutoGluon medium",
        environment="autogluon",
        requirements=("autogluon.tabular[all]", "pyarrow"),
        distributions=("autogluon.tabular", "lightgbm", "catboost", "torch", "pyarrow"),
        program="run_autogluon.py",
    ),
    "flaml": Peer(
        title="FLAML",
        environment="flaml",
        requirements=("flaml[automl]", "pyarrow"),
        distributions=("flaml", "lightgbm", "xgboost", "scikit-learn", "pyarrow"),
        program="run_flaml.py",
    ),
    "h2o": Peer(
        title="H2O",
        environment="h2o",
        requirements=("h2o", "pandas", "pyarrow"),
        distributions=("h2o", "pandas", "pyarrow"),
        program="run_h2o.py",
    ),
    "lightgbm-tuned": Peer(
        title="LightGBM tuned",
        environment="lightgbm",
        requirements=_LIGHTGBM,
        distributions=_LIGHTGBM,
        program="run_tuned_lightgbm.py",
    ),
    "lightgbm": Peer(
        title="LightGBM default",
        environment="lightgbm",
        requirements=_LIGHTGBM,
        distributions=_LIGHTGBM,
        program="run_lightgbm.py",
        keeps_time=False,
    ),
    "linear": Peer(
        title="linear",
        environment="lightgbm",
        requirements=_LIGHTGBM,
        distributions=("scikit-learn", "pandas", "pyarrow"),
        program="run_linear.py",
        keeps_time=False,
    ),
}


def make_environment(
    folder: Path, requirements: tuple[str, ...], distributions: tuple[str, ...]
) -> tuple[Path, dict[str, str]]:
    """Install what is missing; give the environment's Python and the versions found there."""
    with _locked(folder):
        python = folder / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        versions = _read_versions(python, distributions)
        if len(versions) < len(distributions):
            subprocess.run([python, *PIP, *requirements], check=True)
            versions = _read_versions(python, distributions)
    return python, versions


def _read_versions(python: Path, distributions: tuple[str, ...]) -> dict[str, str]:
    done = subprocess.run(
        [python, "-c", READ_VERSIONS, *distributions], check=True, capture_output=True, text=True
    )
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two lanes may need the same environment at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
