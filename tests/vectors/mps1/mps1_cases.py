# SPDX-License-Identifier: Apache-2.0
"""The cases of the table, in the order of the verification."""
from mps1_keys import LONG_KID, MINUTE
from mps1_reference import EGRESS, PROPS, RECEIVER, RETAIN, SEQ, WILL, derive, property_text, sequence

NEITHER, ENVELOPE, PROPERTY = (None,), ("envelope",), ("property",)
ALL_PROPERTIES = {"content_type": "application/json", "response_topic": "rsp/a/plc-7", "correlation_data": b"\x00\xff"}


def add_all(table):
    specification(table)
    accepted(table)
    no_carrier(table)
    malformed_header(table)
    malformed_property(table)
    other_versions(table)
    keys(table)
    identity_and_flags(table)
    properties(table)
    forgeries(table)
    ages(table)
    precedence(table)
    replayed_nonces(table)
    replayed_counters(table)


def set_byte(offset, value):
    return lambda header: header[:offset] + bytes([value]) + header[offset + 1:]


def specification(table):
    """The three vectors of the specification."""
    add = table.add
    add("specification-1", "HMAC-SHA-256, a derived key", message=table.message(nonce=bytes(range(0xA0, 0xB0))))
    add("specification-2", "HMAC-SHA-384, generation 2 of a derived key, an empty payload with RETAIN",
        keyring="plant-384",
        message=table.message("plant-384", alg=6, kid="m25a.2", sub="gw-1", topic="st/a/gw-1", payload=b"",
                              flags=RETAIN, nonce=bytes(range(0xB0, 0xC0))))
    add("specification-3", "a static key, the three properties, a binary payload", message=table.message(
        kid="ops-1", sub="op:eva", topic="cmd/a/plc-7/set", payload=b"\x00\x01\xff", flags=PROPS,
        nonce=bytes(range(0xC0, 0xD0)), content_type="application/octet-stream", response_topic="rsp/a/op:eva",
        correlation_data=b"\x2a"))


def accepted(table):
    add = table.add
    for kid, alg in (("m25a", 5), ("m25b", 6), ("m25c", 7)):
        add(f"derived-{alg}", "a key derived from a master", message={"kid": kid, "alg": alg})
    for kid, alg, sub in (("ops-1", 5, "op:eva"), ("ops-2", 6, "op:adam"), ("ops-3", 7, "op:lilith")):
        add(f"static-{alg}", "a static key", message={"kid": kid, "alg": alg, "sub": sub})
    add("generation-2", "the second generation of a device's key", message={"kid": "m25a.2"})
    add("generation-least", "the least generation that is left to the signer",
        message={"kid": "m25a.2", "sub": "plc-3"})
    add("generation-above", "a generation above the signer's least", message={"kid": "m25a.3", "sub": "plc-3"})
    add("generation-10", "a generation of two digits", message={"kid": "m25a.10"})
    add("longest-names", "a kid of 32 characters and a sub of 64, of every kind of character", message={
        "kid": LONG_KID + ".7", "sub": "AZaz09.:_@-" + "x" * 53})
    add("shortest-names", "a sub and a topic of one character", message={"sub": "p", "topic": "t"})
    add("retain", "a retained message", message={"flags": RETAIN})
    add("retain-clear", "clears a retained message: the payload is empty, and so is what goes on", message={
        "flags": RETAIN, "payload": b""})
    add("will", "a will, as CONNECT brings it", message={"flags": WILL})
    add("will-retain", "a will that is retained", message={"flags": WILL | RETAIN})
    add("empty", "an empty payload without RETAIN", message={"payload": b""})
    add("binary", "a payload of every byte", message={"payload": bytes(range(256))})
    add("long", "a topic and a payload whose lengths take two bytes", message={
        "topic": "dt/a/plc-7/" + "t" * 300, "payload": b"x" * 300})
    add("unicode", "a topic and a payload in UTF-8; nothing is normalised", message={
        "topic": "dt/a/caf\u00e9/\u00b0C \U0001f321", "payload": "21,5 \u00b0C".encode()})
    add("properties", "the three properties, signed", message={"flags": PROPS, **ALL_PROPERTIES})
    for key, value in ALL_PROPERTIES.items():
        add(f"properties-only-{key}", "PROPS with one of the properties; the others count as empty",
                  message={"flags": PROPS, key: value})
    add("properties-none", "PROPS without any of the properties", message={"flags": PROPS})
    add("other-properties", "other User Properties are not covered and may stand beside the signature",
        carriers=PROPERTY, packet=lambda fields: {"user_properties": [
            ["site", "a"], *fields["user_properties"], ["MPS1", "another name"], ["site", "a"]]})
    add("sequence", "epoch and counter in place of a random nonce", check="sequence", message={
        "flags": SEQ, "nonce": sequence(7, 1)})
    add("sequence-no-clock", "a device without a clock: SEQ with t = 0", check="sequence", message={
        "flags": SEQ, "nonce": sequence(7, 2), "t": 0})
    add("sequence-last", "the last epoch and the last counter", check="sequence", message={
        "flags": SEQ, "nonce": sequence(2**64 - 1, 2**48 - 1)})
    add("every-flag", "RETAIN, WILL, SEQ and PROPS", check="sequence", message={
        "flags": RETAIN | WILL | SEQ | PROPS, "nonce": sequence(7, 3), **ALL_PROPERTIES})
    add("relay", "a gateway sends what a device behind it has signed", principal="gw-1", relay=("plc-6", "plc-7"))
    add("future-within-skew", "the device's clock is 60 s ahead", message={"t": table.now + MINUTE})
    add("oldest", "the signature is exactly as old as it may be", message={"t": table.now - 5 * MINUTE})
    add("unsigned", "no signature, and the check only looks at those that are there", carriers=NEITHER, signed=False,
        check="when-present")


def no_carrier(table):
    add = table.add
    add("missing", "no signature", "sig_missing", carriers=NEITHER, signed=False)
    add("missing-magic-cut", "the magic's first three bytes are a payload like any other", "sig_missing",
        carriers=NEITHER, signed=False, message={"payload": b"\xffMP"})
    add("missing-magic-later", "a header that is not the payload's beginning is no signature", "sig_missing",
        carriers=ENVELOPE, packet=lambda fields: {"payload": b" " + fields["payload"]})
    add("missing-other-name", "the User Property's name is mps1 in lower case", "sig_missing", carriers=PROPERTY,
        packet=lambda fields: {"user_properties": [["MPS1", fields["user_properties"][0][1]]]})
    add("two-carriers", "the same signature in both carriers", "sig_two_carriers", carriers=ENVELOPE,
        packet=lambda fields: {"user_properties": [["mps1", property_text(fields["payload"][:77])]]})
    add("two-carriers-payload", "a sound property; the payload begins as an envelope does", "sig_two_carriers",
        carriers=PROPERTY, message={"payload": b"\xffMPS is what it begins with"})
    add("two-properties", "the property twice, with the same text", "sig_two_carriers", carriers=PROPERTY,
        packet=lambda fields: {"user_properties": fields["user_properties"] * 2})
    add("two-properties-empty", "the property twice, the second one empty", "sig_two_carriers", carriers=PROPERTY,
        packet=lambda fields: {"user_properties": fields["user_properties"] + [["mps1", ""]]})


def malformed_header(table):
    def bad(name, what, **arguments):
        table.add(f"malformed-{name}", what, "sig_malformed", signed=False, **arguments)

    bad("magic-only", "four bytes and nothing more", header=lambda header: header[:4])
    bad("fixed-part-cut", "the fixed part lacks its last byte", header=lambda header: header[:32],
        message={"payload": b""})
    bad("tag-cut", "the tag lacks its last byte", header=lambda header: header[:-1], message={"payload": b""})
    bad("length-0", "a header length of 0", message={"header_length": 0})
    bad("length-short", "a header length that leaves the tag's last byte out", message={"header_length": 76})
    bad("length-long", "a header length that takes the payload's first byte in", message={"header_length": 78})
    bad("length-beyond", "a header length beyond the end", message={"header_length": 0xFFFF})
    bad("length-little-endian", "a header length with its bytes swapped", message={"header_length": 77 << 8})
    for bit in (0x20, 0x40, 0x80):
        bad(f"flag-{bit:02x}", "a flag that is not defined", message={"flags": bit})
    bad("counter", "a counter of 2^48", check="sequence", message={"flags": SEQ, "nonce": sequence(7, 2**48)})
    bad("kid-empty", "an empty kid", message={"kid": ""})
    bad("kid-33", "a kid of 33 characters", message={"kid": "k" * 33})
    bad("sub-empty", "an empty sub", message={"sub": ""})
    bad("sub-65", "a sub of 65 characters", message={"sub": "s" * 65})
    for name, character in (("colon", ":"), ("nul", "\0"), ("slash", "/"), ("blank", " "), ("accent", "\u00e9")):
        bad(f"kid-{name}", "a character that a kid can't have", message={"kid": f"m25a{character}"})
    for name, character in (("nul", "\0"), ("slash", "/"), ("plus", "+"), ("blank", " "), ("accent", "\u00e9")):
        bad(f"sub-{name}", "a character that a sub can't have", message={"sub": f"plc{character}7"}, principal="plc-7")
    for length in (0, 16, 31, 33, 48, 255):
        bad(f"tag-{length}", "a tag's length that is not the algorithm's", message={"tag_length": length})
    bad("tag-truncated", "a tag of 16 bytes, with lengths to match", header=lambda header: header[:-16],
        message={"tag_length": 16, "header_length": 61})


def malformed_property(table):
    add = table.add
    def bad(name, what, text, **fields):
        add(f"malformed-property-{name}", what, "sig_malformed", carriers=PROPERTY, signed=False, text=text,
                  message=fields)

    # A nonce of ones: its text has '_' where plain base64 has '/'.
    bad("empty", "an empty property", lambda text: "")
    bad("padding", "base64url with its padding", lambda text: text + "=")
    bad("plain-base64", "base64 with the alphabet of RFC 4648 section 4",
        lambda text: text.replace("-", "+").replace("_", "/"), nonce=b"\xff" * 16)
    bad("bits", "left-over bits that are not 0: another text of the same bytes",
        lambda text: text[:-1] + _next(text[-1]))
    bad("newline", "a line feed behind it", lambda text: text + "\n")
    bad("blank", "a blank in front of it", lambda text: " " + text)
    bad("cut", "a character is missing", lambda text: text[:-1])
    bad("hex", "the header in hexadecimal", lambda text: "ff4d5053")
    add("malformed-property-envelope", "a byte behind the header", "sig_malformed", carriers=PROPERTY, signed=False,
        header=lambda header: header + b"x")


def _next(character):
    """The next character of the alphabet: another left-over bit."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(character) + 1]


def other_versions(table):
    add = table.add
    for version in (0, 2, 255):
        add(f"version-{version}", "a version that does not exist yet", "sig_version", signed=False,
                  message={"version": version})
    for alg in (0, 4, 8, 255):
        add(f"algorithm-{alg}", "a number that is none of the three algorithms", "sig_alg", signed=False,
                  message={"alg": alg})
    add("algorithm-not-the-keys", "a sound MAC, but with another algorithm than the key is for", "sig_alg",
        message={"alg": 6})
    add("algorithm-not-the-static-keys", "the same with a static key", "sig_alg",
        message={"kid": "ops-2", "sub": "op:adam", "alg": 5})


def keys(table):
    add = table.add
    add("key-unknown", "a kid that is not in the keyring", "sig_key_unknown", message={"kid": "m99z"})
    add("key-unnamed", "a kid that the check does not name", "sig_key_unknown", message={"kid": "unnamed"})
    add("key-unknown-generation", "a generation of a key that is not there", "sig_key_unknown",
        message={"kid": "m99z.2"})
    add("key-case", "a kid in capitals is another kid", "sig_key_unknown", message={"kid": "M25A"})
    add("key-no-number", "what is behind the last dot is no number", "sig_key_unknown", message={"kid": "m25a.x"})
    add("key-static-generation", "a static key has no generations", "sig_key_unknown",
        message={"kid": "ops-1.2", "sub": "op:eva"})
    add("key-expired", "the key's not_after has passed", "sig_key_inactive", message={"kid": "m24a"})
    add("key-not-yet", "the key's not_before is to come", "sig_key_inactive", message={"kid": "m26a"})
    add("key-revoked", "this signer's key is revoked", "sig_key_revoked", message={"sub": "plc-9"})
    add("key-revoked-generation", "all of the signer's generations are revoked", "sig_key_revoked",
        message={"kid": "m25a.2", "sub": "plc-9"})
    add("key-old-generation", "a generation below the signer's least", "sig_key_revoked", message={"sub": "plc-3"})


def identity_and_flags(table):
    add = table.add
    add("identity", "a sound signature of somebody else", "sig_identity", principal="plc-8")
    add("identity-relay", "a gateway that does not relay this device", "sig_identity", principal="gw-1",
        relay=("plc-6", "plc-70"))
    add("identity-static", "the key is another signer's", "sig_identity", message={"kid": "ops-1", "sub": "op:mallory"})
    add("identity-case", "a principal in capitals is another one", "sig_identity", principal="PLC-7")
    add("flags-retain-missing", "the packet is retained, the signature says it is not", "sig_flags",
        packet={"retain": True})
    add("flags-retain", "the signature says RETAIN, the packet is not retained", "sig_flags",
        message={"flags": RETAIN}, packet={"retain": False})
    add("flags-will-missing", "a will without WILL", "sig_flags", packet={"will": True})
    add("flags-will", "a publish with a will's signature", "sig_flags", message={"flags": WILL}, packet={"will": False})
    add("flags-egress", "EGRESS is the proxy's own", "sig_flags", message={"flags": EGRESS})


def properties(table):
    add = table.add
    for name, value in (("content_type", "text/plain"), ("response_topic", "rsp/x"), ("correlation_data", b"\x01")):
        add(f"unsigned-{name}", "a property that the signature does not cover", "sig_props_unsigned",
                  packet={name: value})


def forgeries(table):
    def forged(name, what, **arguments):
        table.add(f"forged-{name}", what, "sig_invalid", signed=arguments.pop("signed", False), **arguments)

    right = table.message(nonce=bytes(16))
    forged("secret", "the MAC is of another secret", message={"key": bytes(32)})
    forged("master", "the MAC is of the master itself", message={"key": bytes(range(32))})
    forged("receiver-key", "the MAC is of a key derived for receivers",
           message={"key": derive(bytes(range(32)), 5, "m25a", "plc-7", RECEIVER)})
    forged("generation", "the MAC is of another generation's key", message={
        "kid": "m25a.2", "key": derive(bytes(range(32)), 5, "m25a", "plc-7")})
    forged("tag-first-byte", "the tag's first bit", header=lambda header: _flip(header, -32))
    forged("tag-last-byte", "the tag's last byte", header=lambda header: _flip(header, -1))
    forged("tag-zero", "a tag of zeros", header=lambda header: header[:-32] + bytes(32))
    forged("time", "the time was changed", header=lambda header: _flip(header, 16))
    forged("nonce", "the nonce was changed", header=lambda header: _flip(header, 17))
    forged("sub", "the signer was changed", header=lambda header: header.replace(b"plc-7", b"plc-8"), principal="plc-8")
    forged("retain", "the flag RETAIN was set", header=set_byte(8, RETAIN), packet={"retain": True})
    forged("topic", "another topic", packet={"topic": "dt/a/plc-7/tomp"})
    forged("topic-normalised", "a topic whose accent was written as a letter of its own",
           packet={"topic": "dt/cafe\u0301"},
           message={"topic": "dt/caf\u00e9"})
    forged("payload", "another payload", carriers=PROPERTY, packet={"payload": b'{"c":21.6}'})
    forged("payload-cut", "the payload lacks its last byte", packet=lambda fields: {"payload": fields["payload"][:-1]})
    forged("payload-longer", "a byte behind the payload", packet=lambda fields: {"payload": fields["payload"] + b" "})
    forged("topic-to-payload", "the topic's last byte is the payload's first", carriers=PROPERTY,
           packet={"topic": right.topic[:-1], "payload": right.topic[-1:].encode() + right.payload})
    signed = {"flags": PROPS, "content_type": "ab", "response_topic": "cd", "correlation_data": b"ef"}
    forged("properties-swapped", "the response topic in place of the content type", message=signed,
           packet={"content_type": "cd", "response_topic": "ab"})
    forged("properties-moved", "a byte moved from one property to the next", message=signed,
           packet={"content_type": "a", "response_topic": "bcd"})
    forged("properties-removed", "the content type was taken away", message=signed, packet={"content_type": None})
    forged("properties-cleared", "PROPS was cleared and the properties taken away", message=signed,
           header=set_byte(8, 0),
           packet={"content_type": None, "response_topic": None, "correlation_data": None})
    forged("moved", "the header of one message in front of another's payload", carriers=ENVELOPE,
           packet={"payload": right.header() + b'{"c":99.9}'})


def _flip(data, offset):
    offset %= len(data)
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1:]


def ages(table):
    add = table.add
    add("mode-sequence", "a counter where the check wants nonces", "sig_replay_mode",
        message={"flags": SEQ, "nonce": sequence(7, 1)})
    add("mode-nonce", "a nonce where the check wants counters", "sig_replay_mode", check="sequence")
    add("future", "a millisecond more than 60 s ahead", "sig_future", message={"t": table.now + MINUTE + 1})
    add("future-largest", "the largest time there is", "sig_future", message={"t": 2**64 - 1}, signed=False)
    add("expired", "a millisecond older than it may be", "sig_expired", message={"t": table.now - 5 * MINUTE - 1})
    add("expired-zero", "t = 0 without SEQ is 1970", "sig_expired", message={"t": 0})
    add("expired-sequence", "SEQ with a time is as old as it says", "sig_expired", check="sequence",
        message={"flags": SEQ, "nonce": sequence(7, 1), "t": 1})


def precedence(table):
    """Of two faults the one that is looked for first is the reason."""
    def first(name, what, reason, **arguments):
        table.add(f"first-{name}", what, reason, carriers=ENVELOPE, signed=False, **arguments)

    first("version-algorithm", "an unknown version comes before all that it may have changed", "sig_version",
          message={"version": 2, "alg": 9, "flags": 0xFF, "kid": "/", "header_length": 0})
    first("malformed-key", "a malformed header with an unknown key", "sig_malformed",
          message={"kid": "m99z", "flags": 0x80})
    first("key-identity", "an unknown key of another signer", "sig_key_unknown", message={"kid": "m99z"},
          principal="plc-8")
    first("identity-flags", "another signer and other flags", "sig_identity", principal="plc-8",
          packet={"retain": True})
    first("flags-properties", "other flags and unsigned properties", "sig_flags",
          packet={"retain": True, "content_type": "x"})
    first("properties-tag", "unsigned properties and a wrong tag", "sig_props_unsigned", packet={"content_type": "x"},
          header=lambda header: header[:-32] + bytes(32))
    first("tag-mode", "a wrong tag and a counter where nonces are wanted", "sig_invalid",
          message={"flags": SEQ, "key": bytes(32), "nonce": sequence(7, 1)})
    first("tag-expired", "a wrong tag on a message of 1970", "sig_invalid", message={"t": 0, "key": bytes(32)})
    first("mode-expired", "a counter where nonces are wanted, on a message of 1970", "sig_replay_mode",
          message={"flags": SEQ, "nonce": sequence(7, 1), "t": 1})


def replayed_nonces(table):
    one = table.message(nonce=bytes(range(0x10, 0x20)))
    other = table.message(nonce=one.nonce, payload=b'{"c":22.0}')
    again = {"dup": True}
    table.sequence("replay", "the same message twice", [(one, "ok", {}), (one, "sig_replay", {})])
    table.sequence("replay-pending", "the same, before the broker has acknowledged the first",
                   [(one, "ok", {"acknowledged": False}), (one, "sig_replay", {})])
    table.sequence("replay-other-carrier", "the same header in the other carrier",
                   [(one, "ok", {}), (one, "sig_replay", {"carrier": "property"})])
    table.sequence("replay-qos-0", "at QoS 0 there is no retransmission",
                   [(one, "ok", {"qos": 0}), (one, "sig_replay", {"qos": 0})])
    table.sequence("replay-as-qos-0", "a message of QoS 1 again at QoS 0",
                   [(one, "ok", {}), (one, "sig_replay", {"qos": 0})])
    table.sequence("replay-late", "as long as its age does not refuse it, a message is remembered",
                   [(one, "ok", {}), (one, "sig_replay", {"now": table.now + 5 * MINUTE}),
                    (one, "sig_expired", {"now": table.now + 5 * MINUTE + 1})])
    table.sequence("retransmission", "DUP = 1 while the broker has not acknowledged: it goes on",
                   [(one, "ok", {"acknowledged": False}), (one, "ok", again)])
    table.sequence("retransmission-done", "DUP = 1 after the broker has acknowledged: acknowledged, not sent on",
                   [(one, "ok", {}), (one, "sig_dup_suppressed", again), (one, "sig_dup_suppressed", again)])
    table.sequence("retransmission-first", "DUP = 1 on a message that has never arrived", [(one, "ok", again)])
    table.sequence("nonce-reuse", "two messages with one nonce", [(one, "ok", {}), (other, "sig_nonce_reuse", {})])
    table.sequence("nonce-reuse-dup", "DUP = 1 does not help", [(one, "ok", {}), (other, "sig_nonce_reuse", again)])
    resigned = table.message(nonce=one.nonce, t=table.now + 1)
    table.sequence("nonce-reuse-resigned", "a retransmission that was signed again with the same nonce",
                   [(one, "ok", {"acknowledged": False}), (resigned, "sig_nonce_reuse", again)])
    table.sequence("nonce-forged-first", "a forgery does not use a nonce up",
                   [(one, "sig_invalid", {"header": lambda header: header[:-32] + bytes(32)}), (one, "ok", {})])
    expired = table.message(nonce=one.nonce, t=table.now - 6 * MINUTE)
    table.sequence("nonce-expired-first", "a message that is too old does not use a nonce up",
                   [(expired, "sig_expired", {}), (one, "ok", {})])
    generation = table.message(nonce=one.nonce, kid="m25a.2")
    table.sequence("nonce-of-two-keys", "a nonce is one key's: another generation may have the same",
                   [(one, "ok", {}), (generation, "ok", {})])
    neighbour = table.message(nonce=one.nonce, sub="plc-6")
    table.sequence("nonce-of-two-signers", "a nonce is one signer's: another may have the same",
                   [(one, "ok", {}), (neighbour, "ok", {})], principal="gw-1", relay=("plc-6", "plc-7"))


def replayed_counters(table):
    def message(counter, epoch=7, **fields):
        return table.message(flags=SEQ, nonce=sequence(epoch, counter), t=0, **fields)

    def steps(*rows):
        return [(message(counter), expect, {}) for counter, expect in rows]

    def add(name, what, rows):
        table.sequence(name, what, rows, check="sequence")

    add("counter-replay", "the same counter twice", steps((1, "ok"), (1, "sig_replay")))
    add("counter-zero", "counters may begin with 0", steps((0, "ok"), (0, "sig_replay"), (1, "ok")))
    add("counter-order", "within the window the order does not matter, each counter counts once",
        steps((1, "ok"), (4, "ok"), (3, "ok"), (2, "ok"), (3, "sig_replay"), (1, "sig_replay"), (4, "sig_replay")))
    add("counter-window", "the window is the highest counter and the 63 below it",
        steps((100, "ok"), (37, "ok"), (36, "sig_replay"), (101, "ok"), (37, "sig_replay"), (38, "ok")))
    add("counter-jump", "a jump over the whole window forgets nothing", steps(
        (1, "ok"), (1000, "ok"), (1, "sig_replay"), (936, "sig_replay"), (937, "ok"), (1000, "sig_replay")))
    add("counter-largest", "the largest counter is followed by nothing but a new epoch", steps(
        (2**48 - 1, "ok"), (2**48 - 64, "ok"), (2**48 - 1, "sig_replay")))
    add("epoch-new", "a higher epoch begins with counters of its own",
        [(message(9), "ok", {}), (message(9, 8), "ok", {}), (message(1, 8), "ok", {}),
          (message(9, 8), "sig_replay", {})])
    add("epoch-old", "what is of an earlier epoch is a replay",
        [(message(1, 8), "ok", {}), (message(2, 7), "sig_replay", {})])
    forged = {"header": lambda header: header[:-32] + bytes(32)}
    add("counter-forged", "a forgery does not move the window", [
        (message(1), "ok", {}), (message(9999), "sig_invalid", forged), (message(2), "ok", {})])
