#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what testing mqward needs, on top of install-build.sh: Debian 12's packages, and two packages of npm (the
# broker aedes and the client MQTT.js, pinned in tests/e2e/node/package-lock.json) into tests/e2e/node/node_modules.
# Idempotent. Needs root, or sudo. Mosquitto, RabbitMQ, Redis, Prometheus, rsyslog and the proxies that the benchmark
# compares are installed for their binaries: their system services are not started.
set -euo pipefail
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

NODE_FOLDER=$(cd "$(dirname "$0")/../tests/e2e/node" && pwd)

# Debian's Node.js and npm conflict with those of other sources: what is on the PATH is used if it is new enough.
node_packages() {
    if command -v npm >/dev/null 2>&1 &&
        node -e 'process.exit(parseInt(process.versions.node, 10) >= 18 ? 0 : 1)' >/dev/null 2>&1; then
        return 0
    fi
    echo nodejs npm
}

# The pinned packages, whose checksums are in the lock file. Nothing to do if this very lock file was installed.
install_node_modules() {
    local installed=$NODE_FOLDER/node_modules/.installed-lock.json
    if cmp -s "$NODE_FOLDER/package-lock.json" "$installed"; then
        echo "node modules: all are installed"
        return 0
    fi
    echo "node modules: installing (node $(node --version), npm $(npm --version 2>/dev/null))"
    if ! (cd "$NODE_FOLDER" && npm ci --engine-strict --ignore-scripts --no-audit --no-fund --no-update-notifier \
        --loglevel=error); then
        echo "error: npm ci in $NODE_FOLDER failed (see above): the broker aedes and the client MQTT.js are missing" >&2
        return 1
    fi
    cp "$NODE_FOLDER/package-lock.json" "$installed"
}

# erlang-base is named because it brings a service of its own (epmd), which must not be left enabled either.
# shellcheck disable=SC2046
install_packages \
    libcriterion-dev \
    clang-format llvm libclang-rt-14-dev \
    haproxy nginx libnginx-mod-stream hitch stunnel4 \
    mosquitto mosquitto-clients erlang-base rabbitmq-server redis-server redis-tools openssl valgrind argon2 prometheus curl \
    rsyslog rsyslog-openssl procps \
    python3 python3-pytest python3-pytest-xdist python3-pytest-timeout \
    python3-paho-mqtt python3-redis python3-confluent-kafka python3-cryptography python3-jwt python3-yaml python3-jsonschema \
    libmosquitto-dev libmbedtls-dev \
    $(node_packages)
install_node_modules
