#!/usr/bin/env bash
# Under AddressSanitizer and UndefinedBehaviorSanitizer:
#
#   scripts/fuzz.sh [CASES [FIRST]]            tamper with artifacts and let the scoring core open
#                                              and score them, a million times, on every core
#   scripts/fuzz.sh proxy [SESSIONS [FIRST]]   play sessions, most of them broken, through the
#                                              proxy: half of 100,000 through the relay, half
#                                              without it
#
# A case or session that fails names its number; FIRST repeats it.
set -euo pipefail
cd "$(dirname "$0")/.."

export ASAN_OPTIONS=quarantine_size_mb=4:allocator_may_return_null=1:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1

if [[ ${1:-} == proxy ]]; then
    sessions=${2:-100000}
    first=${3:-0}
    package=build/fuzz/package
    cc=${CC:-gcc}

    # The package as it is, with the relay built anew.
    rm -rf "$package"
    mkdir -p "$package"
    cp -r sqlml "$package"
    "$cc" -shared -fPIC -std=c11 -O1 -g -Wall -Wextra -Werror -D_GNU_SOURCE \
        -DPy_LIMITED_API=0x030b0000 -fsanitize=address,undefined -fno-sanitize-recover=all \
        -fno-omit-frame-pointer -pthread \
        -isystem "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
        sqlml/proxy/relay_src/*.c -o "$package/sqlml/proxy/_relay.abi3.so"

    # Python itself leaks what it keeps to its end.
    sanitized=(env --chdir="$PWD/$package" PYTHONMALLOC=malloc
        LD_PRELOAD="$("$cc" -print-file-name=libasan.so)" ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"
        "$PWD/.venv/bin/python" -m sqlml.cli proxy)
    export SQLML_TEST_PROXY_COMMAND="${sanitized[*]}"
    code=0
    .venv/bin/python -m tests.proxy.fuzz $((sessions - sessions / 2)) "$first" || code=1
    .venv/bin/python -m tests.proxy.fuzz $((sessions / 2)) "$first" --no-relay || code=1
    exit "$code"
fi

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
