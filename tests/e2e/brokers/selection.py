# SPDX-License-Identifier: Apache-2.0
"""Which tests run in front of the chosen broker.

All of them do, less those that say that it is not for them: @pytest.mark.needs("feature", ...) names features of
brokers/base.py that the broker must have, a parameter "version" a version that it must speak; @pytest.mark.brokerless
stands where what is tested has nothing to do with a broker. (A world with broker="fake" skips its test.)
"""
import collections

import pytest

import brokers
import raw
from brokers.base import FEATURES, VERSION_FEATURES

VERSION_PARAMETERS = ("version", "conformance_version")
DESELECTED = collections.Counter()  # {reason: number of tests}


def needed(item):
    """The features that a test asks for."""
    features = [feature for marker in item.iter_markers("needs") for feature in marker.args]
    unknown = set(features) - set(FEATURES)
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: needs({', '.join(sorted(unknown))}): not in brokers/base.py")
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return features + [VERSION_FEATURES[parameters[name]] for name in VERSION_PARAMETERS
                       if type(parameters.get(name)) is int and parameters[name] in raw.VERSIONS]


def why_not(item):
    """Why a test does not run in front of the chosen broker; None: it does."""
    lacking = brokers.chosen().lacks(needed(item))
    if lacking:
        return f"needs {FEATURES[lacking[0]]}"
    if item.get_closest_marker("brokerless") and brokers.chosen().name != "mosquitto":
        return "has nothing to do with a broker: runs with --broker mosquitto"
    return None


def select(config, items):
    """Deselects in place, and counts the reasons."""
    selected, deselected = [], []
    for item in items:
        reason = why_not(item)
        (deselected if reason else selected).append(item)
        if reason:
            DESELECTED[reason] += 1
    if deselected:
        items[:] = selected
        config.hook.pytest_deselected(items=deselected)


def report(terminal):
    """What was deselected, by reason."""
    if DESELECTED:
        terminal.section(f"not run in front of {brokers.chosen().name}: {sum(DESELECTED.values())} tests")
        for reason, count in sorted(DESELECTED.items()):
            terminal.write_line(f"{count:5} {reason}")
