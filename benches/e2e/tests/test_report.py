"""What a reader sees."""

import unittest
from html.parser import HTMLParser

from rig import markdown, page
from rig.report import Report
from tests.rows import a_run

_VOID = {"meta", "path", "rect"}


class _Nesting(HTMLParser):
    """Fails where an element is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.bars = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.bars += tag == "rect"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"


class Reports(unittest.TestCase):
    def setUp(self) -> None:
        machine = {"date": "2026-11-21 10:00 UTC", "processor": "one & only"}
        self.report = Report(a_run(), machine, {"runs": "2", "quick": "True"})

    def test_markdown_shows_medians_claims_and_failures(self) -> None:
        text = markdown.render(self.report)
        self.assertIn("| java-tuned | warm | 2 | **5.00** | 4.00–6.00 |", text)
        self.assertIn("at most 1/10 of Java's | 1/10.0 |", text)
        self.assertIn("**10.0×**", text)
        self.assertIn("file-source, millrace-tuned, run 3, job 1: WRONG RESULT", text)
        self.assertIn("A QUICK RUN", text)

    def test_the_page_is_whole_and_escaped(self) -> None:
        text = page.render(self.report)
        reader = _Nesting()
        reader.feed(text)
        self.assertEqual(reader.open, [])
        # Three plots for five groups, three for four, three for one.
        self.assertEqual(reader.bars, 30)
        self.assertIn("one &amp; only", text)
        self.assertIn("WRONG RESULT: &lt;none&gt;", text)
        self.assertNotIn("http", text.replace("http-equiv", ""))

    def test_a_run_without_rows_has_a_report(self) -> None:
        empty = Report([], {}, {})
        self.assertIn("not measured", markdown.render(empty))
        self.assertIn("not measured", page.render(empty))
