#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What instructions.py makes of counts and of kept numbers: it is to fail when a step grew, shrank, came or went.
Nothing is counted."""

import contextlib
import io
import os
import unittest

import instructions
from processes import BenchError

GCC = "gcc (Debian) 12"
KEPT = {"path: to broker, QoS 0": 124.9, "micro: PUBLISH | 64 B": 199.1, "library: 16 KiB JSON": 137780.0}
DECISIONS = {"fleet-10-1 publish: allowed": 1000.0, "fleet-10000-1 publish: allowed": 1100.0}
LOAD = {"fleet-1000-1 load": 1e6, "fleet-10000-1 load": 1e7}
SIGNATURES = {"openssl-1 HMAC_Init_ex": 10000.0, "verify-1 envelope": 12000.0}
BOUNDS = {"decisions": DECISIONS, "load": LOAD, "signatures": SIGNATURES}


def check(steps, kept, counts=None, comparable=True, compilers=(GCC, GCC)):
    """(whether all is well, what was printed)"""
    rows = instructions.compare(kept, steps)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        good = instructions.check(rows, {**BOUNDS, **(counts or {})}, comparable, compilers)
    return good, out.getvalue()


def scaled(factor, steps=KEPT):
    return {name: value * factor for name, value in steps.items()}


class Check(unittest.TestCase):
    def test_the_same_numbers_are_well(self):
        good, out = check(KEPT, KEPT)
        self.assertTrue(good)
        self.assertIn("ok: 3 steps", out)

    def test_less_than_a_tenth_is_well(self):
        for factor in (0.91, 1.09):
            self.assertTrue(check(scaled(factor), KEPT)[0], factor)

    def test_one_kept_number_too_low_fails(self):
        for name in KEPT:
            good, out = check(KEPT, {**KEPT, name: KEPT[name] * 0.8})
            self.assertFalse(good, name)
            self.assertIn("FAILED: 1 of 3 steps", out)
            last = out.split("FAILED")[-1]
            self.assertIn(name, last)
            self.assertIn("GREW", last)
            self.assertIn("make it cheaper", last)

    def test_one_kept_number_too_high_fails_until_it_is_kept(self):
        good, out = check(KEPT, {**KEPT, "micro: PUBLISH | 64 B": 240.0})
        self.assertFalse(good)
        self.assertIn("SHRANK", out)
        self.assertIn("--write", out)

    def test_a_new_step_and_one_that_is_gone_fail(self):
        good, out = check({**KEPT, "micro: PUBACK": 80.0}, KEPT)
        self.assertFalse(good)
        self.assertIn("NEW", out)
        good, out = check({"micro: PUBLISH | 64 B": 199.1}, KEPT)
        self.assertFalse(good)
        self.assertIn("FAILED: 2 of 3 steps", out)
        self.assertIn("GONE", out)

    def test_nothing_kept_fails(self):
        self.assertFalse(check(KEPT, {})[0])

    def test_another_compiler_is_named(self):
        self.assertIn("gcc 13", check(scaled(1.2), KEPT, compilers=("gcc 13", GCC))[1])

    def test_the_bounds_hold_wherever_it_runs(self):
        dearer = [("decisions", {**DECISIONS, "fleet-10000-1 publish: allowed": 2001.0}),
                  ("load", {**LOAD, "fleet-10000-1 load": 1.6e7}),
                  ("signatures", {**SIGNATURES, "verify-1 envelope": 20001.0})]
        for comparable in (True, False):
            self.assertTrue(check(KEPT, KEPT, comparable=comparable)[0])
            for job, counts in dearer:
                self.assertFalse(check(KEPT, KEPT, {job: counts}, comparable)[0], job)

    def test_on_another_machine_nothing_is_compared_and_it_says_so(self):
        good, out = check(scaled(3), KEPT, comparable=False)
        self.assertTrue(good)
        self.assertIn("NOT COMPARED", out)


class Kept(unittest.TestCase):
    def test_what_is_written_is_what_is_read(self):
        text = instructions.render(KEPT, "x86_64 with AVX2", GCC, "commit 1234567")
        machine, compiler, steps = instructions.parse(text)
        self.assertEqual((machine, compiler), ("x86_64 with AVX2", GCC))
        self.assertEqual(steps, KEPT)

    def test_a_row_that_is_no_number_or_is_there_twice_is_an_error(self):
        text = instructions.render(KEPT, "x86_64", GCC, "commit 1234567")
        for bad in ("| path: x | many |\n", "| path: x | |\n", "| path: to broker, QoS 0 | 1.0 |\n"):
            with self.assertRaises(BenchError, msg=bad):
                instructions.parse(text + bad)

    def test_the_manual_has_kept_numbers(self):
        with open(instructions.README, encoding="utf-8") as readme:
            before, kept, after = instructions.split(readme.read())
        self.assertIn("## Instructions", before)
        self.assertIn("## Decisions", after)
        machine, compiler, steps = instructions.parse(kept)
        self.assertTrue(machine and compiler)
        self.assertEqual({name.split(":")[0] for name in steps}, {program for program, _ in instructions.JOBS.values()})

    def test_without_the_lines_around_them_nothing_is_written(self):
        begin, end = instructions.BEGIN, instructions.END
        for text in ("", begin, end + begin, 2 * (begin + end)):
            with self.assertRaises(BenchError):
                instructions.split(text)

    def test_what_is_not_ours_is_not_kept(self):
        counts = {"signatures": SIGNATURES, "decisions": {**DECISIONS, "fleet-10-50 publish: allowed": 1.0}}
        self.assertEqual(list(instructions.steps_of(counts)), ["decisions: fleet-10-1 publish: allowed",
                         "decisions: fleet-10000-1 publish: allowed", "signatures: verify-1 envelope"])


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    unittest.main()
