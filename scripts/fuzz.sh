#!/usr/bin/env bash
# Tamper with artifacts and let the scoring core open and score them, under AddressSanitizer and
# UndefinedBehaviorSanitizer, on every core of the machine:
#
#   scripts/fuzz.sh [CASES [FIRST]]     a million cases from number 0
#
# A case that fails names its number; FIRST repeats it.
set -euo pipefail
cd "$(dirname "$0")/.."

cases=${1:-1000000}
first=${2:-0}
folder=build/fuzz
jobs=$(nproc)
((cases >= jobs)) || jobs=1

rm -rf "$folder/seeds"
.venv/bin/python -m tests.predict.fuzz_seeds "$folder/seeds"
"${CC:-cc}" -std=gnu11 -O1 -g -Wall -Wextra -Werror -ffp-contract=off \
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    -Ipg_extension/core pg_extension/core/*.c pg_extension/test/fuzz/*.c -lm -o "$folder/fuzz"

export ASAN_OPTIONS=quarantine_size_mb=4:allocator_may_return_null=1:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1
pids=()
for ((job = 0; job < jobs; job++)); do
    share=$((cases / jobs + (job < cases % jobs)))
    "$folder/fuzz" "$share" "$first" "$folder"/seeds/* &
    pids+=($!)
    first=$((first + share))
done
code=0
for pid in "${pids[@]}"; do
    wait "$pid" || code=1
done
exit "$code"
