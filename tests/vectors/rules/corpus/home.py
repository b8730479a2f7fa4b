# SPDX-License-Identifier: Apache-2.0
"""Home automation: sensors, switches, hubs, flows."""

from corpus.base import NOW, PLANTS, ROOMS, ascii_json, compact, dice, hexadecimal, kind, noise, number, stamp


@kind("zigbee2mqtt", 10)
def zigbee2mqtt(i):
    return compact(
        {
            "battery": dice.randint(1, 100),
            "humidity": number(20, 90, 2),
            "linkquality": dice.randint(1, 255),
            "temperature": number(-20, 40, 2),
            "pressure": number(950, 1050),
            "voltage": dice.randint(2500, 3200),
            "last_seen": stamp(i),
            "update": {"installed_version": 16777241, "state": "idle"},
        }
    )


@kind("zigbee2mqtt-log", 8)
def zigbee2mqtt_log(i):
    text = [
        'MQTT publish: topic \'zigbee2mqtt/%s\', payload \'{"state":"ON","brightness":%d}\'' % (ROOMS[i % 8], i * 9),
        "Failed to ping '%s' (attempt 1/1, Read 0x00158d0001a2b3c4/1 genBasic([\"zclVersion\"]))" % ROOMS[i % 8],
    ][i % 2]
    return ascii_json({"level": ["info", "error"][i % 2], "message": text, "namespace": "z2m:mqtt"})


@kind("homeassistant-discovery", 10)
def homeassistant(i):
    item = "0x00158d0001%06x" % (i * 7919)
    return compact(
        {
            "name": ROOMS[i % 8],
            "unique_id": item + "_temperature",
            "state_topic": "zigbee2mqtt/" + ROOMS[i % 8],
            "value_template": "{{ value_json.temperature | float(0) | round(1) }}",
            "json_attributes_template": "{{ {'last': value_json.last_seen, 'site': '%s'} | tojson }}" % PLANTS[i % 6],
            "command_template": '{"set": "{{ value }}", "by": "{{ this.name if this is defined else \'\' }}"}',
            "icon": "mdi:thermometer",
            "device": {"identifiers": [item], "sw_version": "3000-0001"},
        }
    )


@kind("shelly", 10)
def shelly(i):
    return compact(
        {
            "src": "shellyplus1pm-a8032ab%05x" % (i * 977),
            "dst": "shelly/events",
            "method": "NotifyStatus",
            "params": {
                "ts": NOW + i + 0.17,
                "switch:0": {
                    "id": 0,
                    "apower": number(0, 2300),
                    "voltage": number(226, 236),
                    "aenergy": {"by_minute": [number(0, 40, 3) for _ in range(3)], "minute_ts": NOW + i},
                    "temperature": {"tC": number(30, 60), "tF": number(90, 140)},
                },
            },
        }
    )


@kind("tasmota-sensor", 10)
def tasmota(i):
    return compact(
        {
            "Time": stamp(i)[:-1],
            "ENERGY": {
                "TotalStartTime": "2025-01-01T00:00:00",
                "Total": number(0, 900, 3),
                "Power": dice.randint(0, 2000),
                "ApparentPower": dice.randint(0, 2000),
                "Factor": number(0, 1, 2),
                "Voltage": dice.randint(226, 236),
                "Current": number(0, 9, 3),
            },
            "DS18B20": {"Id": hexadecimal(6).upper(), "Temperature": number(0, 80)},
            "TempUnit": "C",
        }
    )


@kind("tasmota-state", 6)
def tasmota_state(i):
    return compact(
        {
            "Time": stamp(i)[:-1],
            "Uptime": "%dT03:12:09" % i,
            "UptimeSec": i * 86400,
            "Heap": 24,
            "SleepMode": "Dynamic",
            "MqttCount": 1,
            "POWER": "ON",
            "Wifi": {
                "AP": 1,
                "SSId": "plant",
                "BSSId": hexadecimal(6).upper(),
                "Mode": "11n",
                "RSSI": dice.randint(20, 100),
                "LinkCount": i,
                "Downtime": "0T00:00:04",
            },
        }
    )


@kind("tasmota-rule", 4)
def tasmota_rule(i):
    return compact(
        {
            "Rule1": {
                "State": "ON",
                "Once": "OFF",
                "Length": 71,
                "Free": 440,
                "Rules": "ON ds18b20#temperature>%d DO backlog power1 1; delay 100; power2 0 ENDON" % (20 + i),
            }
        }
    )


@kind("node-red-buffer", 6)
def node_red(i):
    return compact(
        {"_msgid": hexadecimal(8), "payload": {"type": "Buffer", "data": list(noise(24 + i))}, "topic": PLANTS[i % 6]}
    )


@kind("node-red-flow", 5)
def node_red_flow(i):
    code = (
        "const raw = msg.payload;\nif (raw.t > %d) {\n    node.warn(`too hot: ${raw.t}`);\n"
        "    return [null, msg];\n}\nreturn msg;"
        % i
    )
    return ascii_json(
        [
            {
                "id": hexadecimal(8),
                "type": "function",
                "name": "limit <%d>" % i,
                "func": code,
                "wires": [[hexadecimal(8)]],
            },
            {"id": hexadecimal(8), "type": "http request", "method": "GET", "url": "http://192.0.2.%d/api" % i},
            {"id": hexadecimal(8), "type": "exec", "command": "uptime", "addpay": False},
        ]
    )


@kind("esphome-log", 6, "txt")
def esphome(i):
    return "\x1b[0;36m[D][sensor:094]: 'Temperature %d': Sending state %.5f °C with 1 decimals of accuracy\x1b[0m\n" % (
        i,
        number(0, 40, 5),
    )
