#!/usr/bin/env bash
# Boots a small Debian with hob installed as its package would be, and looks at what systemd makes of it:
# ready, a command over MQTT acts, a frozen hob is ended by the watchdog, a killed one is back without loss, a wrong
# setting is not tried again, and nothing of the hardening breaks the model or the plugins.
#
# `make test-systemd` runs it. The tree is made once and kept in .cache/debian. Needs root (debootstrap, systemd-nspawn).
set -euo pipefail
cd "$(dirname "$0")/.."

TREE=$PWD/.cache/debian
# As long as a booted Debian or a restarted hob may take on two busy cores.
PATIENCE=120

say() { printf '%s\n' "$*"; }
fail() {
    say "test-systemd: FAILED: $*" >&2
    [ -z "${leader:-}" ] || inside journalctl -u hob --no-pager -o cat -n 40 >&2 || true
    exit 1
}
now_ms() { date +%s%3N; }

# until_true WHAT COMMAND…: again and again until it succeeds; gives the milliseconds that took in $took.
until_true() {
    local what=$1 from; from=$(now_ms)
    shift
    until "$@" >/dev/null 2>&1; do
        [ $(($(now_ms) - from)) -lt $((PATIENCE * 1000)) ] || fail "waited $PATIENCE s in vain for $what"
        sleep 0.05
    done
    took=$(($(now_ms) - from))
}

[ "$(id -u)" = 0 ] || fail "it needs root: run sudo make test-systemd"

# ---- a Debian to boot ---------------------------------------------------------------------------------------------

if [ ! -e "$TREE/usr/sbin/mosquitto" ]; then
    scripts/debian-tree.sh "$TREE" systemd,systemd-sysv,dbus,ca-certificates,libasound2,mosquitto,mosquitto-clients ||
        fail "there is no Debian to boot"
fi

# ---- hob in it ----------------------------------------------------------------------------------------------------

# What the last run left: the owner's files too, so that each run is a first one.
rm -rf "$TREE"/etc/hob "$TREE"/var/lib/hob "$TREE"/var/cache/hob "$TREE"/var/log/journal
# The quick build: what systemd sees of it is the same, and it need not be built twice.
BINARY=target/debug/hob scripts/install.sh "$TREE" /usr /etc /var .cache/onnxruntime/libonnxruntime.so.1.32.0
install -m640 configs/examples/devices.toml "$TREE/etc/hob/devices.toml"
# Debian's mosquitto listens on the loopback only, and takes anyone there who is let in by name or by this line.
echo 'allow_anonymous true' >"$TREE/etc/mosquitto/conf.d/hob-test.conf"
# The watchdog's patience is 30 s for owners; here three are enough to see it act.
install -d "$TREE/etc/systemd/system/hob.service.d"
printf '[Service]\nWatchdogSec=3s\n' >"$TREE/etc/systemd/system/hob.service.d/test.conf"
install -d "$TREE/etc/systemd/system/multi-user.target.wants"
ln -sf /usr/lib/systemd/system/hob.service "$TREE/etc/systemd/system/multi-user.target.wants/hob.service"
mkdir -p "$TREE/var/log/journal"

# ---- boot ---------------------------------------------------------------------------------------------------------

console=$PWD/.cache/debian-console.log
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -D "$TREE" --boot --register=no --keep-unit --private-network \
    --console=pipe --quiet </dev/null >"$console" 2>&1 &
nspawn=$!
# Nothing in there is worth an orderly end: its first process goes, and all others with it.
stop() {
    [ -z "${leader:-}" ] || kill -KILL "$leader" 2>/dev/null || true
    kill "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
}
trap stop EXIT

inside() { nsenter -t "$leader" -a -- "$@" </dev/null; }
told() { grep -q "$1" <<<"$(inside journalctl -u hob --no-pager -o cat)"; }
show() { inside systemctl show hob -p "$1" --value; }
is_active() { [ "$(show ActiveState)" = active ]; }
# The first child that nspawn has is not yet the one that stays.
booted() { leader=$(pgrep -P "$nspawn" | head -n1) && [ -n "$leader" ] && inside systemctl is-active --quiet multi-user.target; }

began=$(now_ms)
until_true "Debian to boot" booted
say "$(printf '%-34s %6d ms' 'Debian booted after' $(($(now_ms) - began)))"

until_true "hob to be ready" is_active
say "$(printf '%-34s %6s' 'hob ready after its start, says systemd' "$(inside systemd-analyze blame --no-pager | awk '/hob.service/ { print $1 }')")"
say "status: $(show StatusText)"

# ---- a command over MQTT acts -------------------------------------------------------------------------------------

# ask ID JSON: sends a command and prints its result.
ask() {
    local id=$1 payload=$2
    inside mosquitto_rr -h 127.0.0.1 -V mqttv5 -q 1 -W "$PATIENCE" -t hob/hob/command -e "hob/hob/test/$id" -m "$payload"
}

# A device that answers: it reports what it was told.
{ inside sh -c "mosquitto_sub -h 127.0.0.1 -t 'zigbee2mqtt/tv/set' | while read -r told; do mosquitto_pub -h 127.0.0.1 -r -t zigbee2mqtt/tv -m \"\$told\"; done"; } 2>/dev/null &
result=$(ask on '{"id":"on","tool":"turn_on","args":{"device":"tv"}}')
grep -q '"status":"succeeded"' <<<"$result" || fail "a tool call over MQTT did not succeed: $result"
result=$(ask words '{"id":"words","text":"turn on the kitchen light"}')
grep -q '"model":' <<<"$result" || fail "words were not put to the model: $result"
grep -q '"status":"\(succeeded\|denied\)"' <<<"$result" || fail "the model did not work inside the sandbox: $result"
say "a tool call and words over MQTT: answered"

# ---- frozen: the watchdog ends it and it is begun again -----------------------------------------------------------

restarts() { [ "$(show NRestarts)" -ge "$1" ] && is_active; }
pid=$(show MainPID)
inside sh -c "kill -STOP $pid"
until_true "the watchdog to restart a frozen hob" restarts 1
told 'Watchdog timeout' || fail "it was not the watchdog that ended it"
say "$(printf '%-34s %6d ms' 'frozen; watched, ended, back after' "$took")"

# ---- killed: back without loss ------------------------------------------------------------------------------------

before=$(ask keep '{"id":"keep","tool":"list_add","args":{"item":"milk","list":"shopping"}}')
inside sh -c "kill -KILL $(show MainPID)"
until_true "a killed hob to be back" restarts 2
say "$(printf '%-34s %6d ms' 'killed; back after' "$took")"
after=$(ask keep '{"id":"keep","tool":"list_add","args":{"item":"milk","list":"shopping"}}')
[ "$before" = "$after" ] || fail "asked again it says something else: $before, then $after"
result=$(ask read '{"id":"read","tool":"list_read","args":{"list":"shopping"}}')
grep -q milk <<<"$result" || fail "the list lost its milk: $result"
inside runuser -u hob -- hob audit verify >/dev/null || fail "the audit log is not whole"

# ---- stopped, and started with a wrong setting --------------------------------------------------------------------

from=$(now_ms)
inside systemctl stop hob
[ "$(show Result)" = success ] || fail "it did not stop well: $(show Result)"
say "$(printf '%-34s %6d ms' 'stopped in' $(($(now_ms) - from)))"
inside sh -c 'echo "[mqtt]
prot = 1" > /etc/hob/hob.toml'
inside systemctl start hob 2>/dev/null || true
gave_up() { [ "$(show ActiveState)" = failed ]; }
until_true "hob to give up on wrong settings" gave_up
told 'did you mean `port`' || fail "it did not say what is wrong"
[ "$(show NRestarts)" = 0 ] || fail "it was started $(show NRestarts) times again with the same wrong settings"
say "wrong settings: says what is wrong and stays down"

# A sandbox that is too tight shows here: ONNX Runtime and wasmtime warn before they fail.
[ -z "${VERBOSE:-}" ] || inside journalctl -u hob --no-pager -o cat

# ---- exposure, as systemd sees the running unit -------------------------------------------------------------------

say "$(inside systemd-analyze security hob --no-pager | tail -n1 | sed 's/^[^A-Za-z]*//; s/ [^ ]*$//')"
