#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the benchmark compares mqward with (tests/bench), from Debian 12's packages alone. Idempotent. Needs
# root, or sudo. The system services are not started.
set -euo pipefail
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

install_packages haproxy nginx libnginx-mod-stream hitch stunnel4 mosquitto openssl valgrind python3
