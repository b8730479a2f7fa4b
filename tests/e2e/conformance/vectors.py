# SPDX-License-Identifier: Apache-2.0
"""Bytes that many tests send."""

# What is no well-formed UTF-8 (RFC 3629, section 3).
ILL_FORMED = {
    "lone continuation": b"\x80",
    "continuation missing": b"\xc3x",
    "continuation missing at the end": b"x\xf0\x9f\x98",
    "byte ff": b"\xff",
    "overlong slash": b"\xc0\xaf",
    "overlong slash in three bytes": b"\xe0\x80\xaf",
    "overlong U+0000": b"\xc0\x80",
    "high surrogate": b"\xed\xa0\x80",
    "low surrogate": b"\xed\xbf\xbf",
    "pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
}

# Filters in which a wildcard is not where it may be.
BAD_FILTERS = ("a#", "#a", "#/a", "a/#/b", "##", "a/##", "a+", "+a", "a/b+/c", "a/+b", "++", "a/+#", "+#")
