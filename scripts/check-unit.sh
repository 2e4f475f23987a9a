#!/usr/bin/env bash
# Checks systemd/hob.service without a running systemd: it must be free of any complaint, and its exposure at most 2.0
# (systemd-analyze's own scale, 10.0 is a service that may do everything). Prints the score last.
set -euo pipefail
cd "$(dirname "$0")/.."

AT_MOST=20 # systemd-analyze counts in tenths

command -v systemd-analyze >/dev/null || { echo "check-unit: systemd-analyze is missing (Debian package: systemd)" >&2; exit 1; }

# A root of its own, so that the programs the unit names need not be installed on this machine.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install -Dm644 systemd/hob.service "$root/usr/lib/systemd/system/hob.service"
install -Dm644 systemd/sysusers.d/hob.conf "$root/usr/lib/sysusers.d/hob.conf"
install -Dm644 systemd/tmpfiles.d/hob.conf "$root/usr/lib/tmpfiles.d/hob.conf"
install -Dm755 /bin/true "$root/usr/bin/hob"
# The targets that every unit hangs on.
for unit in sysinit basic multi-user shutdown network sound; do
    printf '[Unit]\nDescription=%s\n' "$unit" >"$root/usr/lib/systemd/system/$unit.target"
done

# It ends with 0 even for a key that it does not know, and only prints: so what it prints is the verdict.
complaints=$(systemd-analyze verify --man=no --root="$root" hob.service 2>&1) || true
if [ -n "$complaints" ]; then
    printf 'check-unit: systemd-analyze verify complains about systemd/hob.service:\n%s\n' "$complaints" >&2
    exit 1
fi
sysusers=$(systemd-sysusers --root="$root" --dry-run hob.conf 2>&1) || {
    printf 'check-unit: systemd/sysusers.d/hob.conf is refused:\n%s\n' "$sysusers" >&2
    exit 1
}

score=$(systemd-analyze security --offline=true --no-pager --threshold="$AT_MOST" "$PWD/systemd/hob.service") || {
    printf '%s\n' "$score" | grep '^✗' >&2
    printf 'check-unit: %s\n' "$(tail -n1 <<<"$score")" >&2
    exit 1
}
printf 'unit: no complaint, %s\n' "$(grep -o 'exposure level.*' <<<"$score" | sed 's/ for hob.service//; s/ [^ ]*$//')"
