"""Projects from npm that tests, benchmarks and the contracts' build share.

An npm project is a folder with ``package.json`` and ``package-lock.json``. It is installed on first use and again
whenever one of the two files changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

INSTALL_TIMEOUT_S = 300


class ToolchainUnavailable(Exception):
    """Node.js, npm or the npm registry is not there: the message is one plain line saying which."""


def find_node() -> str:
    """Path of the ``node`` program; raises ToolchainUnavailable when it is missing."""
    node = shutil.which("node")
    if node is None:
        raise ToolchainUnavailable("Node.js is not installed: no `node` on PATH")
    return node


def install(project: Path) -> Path:
    """Install the locked packages of an npm project, unless that was done for this very lock.

    Returns its ``node_modules``. ``npm install`` rather than ``npm ci``: the latter refuses a lock that lacks
    the binaries of other platforms. ``--no-save`` keeps the lock as it is.
    """
    find_node()
    npm = shutil.which("npm")
    if npm is None:
        raise ToolchainUnavailable("npm is not installed: no `npm` on PATH")
    wanted = hashlib.sha256(
        (project / "package.json").read_bytes() + (project / "package-lock.json").read_bytes()
    ).hexdigest()
    modules = project / "node_modules"
    stamp = modules / ".installed-lock"
    modules.mkdir(exist_ok=True)
    with (modules / ".installing").open("w") as lock:
        # one process installs, whoever comes meanwhile (pytest -n) waits for it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted):
            _install(npm, project)
            stamp.write_text(wanted)
    return modules


def _install(npm: str, project: Path) -> None:
    """Run npm; its first lines of error become ToolchainUnavailable."""
    done = subprocess.run(
        [npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise ToolchainUnavailable(f"npm install failed in {project}: {'; '.join(lines[:3])}")
