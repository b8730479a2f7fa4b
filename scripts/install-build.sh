#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building mqward needs, from Debian 12's packages alone. Idempotent. Needs root, or sudo.
set -euo pipefail
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

install_packages \
    gcc libc6-dev clang cmake ninja-build pkg-config \
    libevent-dev libssl-dev libyaml-dev libjansson-dev libargon2-dev libhiredis-dev libsystemd-dev
