# SPDX-License-Identifier: Apache-2.0
"""JSON Web Tokens as identities: in the password, in MQTT 5.0's enhanced authentication, and their end."""
import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import utils

import raw
from audit import get
from servers import run_cli
from test_reload import reload
from tokens import ALGORITHMS, Signer, write_jwks

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
POLICY = """\
version: 1
policy: tokens
identity:
  - jwt: {%sjwks: idp, issuer: https://idp.example, audience: mqtt, algs: [RS256, ES256, EdDSA, HS256],
          groups: realm_access.roles, attrs: {site: site}, skew: 0s}
  - anonymous: {id: guest}
groups:
  operators: {source: jwt, member: iot-operator}
rules:
  - rule: own
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/<id>/#]
  - rule: operate
    who: operators
    allow: [publish, subscribe]
    topics: [cmd/<site>/#]
"""
IN_PASSWORD = POLICY % ""
IN_AUTH = POLICY % "in: auth, "
ROLES = {"realm_access": {"roles": ["iot-operator"]}, "site": "a"}


def refusal(version, v5, v3):
    return v5 if version == raw.V5 else v3


@pytest.fixture(scope="module")
def signers():
    return {algorithm: Signer(algorithm, kid=algorithm) for algorithm in ALGORITHMS}


@pytest.fixture(scope="module")
def jwks(tmp_path_factory, signers):
    return write_jwks(tmp_path_factory.mktemp("idp") / "jwks.json", *signers.values())


@pytest.fixture(scope="module")
def world(make_shared_world, jwks):
    return make_shared_world(IN_PASSWORD, configuration={"jwks": {"idp": jwks}})


@pytest.fixture(scope="module")
def auth_world(make_shared_world, jwks):
    return make_shared_world(IN_AUTH, configuration={"jwks": {"idp": jwks}})


def bearer(token):
    return {"username": "device", "password": token}


def proof(token, method="JWT"):
    return {"props": [(raw.AUTHENTICATION_METHOD, method), (raw.AUTHENTICATION_DATA, raw.as_bytes(token))]}


# ---- in the password ----

@VERSIONS
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_claims_of_a_token_are_the_identity(world, signers, version, algorithm):
    client_id = world.name()
    client = world.connected(client_id, version, **bearer(signers[algorithm].token("plc-7", **ROLES)))
    event = world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id)
    assert get(event, "user") == "plc-7"
    assert get(event, "user.roles") == ["operators"]
    observer = world.observer("dt/#", "cmd/#")
    client.publish("dt/plc-7/t", b"1", qos=1)
    client.publish("cmd/a/x", b"2", qos=1)
    client.publish("cmd/b/x", b"3", qos=1, code=refusal(version, 0x87, 0))
    client.publish("dt/device/t", b"4", qos=1, code=refusal(version, 0x87, 0))
    assert [message.payload for message in world.arrived(observer, client)] == [b"1", b"2"]


def as_der(signature):
    """The form that OpenSSL and X.509 have; that of tokens is r and s alone."""
    raw_form = base64.urlsafe_b64decode(signature + "==")
    der = utils.encode_dss_signature(*(int.from_bytes(raw_form[at:at + 32], "big") for at in (0, 32)))
    return base64.urlsafe_b64encode(der).rstrip(b"=").decode()


def forged(signers):
    """Tokens that are not to be believed, with the reason and the code that says so (5.0, 3.x)."""
    good = signers["ES256"]
    header, payload, signature = good.token("plc-7").split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    confused = Signer("HS256", kid="ES256")
    confused.key = json.dumps(good.jwk()).encode()
    yield "none", f"{none}.{payload}.", "token_algorithm", 0x86, 4
    yield "none-with-signature", f"{none}.{payload}.{signature}", "token_algorithm", 0x86, 4
    yield "public-key-as-secret", confused.token("plc-7"), "token_algorithm", 0x86, 4
    yield "stranger", Signer("ES256", kid="ES256").token("plc-7"), "token_signature", 0x86, 4
    yield "unknown-key", Signer("ES256", kid="other").token("plc-7"), "token_key_unknown", 0x86, 4
    stranger = Signer("ES256", kid="ES256")
    embedded = {"jwk": stranger.jwk(), "jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/chain.pem"}
    yield "embedded-key", stranger.token("plc-7", headers=embedded), "token_signature", 0x86, 4
    yield "critical-extension", good.token("plc-7", headers={"crit": ["exp"]}), "token_malformed", 0x86, 4
    yield "other-form-of-signature", f"{header}.{payload}.{as_der(signature)}", "token_signature", 0x86, 4
    yield "zeros", f"{header}.{payload}.{'A' * 86}", "token_signature", 0x86, 4
    yield "cut", good.token("plc-7")[:-2], "token_signature", 0x86, 4
    yield "two-parts-swapped", f"{header}.{signature}.{payload}", "token_signature", 0x86, 4
    yield "too-large", good.token("plc-7", filler="x" * 9000), "token_malformed", 0x86, 4
    yield "expired", good.token("plc-7", lifetime=-5), "token_expired", 0x87, 5
    yield "not-yet-valid", good.token("plc-7", nbf=time.time() + 60), "token_not_yet_valid", 0x87, 5
    yield "other-issuer", good.token("plc-7", iss="https://evil.example"), "token_issuer", 0x87, 5
    yield "other-audience", good.token("plc-7", aud=["web"]), "token_audience", 0x87, 5
    yield "without-subject", good.token(None), "token_claim_missing", 0x87, 5
    yield "milliseconds", good.token("plc-7", exp=int(time.time() * 1000) + 600000), "token_claim_invalid", 0x87, 5
    yield "time-as-text", good.token("plc-7", exp=str(int(time.time()) + 600)), "token_claim_invalid", 0x87, 5
    yield "negative", good.token("plc-7", exp=-1), "token_claim_invalid", 0x87, 5
    yield "nested-audience", good.token("plc-7", aud=[["mqtt"]]), "token_claim_invalid", 0x87, 5
    yield "unsafe", good.token("plc/+"), "identity_unsafe", 0x87, 5


@VERSIONS
def test_what_is_not_to_be_believed_is_refused_and_named(world, signers, version):
    for name, token, reason, v5, v3 in forged(signers):
        client_id = world.name(name)
        client = world.client(version)
        client.connect(client_id, code=refusal(version, v5, v3), **bearer(token))
        client.expect_closed()
        event = world.audit.wait_for(action="mqtt-connect-refused", client_id=client_id)
        assert get(event, "reason") == reason, f"{name}: {event}"
        assert token not in json.dumps(event)


@VERSIONS
def test_a_password_that_is_no_token_goes_on_to_the_next_source(world, version):
    client_id = world.name()
    world.connected(client_id, version, username="eva", password="s.e.cret")
    event = world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id)
    assert get(event, "user") == "guest"


@VERSIONS
def test_the_broker_does_not_get_the_token(make_world, jwks, signers, version):
    world = make_world(IN_PASSWORD, broker="fake", configuration={"jwks": {"idp": jwks}})
    client = world.client(version)
    will = raw.Will("dt/plc-7/gone", b"bye", 1, True)
    client.send(raw.connect(version, "plc-7", will=will, **bearer(signers["EdDSA"].token("plc-7"))))
    peer = world.fake.accept()
    connect = peer.expect(raw.CONNECT)
    assert (connect.username, connect.password, connect.client_id) == (None, None, "plc-7")
    assert (connect.will.topic, connect.will.payload, connect.will.qos) == ("dt/plc-7/gone", b"bye", 1)
    client.send(raw.pingreq())
    peer.send(raw.connack(version))
    client.expect(raw.CONNACK, code=0)
    peer.expect(raw.PINGREQ)


def test_a_token_that_is_passed_on_arrives(make_world, jwks, signers):
    world = make_world(POLICY % "forward: pass, ", broker="fake", configuration={"jwks": {"idp": jwks}})
    token = signers["EdDSA"].token("plc-7")
    client = world.client(raw.V311)
    client.send(raw.connect(raw.V311, "plc-7", **bearer(token)))
    assert world.fake.accept().expect(raw.CONNECT).password == token.encode()


# ---- the end ----

@VERSIONS
def test_a_session_ends_with_its_token(world, signers, version):
    client_id = world.name()
    began = time.time()
    client = world.connected(client_id, version, **bearer(signers["ES256"].token("plc-7", lifetime=8)))
    client.ping()
    client.expect_disconnect(0xA0)
    assert 7 <= time.time() - began <= 25
    event = world.audit.wait_for(action="mqtt-disconnect", client_id=client_id)
    assert get(event, "reason") == "credential_expired"


def test_a_session_outlives_its_token_if_the_policy_says_so(make_world, jwks, signers):
    world = make_world(POLICY % "at_expiry: keep, ", configuration={"jwks": {"idp": jwks}})
    client = world.connected(**bearer(signers["ES256"].token("plc-7", lifetime=8)))
    end = time.time() + 9.5
    while time.time() < end:
        client.ping()
    refused = world.client()
    refused.connect(world.name(), code=0x87, **bearer(signers["ES256"].token("plc-7", lifetime=-1)))


def test_monitor_mode_reports_the_end_and_goes_on(make_world, jwks, signers):
    world = make_world(IN_PASSWORD.replace("policy: tokens", "policy: tokens\nmode: monitor"),
                       configuration={"jwks": {"idp": jwks}})
    client = world.connected("watched", **bearer(signers["ES256"].token("plc-7", lifetime=8)))
    event = world.audit.wait_for(reason="credential_expired", client_id="watched")
    assert get(event, "disposition") == "monitored"
    client.ping()


# ---- enhanced authentication ----

@pytest.mark.needs("v5.0")
def test_a_token_in_the_authentication_data(auth_world, signers):
    world, client = auth_world, auth_world.client(raw.V5)
    answer = client.connect("plc-7", **proof(signers["ES256"].token("plc-7")))
    assert answer.prop(raw.AUTHENTICATION_METHOD) == "JWT"  # [MQTT-4.12.0-5]
    assert answer.prop(raw.AUTHENTICATION_DATA) is None
    assert get(world.audit.wait_for(action="mqtt-connect-accepted", client_id="plc-7"), "user") == "plc-7"
    client.publish("dt/plc-7/t", qos=1)


def test_the_broker_sees_nothing_of_the_exchange(make_world, jwks, signers):
    world = make_world(IN_AUTH, broker="fake", configuration={"jwks": {"idp": jwks}})
    client = world.client(raw.V5)
    options = proof(signers["ES256"].token("plc-7"))
    client.send(raw.connect(raw.V5, "plc-7", username="eva", password="own", **options))
    peer = world.fake.accept()
    connect = peer.expect(raw.CONNECT)
    assert connect.prop(raw.AUTHENTICATION_METHOD) is None and connect.prop(raw.AUTHENTICATION_DATA) is None
    assert (connect.username, connect.password) == ("eva", b"own")
    peer.send(raw.connack(raw.V5))
    client.expect(raw.CONNACK, code=0)
    client.send(raw.auth(0x19, proof(signers["RS256"].token("plc-7"))["props"]))
    client.expect(raw.AUTH, code=0)
    client.send(raw.pingreq())
    peer.expect(raw.PINGREQ)
    # A broker that begins an exchange of its own breaks the protocol, [MQTT-4.12.0-6].
    peer.send(raw.auth(0x18, [(raw.AUTHENTICATION_METHOD, "JWT")]))
    client.expect_disconnect(0x83)


@pytest.mark.parametrize("token, code", ((None, 0x86), ("", 0x86), ("rubbish", 0x86)))
def test_a_method_without_a_token_is_refused(auth_world, token, code):
    client = auth_world.client(raw.V5)
    props = [(raw.AUTHENTICATION_METHOD, "JWT")]
    if token is not None:
        props.append((raw.AUTHENTICATION_DATA, token.encode()))
    client.connect(auth_world.name(), code=code, props=props)
    client.expect_closed()


def renew(client, token, method="JWT", code=0x19):
    client.send(raw.auth(code, proof(token, method)["props"]))


@pytest.mark.needs("v5.0")
def test_reauthentication_prolongs_the_session(auth_world, signers):
    world, signer, client = auth_world, signers["ES256"], auth_world.client(raw.V5)
    client_id = world.name()
    client.connect(client_id, **proof(signer.token("plc-7", lifetime=8)))
    renew(client, signer.token("plc-7", lifetime=600))
    answer = client.expect(raw.AUTH, code=0)
    assert answer.prop(raw.AUTHENTICATION_METHOD) == "JWT"
    world.audit.wait_for(action="mqtt-reauthenticated", client_id=client_id)
    end = time.time() + 9
    while time.time() < end:
        client.ping()


@pytest.mark.needs("v5.0")
def test_reauthentication_judges_the_client_anew(auth_world, signers):
    world, signer, client = auth_world, signers["ES256"], auth_world.client(raw.V5)
    client.connect(world.name(), **proof(signer.token("plc-7", **ROLES)))
    client.subscribe("cmd/a/#", "dt/plc-7/#")
    client.publish("cmd/a/x")
    assert client.message().topic == "cmd/a/x"
    renew(client, signer.token("plc-7"))
    client.expect(raw.AUTH, code=0)
    client.publish("cmd/a/x", qos=1, code=0x87)
    client.subscribe("cmd/a/#", codes=[0x87])
    with world.direct() as control:
        control.publish("cmd/a/y", qos=1)
        control.publish("dt/plc-7/y", qos=1)
    assert client.message().topic == "dt/plc-7/y"


@pytest.mark.parametrize("make, code, reason", (
    (lambda signer: signer.token("plc-8"), 0x87, "identity_changed"),
    (lambda signer: signer.token("plc-7", lifetime=-1), 0x87, "token_expired"),
    (lambda signer: Signer("ES256", kid="ES256").token("plc-7"), 0x87, "token_signature"),
    (lambda signer: "", 0x87, "token_malformed"),
), ids=("other-identity", "expired", "forged", "empty"))
@pytest.mark.needs("v5.0")
def test_failed_reauthentication_ends_the_session(auth_world, signers, make, code, reason):
    world, client = auth_world, auth_world.client(raw.V5)
    client_id = world.name()
    client.connect(client_id, **proof(signers["ES256"].token("plc-7")))
    renew(client, make(signers["ES256"]))
    client.expect_disconnect(code)
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id=client_id), "reason") == reason


@pytest.mark.needs("v5.0")
def test_the_rules_of_the_exchange(auth_world, signers):
    """[MQTT-4.12.0-3], [MQTT-4.12.0-5], [MQTT-4.12.1-1]: no method but CONNECT's, no code but re-authenticate."""
    token = signers["ES256"].token("plc-7")
    for method, code, expected in (("SCRAM-SHA-1", 0x19, 0x8C), ("JWT", 0x18, 0x82)):
        client = auth_world.client(raw.V5)
        client.connect(auth_world.name(), **proof(token))
        renew(client, token, method, code)
        client.expect_disconnect(expected)
    client = auth_world.client(raw.V5)
    client.connect(auth_world.name())
    renew(client, token)
    client.expect_disconnect(0x82)


# ---- reloads ----

def test_a_session_that_may_outlast_its_token_outlasts_reloads_too(make_world, jwks, signers):
    """Only keys and claims count: the token held when it was presented. Without at_expiry: keep, it is over."""
    world = make_world(POLICY % "at_expiry: keep, ", configuration={"jwks": {"idp": jwks}})
    client = world.connected("kept", **bearer(signers["ES256"].token("plc-7", lifetime=8)))
    time.sleep(9.2)  # the end of a fraction of a second is the next whole one
    reload(world)
    client.publish("dt/plc-7/x", qos=world.qos(1))
    reload(world, IN_PASSWORD)
    client.expect_disconnect(0x87)
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id="kept"), "reason") == "token_expired"


def test_the_broker_vouches_for_nobody_whose_token_it_never_saw(make_world, jwks, signers):
    """CONNECT went on without the password, so the broker's yes said nothing of the user name."""
    world = make_world(IN_PASSWORD, configuration={"jwks": {"idp": jwks}})
    client = world.connected("self-made", username="admin", password=signers["ES256"].token("admin"))
    reload(world, """\
version: 1
policy: asked
identity:
  - broker: {id: username}
rules:
  - rule: own
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/<id>/#]
""")
    client.expect_disconnect(0x87)
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id="self-made"), "reason") == "credential_changed"


@VERSIONS
def test_the_will_of_a_client_whose_token_ends_is_published(world, signers, version):
    """As for any connection that is lost: whoever watches for it learns that the client is gone."""
    observer = world.observer("dt/plc-7/will")
    will = raw.Will("dt/plc-7/will", b"gone")
    client = world.connected(world.name(), version, will=will, **bearer(signers["ES256"].token("plc-7", lifetime=8)))
    client.expect_disconnect(0xA0)
    assert observer.message().payload == b"gone"


# ---- the key set ----

def test_a_reload_takes_another_key_set(make_world, tmp_path, signers):
    """A key that is withdrawn ends the sessions that rest on it; a new one is known from then on."""
    path = tmp_path / "jwks.json"
    write_jwks(path, signers["ES256"], signers["RS256"])
    world = make_world(IN_PASSWORD, configuration={"jwks": {"idp": str(path)}})
    kept = world.connected("kept", **bearer(signers["RS256"].token("plc-7")))
    gone = world.connected("gone", **bearer(signers["ES256"].token("plc-8")))
    write_jwks(path, signers["RS256"], signers["EdDSA"])
    reload(world)
    gone.expect_disconnect(0x87)
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id="gone"), "reason") == "token_key_unknown"
    kept.ping()
    world.connected("new", **bearer(signers["EdDSA"].token("plc-9")))
    refused = world.client()
    refused.connect("old", code=refusal(world.version, 0x86, 4), **bearer(signers["ES256"].token("plc-8")))


@pytest.mark.parametrize("text, mode, message", (
    ("{", 0o600, "not JSON"), ('{"keys": []}', 0o600, "no key in it is for verifying tokens"),
    (None, 0o644, "every user of this machine"),
), ids=("json", "empty", "mode"))
def test_a_bad_key_set_is_an_error_of_the_configuration(make_world, tmp_path, signers, text, mode, message):
    path = tmp_path / "jwks.json"
    write_jwks(path, signers["HS256"], mode=mode)
    if text is not None:
        path.write_text(text)
    world = make_world(IN_PASSWORD, redis=False, broker=False, start=False, configuration={"jwks": {"idp": str(path)}})
    result = run_cli("check", "-c", world.proxy.path, folder=world.proxy.folder)
    assert result.returncode == 1
    assert message in result.stderr + result.stdout
    assert signers["HS256"].jwk()["k"] not in result.stderr + result.stdout
