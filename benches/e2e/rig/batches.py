"""Decides how values become Kafka's record batches, for topics whose values are no lines of text."""

import struct
from collections.abc import Iterable

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected
_NO_PRODUCER = struct.pack(">qhi", -1, -1, -1)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ _POLYNOMIAL * (byte & 1)
        table.append(byte)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """Of one batch: what zlib has is another polynomial."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[crc & 0xFF ^ byte]
    return crc ^ 0xFFFFFFFF


def zigzag(number: int) -> bytes:
    """As Kafka and Avro write integers."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def batch(values: Iterable[bytes], timestamp_ms: int) -> bytes:
    """A batch of format 2: records without keys and headers, not compressed."""
    records = bytearray()
    count = 0
    for value in values:
        body = b"".join((b"\0\0", zigzag(count), b"\1", zigzag(len(value)), value, b"\0"))
        records += zigzag(len(body)) + body
        count += 1
    times = struct.pack(">qq", timestamp_ms, timestamp_ms)
    covered = struct.pack(">hi", 0, count - 1) + times + _NO_PRODUCER + struct.pack(">i", count) + records
    head = struct.pack(">ibI", -1, 2, crc32c(covered))
    return struct.pack(">qi", 0, len(head) + len(covered)) + head + covered
