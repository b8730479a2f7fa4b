# SPDX-License-Identifier: Apache-2.0
"""The brokers that the tests run mqward in front of: one a run, chosen with --broker."""
import importlib

NAMES = {"mosquitto": "Mosquitto", "rabbitmq": "RabbitMQ", "aedes": "Aedes"}
_chosen = "mosquitto"


def choose(name):
    """Sets the broker of this run."""
    global _chosen
    if name not in NAMES:
        raise ValueError(f"no broker {name!r}; there are {', '.join(NAMES)}")
    _chosen = name


def chosen():
    """The class of this run's broker."""
    return getattr(importlib.import_module(f"brokers.{_chosen}"), NAMES[_chosen])
