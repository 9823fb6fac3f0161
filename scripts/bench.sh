#!/usr/bin/env bash
# Run each benchmark; its figures go to build/bench/NAME.json.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/bench
shopt -s nullglob
for program in benchmarks/*.py; do
    name=$(basename "$program" .py)
    .venv/bin/python "$program" --json "build/bench/$name.json"
done
