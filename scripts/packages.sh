# SPDX-License-Identifier: Apache-2.0
# install_packages NAME...: installs Debian packages that are missing; sourced by the install-*.sh scripts.
#
# Quick when all is there: dpkg is asked first, and apt-get only runs for what is missing. Packages that bring a service
# (Mosquitto, RabbitMQ, Redis, nginx, HAProxy, hitch, stunnel, Prometheus, rsyslog) are installed without starting it, and
# a service that this run brought in is not left enabled either. A service that was there before is never touched.

# shellcheck shell=bash

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "error: installing packages needs root, or sudo" >&2
        return 1
    fi
}

require_debian_12() {
    local ID="" VERSION_ID=""
    # shellcheck disable=SC1091
    [ -r /etc/os-release ] && . /etc/os-release
    if [ "$ID" != debian ] || [ "$VERSION_ID" != 12 ]; then
        echo "warning: this is ${ID:-unknown} ${VERSION_ID:-}; mqward is built and tested on Debian 12" >&2
    fi
    command -v apt-get >/dev/null 2>&1 || { echo "error: no apt-get: these scripts install Debian packages" >&2; return 1; }
}

package_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Keeps packages from starting their services while apt-get runs; leaves a policy that is already there alone.
POLICY_RC=/usr/sbin/policy-rc.d
hold_services() {
    [ -e "$POLICY_RC" ] && return 0
    printf '#!/bin/sh\n# temporary, by mqward scripts: start no services while packages are installed\nexit 101\n' |
        as_root tee "$POLICY_RC" >/dev/null || return 1
    as_root chmod 755 "$POLICY_RC"
    trap release_services EXIT
}
release_services() {
    grep -qs 'by mqward scripts' "$POLICY_RC" && as_root rm -f "$POLICY_RC"
    trap - EXIT
}

# The services of packages that this run installed must not start at the next boot either.
disable_services() {
    command -v systemctl >/dev/null 2>&1 || return 0
    local package service
    for package in "$@"; do
        case $package in
        mosquitto | rabbitmq-server | redis-server | nginx | haproxy | hitch | prometheus | rsyslog) service=$package.service ;;
        stunnel4) service="stunnel.target stunnel4.service" ;;
        erlang-base) service="epmd.socket epmd.service" ;;
        *) continue ;;
        esac
        # shellcheck disable=SC2086
        as_root systemctl disable $service >/dev/null 2>&1 || true
        echo "note: $package is installed, its service neither started nor enabled (systemctl enable --now $service)"
    done
}

install_packages() {
    local missing=() name failed=()
    require_debian_12 || return 1
    for name in "$@"; do
        package_installed "$name" || missing+=("$name")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo "packages: all $# are installed"
        return 0
    fi
    echo "packages: installing ${missing[*]}"
    hold_services || return 1
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update || { release_services; return 1; }
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" || { release_services; return 1; }
    release_services
    disable_services "${missing[@]}"
    for name in "${missing[@]}"; do
        package_installed "$name" || failed+=("$name")
    done
    if [ ${#failed[@]} -gt 0 ]; then
        echo "error: not installed: ${failed[*]}" >&2
        return 1
    fi
}
