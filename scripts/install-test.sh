#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what testing mqward needs, on top of install-build.sh, from Debian 12's packages alone. Idempotent. Needs
# root, or sudo. Mosquitto and Redis are installed for their binaries: their system services are not started.
set -euo pipefail
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

install_packages \
    libcriterion-dev libjansson-dev \
    clang-format llvm libclang-rt-14-dev \
    mosquitto mosquitto-clients redis-server redis-tools openssl valgrind \
    python3 python3-pytest python3-pytest-xdist python3-pytest-timeout \
    python3-paho-mqtt python3-redis python3-cryptography python3-yaml
