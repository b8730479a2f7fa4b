# SPDX-License-Identifier: Apache-2.0
"""A small public key infrastructure, fresh for each run: CAs, servers (SNI ones too), clients good and bad."""
import datetime
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def _name(subject):
    fields = {"cn": NameOID.COMMON_NAME, "ou": NameOID.ORGANIZATIONAL_UNIT_NAME, "o": NameOID.ORGANIZATION_NAME}
    return x509.Name([x509.NameAttribute(fields[key], value) for key, value in subject.items()])


class Authority:
    """A CA that writes what it issues into a folder: <name>.pem and <name>.key."""

    def __init__(self, folder, name):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = _name({"cn": f"{name} CA", "o": "mqward tests"})
        now = datetime.datetime.utcnow()
        self.certificate = (
            x509.CertificateBuilder().subject_name(self.subject).issuer_name(self.subject)
            .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY).not_valid_after(now + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256()))
        self.path = os.path.join(folder, f"{name}-ca.pem")
        _write(self.path, self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name, subject, dns=(), uris=(), addresses=(), server=False, expired=False):
        """Returns (certificate path, key path)."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        start, end = (now - 20 * DAY, now - 10 * DAY) if expired else (now - DAY, now + 30 * DAY)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        alternatives = ([x509.DNSName(item) for item in dns] + [x509.UniformResourceIdentifier(item) for item in uris]
                        + [x509.IPAddress(ipaddress.ip_address(item)) for item in addresses])
        builder = (
            x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(self.subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(start).not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False))
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        paths = os.path.join(self.folder, f"{name}.pem"), os.path.join(self.folder, f"{name}.key")
        _write(paths[0], certificate.public_bytes(serialization.Encoding.PEM))
        _write(paths[1], key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))
        return paths


def _write(path, data):
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)


class Certificates:
    """What the tests use. Each client certificate is (certificate path, key path)."""

    def __init__(self, folder):
        self.server_ca = Authority(folder, "server")
        self.fleet_ca = Authority(folder, "fleet")
        self.broker_ca = Authority(folder, "broker")
        self.foreign_ca = Authority(folder, "foreign")
        local = {"dns": ["localhost"], "addresses": ["127.0.0.1"], "server": True}
        self.server = self.server_ca.issue("server", {"cn": "localhost"}, **local)
        self.sni_a = self.server_ca.issue("sni-a", {"cn": "a.example"}, dns=["a.example"], server=True)
        self.sni_b = self.server_ca.issue("sni-b", {"cn": "b.example"}, dns=["*.b.example"], server=True)
        self.broker = self.broker_ca.issue("broker", {"cn": "broker.example"}, dns=["broker.example"], server=True)
        self.broker_client = self.broker_ca.issue("broker-client", {"cn": "mqward"})
        self.plc7 = self.fleet_ca.issue("plc-7", {"cn": "plc-7", "ou": "a", "o": "Plant A"}, uris=["urn:dev:plc-7"])
        self.plc8 = self.fleet_ca.issue("plc-8", {"cn": "plc-8", "ou": "a"}, uris=["urn:dev:plc-8"])
        self.no_site = self.fleet_ca.issue("no-site", {"cn": "plc-9"}, uris=["urn:dev:plc-9"])
        self.no_uri = self.fleet_ca.issue("no-uri", {"cn": "plc-10", "ou": "a"})
        self.other_uri = self.fleet_ca.issue("other-uri", {"cn": "plc-11", "ou": "a"}, uris=["urn:other:plc-11"])
        self.unsafe = self.fleet_ca.issue("unsafe", {"cn": "a/b", "ou": "a"}, uris=["urn:dev:a/b"])
        self.wildcard = self.fleet_ca.issue("wildcard", {"cn": "+", "ou": "#"}, uris=["urn:dev:+"])
        self.expired = self.fleet_ca.issue("expired", {"cn": "plc-7", "ou": "a"}, uris=["urn:dev:plc-7"], expired=True)
        self.foreign = self.foreign_ca.issue("foreign", {"cn": "plc-7", "ou": "a"}, uris=["urn:dev:plc-7"])

    def context(self, client=None, version=None, verify=True):
        """A client's SSL context. client: a certificate; version: ssl.TLSVersion, no other is offered."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if verify:
            context.load_verify_locations(self.server_ca.path)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if client:
            context.load_cert_chain(*client)
        if version:
            context.minimum_version = context.maximum_version = version
        return context
