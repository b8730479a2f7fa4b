#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Publishes a signed message with mqward sign and mosquitto_pub: publish.sh TOPIC PAYLOAD; ../README.md has the settings.
set -eu

topic=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf %s "$2" >"$folder/payload"
sign() {
    "${MQWARD:-mqward}" sign --key-file "$MPS1_KEY_FILE" --kid "$MPS1_KID" --sub "$MPS1_SUB" --topic "$topic" \
        --payload "$folder/payload" "$@"
}

# Not in a pipe: if signing fails, nothing is published.
set -- --host "${MQTT_HOST:-localhost}" --port "${MQTT_PORT:-1883}" --id "$MPS1_SUB" --qos 1 --topic "$topic" \
    ${MQTT_USERNAME:+--username "$MQTT_USERNAME"} ${MQTT_PASSWORD:+--pw "$MQTT_PASSWORD"} \
    ${MQTT_CA:+--cafile "$MQTT_CA"} ${MQTT_CERT:+--cert "$MQTT_CERT"} ${MQTT_KEY:+--key "$MQTT_KEY"}
if [ "${MQTT_VERSION:-3.1.1}" = 5 ]; then
    property=$(sign --carrier property)
    mosquitto_pub "$@" --protocol-version 5 -D publish user-property mps1 "$property" --file "$folder/payload"
else
    sign >"$folder/signed"
    mosquitto_pub "$@" --protocol-version 311 --file "$folder/signed"
fi
