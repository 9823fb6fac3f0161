"""
The compiled part of the package; pyproject.toml has the rest.
"""

from pathlib import Path

from setuptools import Extension, setup

CORE = Path("pg_extension/core")
MODULE = Path("pg_extension/python")

setup(
    ext_modules=[
        Extension(
            "sqlml._scoring",
            sources=sorted(map(str, [*CORE.glob("*.c"), *MODULE.glob("*.c")])),
            depends=sorted(map(str, [*CORE.glob("*.h"), *MODULE.glob("*.h")])),
            include_dirs=[str(CORE)],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            # Fused multiply-add would round otherwise than the estimators do.
            extra_compile_args=["-std=c11", "-O2", "-ffp-contract=off", "-fvisibility=hidden"],
            libraries=["m"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
