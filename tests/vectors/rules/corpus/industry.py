# SPDX-License-Identifier: Apache-2.0
"""Gateways of machines, vehicles and meters; radio and position."""

import base64
import gzip
import struct

from corpus.base import NOW, ascii_json, compact, dice, hexadecimal, kind, noise, number, stamp


@kind("modbus-gateway", 8)
def modbus_gateway(i):
    frame = bytes([i + 1, 3, 8]) + struct.pack(">4h", *[dice.randint(-400, 4000) for _ in range(4)]) + noise(2)
    return compact(
        {
            "unit": i + 1,
            "function": 3,
            "address": 40001 + i,
            "registers": [dice.randint(0, 65535) for _ in range(8)],
            "raw": frame.hex([" ", ":", "-"][i % 3]).upper() if i % 4 else frame.hex(),
            "ts": (NOW + i) * 1000,
        }
    )


@kind("modbus-rtu", 8, "bin")
def modbus_rtu(i):
    registers = struct.pack(">%dH" % (4 + 3 * i), *[dice.choice([0, 1, 65, 230, 500, 65535]) for _ in range(4 + 3 * i)])
    return bytes([1 + i, 3, len(registers) & 255]) + registers + noise(2)


@kind("sparkplug-json", 5)
def sparkplug_json(i):
    return compact(
        {
            "timestamp": (NOW + i) * 1000,
            "seq": i,
            "metrics": [
                {"name": "Node Control/Rebirth", "alias": 1, "dataType": "Boolean", "value": False},
                {"name": "Properties/Firmware_Version", "dataType": "String", "value": "2.%d.1" % i},
                {"name": "Inputs/Temperature_%d" % i, "dataType": "Float", "value": number(0, 99)},
            ],
        }
    )


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(tag, data):
    return varint(tag << 3 | 2) + varint(len(data)) + data


@kind("sparkplug-b", 10, "bin")
def sparkplug(i):
    payload = varint(1 << 3) + varint((NOW + i) * 1000)
    for metric in ["Temperature", "Pressure", "Node Control/Rebirth", "bdSeq", "Outputs/Valve %d" % i]:
        body = field(1, metric.encode()) + varint(3 << 3) + varint((NOW + i) * 1000) + varint(4 << 3) + varint(9)
        payload += field(2, body + varint(12 << 3 | 5) + struct.pack("<f", number(0, 99)))
    return payload + varint(3 << 3) + varint(i)


@kind("sparkplug-compressed", 4, "bin")
def sparkplug_compressed(i):
    return (
        field(2, field(1, b"algorithm") + field(15, b"GZIP"))
        + field(4, b"SPBV1.0_COMPRESSED")
        + field(5, gzip.compress(sparkplug(i) * 4, mtime=0))
    )


@kind("opc-ua", 6)
def opc_ua(i):
    return ascii_json(
        {
            "MessageId": "%d" % (32235546 + i),
            "MessageType": "ua-data",
            "PublisherId": "http://gateway.example.net/",
            "Messages": [
                {
                    "DataSetWriterId": 1,
                    "Timestamp": stamp(i),
                    "Payload": {
                        "http://example.net/UA/Plc/Applications#s=Drive%d.Speed"
                        % i: {"Value": number(0, 3000, 3), "SourceTimestamp": stamp(i)},
                        'nsu=urn:plc;s="DB7"."Mode"': {"Value": "AUTO"},
                    },
                }
            ],
        }
    )


@kind("plc-alarm", 5, "txt")
def plc_alarm(i):
    return "ALARM %04d;%s;Motor M%d: Überlast (I > %.1f A), Antrieb gestoppt; quittieren mit F%d\r\n" % (
        700 + i,
        stamp(i),
        i,
        number(4, 20),
        i + 1,
    )


@kind("obd", 4)
def obd(i):
    return compact(
        {
            "vin": "WVWZZZ1KZAW%06d" % (i * 7777),
            "pid": "010C",
            "raw": "41 0C %02X %02X" % (i * 9, i * 31 % 256),
            "rpm": dice.randint(700, 5000),
            "dtc": ["P0%03d" % (i * 37)],
        }
    )


@kind("ocpp", 5)
def ocpp(i):
    return compact(
        [
            2,
            hexadecimal(8),
            "StatusNotification",
            {
                "connectorId": i,
                "errorCode": "NoError",
                "status": "Charging",
                "vendorId": "com.example",
                "idTag": hexadecimal(7).upper(),
                "timestamp": stamp(i),
            },
        ]
    )


@kind("meter-sml", 5, "bin")
def meter_sml(i):
    return (
        bytes.fromhex("1b1b1b1b01010101760512923426620062007263010176010102310b0a01454d4800008da2b3")
        + noise(6)
        + bytes.fromhex("7707010060320101010101044549")
        + struct.pack(">Q", i * 99)
        + bytes.fromhex("1b1b1b1b1a00")
        + noise(2)
    )


@kind("meter-dsmr", 4, "txt")
def meter_dsmr(i):
    return (
        "/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(2603011200%02dW)\r\n1-0:1.8.1(%010.3f*kWh)\r\n"
        "1-0:1.7.0(00.%03d*kW)\r\n!%s\r\n"
        % (i, number(0, 99999, 3), i * 31, hexadecimal(2).upper())
    )


@kind("meter-wmbus", 4)
def meter_wmbus(i):
    return compact(
        {
            "media": "water",
            "meter": "multical21",
            "id": "%08d" % (76348799 + i),
            "total_m3": number(0, 900, 3),
            "telegram": ("2A442D2C998734761B168D20" + hexadecimal(30)).upper(),
            "rssi_dbm": -71,
        }
    )


@kind("lorawan-ttn", 8)
def lorawan(i):
    return compact(
        {
            "end_device_ids": {
                "device_id": "eui-70b3d57ed00%05x" % i,
                "dev_eui": "70B3D57ED00%05X" % i,
                "dev_addr": "260B4D1F",
            },
            "received_at": stamp(i)[:-1] + ".123456789Z",
            "uplink_message": {
                "f_port": 2,
                "f_cnt": i,
                "frm_payload": base64.b64encode(
                    bytes([1, 0x67, 1, i, 2, 0x68, 0x5A, 3, 0, 10]) + noise(2 * i)
                ).decode(),
                "decoded_payload": {"temperature_1": number(0, 40), "relative_humidity_2": 45},
                "rx_metadata": [
                    {
                        "gateway_ids": {"gateway_id": "gw-roof", "eui": "B827EBFFFE123456"},
                        "rssi": -97,
                        "uplink_token": base64.b64encode(noise(60)).decode(),
                    }
                ],
                "settings": {
                    "data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 7}},
                    "frequency": "868300000",
                },
            },
        }
    )


@kind("lorawan-chirpstack", 6)
def chirpstack(i):
    return compact(
        {
            "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
            "time": stamp(i),
            "deviceInfo": {"tenantName": "Plant", "deviceProfileName": "EM300", "devEui": hexadecimal(8)},
            "fPort": 85,
            "data": base64.b64encode(noise(11 + i)).decode(),
            "object": {"battery": 92},
            "txInfo": {"modulation": {"lora": {"codeRate": "CR_4_5"}}},
        }
    )


@kind("nmea", 8, "txt")
def nmea(i):
    return (
        "$GPGGA,12%04d.00,4807.%03d,N,01131.%03d,E,1,08,0.9,545.4,M,46.9,M,,*%02X\r\n"
        "$GPVTG,084.4,T,,M,022.4,N,041.5,K*%02X\r\n"
        % (i * 7, i * 31, i * 17, i * 5, i * 11)
    )


@kind("owntracks", 5)
def owntracks(i):
    return compact(
        {
            "_type": "location",
            "acc": 12,
            "alt": 545,
            "batt": 77,
            "conn": "w",
            "lat": number(47, 52, 6),
            "lon": number(7, 14, 6),
            "tid": "p%d" % i,
            "tst": NOW + i,
            "inregions": ["Büro", "Zuhause"],
            "SSID": "café-%d" % i,
            "BSSID": "b8:27:eb:00:00:%02x" % i,
        }
    )


@kind("ble-gateway", 6)
def ble(i):
    return compact(
        [
            {
                "mac": hexadecimal(6).upper(),
                "rssi": -dice.randint(40, 99),
                "rawData": ("0201060303AAFE1716AAFE00" + hexadecimal(20)).upper(),
                "timestamp": stamp(k),
            }
            for k in range(i + 1)
        ]
    )


@kind("rfid", 4)
def rfid(i):
    return compact(
        {"antenna": i, "epc": "30" + hexadecimal(11), "tid": "E28011" + hexadecimal(9).upper(), "rssi": -55, "count": 3}
    )
