# SPDX-License-Identifier: Apache-2.0
"""TLS towards the clients: versions, certificates of both sides, SNI, resumption."""
import socket
import ssl

import pytest

import raw
from audit import get
from peer import Client, dial

pytestmark = pytest.mark.brokerless

POLICY = """\
version: 1
policy: tls
identity:
  - cert: {ca: fleet, id: cn}
  - anonymous: {id: nobody}
rules:
  - rule: own
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/<id>/#]
"""


def listener(certs, name, **tls):
    base = {"certificate": certs.server[0], "key": certs.server[1]}
    return {"name": name, "address": "127.0.0.1:0", "tls": {**base, **tls}}


@pytest.fixture(scope="module")
def world(make_shared_world, certs):
    sni = [{"names": ["a.example"], "certificate": certs.sni_a[0], "key": certs.sni_a[1]},
           {"names": ["*.b.example"], "certificate": certs.sni_b[0], "key": certs.sni_b[1]}]
    return make_shared_world(POLICY, listeners=[
        {"name": "plain", "address": "127.0.0.1:0", "plaintext": True},
        listener(certs, "tls", client_certificate="optional", client_ca=["fleet"], sni=sni),
        listener(certs, "required", client_certificate="required", client_ca=["fleet"]),
        listener(certs, "none"),
        listener(certs, "modern", min_version="1.3"),
        listener(certs, "aes128", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256", ciphersuites="TLS_AES_128_GCM_SHA256"),
    ])


def refused(world, name, certificate=None, version=None):
    """The listener does not let this client in: no CONNACK comes."""
    context = world.certs.context(certificate, version)
    try:
        client = Client(dial(("127.0.0.1", world.proxy.ports[name]), context), raw.V5)
        client.send(raw.connect(raw.V5, world.name()))
    except (ssl.SSLError, OSError):
        return True
    with client:
        return client.receive() is None


@pytest.mark.core
@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), ids=("1.2", "1.3"))
@pytest.mark.parametrize("with_certificate", (False, True), ids=("anonymous", "certificate"))
def test_tls_1_2_and_1_3_are_served_and_named_in_the_audit(world, version, with_certificate):
    certificate = world.certs.plc7 if with_certificate else None
    client_id = world.name()
    client = world.client(context=world.certs.context(certificate, version))
    client.connect(client_id)
    event = world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id)
    assert get(event, "tls.version") == ("1.2" if version == ssl.TLSVersion.TLSv1_2 else "1.3")
    assert get(event, "tls.cipher")
    assert get(event, "user") == ("plc-7" if with_certificate else "nobody")
    if with_certificate:
        assert "CN=plc-7" in get(event, "tls.client.subject")


def test_a_listener_for_tls_1_3_refuses_1_2(world):
    assert refused(world, "modern", version=ssl.TLSVersion.TLSv1_2)
    world.client(listener="modern", context=world.certs.context(version=ssl.TLSVersion.TLSv1_3)).connect(world.name())
    world.audit.wait_for(action="tls-handshake-failed", reason="tls_failed")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_1_is_refused(world):
    context = world.certs.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        dial(("127.0.0.1", world.proxy.ports["tls"]), context)


@pytest.mark.parametrize("version, cipher", ((ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"),
                                             (ssl.TLSVersion.TLSv1_3, "TLS_AES_128_GCM_SHA256")), ids=("1.2", "1.3"))
def test_configured_ciphers_are_the_ones_negotiated(world, version, cipher):
    client = world.client(listener="aes128", context=world.certs.context(version=version))
    assert client.sock.cipher()[0] == cipher


@pytest.mark.parametrize("name, subject", (
    ("a.example", "a.example"), ("A.EXAMPLE", "a.example"), ("x.b.example", "b.example"), ("X.B.Example", "b.example"),
    ("x.y.b.example", "localhost"), ("b.example", "localhost"), ("unknown.example", "localhost"), (None, "localhost")))
def test_sni_selects_the_certificate(world, name, subject):
    context = world.certs.context(verify=False)
    sock = dial(("127.0.0.1", world.proxy.ports["tls"]), context, server_name=name)
    der = sock.getpeercert(binary_form=True)
    sock.close()
    from cryptography import x509
    certificate = x509.load_der_x509_certificate(der)
    assert certificate.subject.rfc4514_string() == f"CN={subject}"


def test_client_certificates_are_asked_for_as_the_listener_says(world):
    client_id = world.name()
    world.client(listener="required", certificate=world.certs.plc7).connect(client_id)
    assert get(world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id), "user") == "plc-7"
    client_id = world.name()
    world.client(listener="none", certificate=world.certs.plc7).connect(client_id)
    assert get(world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id), "user") == "nobody"


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), ids=("1.2", "1.3"))
@pytest.mark.parametrize("name", ("tls", "required"))
@pytest.mark.parametrize("which", ("foreign", "expired"))
def test_a_bad_client_certificate_is_refused_even_where_none_is_needed(world, which, name, version):
    before = len(world.audit.all(action="tls-handshake-failed", reason="tls_certificate_rejected"))
    assert refused(world, name, getattr(world.certs, which), version)
    world.audit.wait_for_count(before + 1, action="tls-handshake-failed", reason="tls_certificate_rejected")


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), ids=("1.2", "1.3"))
def test_a_missing_client_certificate_is_refused_where_one_is_required(world, version):
    before = len(world.audit.all(action="tls-handshake-failed"))
    assert refused(world, "required", version=version)
    world.audit.wait_for_count(before + 1, action="tls-handshake-failed")


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), ids=("1.2", "1.3"))
def test_a_resumed_session_keeps_the_identity_of_its_certificate(world, version):
    context = world.certs.context(world.certs.plc7, version)
    first = world.client(context=context)
    first.connect(world.name())  # in TLS 1.3 the ticket comes behind the handshake
    session = first.sock.session
    first.disconnect()
    client = world.client(context=context, session=session)
    assert client.sock.session_reused
    client_id = world.name()
    client.connect(client_id)
    event = world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id)
    assert get(event, "user") == "plc-7"
    assert get(event, "tls.resumed") is True
    observer = world.observer("dt/#")
    client.publish("dt/plc-7/x", b"mine", qos=1)
    client.publish("dt/plc-8/x", b"not mine", qos=1, code=0x87)
    assert [message.topic for message in world.arrived(observer, client)] == ["dt/plc-7/x"]


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), ids=("1.2", "1.3"))
def test_a_session_without_a_certificate_opens_no_listener_that_requires_one(world, version):
    context = world.certs.context(version=version)
    first = world.client(context=context)
    first.connect(world.name())
    session = first.sock.session
    first.disconnect()
    try:
        client = Client(dial(("127.0.0.1", world.proxy.ports["required"]), context, session=session), raw.V5)
        client.send(raw.connect(raw.V5, world.name()))
    except (ssl.SSLError, OSError):
        return
    with client:
        assert client.receive() is None


def test_plain_mqtt_on_a_tls_listener_is_refused(world):
    before = len(world.audit.all(action="tls-handshake-failed"))
    client = Client(dial(("127.0.0.1", world.proxy.ports["tls"])), raw.V5)
    client.send(raw.connect(raw.V5, world.name()))
    with client:
        data = b"x"
        while data:  # an alert may come before the end
            try:
                data = client.sock.recv(4096)
            except ConnectionError:
                break
            assert not data.startswith(b"\x20"), "a CONNACK in plain text"
    world.audit.wait_for_count(before + 1, action="tls-handshake-failed")


def test_tls_on_a_plain_listener_is_refused(world):
    with pytest.raises((ssl.SSLError, OSError)):
        dial(("127.0.0.1", world.proxy.ports["plain"]), world.certs.context())
    world.audit.wait_for(action="mqtt-protocol-error")


def test_rubbish_instead_of_a_handshake_is_closed(world):
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 200, b"\0" * 100, b"\x80\x2e\x01\x00\x02"):
        sock = dial(("127.0.0.1", world.proxy.ports["tls"]))
        sock.sendall(rubbish)
        sock.shutdown(socket.SHUT_WR)
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
        sock.close()
    world.connected(tls=True).ping()
