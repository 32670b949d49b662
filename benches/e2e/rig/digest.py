"""Decides when two sets of lines are the same: equal count and equal sum of checksums.

The sum knows no order, so partitions may come interleaved; a line that is lost, doubled or changed
shows. The lines of our data are all different.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from zlib import crc32

_BLOCK = 8 << 20


@dataclass(frozen=True)
class Digest:
    lines: int
    checksums: int

    def __str__(self) -> str:
        return f"{self.lines:,} lines, sum of checksums {self.checksums:x}"


def digest(stream: IO[bytes], part: Callable[[bytes], bytes] | None = None) -> Digest:
    """Of a stream's lines with their ends, or of what `part` takes from each."""
    lines = checksums = 0
    for block in _blocks(stream):
        lines += len(block)
        checksums += sum(map(crc32, map(part, block) if part else block))
    return Digest(lines, checksums)


def digest_file(path: Path) -> Digest:
    with path.open("rb") as stream:
        return digest(stream)


def _blocks(stream: IO[bytes]) -> Iterator[list[bytes]]:
    while block := stream.readlines(_BLOCK):
        yield block


class Summing:
    """A digest of lines that are being made."""

    def __init__(self) -> None:
        self._lines = self._checksums = self.bytes = 0

    def add(self, lines: list[bytes]) -> None:
        self._lines += len(lines)
        self._checksums += sum(map(crc32, lines))
        self.bytes += sum(map(len, lines))

    @property
    def digest(self) -> Digest:
        return Digest(self._lines, self._checksums)
