#!/usr/bin/env bash
# Creates .venv and installs dmchain with what tests, benchmarks and checks need. Does nothing when that is done.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*" >&2; }
stop() { printf '%s\n' "setup: error: $1" "setup: hint: $2" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.12 python3.11 python3.13 python3.14 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    stop "no Python 3.11 or newer found (python3 is $(python3 --version 2>&1 || true))" \
        "install CPython 3.11 or 3.12, or name one: make setup PYTHON=/path/to/python3.12"
}

# 3.13 and later have no wheel of plyvel yet: it is compiled, which needs LevelDB and a C++ compiler
check_compiler() {
    "$1" -c 'import sys; sys.exit(sys.version_info >= (3, 13))' && return
    local missing=()
    command -v c++ >/dev/null 2>&1 || missing+=("a C++ compiler")
    printf '#include <leveldb/db.h>\n' | c++ -E -x c++ - >/dev/null 2>&1 || missing+=("LevelDB's headers")
    printf '#include <Python.h>\n' | c++ -E -x c++ "-I$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')" - \
        >/dev/null 2>&1 || missing+=("Python's headers")
    if [ ${#missing[@]} -gt 0 ]; then
        stop "$("$1" --version) has no ready-made plyvel (LevelDB), and to compile it there is missing: ${missing[*]}" \
            "Debian: apt-get install g++ libleveldb-dev python3-dev; macOS: brew install leveldb; or use Python 3.12"
    fi
}

python=$(find_python)
key="$("$python" -c 'import sys; print(sys.version)') $(cat pyproject.toml) ${EXTRAS:=test,bench,market,lint}"
stamp=.setup/python
if [ -x .venv/bin/dmchain ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
    exit 0
fi
check_compiler "$python"
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "creating .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv || stop "Python cannot make virtual environments" "Debian: apt-get install python3-venv"
fi
say "installing dmchain with its extras ($EXTRAS); the first time takes a minute"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$EXTRAS]"
mkdir -p .setup
printf '%s' "$key" >"$stamp"
say "done: .venv/bin/dmchain --help"
