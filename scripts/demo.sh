#!/usr/bin/env bash
# Show sqlml at work, through the proxy and with psql. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/.."

sqlml=.venv/bin/sqlml
if ((EUID == 0)); then
    data_dir=/var/lib/sqlml/demo
else
    data_dir=${XDG_DATA_HOME:-${HOME:-~}/.local/share}/sqlml/demo
fi

clean_up() {
    local code=$?
    trap '' INT TERM HUP
    "$sqlml" down --data-dir "$data_dir" >/dev/null || code=1
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

read_status() {
    "$sqlml" status --json --data-dir "$data_dir" |
        .venv/bin/python -c "import json, sys; print(json.load(sys.stdin)['$1'])"
}

# The last demo's folder; one that was killed may have left its stack as well.
"$sqlml" down --data-dir "$data_dir" >/dev/null
rm -rf "$data_dir"
echo "Starting PostgreSQL, a worker and the proxy, and loading four tables …"
connection=$("$sqlml" up --detach --load-samples --data-dir "$data_dir" | tail -n 1)
psql=$(read_status bin_dir)/psql
"$psql" -X -d "$(read_status proxy)" -v ON_ERROR_STOP=1 --echo-queries --quiet \
    -P pager=off <scripts/demo.sql

cat <<END

That was all, and nothing is left running. To go on with the same tables and models:

    $sqlml up --detach --data-dir $data_dir
$(printf '  %s' "$connection")
    $sqlml down --data-dir $data_dir
END
