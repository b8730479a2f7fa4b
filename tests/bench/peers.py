# SPDX-License-Identifier: Apache-2.0
"""The proxies under test: each is one function that writes its configuration into a folder and returns its command line.
All of them: one worker, TLS 1.3 with the same ECDSA certificate, plain to the sink, the package's defaults else."""

import os
import subprocess

from processes import LOOPBACK, BenchError

HAPROXY = """\
global
    nbthread 1
    maxconn {limit}
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode tcp
    timeout connect 10s
    timeout client 10m
    timeout server 10m
listen mqtt
    bind {host}:{port} ssl crt {folder}/server.both.pem{client_certificates}
    server sink {host}:{sink}
"""

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {both_sides}; }}
stream {{
    server {{
        listen {host}:{port} ssl backlog=4096;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_protocols TLSv1.3;{client_certificates}
        proxy_pass {host}:{sink};
    }}
}}
"""

MQWARD = """\
version: 1
workers: 1
policy: policy.yaml
listeners:
  - name: bench
    address: {host}:{port}
    tls:
      certificate: {folder}/server.pem
      key: {folder}/server.key
      min_version: "1.3"{client_certificates}
    limits: {{connections: {limit}, connections_per_address: 0}}
upstreams:
  - name: sink
    address: {host}:{sink}
cas: {{bench: {folder}/ca.pem}}
audit:
  directory: {own}/audit
"""

POLICY = """\
version: 1
policy: bench
identity:
  - {identity}
groups:
  fleet: {{source: {source}}}
rules:
  - {{rule: data, who: fleet, allow: publish, topics: ["bench/<client_id>/data", "bench/<client_id>/data/+"]}}
"""

# What fills a policy up to the wanted number of rules: some share levels with the topics of the load, none decides.
OTHER_RULES = (
    '  - {{rule: same-prefix-{n}, who: fleet, allow: publish, topics: ["bench/<client_id>/r{n}/#"]}}\n',
    '  - {{rule: other-tree-{n}, who: fleet, allow: [publish, subscribe], topics: ["plant-{n}/+/<client_id>/#"]}}\n',
    '  - {{rule: guard-{n}, who: fleet, deny: publish, topics: ["bench/+/d{n}"]}}\n',
    '  - {{rule: command-{n}, who: fleet, allow: subscribe, topics: ["cmd/<client_id>/{n}/set"]}}\n',
)


def write(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def make_certificates(folder):
    """A CA, and from it a server's and a client's certificate, ECDSA P-256."""

    def openssl(*arguments):
        result = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise BenchError(f"openssl {arguments[0]}: {result.stderr}")

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench CA")
    for name, subject in (("server", "/CN=localhost"), ("client", "/CN=bench-client")):
        openssl("req", *new_key[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject,
                "-addext", f"subjectAltName=DNS:localhost,IP:{LOOPBACK}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "7",
                "-copy_extensions", "copy", "-out", f"{name}.pem")
    with open(f"{folder}/server.pem", encoding="ascii") as chain, open(f"{folder}/server.key", encoding="ascii") as key:
        write(f"{folder}/server.both.pem", chain.read() + key.read())


def policy_text(rules, client_certificates):
    """A policy with this many rules, of which the first allows the load."""
    source = "cert" if client_certificates else "anonymous"
    identity = "cert: {ca: bench, id: cn}" if client_certificates else "anonymous: {id: anonymous}"
    others = (OTHER_RULES[n % len(OTHER_RULES)].format(n=n) for n in range(1, rules))
    return POLICY.format(identity=identity, source=source) + "".join(others)


class Setting:
    """What every proxy is configured with."""

    def __init__(self, folder, sink_port, connections, client_certificates, mqward):
        self.folder = folder
        self.sink_port = sink_port
        self.limit = connections + 100
        self.client_certificates = client_certificates
        self.mqward = mqward

    def fill(self, template, port, client_certificates, **more):
        return template.format(
            host=LOOPBACK, port=port, sink=self.sink_port, folder=self.folder, limit=self.limit,
            both_sides=self.limit * 2,
            client_certificates=client_certificates.format(folder=self.folder) if self.client_certificates else "", **more)


def haproxy(setting, port):
    text = setting.fill(HAPROXY, port, " ca-file {folder}/ca.pem verify required")
    return ["haproxy", "-db", "-f", write(f"{setting.folder}/haproxy.cfg", text)]


def nginx(setting, port):
    text = setting.fill(NGINX, port, "\n        ssl_client_certificate {folder}/ca.pem;\n        ssl_verify_client on;")
    return ["nginx", "-p", setting.folder, "-e", "stderr", "-c", write(f"{setting.folder}/nginx.conf", text)]


def mqward(rules):
    def configure(setting, port):
        own = f"{setting.folder}/mqward-{rules}"
        os.makedirs(own)
        write(f"{own}/policy.yaml", policy_text(rules, setting.client_certificates))
        text = setting.fill(MQWARD, port, "\n      client_certificate: required\n      client_ca: [bench]", own=own)
        return [setting.mqward, "run", "-c", write(f"{own}/mqward.yaml", text)]

    return configure


def rows(names, rules):
    """The proxies by name, in the order asked for; mqward once for each number of rules."""
    known = {"haproxy": [("haproxy", haproxy)], "nginx": [("nginx", nginx)],
             "mqward": [(f"mqward/{count}", mqward(count)) for count in rules]}
    return [row for name in names for row in known[name]]
