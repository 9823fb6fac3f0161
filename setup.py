"""
The compiled parts of the package; pyproject.toml has the rest.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup

CORE = Path("pg_extension/core")
SCORING = Path("pg_extension/python")
RELAY = Path("sqlml/proxy/relay_src")
LIMITED_API = ("Py_LIMITED_API", "0x030B0000")
OPTIONS = ["-std=c11", "-O2", "-fvisibility=hidden"]


def find(pattern: str, *folders: Path) -> list[str]:
    return sorted(str(file) for folder in folders for file in folder.glob(pattern))


scoring = Extension(
    "sqlml._scoring",
    sources=find("*.c", CORE, SCORING),
    depends=find("*.h", CORE, SCORING),
    include_dirs=[str(CORE)],
    define_macros=[LIMITED_API],
    # Fused multiply-add would round otherwise than the estimators do.
    extra_compile_args=[*OPTIONS, "-ffp-contract=off"],
    libraries=["m"],
    py_limited_api=True,
)
relay = Extension(
    "sqlml.proxy._relay",
    sources=find("*.c", RELAY),
    depends=find("*.h", RELAY),
    define_macros=[LIMITED_API, ("_GNU_SOURCE", None)],
    extra_compile_args=[*OPTIONS, "-pthread"],
    extra_link_args=["-pthread"],
    py_limited_api=True,
    # Without it the proxy does the same in Python.
    optional=True,
)

setup(
    # The relay waits with epoll, which other systems do not have.
    ext_modules=[scoring, relay] if sys.platform == "linux" else [scoring],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
