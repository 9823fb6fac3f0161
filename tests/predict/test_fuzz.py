"""
A short run of the fuzzer, so that it goes on working; `scripts/fuzz.sh 10000000` is a long one.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def has_sanitizers(folder: Path) -> bool:
    program = folder / "empty.c"
    program.write_text("int main(void) { return 0; }\n")
    command = ["cc", "-fsanitize=address,undefined", str(program), "-o", str(folder / "empty")]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_tampered_artifacts_do_no_harm(tmp_path):
    if not has_sanitizers(tmp_path):
        pytest.skip("the compiler has no sanitizers")
    done = subprocess.run(
        [ROOT / "scripts/fuzz.sh", "40000"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    opened = sum(int(count) for count in re.findall(r"cases, (\d+) opened", done.stdout))
    assert opened > 1000, done.stdout
