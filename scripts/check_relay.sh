#!/usr/bin/env bash
# Fuzz the proxy with its relay built with AddressSanitizer and UndefinedBehaviorSanitizer; what
# they report lands in build/relay.
#
#   scripts/check_relay.sh [SESSIONS [FIRST]]     as python -m tests.proxy.fuzz
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/build/relay
compiler=${CC:-gcc}
include=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')

rm -rf "$folder"
mkdir -p "$folder/reports"
cp -r sqlml "$folder"
ln -s ../../sql "$folder/sql"
"$compiler" -std=c11 -D_GNU_SOURCE -DPy_LIMITED_API=0x030B0000 -O1 -g -fPIC -shared -pthread \
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    "-I$include" sqlml/proxy/relay_src/*.c -o "$folder/sqlml/proxy/_relay.abi3.so"

# The runtimes have to be there before anything else asks for memory.
cat >"$folder/proxy" <<END
#!/usr/bin/env bash
cd "$folder"
export LD_PRELOAD=$("$compiler" -print-file-name=libasan.so):$("$compiler" -print-file-name=libubsan.so)
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=4:abort_on_error=1:log_path=$folder/reports/address
export UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1:log_path=$folder/reports/undefined
export PYTHONMALLOC=malloc
exec "$PWD/.venv/bin/python" -m sqlml.cli proxy "\$@"
END
chmod +x "$folder/proxy"

code=0
SQLML_TEST_PROXY_COMMAND=$folder/proxy .venv/bin/python -m tests.proxy.fuzz "$@" --workers 1 || code=1
for report in "$folder"/reports/*; do
    [[ -e $report ]] || continue
    cat "$report" >&2
    code=1
done
exit "$code"
