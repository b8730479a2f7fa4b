# SPDX-License-Identifier: Apache-2.0
"""Who a client is: certificate, password file, broker, anonymous; and which client ids it may use."""
import pytest

import raw
from audit import get

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
RULES = """\
rules:
  - rule: own
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/<id>/#]
"""
HEAD = "version: 1\npolicy: who\nidentity:\n"


def refusal(version, v5, v3):
    return v5 if version == raw.V5 else v3


def accepted(world, client, client_id, **options):
    client.connect(client_id, **options)
    return world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id)


def refused(world, client, client_id, code, **options):
    client.connect(client_id, code=code, **options)
    client.expect_closed()
    return world.audit.wait_for(action="mqtt-connect-refused", client_id=client_id)


# ---- certificates ----

CERTIFICATE = HEAD + '  - cert: {ca: fleet, id: san.uri, strip: "urn:dev:", attrs: {site: ou}}\n' + RULES.replace(
    "dt/<id>/#", "dt/<site>/<id>/#")


@pytest.fixture(scope="module")
def certificate_world(make_shared_world):
    return make_shared_world(CERTIFICATE)


@VERSIONS
def test_the_uri_of_a_certificate_without_its_prefix_is_the_identity(certificate_world, version):
    world = certificate_world
    client = world.client(version, certificate=world.certs.plc7)
    event = accepted(world, client, world.name())
    assert get(event, "user") == "plc-7"
    observer = world.observer("dt/#")
    client.publish("dt/a/plc-7/t", b"1", qos=1)
    client.publish("dt/b/plc-7/t", b"2", qos=1, code=refusal(version, 0x87, 0))
    client.publish("dt/a/plc-8/t", b"3", qos=1, code=refusal(version, 0x87, 0))
    assert [message.topic for message in world.arrived(observer, client)] == ["dt/a/plc-7/t"]


@VERSIONS
@pytest.mark.parametrize("which, reason", (
    ("no_uri", "identity_bad_certificate"), ("other_uri", "identity_bad_certificate"), ("no_site", "identity_missing"),
    ("unsafe", "identity_unsafe"), ("wildcard", "identity_unsafe")))
def test_a_certificate_without_a_usable_identity_is_refused(certificate_world, version, which, reason):
    world = certificate_world
    client = world.client(version, certificate=getattr(world.certs, which))
    event = refused(world, client, world.name(), refusal(version, 0x87, 5))
    assert get(event, "reason") == reason
    if reason in ("identity_missing", "identity_unsafe"):
        assert get(event, "rule") == "own"
        assert get(event, "line") == world.line("rule: own")


@VERSIONS
def test_no_credential_is_refused(certificate_world, version):
    world = certificate_world
    event = refused(world, world.client(version), world.name(), refusal(version, 0x87, 5))
    assert get(event, "reason") == "identity_no_credential"


def test_a_common_name_can_be_the_identity(make_world):
    world = make_world(HEAD + "  - cert: {ca: fleet, id: cn}\n" + RULES)
    event = accepted(world, world.client(certificate=world.certs.plc8), world.name())
    assert get(event, "user") == "plc-8"


def test_a_wildcard_in_a_common_name_never_widens_a_rule(make_world):
    world = make_world(HEAD + "  - cert: {ca: fleet, id: cn}\n" + RULES)
    event = refused(world, world.client(certificate=world.certs.wildcard), world.name(), 0x87)
    assert get(event, "reason") == "identity_unsafe"


# ---- password files ----

PASSWORD = HEAD + "  - password: {file: users}\n" + RULES


@pytest.fixture(scope="module")
def password_world(make_shared_world):
    return make_shared_world(PASSWORD, passwords={"eva": "right horse", "adam": "apple"})


@VERSIONS
def test_the_right_password_gives_the_identity(password_world, version):
    world = password_world
    event = accepted(world, world.client(version), world.name(), username="eva", password="right horse")
    assert get(event, "user") == "eva"


@VERSIONS
@pytest.mark.parametrize("username, password, reason", (
    ("eva", "wrong", "password_wrong"), ("eva", "", "password_wrong"), ("eva", "apple", "password_wrong"),
    ("lilith", "right horse", "password_unknown_user"), ("EVA", "right horse", "password_unknown_user")))
def test_a_wrong_password_or_user_is_refused(password_world, version, username, password, reason):
    world = password_world
    event = refused(world, world.client(version), world.name(), refusal(version, 0x86, 4), username=username, password=password)
    assert get(event, "reason") == reason


@pytest.mark.parametrize("options", ({"username": "eva"}, {"username": "", "password": "right horse"}, {}),
                         ids=("no password", "empty name", "nothing"))
def test_half_a_credential_is_refused(password_world, options):
    world = password_world
    client = world.client(raw.V311)
    client.send(raw.connect(raw.V311, world.name(), **options))
    answer = client.expect(raw.CONNACK)
    assert answer.code in (4, 5)
    client.expect_closed()


def test_a_user_name_with_a_nul_is_not_the_user_before_it(password_world):
    client = password_world.client(raw.V5)
    client.send(raw.connect(raw.V5, password_world.name(), username=b"eva\0x", password="right horse"))
    packets = client.until_closed()
    assert all(packet.code >= 0x80 for packet in packets)


def test_secrets_are_in_no_log_and_no_audit_record(make_world):
    world = make_world(PASSWORD, passwords={"eva": "Xyzzy-secret-17"})
    accepted(world, world.client(), world.name(), username="eva", password="Xyzzy-secret-17")
    refused(world, world.client(), world.name(), 0x86, username="eva", password="Plugh-secret-18")
    text = world.proxy.output() + str(world.audit.events())
    assert "Xyzzy" not in text and "Plugh" not in text


# ---- the broker decides ----

BROKER = HEAD + "  - broker: {id: username}\n" + RULES


@pytest.fixture(scope="module")
def broker_world(make_shared_world):
    return make_shared_world(BROKER, broker={"passwords": {"eva": "secret", "a/b": "secret"}})


@VERSIONS
def test_the_broker_says_yes_and_the_identity_holds(broker_world, version):
    world = broker_world
    client = world.client(version)
    event = accepted(world, client, world.name(), username="eva", password="secret")
    assert get(event, "user") == "eva"
    client.publish("dt/eva/t", b"1", qos=1)
    client.publish("dt/adam/t", b"1", qos=1, code=refusal(version, 0x87, 0))


@VERSIONS
def test_the_broker_says_no_and_its_answer_goes_to_the_client(broker_world, version):
    world = broker_world
    client_id = world.name()
    client = world.client(version)
    client.send(raw.connect(version, client_id, username="eva", password="wrong"))
    answer = client.expect(raw.CONNACK)
    assert answer.code in ((0x86, 0x87) if version == raw.V5 else (4, 5))
    client.expect_closed()
    event = world.audit.wait_for(action="mqtt-connect-refused", client_id=client_id)
    assert get(event, "reason") == "broker_refused"


def test_what_is_pipelined_behind_a_connect_that_the_broker_refuses_is_not_done(broker_world):
    world = broker_world
    client = world.client()
    client.send(raw.connect(client.version, world.name(), username="eva", password="wrong")
                + raw.publish(client.version, "dt/eva/t", b"x", qos=1, packet_id=1))
    answer = client.expect(raw.CONNACK)
    assert answer.code in refusal(client.version, (0x86, 0x87), (4, 5))
    client.expect_closed()


def test_an_unsafe_user_name_is_refused_before_the_broker_is_asked(broker_world):
    world = broker_world
    client_id = world.name()
    event = refused(world, world.client(), client_id, 0x87, username="a/b", password="secret")
    assert get(event, "reason") == "identity_unsafe"
    with world.direct(username="eva", password="secret"):  # the broker has dealt with what came before
        assert not world.broker.knows(client_id)


# ---- several sources ----

SEVERAL = HEAD + """\
  - cert: {ca: fleet, id: san.uri, strip: "urn:dev:"}
  - password: {file: users}
  - anonymous: {id: guest}
""" + RULES


@pytest.fixture(scope="module")
def several_world(make_shared_world):
    return make_shared_world(SEVERAL, passwords={"eva": "secret"})


@pytest.mark.core
def test_the_first_credential_present_decides(several_world):
    world = several_world
    event = accepted(world, world.client(certificate=world.certs.plc7), world.name(), username="eva", password="secret")
    assert get(event, "user") == "plc-7"
    event = accepted(world, world.client(), world.name(), username="eva", password="secret")
    assert get(event, "user") == "eva"
    event = accepted(world, world.client(), world.name())
    assert get(event, "user") == "guest"


def test_a_bad_credential_does_not_fall_through_to_a_weaker_source(several_world):
    world = several_world
    event = refused(world, world.client(certificate=world.certs.other_uri), world.name(), 0x87, username="eva",
                    password="secret")
    assert get(event, "reason") == "identity_bad_certificate"
    event = refused(world, world.client(), world.name(), 0x86, username="eva", password="wrong")
    assert get(event, "reason") == "password_wrong"


# ---- client ids ----

BOUND = HEAD + """\
  - password: {file: users}
client_id: CLIENT_ID
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: ["#"]
"""


@VERSIONS
@pytest.mark.parametrize("pattern, good, bad", (
    ('"<id>"', ["eva"], ["adam", "EVA", "eva2", "ev", "eva/x"]),
    ('"<id>-*"', ["eva-1", "eva-", "eva-a-b"], ["eva", "adam-1", "xeva-1"])), ids=("exact", "prefix"))
def test_a_client_id_belongs_to_the_identity(make_world, version, pattern, good, bad):
    world = make_world(BOUND.replace("CLIENT_ID", pattern), passwords={"eva": "secret"})
    for client_id in good:
        accepted(world, world.client(version), client_id, username="eva", password="secret")
    for client_id in bad:
        event = refused(world, world.client(version), client_id, refusal(version, 0x85, 2), username="eva", password="secret")
        assert get(event, "reason") == "client_id_not_allowed"
        detail = f"the client identifier does not fit {pattern}"
        assert get(event, "mqward.detail") == detail
        assert event["message"] == f"CONNECT refused: eva from 127.0.0.1: {detail}", "not by the client identifier"


def test_a_stolen_client_id_does_not_end_its_owners_session(make_world):
    world = make_world(BOUND.replace("CLIENT_ID", '"<id>"'), passwords={"eva": "secret", "adam": "apple"})
    owner = world.client()
    owner.connect("eva", username="eva", password="secret")
    refused(world, world.client(), "eva", 0x85, username="adam", password="apple")
    owner.ping()


CLIENT_ID_TOPICS = HEAD + """\
  - anonymous: {id: guest}
rules:
  - rule: own-client
    who: everyone
    allow: [publish, subscribe]
    topics: [c/<client_id>/#]
"""


@pytest.fixture(scope="module")
def client_id_world(make_shared_world):
    return make_shared_world(CLIENT_ID_TOPICS)


@VERSIONS
@pytest.mark.parametrize("client_id", ("a/b", "+", "#", "x+", "$SYS", "a\tb", "a\nb"), ids=repr)
def test_an_unsafe_client_id_is_refused_where_a_rule_needs_it(client_id_world, version, client_id):
    fields = {"action": "mqtt-connect-refused", "client_id": client_id}
    known = len(client_id_world.audit.all(**fields))
    client = client_id_world.client(version)
    client.connect(client_id, code=refusal(version, 0x87, 5))
    client.expect_closed()
    event = client_id_world.audit.wait_for_count(known + 1, **fields)[known]
    assert (get(event, "reason"), get(event, "rule")) == ("identity_unsafe", "own-client")
    assert get(event, "line") == client_id_world.line("rule: own-client")


@pytest.mark.needs("v5.0")
def test_an_assigned_client_id_is_known_to_the_rules(client_id_world):
    world = client_id_world
    client = world.client(raw.V5)
    assigned = client.connect("").prop(raw.ASSIGNED_CLIENT_IDENTIFIER)
    client.publish(f"c/{assigned}/x", b"1", qos=1)
    client.publish("c/other/x", b"1", qos=1, code=0x87)


# ---- groups and sessions ----

GROUPS = HEAD + """\
  - password: {file: users}
groups:
  historians: {source: password, ids: [hist-*]}
  local: {source: password, ids: [eva], net: [127.0.0.0/8]}
  remote: {source: password, ids: [eva], net: [10.0.0.0/8]}
rules:
  - rule: history
    who: historians
    allow: publish
    topics: [history/#]
  - rule: near
    who: local
    allow: publish
    topics: [near/#]
  - rule: far
    who: remote
    allow: publish
    topics: [far/#]
limits: {sessions_per_id: 2}
"""


@pytest.fixture(scope="module")
def group_world(make_shared_world):
    return make_shared_world(GROUPS, passwords={"eva": "secret", "hist-1": "secret"})


def test_groups_are_by_id_pattern_and_network(group_world):
    world = group_world
    eva = world.connected(username="eva", password="secret")
    historian = world.connected(username="hist-1", password="secret")
    eva.publish("near/x", qos=1)
    eva.publish("far/x", qos=1, code=0x87)
    eva.publish("history/x", qos=1, code=0x87)
    historian.publish("history/x", qos=1)
    historian.publish("near/x", qos=1, code=0x87)
    event = world.audit.wait_for(action="mqtt-publish-denied", topic="far/x")
    assert get(event, "user.roles") == ["local"]


def test_an_identity_has_as_many_sessions_as_it_may_have(make_world):
    world = make_world(GROUPS, passwords={"eva": "secret"})
    sessions = [world.connected(username="eva", password="secret") for _ in range(2)]
    event = refused(world, world.client(), "third", 0x97, username="eva", password="secret")
    assert get(event, "reason") == "sessions_exceeded"
    refused(world, world.client(raw.V311), "fourth", 3, username="eva", password="secret")
    sessions[0].disconnect()
    world.audit.wait_for(action="mqtt-disconnect")
    world.connected(username="eva", password="secret").ping()


def test_monitor_mode_lets_in_whom_it_would_refuse_and_says_so(make_world):
    world = make_world(PASSWORD.replace("policy: who", "policy: who\nmode: monitor"), passwords={"eva": "secret"})
    client_id = world.name()
    client = world.connected(client_id, username="eva", password="wrong")
    client.publish("anything", qos=1)
    event = world.audit.wait_for(client_id=client_id, disposition="monitored")
    assert get(event, "reason") == "password_wrong"


def test_the_records_of_a_connection_say_how_it_began_and_ended(password_world):
    world = password_world
    client_id = world.name()
    client = world.client(tls=True)
    client.connect(client_id, username="eva", password="right horse", keep_alive=77, clean=True)
    client.publish("dt/eva/x", b"x" * 100, qos=1)
    client.disconnect()
    begin = world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id)
    end = world.audit.wait_for(action="mqtt-disconnect", client_id=client_id)
    assert (get(begin, "mqtt.keep_alive"), get(begin, "mqtt.clean_start")) == (77, True)
    assert get(begin, "event.category") == ["network", "authentication", "session"]
    assert get(begin, "event.type") == ["connection", "start", "allowed"]
    assert get(end, "reason") == "client_disconnected"
    assert get(end, "mqtt.session_id") == get(begin, "mqtt.session_id")
    assert get(end, "client.bytes") > 100 and get(end, "client.packets") == 3
    assert get(end, "event.duration") > 0
