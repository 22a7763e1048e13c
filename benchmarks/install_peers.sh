#!/bin/sh
# Installs the peers that Debian has, where that can be done; a peer that is not there is reported as absent.
set -eu

needed='influxdb influxd
victoria-metrics victoria-metrics'

missing=$(echo "$needed" | while read -r package proof; do command -v "$proof" >/dev/null || printf '%s ' "$package"; done)
missing=${missing% }
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "Peers left out, to be installed by hand: $missing" >&2
    exit 0
fi

echo "Installing peers: $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# The servers are started by the benchmarks, on loopback, and by nothing else.
export RUNLEVEL=1
# shellcheck disable=SC2086 # one word a package
if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing; } </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    echo "Peers left out, apt-get failed: $missing" >&2
fi
