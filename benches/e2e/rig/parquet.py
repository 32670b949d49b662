"""Decides how many rows a Parquet file has, by its footer (Thrift's compact protocol)."""

import struct
from pathlib import Path

_MAGIC = b"PAR1"
_NUM_ROWS = 3  # FileMetaData.num_rows
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = {1, 2}, 3, {4, 5, 6}, 7, 8, {9, 10}, 12


class _Footer:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)

    def _skip(self, kind: int) -> None:
        if kind == _BYTE:
            self._at += 1
        elif kind in _INTEGERS:
            self._unsigned()
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            length = self._unsigned()
            self._at += length
        elif kind in _LISTS:
            head = self._byte()
            count = self._unsigned() if head >> 4 == 15 else head >> 4
            for _ in range(count):
                self._at += (head & 15) in _BOOLEANS
                self._skip(head & 15)
        elif kind == _STRUCT:
            self.field(None)
        else:
            assert kind in _BOOLEANS, f"a field of type {kind}"

    def field(self, wanted: int | None) -> int | None:
        """Goes through a struct up to an integer field, or to its end."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            if number == wanted:
                return self._signed()
            self._skip(head & 15)
        return None


def rows(path: Path) -> int:
    data = path.read_bytes()
    assert data[:4] == data[-4:] == _MAGIC, f"{path} is no Parquet file"
    (length,) = struct.unpack("<i", data[-8:-4])
    found = _Footer(data[-8 - length : -8]).field(_NUM_ROWS)
    assert found is not None, f"{path} does not say how many rows it has"
    return found
