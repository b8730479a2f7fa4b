# SPDX-License-Identifier: Apache-2.0
"""Certificates that were revoked, and certificates that expire while their session goes on."""
import datetime
import os
import ssl
import time

import pytest
from cryptography import x509

import raw
from audit import get
from revocation import RevokingAuthority
from servers import run_cli
from test_reload import reload

pytestmark = pytest.mark.brokerless

POLICY = """\
version: 1
policy: fleet
identity:
  - cert: {ca: fleet, id: cn%s}
rules:
  - rule: own
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/<id>/#]
"""
TLS_VERSIONS = pytest.mark.parametrize("tls", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
                                       ids=("tls1.2", "tls1.3"))
SECOND = datetime.timedelta(seconds=1)


class Fleet:
    """A CA with two clients, an intermediate CA with one, and a world whose listener asks for revocation lists."""

    def __init__(self, make_world, certs, folder):
        self.make_world, self.certs, self.folder = make_world, certs, folder
        self.ca = RevokingAuthority(str(folder), "fleet")
        self.good = self.ca.issue("good", {"cn": "good"})
        self.bad = self.ca.issue("bad", {"cn": "bad"})
        self.middle = RevokingAuthority(str(folder), "middle", issuer=self.ca)
        self.leaf = self.middle.issue("leaf", {"cn": "leaf"})
        with open(self.leaf[0], "a", encoding="ascii") as file, open(self.middle.path, encoding="ascii") as issuer:
            file.write(issuer.read())
        self.other = RevokingAuthority(str(folder), "other")
        self.path = str(folder / "fleet.crl")

    def configuration(self, crl, **tls):
        server = {"certificate": self.certs.server[0], "key": self.certs.server[1], "client_certificate": "required",
                  "client_ca": ["fleet"], "crl": crl, **tls}
        return {"cas": {"fleet": self.ca.path}, "listeners": [{"name": "tls", "address": "127.0.0.1:0", "tls": server}]}

    def world(self, crl, policy=POLICY % "", start=True, **tls):
        configuration = self.configuration(crl, **tls)
        return self.make_world(policy, configuration=configuration, start=start)

    def check(self, crl, **tls):
        world = self.make_world(POLICY % "", redis=False, broker=False, start=False,
                                configuration=self.configuration(crl, **tls))
        return run_cli("check", "-c", world.proxy.path, folder=world.proxy.folder)


@pytest.fixture
def fleet(make_world, certs, tmp_path):
    return Fleet(make_world, certs, tmp_path)


def refused(world, certificate, detail, context=None, session=None):
    """The handshake fails; with TLS 1.3 a client learns of it with its first read."""
    before = len(world.audit.all(action="tls-handshake-failed"))
    with pytest.raises((OSError, AssertionError)):
        client = world.client(certificate=certificate, context=context, **({"session": session} if session else {}))
        client.connect("refused")
    event = world.audit.wait_for_count(before + 1, action="tls-handshake-failed")[-1]
    assert get(event, "reason") == "tls_certificate_rejected"
    assert detail in str(event), event


@TLS_VERSIONS
@pytest.mark.parametrize("der", (False, True), ids=("pem", "der"))
def test_a_revoked_certificate_is_refused(fleet, tls, der):
    world = fleet.world(fleet.ca.crl(fleet.path, fleet.bad[0], der=der))
    world.connected(certificate=fleet.good).ping()
    refused(world, None, "certificate revoked", context=world.certs.context(fleet.bad, tls))


def test_the_certificate_of_a_server_name_changes_nothing(fleet, certs):
    sni = [{"names": ["a.example"], "certificate": certs.sni_a[0], "key": certs.sni_a[1]}]
    world = fleet.world(fleet.ca.crl(fleet.path, fleet.bad[0]), sni=sni)
    before = len(world.audit.all(action="tls-handshake-failed"))
    with pytest.raises((OSError, AssertionError)):
        world.client(context=certs.context(fleet.bad), server_name="a.example").connect("x")
    world.audit.wait_for_count(before + 1, action="tls-handshake-failed")
    client = world.client(context=certs.context(fleet.good), server_name="a.example")
    client.connect("x")


@pytest.mark.parametrize("begin, end, detail", (
    (datetime.timedelta(days=-2), -SECOND, "CRL has expired"),
    (datetime.timedelta(days=1), datetime.timedelta(days=2), "CRL is not yet valid"),
), ids=("expired", "future"))
def test_a_list_that_is_not_in_force_refuses_everybody(fleet, begin, end, detail):
    world = fleet.world(fleet.ca.crl(fleet.path, begin=begin, end=end))
    refused(world, fleet.good, detail)


def test_an_issuer_without_a_list_refuses_its_clients(fleet):
    world = fleet.world(fleet.other.crl(fleet.path))
    refused(world, fleet.good, "unable to get certificate CRL")


def test_the_newest_of_several_lists_counts(fleet):
    fleet.ca.crl(fleet.path, begin=datetime.timedelta(days=-3))
    fleet.ca.crl(fleet.path, fleet.bad[0], append=True)
    fleet.ca.crl(fleet.path, begin=datetime.timedelta(days=-2), append=True)
    world = fleet.world([fleet.path])
    refused(world, fleet.bad, "certificate revoked")
    world.connected(certificate=fleet.good)


def test_intermediate_authorities(fleet):
    """crl_check: leaf asks for the list of the client's issuer, chain for those of all of them."""
    own = fleet.ca.crl(fleet.path, fleet.middle.certificate)
    middle = fleet.middle.crl(str(fleet.folder / "middle.crl"))
    world = fleet.world([own, middle])
    world.connected(certificate=fleet.leaf).ping()
    refused(fleet.world(own), fleet.leaf, "unable to get certificate CRL")
    world = fleet.world([own, middle], crl_check="chain")
    refused(world, fleet.leaf, "certificate revoked")
    world.connected(certificate=fleet.good)


@TLS_VERSIONS
def test_no_resumption_with_a_list_that_has_expired(fleet, tls):
    world = fleet.world(fleet.ca.crl(fleet.path))
    fleet.ca.crl(fleet.path, end=10 * SECOND)  # its time begins when mqward runs already
    end = time.time() + 10.5
    reload(world)
    context = world.certs.context(fleet.good, tls)
    first = world.client(context=context)
    first.connect("first")
    first.ping()
    session = first.sock.session
    second = world.client(context=context, session=session)
    assert second.sock.session_reused
    second.connect("second")
    time.sleep(max(0, end - time.time()))
    refused(world, None, "CRL has expired", context=context, session=session)


@TLS_VERSIONS
def test_a_reload_ends_sessions_and_tickets_of_a_revoked_certificate(fleet, tls):
    world = fleet.world(fleet.ca.crl(fleet.path))
    context = world.certs.context(fleet.bad, tls)
    client = world.client(context=context)
    client.connect("bad")
    client.ping()
    session = client.sock.session
    good = world.connected("good", certificate=fleet.good)
    fleet.ca.crl(fleet.path, fleet.bad[0])
    reload(world)
    client.until_closed()
    good.ping()
    refused(world, None, "certificate revoked", context=context, session=session)


def test_a_revoked_client_leaves_no_will(fleet):
    """Its certificate may be in other hands, and so may its will."""
    world = fleet.world(fleet.ca.crl(fleet.path))
    observer = world.observer("dt/#")
    bad = world.connected("bad", certificate=fleet.bad, will=raw.Will("dt/bad/will", b"x"))
    fleet.ca.crl(fleet.path, fleet.bad[0])
    reload(world)
    bad.until_closed()
    world.broker.wait_gone("bad")
    assert world.arrived(observer) == []
    event = world.audit.wait_for(action="mqtt-disconnect", client_id="bad")
    assert get(event, "reason") == "tls_certificate_rejected"


def test_chains(fleet):
    """crl_check: chain needs every list, and notices an intermediate CA that is revoked at a reload."""
    middle = fleet.middle.crl(str(fleet.folder / "middle.crl"))
    refused(fleet.world(middle, crl_check="chain"), fleet.leaf, "unable to get certificate CRL")
    world = fleet.world([fleet.ca.crl(fleet.path), middle], crl_check="chain")
    leaf = world.connected("leaf", certificate=fleet.leaf)
    good = world.connected("good", certificate=fleet.good)
    reload(world)
    leaf.ping()
    fleet.ca.crl(fleet.path, fleet.middle.certificate)
    reload(world)
    leaf.until_closed()
    good.ping()
    refused(world, fleet.leaf, "certificate revoked")


@TLS_VERSIONS
def test_a_reload_that_changes_no_list_leaves_resumed_sessions_alone(fleet, tls):
    """They have no intermediate certificates that could be looked at again; other lists end them."""
    own, middle = fleet.ca.crl(fleet.path), fleet.middle.crl(str(fleet.folder / "middle.crl"))
    world = fleet.world([own, middle])
    context = world.certs.context(fleet.leaf, tls)
    first = world.client(context=context)
    first.connect("first")
    first.ping()
    second = world.client(context=context, session=first.sock.session)
    assert second.sock.session_reused
    second.connect("second")
    reload(world)
    first.ping()
    second.ping()
    second.publish("dt/leaf/x", qos=1)
    fleet.ca.crl(fleet.path)
    reload(world)
    first.ping()
    second.until_closed()


def test_lists_that_expire_end_no_session_at_a_reload(fleet):
    """Nor do certificates: what the clock says is a matter of handshakes, and of at_expiry."""
    world = fleet.world(fleet.ca.crl(fleet.path))
    short = fleet.ca.issue_for(10 * SECOND, "short", {"cn": "short"})
    fleet.ca.crl(fleet.path, end=10 * SECOND)
    end = time.time() + 10.5
    reload(world)
    clients = [world.connected(certificate=certificate) for certificate in (short, fleet.good)]
    time.sleep(max(0, end - time.time()))
    reload(world)
    for client in clients:
        client.ping()
    fleet.ca.crl(fleet.path, fleet.bad[0])
    reload(world)
    for client in clients:
        client.ping()


ANYBODY = (POLICY % "").replace("  - cert: {ca: fleet, id: cn}\n", "  - anonymous: {id: guest}\n")


def test_a_certificate_that_is_asked_for_now(fleet):
    """Who has none is gone, as at its next connection."""
    world = fleet.world(fleet.ca.crl(fleet.path), policy=ANYBODY, client_certificate="optional")
    without = world.connected(tls=True)
    with_one = world.connected(certificate=fleet.good)
    reload(world, configuration=lambda configuration:
           configuration["listeners"][0]["tls"].update(client_certificate="required"))
    without.until_closed()
    with_one.ping()


def test_a_certificate_that_is_asked_for_no_more(fleet):
    """Who has one goes on without it."""
    world = fleet.world(fleet.ca.crl(fleet.path), policy=ANYBODY, client_certificate="optional")
    client = world.connected(certificate=fleet.good)

    def change(configuration):
        tls = configuration["listeners"][0]["tls"]
        tls["client_certificate"] = "none"
        del tls["client_ca"], tls["crl"]
    reload(world, configuration=change)
    client.ping()
    reload(world, POLICY % "", configuration=change_back(fleet))
    client.until_closed()


def change_back(fleet):
    def change(configuration):
        configuration["listeners"] = fleet.configuration(fleet.other.crl(fleet.path))["listeners"]
    return change


# ---- what 'check' says ----

def test_check_warns_of_lists_that_expire(fleet):
    result = fleet.check(fleet.ca.crl(fleet.path, begin=datetime.timedelta(days=-2), end=-SECOND))
    assert result.returncode == 0
    assert "has expired: all clients of its issuer are refused" in result.stderr + result.stdout
    result = fleet.check(fleet.ca.crl(fleet.path, begin=datetime.timedelta(days=-29), end=datetime.timedelta(days=1)))
    assert "expires soon" in result.stderr + result.stdout
    result = fleet.check(fleet.ca.crl(fleet.path))
    assert result.returncode == 0 and "warning:" not in result.stderr + result.stdout


def test_check_warns_of_lists_of_others(fleet):
    result = fleet.check(fleet.other.crl(fleet.path))
    assert "is none of the CAs of client_ca" in result.stderr + result.stdout
    result = fleet.check(fleet.other.crl(fleet.path), crl_check="chain")
    assert "no revocation list of the CA 'fleet'" in result.stderr + result.stdout


def special_list(fleet, extension):
    """Both are for readers that know what else to read. OpenSSL would pass over them in silence."""
    return fleet.ca.crl(fleet.path, fleet.bad[0], extension=extension)


@pytest.mark.parametrize("make, message", (
    (lambda fleet: special_list(fleet, x509.DeltaCRLIndicator(1)), "a delta revocation list"),
    (lambda fleet: special_list(fleet, x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier("http://x/")], None, False, False, None, True, False)),
     "an indirect revocation list"),
    (lambda fleet: os.mkfifo(fleet.path) or fleet.path, "not a regular file"),
    (lambda fleet: fleet.ca.crl(fleet.path, key=fleet.middle.key), "not that of its CA"),
    (lambda fleet: fleet.path + ".missing", "can't be read"),
    (lambda fleet: fleet.ca.path, "no revocation list (PEM or DER) in it"),
    (lambda fleet: [], "the list is empty"),
), ids=("delta", "indirect", "pipe", "signature", "missing", "certificate", "none"))
def test_bad_lists_are_errors_of_the_configuration(fleet, make, message):
    result = fleet.check(make(fleet))
    assert result.returncode == 1
    assert message in result.stderr + result.stdout


def test_a_damaged_list_behind_a_good_one_is_an_error(fleet):
    fleet.ca.crl(fleet.path)
    with open(fleet.path, "a", encoding="ascii") as file:
        file.write("-----BEGIN X509 CRL-----\nMIIBrubbish\n-----END X509 CRL-----\n")
    result = fleet.check(fleet.path)
    assert result.returncode == 1 and "a damaged revocation list" in result.stderr + result.stdout


# ---- expiry of the certificate ----

@pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
def test_a_session_ends_with_its_certificate_if_the_policy_says_so(fleet, version):
    world = fleet.world(fleet.ca.crl(fleet.path), policy=POLICY % ", at_expiry: disconnect")
    short = fleet.ca.issue_for(10 * SECOND, "short", {"cn": "short"})
    client = world.connected("short", version, certificate=short)
    client.ping()
    client.expect_disconnect(0xA0)
    event = world.audit.wait_for(action="mqtt-disconnect", client_id="short")
    assert get(event, "reason") == "credential_expired"


def test_without_that_it_goes_on(fleet):
    world = fleet.world(fleet.ca.crl(fleet.path))
    short = fleet.ca.issue_for(10 * SECOND, "short", {"cn": "short"})
    end = time.time() + 11.5
    client = world.connected("short", certificate=short)
    while time.time() < end:
        client.ping()
