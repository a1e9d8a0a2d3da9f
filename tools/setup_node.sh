#!/usr/bin/env bash
# Installs the Node.js projects that tests and benchmarks drive: viem, ethers, cast, solc, anvil. Does nothing when done.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*" >&2; }

if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    if [ "${CI:-}" = true ]; then
        say "error: no Node.js, which CI must have"
        exit 1
    fi
    say "no Node.js here: the tests with viem, ethers, cast and solc are skipped"
    exit 0
fi
mkdir -p .setup
for project in tests/clients bench; do
    stamp=".setup/node-${project//\//-}"
    key="$(node --version) $(cat "$project/package-lock.json")"
    if [ -d "$project/node_modules" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
        continue
    fi
    say "installing the Node.js packages of $project"
    (cd "$project" && npm ci --silent --no-audit --no-fund)
    printf '%s' "$key" >"$stamp"
done
