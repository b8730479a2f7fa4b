# SPDX-License-Identifier: Apache-2.0
"""The numbers of all normative statements of the specifications: how many each section has, counted from 1.

README.md says which of them have no test, and why; test_coverage.py holds the two and the tests together."""
from statements_v5 import V5  # noqa: F401: a name of this module, too


def numbered(sections):
    return tuple(f"MQTT-{section}-{number}" for section, count in sections.items() for number in range(1, count + 1))


# MQTT 3.1.1 (OASIS Standard, 29 October 2014), Appendix B. It misprints [MQTT-3.1.2-7] and [MQTT-3.8.3-4].
V311 = numbered({
    "1.5.3": 3, "2.2.2": 2, "2.3.1": 7,
    "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5, "3.2.0": 1, "3.2.2": 6,
    "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1,
    "3.8.1": 1, "3.8.3": 4, "3.8.4": 6, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6,
    "3.12.4": 1, "3.14.1": 1, "3.14.4": 3,
    "4.1.0": 2, "4.3.1": 1, "4.3.2": 2, "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6,
    "4.7.1": 3, "4.7.2": 1, "4.7.3": 4, "4.8.0": 2,
    "6.0.0": 4, "7.0.0": 2, "7.1.1": 1, "7.1.2": 1,
})

# MQTT 5.0 (OASIS Standard, 7 March 2019), Appendix B, is in statements_v5.py.
