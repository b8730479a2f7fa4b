#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building mqward needs, from Debian 12's packages alone. Idempotent. Needs root, or sudo.
set -euo pipefail
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

# The prefilter of rules: Hyperscan on amd64, its fork Vectorscan where Debian has that; without both, mqward walks libyara's
# own automata.
matcher_package() {
    if [ "$(dpkg --print-architecture)" = amd64 ]; then
        echo libhyperscan-dev
    elif apt-cache show libvectorscan-dev >/dev/null 2>&1; then
        echo libvectorscan-dev
    fi
}

# shellcheck disable=SC2046
install_packages \
    gcc libc6-dev clang cmake ninja-build pkg-config \
    libevent-dev libssl-dev libyaml-dev libjansson-dev libargon2-dev libhiredis-dev librdkafka-dev libsystemd-dev \
    zlib1g-dev libyara-dev $(matcher_package)
