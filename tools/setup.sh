#!/bin/sh
# Makes .venv ready; does nothing when it is. Called by make:
#
#   tools/setup.sh        what tests, benchmarks and checks need
#   tools/setup.sh run    what a node needs
#
# PYTHON=/path/to/python chooses the interpreter. Needs CPython 3.11 or later but not 3.12.0 to 3.12.2, whose fixed limit
# of nested C calls ends below the EVM's 1024 call frames; from 3.13 on, also a C++ compiler with LevelDB's headers. Only relative paths are used, so a space in the path of the checkout does no harm.
set -eu
cd "$(dirname "$0")/.."

LEVEL=${1:-dev}
VENV=.venv
VENV_PYTHON=$VENV/bin/python
STAMP=$VENV/.dmchain-setup
LOG=.setup/pip.log

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "error: $1"
    shift
    for line in "$@"; do say "hint: $line"; done
    exit 1
}

case $LEVEL in
run | dev) ;;
*) fail "unknown argument '$LEVEL'" "tools/setup.sh, or tools/setup.sh run" ;;
esac

# ---------------------------------------------------------------- which Python

# A pyenv shim of a version that is not chosen fails here too.
is_good_python() {
    "$1" - >/dev/null 2>&1 <<'PY'
import sys
version = sys.version_info[:3]
good = version >= (3, 11) and not (3, 12, 0) <= version < (3, 12, 3)
sys.exit(not good or sys.implementation.name != "cpython")
PY
}
EXPECTED="CPython 3.11 or later (3.12 from 3.12.3 on)"
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

find_python() {
    seen=
    without_venv=
    if [ -n "${PYTHON:-}" ]; then
        is_good_python "$PYTHON" || fail "PYTHON=$PYTHON ($(version_of "$PYTHON" || echo unknown)) does not do, expected $EXPECTED"
        can_make_venv "$PYTHON" || fail_venv "$PYTHON"
        FOUND=$PYTHON
        return
    fi
    # 3.12 and 3.11 first: for them every dependency comes ready built
    for candidate in python3.12 python3.11 python3 python3.13 python3.14 python; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if ! is_good_python "$candidate"; then
            version=$(version_of "$candidate") && [ -n "$version" ] && seen="$seen $candidate ($version)"
            continue
        fi
        if ! can_make_venv "$candidate"; then
            without_venv=${without_venv:-$candidate}
            continue
        fi
        FOUND=$candidate
        return
    done
    [ -z "$without_venv" ] || fail_venv "$without_venv"
    [ -z "$seen" ] || fail "no Python that does: found$seen, expected $EXPECTED" \
        "Debian and Ubuntu: sudo apt-get install python3.12 python3.12-venv   (or python3.11)" \
        "macOS: brew install python@3.12" \
        "elsewhere: https://www.python.org/downloads/, then PYTHON=/path/to/python3.12 make setup"
    fail "no Python found, expected $EXPECTED" \
        "Debian and Ubuntu: sudo apt-get install python3 python3-venv" \
        "macOS: brew install python@3.12"
}

fail_venv() {
    minor=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "$1 ($(version_of "$1")) cannot make virtual environments: its modules venv and ensurepip are missing" \
        "Debian and Ubuntu package them apart: sudo apt-get install python$minor-venv"
}

# plyvel has wheels up to Python 3.12; later it is compiled, against LevelDB and with Python's own headers.
check_compiler() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 13))' || return 0
    if command -v brew >/dev/null 2>&1 && prefix=$(brew --prefix leveldb 2>/dev/null); then
        CPLUS_INCLUDE_PATH=$prefix/include${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}
        LIBRARY_PATH=$prefix/lib${LIBRARY_PATH:+:$LIBRARY_PATH}
        export CPLUS_INCLUDE_PATH LIBRARY_PATH
    fi
    headers=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    compiler=${CXX:-c++}
    command -v "$compiler" >/dev/null 2>&1 || compiler=g++
    if printf '#include <Python.h>\n#include <leveldb/db.h>\n' |
        "$compiler" -x c++ -std=c++17 -fsyntax-only -I"$headers" - >/dev/null 2>&1; then
        return 0
    fi
    minor=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "Python $minor needs a C++ compiler and LevelDB to build plyvel, which has no wheel for it" \
        "Debian and Ubuntu: sudo apt-get install g++ libleveldb-dev python$minor-dev" \
        "macOS: xcode-select --install && brew install leveldb" \
        "or install Python 3.12, for which nothing is compiled; it is found by itself"
}

# ---------------------------------------------------------------- .venv

# What the environment depends on: metadata, interpreter, and where it lies (scripts in it hold that path).
fingerprint() {
    "$VENV_PYTHON" - "$1" <<'PY' 2>/dev/null
import hashlib, os, sys
parts = [sys.argv[1].replace("run", "run with market"), sys.version, sys.platform, os.getcwd(), open("pyproject.toml", encoding="utf-8").read()]
print(hashlib.sha256("\0".join(parts).encode()).hexdigest())
PY
}

is_wanted() { [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of "$VENV_PYTHON")" ]; }
is_ready() {
    [ -f "$STAMP" ] && [ -x "$VENV/bin/dmchain" ] && is_good_python "$VENV_PYTHON" && is_wanted &&
        { grep -qx "$(fingerprint "$1")" "$STAMP" || grep -qx "$(fingerprint dev)" "$STAMP"; }
}

make_venv() {
    if is_good_python "$VENV_PYTHON" && is_wanted && "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
        say "using $VENV with Python $(version_of "$VENV_PYTHON")"
        check_compiler "$VENV_PYTHON"
        return
    fi
    find_python
    check_compiler "$FOUND"
    say "making $VENV with $FOUND ($(version_of "$FOUND"))"
    "$FOUND" -m venv --clear "$VENV"
}

install_python() {
    extras='[market]' # the commands `dmchain market`
    [ "$1" = run ] || extras='[test,bench,lint]'
    make_venv
    say "installing dmchain$extras and what it depends on (a minute or two the first time)"
    mkdir -p .setup
    rm -f "$STAMP"
    if ! "$VENV_PYTHON" -m pip install --disable-pip-version-check --no-input -e ".$extras" >"$LOG" 2>&1; then
        tail -n 25 "$LOG" >&2
        fail "pip could not install the packages; all of its output is in $LOG"
    fi
    fingerprint run >"$STAMP"
    [ "$1" = run ] || fingerprint dev >>"$STAMP"
    say "ready: $VENV/bin/dmchain"
}

is_ready "$LEVEL" || install_python "$LEVEL"
