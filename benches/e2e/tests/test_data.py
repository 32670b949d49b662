"""What is copied, and how a wrong copy is told from a right one."""

import tempfile
import unittest
from io import BytesIO
from pathlib import Path

from rig import data
from rig.digest import digest, digest_file
from rig.peer import JAVA_TUNED, MILLRACE_TUNED, PEERS
from rig.row import Row, Rows
from rig.runner import parts
from rig.scenarios import SCENARIOS


class Data(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_lines_have_a_hundred_characters_and_their_digest(self) -> None:
        made = data.lines(self.folder, 25_000)
        with made.path.open("rb") as file:
            self.assertEqual({len(line) for line in file}, {101})
        self.assertEqual(digest_file(made.path), made.digest)
        self.assertEqual(made, data.lines(self.folder, 25_000), "the second time it is read")

    def test_the_forms_of_orders_agree(self) -> None:
        made = data.orders(self.folder, 100)
        self.assertEqual(digest_file(made.envelopes.path), made.envelopes.digest)
        self.assertEqual(digest_file(made.copy_text.path), made.copy_text.digest)
        with made.envelopes.path.open("rb") as file:
            self.assertEqual(digest(file, data.payload_of), made.payloads)
        self.assertEqual(made.structs.lines, 100)

    def test_a_digest_knows_no_order_but_sees_loss_doubles_and_changes(self) -> None:
        right = digest(BytesIO(b"a\nb\nc\n"))
        self.assertEqual(digest(BytesIO(b"c\na\nb\n")), right)
        for wrong in (b"a\nb\n", b"a\nb\nc\nc\n", b"a\nb\nd\n", b"a\na\nc\n"):
            self.assertNotEqual(digest(BytesIO(wrong)), right, wrong)

    def test_parts_that_failed_are_done_again_and_replaced(self) -> None:
        rows = Rows(self.folder / "rows.jsonl")
        rows.replace([Row("idle", "java-tuned", 1, 1), Row("idle", "java-tuned", 1, 2, ok=False)])
        self.assertFalse(rows.has("idle", "java-tuned", 1))
        rows.replace([Row("idle", "java-tuned", 1, 1), Row("idle", "java-tuned", 1, 2)])
        self.assertTrue(rows.has("idle", "java-tuned", 1))
        self.assertEqual(len(list(rows)), 2)

    def test_each_round_begins_with_another_peer(self) -> None:
        copying = next(scenario for scenario in SCENARIOS if scenario.name == "file-source")
        first = [part.who for part in parts([copying], list(PEERS), 5)][::5]
        self.assertEqual(len(set(first)), 5)

    def test_java_and_millrace_are_tuned_alike(self) -> None:
        self.assertEqual(JAVA_TUNED.producer_settings, MILLRACE_TUNED.producer_settings)
        self.assertEqual(JAVA_TUNED.consumer_settings, MILLRACE_TUNED.consumer_settings)
