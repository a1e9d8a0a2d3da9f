#!/usr/bin/env bash
# Runs the Dockerfile's steps in a clean Debian root, for machines without a container engine. Needs root and debootstrap.
#
#   tests/packaging/dockerfile_steps.sh /tmp/root
#
# Not checked this way: the base image itself (Debian's own Python stands in for it), layers, VOLUME, EXPOSE, and how an
# engine runs HEALTHCHECK.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=${1:?usage: dockerfile_steps.sh DIRECTORY}
say() { printf '== %s\n' "$*" >&2; }
inside() { chroot "$root" /usr/bin/env -i PATH=/opt/dmchain/bin:/usr/bin:/bin HOME=/root "$@"; }

command -v debootstrap >/dev/null || { say "debootstrap is missing: apt-get install debootstrap"; exit 1; }
if [ ! -e "$root/usr/bin/python3" ]; then
    say "a Debian root with python3 and venv"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" ${MIRROR:-} >/dev/null
fi
trap 'umount "$root/proc" "$root/dev/null" 2>/dev/null || true' EXIT
mount -t proc proc "$root/proc" 2>/dev/null || true
for file in /etc/resolv.conf /etc/pip.conf /etc/hosts; do [ -e "$file" ] && cp "$file" "$root$file"; done
[ -e "$HOME/.config/pip/pip.conf" ] && cp "$HOME/.config/pip/pip.conf" "$root/etc/pip.conf"

mkdir -p "$root/etc/ssl/certs" && cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
say "build stage: copy, venv, install from wheels"
rm -rf "$root/src" "$root/opt/dmchain" && mkdir -p "$root/src"
tar --exclude=__pycache__ -cf - pyproject.toml README.md LICENSE dmchain | tar -xf - -C "$root/src"
inside python3 -m venv /opt/dmchain
inside /bin/sh -c 'cd /src && /opt/dmchain/bin/pip install --quiet --no-cache-dir --only-binary :all: --no-binary dmchain .'
inside /bin/sh -c 'find /opt/dmchain -name __pycache__ -type d -prune -exec rm -rf {} + && rm -rf /opt/dmchain/lib/python3*/site-packages/pip*'
inside /bin/sh -c 'command -v cc c++ gcc' && { say "a compiler is there: the check means nothing"; exit 1; }
say "size of /opt/dmchain: $(du -sm "$root/opt/dmchain" | cut -f1) MiB"

say "runtime stage: a user without rights runs the devnet, and the health check asks it"
inside /usr/sbin/useradd --uid 10001 --create-home --home-dir /var/lib/dmchain --shell /usr/sbin/nologin dmchain 2>/dev/null || true
chroot --userspec=10001:10001 "$root" /usr/bin/env -i PATH=/opt/dmchain/bin:/usr/bin:/bin HOME=/var/lib/dmchain \
    dmchain devnet --host 127.0.0.1 --port 18545 --home /var/lib/dmchain/devnet >"$root/tmp/devnet.log" 2>&1 &
node=$!
for _ in $(seq 100); do
    if inside python3 -c "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:18545/health', timeout=2).read().decode())" 2>/dev/null; then
        kill -INT $node
        wait $node
        say "the health check answered, and the node stopped with status 0"
        exit 0
    fi
    sleep 0.2
done
kill $node 2>/dev/null || true
cat "$root/tmp/devnet.log" >&2
say "the health check got no answer"
exit 1
