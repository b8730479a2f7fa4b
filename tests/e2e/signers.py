# SPDX-License-Identifier: Apache-2.0
"""The signers of examples/signers: built and run as their README says."""
import os
import subprocess
import sys
from dataclasses import dataclass

import raw
from servers import binary

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FOLDER = os.path.join(ROOT, "examples", "signers")
NODE_MODULES = os.path.join(ROOT, "tests", "e2e", "node", "node_modules")
STRICT = ("-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror",
          "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TIMEOUT = 60


def _path(*names):
    return os.path.join(FOLDER, *names)


def _compile(folder, name, source, libraries):
    """The program name of the files of examples/signers/c, in folder."""
    program = os.path.join(folder, f"{name}-{source}")
    subprocess.run(["cc", *STRICT, "-o", program, _path("c", f"{name}.c"), _path("c", f"{source}.c"), *libraries],
                   check=True, timeout=TIMEOUT)
    return [program]


# How a program (vectors, publish) of a signer is called; those in C are built in folder first.
PROGRAMS = {
    "python": lambda name, folder: [sys.executable, "-B", _path("python", f"{name}.py")],
    "c-openssl": lambda name, folder: _compile(folder, name, "mps1_openssl", ["-lmosquitto", "-lcrypto"]),
    "c-mbedtls": lambda name, folder: _compile(folder, name, "mps1_mbedtls", ["-lmosquitto", "-lmbedcrypto"]),
    "javascript": lambda name, folder: ["node", _path("javascript", f"{name}.js")],
    "shell": lambda name, folder: [_path("shell", f"{name}.sh")],
}


@dataclass
class Device:
    """Who signs: a name and its key."""
    kid: str
    sub: str
    key: bytes

    def publish(self, program, folder, port, version, topic, payload, tls=None, password=None):
        """Runs a publish program to its end: CompletedProcess. tls: {"ca", "cert", "key"}, paths."""
        path = os.path.join(folder, "device.key")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(self.key.hex() + "\n")
        settings = {"MQTT_HOST": "127.0.0.1", "MQTT_PORT": str(port),
                    "MQTT_VERSION": "5" if version == raw.V5 else "3.1.1", "MPS1_KID": self.kid, "MPS1_SUB": self.sub,
                    "MPS1_KEY_FILE": path, "MQWARD": binary(), "NODE_PATH": NODE_MODULES}
        if tls:
            settings.update(MQTT_CA=tls["ca"], MQTT_CERT=tls["cert"], MQTT_KEY=tls["key"])
        if password:
            settings.update(MQTT_USERNAME=self.sub, MQTT_PASSWORD=password)
        return subprocess.run([*program, topic, payload], env={**os.environ, **settings}, cwd=folder, timeout=TIMEOUT,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
