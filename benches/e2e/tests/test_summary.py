"""What rows amount to."""

import unittest

from rig.summary import Claim, CPU, Figure, groups, ratio, verdict
from tests.rows import a_run, copied


class Summary(unittest.TestCase):
    def test_cold_and_warm_jobs_are_apart_and_failed_rows_do_not_count(self) -> None:
        found = {(g.peer, g.phase): g for g in groups(a_run(), "file-source")}
        self.assertEqual(len(found), 5)
        warm = found["java-tuned", "warm"].figure(CPU)
        self.assertEqual(warm, Figure(median=5.0, low=4.0, high=6.0, count=2))
        self.assertEqual(len(found["millrace-tuned", "cold"].rows), 2)

    def test_raw_clients_come_last(self) -> None:
        self.assertEqual(groups(a_run(), "file-source")[-1].peer, "kcat")

    def test_a_ratio_is_taken_within_each_run(self) -> None:
        found = ratio(a_run(), "file-source", CPU, "java-tuned", "millrace-tuned")
        assert found is not None
        # The second run was slower for both: the ratio does not see it.
        self.assertAlmostEqual(found.low, 10.0)
        self.assertAlmostEqual(found.high, 10.0)

    def test_a_ratio_needs_both(self) -> None:
        alone = [copied("mirror", "java-tuned", 1, 2, 3.0)]
        self.assertIsNone(ratio(alone, "mirror", CPU, "java-tuned", "millrace-tuned"))

    def test_claims_are_judged_by_median_and_spread(self) -> None:
        claim = Claim("a third", "file-source", CPU, 1 / 3, True)
        found = claim.found(a_run())
        assert found is not None
        self.assertAlmostEqual(found.median, 0.1)
        self.assertEqual(verdict(claim, found), "holds")
        self.assertEqual(verdict(claim, Figure(0.3, 0.2, 0.4, 5)), "holds, barely")
        self.assertEqual(verdict(claim, Figure(0.5, 0.2, 0.9, 5)), "does not hold")
        self.assertEqual(verdict(claim, claim.found([])), "not measured")
