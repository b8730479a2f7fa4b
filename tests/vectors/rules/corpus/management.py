# SPDX-License-Identifier: Apache-2.0
"""Configuration and management of devices."""

import base64
import hashlib
import json

from corpus.base import NOW, ascii_json, compact, hexadecimal, kind, noise, number, stamp
from corpus.home import zigbee2mqtt


@kind("firmware-manifest", 6)
def firmware(i):
    image = noise(64)
    return json.dumps(
        {
            "manifest-version": 1,
            "sequence": i,
            "components": [
                {
                    "id": "app",
                    "url": "https://fw.example.net/%d/app.bin?sig=%s" % (i, base64.urlsafe_b64encode(image).decode()),
                    "sha256": hashlib.sha256(image).hexdigest(),
                    "size": 1482112 + i,
                    "install": "swap",
                    "type": "ELF",
                }
            ],
            "signature": base64.b64encode(noise(64)).decode(),
            "release-notes": "Fixes #%d: curl | retry; chmod of logs" % i,
        },
        indent=1 + i,
    )


@kind("device-twin", 5)
def twin(i):
    return compact(
        {
            "properties": {
                "desired": {"interval": 60, "$version": i, "$metadata": {"$lastUpdated": stamp(i)}},
                "reported": {
                    "fw": "2.%d" % i,
                    "net": {"ip": "192.0.2.%d" % i, "mac": hexadecimal(6)},
                    "tags": ["<none>", "a&b", "c;d"],
                },
            }
        }
    )


@kind("aws-shadow", 4)
def shadow(i):
    return compact(
        {
            "state": {
                "desired": {"led": "on"},
                "reported": {"led": "off", "note": 'it\'s "off" or 1=off'},
                "delta": {"led": "on"},
            },
            "version": i,
            "clientToken": "device-%d-%s" % (i, hexadecimal(4)),
        }
    )


@kind("certificate", 4)
def certificate(i):
    body = base64.b64encode(b"\x30\x82\x01\xf3\x30\x82\x01\x9a" + noise(400)).decode()
    lines = "\n".join(body[k : k + 64] for k in range(0, len(body), 64))
    return ascii_json(
        {
            "thing": i,
            "certificatePem": "-----BEGIN CERTIFICATE-----\n" + lines + "\n-----END CERTIFICATE-----\n",
            "fingerprint": hashlib.sha256(body.encode()).digest().hex(":"),
        }
    )


@kind("jwt", 4, "txt")
def jwt(i):
    part = [
        base64.urlsafe_b64encode(x).decode().rstrip("=")
        for x in (
            b'{"alg":"ES256","typ":"JWT"}',
            compact({"sub": "device-%d" % i, "exp": NOW, "aud": "mqtt"}).encode(),
            noise(64),
        )
    ]
    return ".".join(part)


@kind("signed", 4)
def signed(i):
    return compact(
        {
            "payload": base64.b64encode(zigbee2mqtt(i).encode()).decode(),
            "protected": base64.urlsafe_b64encode(b'{"alg":"EdDSA"}').decode(),
            "signature": base64.urlsafe_b64encode(noise(64)).decode(),
        }
    )


@kind("command", 8)
def command(i):
    return compact(
        [
            {"method": "setRelay", "params": {"on": True}},
            {"cmd": "reboot", "delay": 5},
            {"id": 7, "method": "Switch.Set", "params": {"id": 0, "on": False}},
            {"action": "update", "version": "2.4.1"},
            {"jsonrpc": "2.0", "method": "get_prop", "params": ["power"], "id": i},
            {"script": "scene_evening", "run": 1},
            {"shell": False, "exec": "none"},
            {"set": {"password_policy": "strong", "ssh": "off"}},
        ][i]
    )


@kind("wifi-scan", 4)
def wifi(i):
    return compact(
        [
            {"ssid": name, "bssid": hexadecimal(6), "ch": k, "enc": "wpa2"}
            for k, name in enumerate(
                [
                    "Bob's WiFi; keep out",
                    "<3 home",
                    "$$$ guest $$$",
                    "FRITZ!Box 7590 %d" % i,
                    "100% free & fast",
                    "../upstairs",
                    "a' or b",
                ]
            )
        ]
    )


@kind("netstat", 3)
def netstat(i):
    return compact(
        {
            "listen": ["0.0.0.0:22", "[::]:8883"],
            "peers": ["tcp/192.0.2.%d:502" % i],
            "dns": "dns://192.0.2.53",
            "ldap": "ldap://dir.example.net:389",
            "ntp": {"stratum": 2},
        }
    )


@kind("html", 3, "txt")
def html(i):
    return (
        '<html><body><h1>Pump %d</h1><p class="on">pressure &lt; 3 bar</p><a href="/p?id=%d&amp;on=1">on</a></body></html>'
        % (i, i)
    )


@kind("xml", 5, "txt")
def xml(i):
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE reading SYSTEM "reading.dtd">\n'
        '<reading id="%d"><t unit="C">%.1f</t><note><![CDATA[a < b && c > d]]></note></reading>\n'
        % (i, number(0, 40))
    )


@kind("geojson", 3)
def geojson(i):
    return compact(
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[number(7, 14, 6), number(47, 52, 6)] for _ in range(5 + i)]],
            },
            "properties": {"id": hexadecimal(12)},
        }
    )
