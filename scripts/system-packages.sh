#!/bin/sh
# Installs what the tests need from the system and do not find: each line of `needed` is a Debian package and the
# command or the library that shows it is there.
set -eu

needed='chromium chromium
curl curl
strace strace
systemd systemd-analyze
libeatmydata1 libeatmydata.so
influxdb influxd
nginx-light nginx
prometheus promtool
prometheus-alertmanager amtool
prometheus-node-exporter prometheus-node-exporter'

is_there() {
    case $1 in
        *.so) { PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null || true; } | grep -q "$1" ;;
        *) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null ;;
    esac
}

missing=$(echo "$needed" | while read -r package proof; do is_there "$proof" || printf '%s ' "$package"; done)
missing=${missing% }

by_hand() {
    echo "$1: please install by hand, the tests need: $missing" >&2
    if [ -n "${CI:-}" ]; then exit 1; else exit 0; fi
}

if [ -z "$missing" ]; then
    echo "System packages: all there"
    exit 0
fi
command -v apt-get >/dev/null || by_hand "No apt-get here"
[ "$(id -u)" = 0 ] || by_hand "Not root"

echo "System packages: installing $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # one word a package
if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing; } </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    by_hand "apt-get failed"
fi
