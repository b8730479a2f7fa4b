# SPDX-License-Identifier: Apache-2.0
"""The other proxies, and Mosquitto: each is one function that writes its configuration into a folder and returns its
command line. All of them: one worker, TLS 1.3 with the same certificate, plain to the sink, the package's defaults else."""

import os
import shutil
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
    bind {host}:{port} ssl crt {folder}/{certificate}.both.pem{client_certificates}{check}
    server sink {host}:{sink}
"""

# What HAProxy's manual has for MQTT: the client's first bytes must be a CONNECT.
HAPROXY_CHECK = """
    tcp-request inspect-delay 10s
    tcp-request content reject unless { req.payload(0,0),mqtt_is_valid }"""

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {own}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {both_sides}; }}
stream {{
    server {{
        listen {host}:{port} ssl backlog=4096;
        ssl_certificate {folder}/{certificate}.pem;
        ssl_certificate_key {folder}/{certificate}.key;
        ssl_protocols TLSv1.3;{client_certificates}
        proxy_pass {host}:{sink};
    }}
}}
"""

HITCH = """\
frontend = "[{host}]:{port}"
backend = "[{host}]:{sink}"
pem-file = "{folder}/{certificate}.both.pem"
workers = 1
backlog = 4096
tls-protos = TLSv1.3
daemon = off
log-level = 0{client_certificates}
"""

STUNNEL = """\
foreground = yes
pid =
debug = 3
sslVersionMin = TLSv1.3
[mqtt]
accept = {host}:{port}
connect = {host}:{sink}
cert = {folder}/{certificate}.pem
key = {folder}/{certificate}.key
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1{client_certificates}
"""

MOSQUITTO = """\
user root
listener {port} {host}
certfile {folder}/{certificate}.pem
keyfile {folder}/{certificate}.key
tls_version tlsv1.3
allow_anonymous true
persistence false
sys_interval 0
set_tcp_nodelay true
log_type error{client_certificates}{acl}
"""

POLICY = """\
version: 1
policy: bench
audit: {{allow: {sampled}}}
identity:
  - {identity}
groups:
  fleet: {{source: {source}}}
rules:
"""
# Where the identity comes from.
SOURCES = {"anonymous": "anonymous: {id: anonymous}", "cert": "cert: {ca: bench, id: cn}", "broker": "broker: {id: client_id}"}
ALLOW_ALL = '  - {rule: all, who: fleet, allow: [publish, subscribe], topics: "#"}\n'
# The load's topics; that they may come back, and the fan-out's.
DATA = """\
  - {rule: data, who: fleet, allow: publish, topics: ["bench/<client_id>/data", "bench/<client_id>/data/+"]}
  - {rule: back, who: fleet, allow: subscribe, topics: ["bench/<client_id>/data", bench/fan]}
"""
DATA_RULES = 2

# What fills a policy up to the wanted number of rules: some share levels with the topics of the load, none decides. For each kind
# of rule, the line of Mosquitto's acl_file that says the same.
OTHER_RULES = (
    '  - {{rule: same-prefix-{n}, who: fleet, allow: publish, topics: ["bench/<client_id>/r{n}/#"]}}\n',
    '  - {{rule: other-tree-{n}, who: fleet, allow: [publish, subscribe], topics: ["plant-{n}/+/<client_id>/#"]}}\n',
    '  - {{rule: guard-{n}, who: fleet, deny: publish, topics: ["bench/+/d{n}"]}}\n',
    '  - {{rule: command-{n}, who: fleet, allow: subscribe, topics: ["cmd/<client_id>/{n}/set"]}}\n',
)
OTHER_LINES = (
    "pattern write bench/%c/r{n}/#\n",
    "pattern readwrite plant-{n}/+/%c/#\n",
    "pattern deny bench/+/d{n}\n",
    "pattern read cmd/%c/{n}/set\n",
)


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), mode)
        out.write(text)
    return path


def policy_text(rules, client_certificates, source=None, sampled="0%"):
    """mqward's policy with so many rules, of which the first two allow the load; 0: one rule that allows everything."""
    source = source or ("cert" if client_certificates else "anonymous")
    text = POLICY.format(identity=SOURCES[source], source=source, sampled=sampled)
    if rules == 0:
        return text + ALLOW_ALL
    return text + DATA + "".join(OTHER_RULES[n % len(OTHER_RULES)].format(n=n) for n in range(DATA_RULES, rules))


def make_certificates(folder):
    """A CA, and from it a server's certificate of ECDSA P-256 (server) and of RSA 2048 (rsa), and a client's."""

    def openssl(*arguments):
        result = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise BenchError(f"openssl {arguments[0]}: {result.stderr}")

    ecdsa = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    rsa = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *ecdsa, "-days", "7", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench CA")
    for name, key, subject in (("server", ecdsa, "/CN=localhost"), ("rsa", rsa, "/CN=localhost"), ("client", ecdsa, "/CN=bench-client")):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject,
                "-addext", f"subjectAltName=DNS:localhost,IP:{LOOPBACK}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "7",
                "-copy_extensions", "copy", "-out", f"{name}.pem")
        with open(f"{folder}/{name}.pem", encoding="ascii") as chain, open(f"{folder}/{name}.key", encoding="ascii") as secret:
            write(f"{folder}/{name}.both.pem", chain.read() + secret.read(), 0o600)


class Setting:
    """What a proxy is configured with. lanes: (port to listen on, port of the sink); but for mqward there is one."""

    def __init__(self, folder, own, lanes, connections, options, certificate="server"):
        self.folder = folder  # of the certificates
        self.own = own        # of this proxy
        self.lanes = lanes
        self.limit = connections + 100
        self.client_certificates = options.client_certificates
        self.mqward = options.mqward
        self.certificate = certificate
        os.makedirs(own, exist_ok=True)

    @property
    def port(self):
        return self.lanes[0][0]

    def fill(self, template, client_certificates, **more):
        return template.format(
            host=LOOPBACK, port=self.lanes[0][0], sink=self.lanes[0][1], folder=self.folder, own=self.own, limit=self.limit,
            both_sides=self.limit * 2, certificate=self.certificate,
            client_certificates=client_certificates.format(folder=self.folder) if self.client_certificates else "", **more)

    def write(self, name, template, client_certificates, **more):
        return write(f"{self.own}/{name}", self.fill(template, client_certificates, **more))


class Row:
    """Something that is measured. counted: who says how many messages there were: the sink; or, where they don't get there, the
    generator (denied: the sink must get none; broker: the row is a broker itself)."""

    def __init__(self, name, command, load=(), counted="sink", needs=None, path=None, family=None):
        self.name = name
        self.family = family or name  # what --proxies calls it
        self.command = command  # of a Setting: the command line; None: no process, straight to the sink
        self.load = list(load)  # further options of the generator
        self.counted = counted
        self.needs = needs      # the program that must be installed
        self.path = path        # and a file of it

    def missing(self):
        if self.needs and not shutil.which(self.needs):
            return self.needs
        return self.path if self.path and not os.path.exists(self.path) else None


def haproxy(check):
    def command(setting):
        return ["haproxy", "-db", "-f", setting.write("haproxy.cfg", HAPROXY, " ca-file {folder}/ca.pem verify required", check=check)]

    return command


def nginx(setting):
    path = setting.write("nginx.conf", NGINX, "\n        ssl_client_certificate {folder}/ca.pem;\n        ssl_verify_client on;")
    return ["nginx", "-p", setting.own, "-e", "stderr", "-c", path]


def hitch(setting):
    template = HITCH + ('user = "nobody"\n' if os.geteuid() == 0 else "")  # it refuses to work as root
    path = setting.write("hitch.conf", template, '\nclient-verify = required\nclient-verify-ca = "{folder}/ca.pem"')
    return ["hitch", f"--config={path}"]


def stunnel(setting):
    path = setting.write("stunnel.conf", STUNNEL, "\nCAfile = {folder}/ca.pem\nverifyChain = yes\nrequireCert = yes")
    return ["stunnel4", path]


def mosquitto(rules):
    """With TLS, and the same policy as mqward's in its acl_file; 0: none. The line that allows the load is the last: Mosquitto asks
    one after the other until one matches, so that the place is the number of lines that a message costs."""

    def command(setting):
        acl = ""
        if rules:
            lines = [OTHER_LINES[n % len(OTHER_LINES)].format(n=n) for n in range(1, rules)]
            write(f"{setting.own}/acl", "".join(lines) + "pattern readwrite bench/%c/data\n")
            acl = f"\nacl_file {setting.own}/acl"
        return ["mosquitto", "-c", setting.write("mosquitto.conf", MOSQUITTO,
                                                 "\ncafile {folder}/ca.pem\nrequire_certificate true", acl=acl)]

    return command


NGINX_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
PROXIES = {
    "haproxy": Row("haproxy", haproxy(""), needs="haproxy"),
    "haproxy-mqtt": Row("haproxy-mqtt", haproxy(HAPROXY_CHECK), needs="haproxy"),
    "nginx": Row("nginx", nginx, needs="nginx", path=NGINX_MODULE),
    "hitch": Row("hitch", hitch, needs="hitch"),
    "stunnel": Row("stunnel", stunnel, needs="stunnel4"),
}
BROKERS = {name: Row(name, mosquitto(rules), counted="broker", needs="mosquitto", family="mosquitto")
           for name, rules in (("mosquitto", 0), ("mosquitto/10", 10), ("mosquitto/1000", 1000))}
DIRECT = Row("direct", None)
