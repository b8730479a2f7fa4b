# SPDX-License-Identifier: Apache-2.0
"""mqward as it is measured: its configuration with a number of rules and with features switched on one by one."""

import os

from peers import Row, policy_text, write
from processes import LOOPBACK

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "rules", "library")

MQWARD = """\
version: 1
workers: {workers}
policy: policy.yaml
listeners:
{listeners}upstreams:
{upstreams}cas: {{bench: {folder}/ca.pem}}
audit:
  directory: {own}/audit
  quota: 64MiB
  segment: 16MiB
{more}"""

LISTENER = """\
  - name: bench-{number}
    address: {host}:{port}
    upstream: sink-{number}
    tls:
      certificate: {folder}/{certificate}.pem
      key: {folder}/{certificate}.key
      min_version: "1.3"{client_certificates}
    limits: {{connections: {limit}, connections_per_address: 0}}
"""

UPSTREAM = """\
  - name: sink-{number}
    address: {host}:{sink}
"""

SIGNED = '  - {{check: signed, who: fleet, topics: "bench/#", signature: {{keys: bench, replay: {replay}}}}}\n'
SCANNED = '  - {check: scanned, who: fleet, topics: "bench/#", yara: {rules: shipped}}\n'
KEYS = """\
version: 1
keys:
  - {kid: bench, type: master, alg: HMAC-SHA-256, secret: {file: bench.key}}
"""


def policy(setting, rules, sampled, replay, yara):
    """Clients are anonymous, or who their certificate says; who signs must be somebody: of whom the broker's yes is enough here."""
    text = policy_text(rules, setting.client_certificates, "broker" if replay else None, sampled)
    if replay or yara:
        text += "checks:\n" + (SIGNED.format(replay=replay) if replay else "") + (SCANNED if yara else "")
    return text


def mqward(rules, sampled="0%", replay=None, yara=None, workers=1):
    """The command of a Row. replay: of signatures (none, nonce); yara: a folder of rules."""

    def command(setting):
        more = ""
        write(f"{setting.own}/policy.yaml", policy(setting, rules, sampled, replay, yara))
        if replay:
            more += f"keys: {setting.own}/keys.yaml\n"
            write(f"{setting.own}/keys.yaml", KEYS, 0o600)
            write(f"{setting.own}/bench.key", signing_key(setting.folder), 0o600)
        if yara:
            more += f"rules: {{shipped: {yara}}}\n"
        lanes = [dict(number=number, port=port, sink=sink) for number, (port, sink) in enumerate(setting.lanes)]
        demanded = "\n      client_certificate: required\n      client_ca: [bench]" if setting.client_certificates else ""
        listeners = "".join(LISTENER.format(host=LOOPBACK, folder=setting.folder, certificate=setting.certificate,
                                            client_certificates=demanded, limit=setting.limit, **lane) for lane in lanes)
        upstreams = "".join(UPSTREAM.format(host=LOOPBACK, **lane) for lane in lanes)
        text = MQWARD.format(workers=workers, listeners=listeners, upstreams=upstreams, folder=setting.folder, own=setting.own,
                             more=more)
        return [setting.mqward, "run", "-c", write(f"{setting.own}/mqward.yaml", text)]

    return command


def signing_key(folder):
    """The master that generator and proxy share, in hex digits; made once in a run."""
    path = f"{folder}/bench.key"
    if not os.path.exists(path):
        write(path, os.urandom(32).hex() + "\n", 0o600)
    with open(path, encoding="ascii") as key:
        return key.read()


def mqward_row(name, command, load=(), counted="sink"):
    return Row(name, command, load, counted, family="mqward")


def with_rules(count):
    return mqward_row(f"mqward/{count}", mqward(count))


def rows(folder, counts):
    """Policies of so many rules; features switched on one by one; the policy has 1,000 rules from there on."""
    signing_key(folder)
    sign = ["--sign", f"{folder}/bench.key"]
    return [
        mqward_row("mqward: TLS, decode", mqward(0)),
        *map(with_rules, counts),
        mqward_row("+ audit 1 %", mqward(1000, sampled="1%")),
        mqward_row("+ HMAC", mqward(1000, replay="none"), sign),
        mqward_row("+ HMAC, nonces", mqward(1000, replay="nonce"), sign),
        mqward_row("+ YARA", mqward(1000, yara=LIBRARY)),
        mqward_row("everything", mqward(1000, "1%", "nonce", LIBRARY), sign),
        mqward_row("all denied", mqward(1000), ["--topic", "bench/%/nope"], counted="denied"),
    ]
