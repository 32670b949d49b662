"""Decides how the rig asks the broker: six requests of Kafka's protocol, in old plain versions.

A launch of Kafka's own tools costs a second of processor time; these cost nothing that is seen in
the figures, so progress can be sampled while a job runs.
"""

import socket
import struct

from rig.process import Failure, wait_until

_PRODUCE = (0, 3)
_CREATE_TOPICS = (19, 2)
_DELETE_TOPICS = (20, 1)
_LIST_OFFSETS = (2, 1)
_OFFSET_FETCH = (9, 1)
_TOPIC_EXISTS = 36
_TIMEOUT_MS = 30_000


class _Reader:
    """Goes through an answer."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, form: str) -> tuple[int, ...]:
        form = ">" + form
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def skip_text(self) -> None:
        (length,) = self.take("h")
        self._at += max(length, 0)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">h", len(data)) + data


class Kafka:
    """A connection to the one broker."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket: socket.socket | None = None
        self._partitions: dict[str, int] = {}

    def _ask(self, api: tuple[int, int], body: bytes) -> _Reader:
        try:
            return self._exchange(api, body)
        except OSError:
            self.close()  # an idle connection is closed by the broker after ten minutes
        try:
            return self._exchange(api, body)
        except OSError as error:
            raise Failure(f"the broker does not answer: {error}") from error

    def _exchange(self, api: tuple[int, int], body: bytes) -> _Reader:
        if self._socket is None:
            host, port = self.address.rsplit(":", 1)
            self._socket = socket.create_connection((host, int(port)), timeout=40)
        request = struct.pack(">hhi", *api, 1) + _text("bench") + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", self._receive(4))
        return _Reader(self._receive(size)[4:])

    def _receive(self, count: int) -> bytes:
        assert self._socket is not None
        data = bytearray()
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ConnectionError("the broker closed the connection")
            data += part
        return bytes(data)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic and waits until each of its partitions has a leader."""
        body = struct.pack(">i", 1) + _text(topic) + struct.pack(">ihii", partitions, 1, 0, 0)
        answer = self._ask(_CREATE_TOPICS, body + struct.pack(">ib", _TIMEOUT_MS, 0))
        answer.take("ii")  # throttle time, one topic
        answer.skip_text()
        (error,) = answer.take("h")
        if error not in (0, _TOPIC_EXISTS):
            raise Failure(f"topic {topic} cannot be made: Kafka's error {error}")
        self._partitions[topic] = partitions
        wait_until(f"leaders of {topic}", 30, lambda: self._ends(topic) is not None)

    def expect(self, topic: str, partitions: int) -> None:
        """Names a topic that somebody else will make."""
        self._partitions[topic] = partitions

    def append(self, topic: str, batch: bytes) -> None:
        """Appends a record batch to partition 0, and waits until it is in the log."""
        body = struct.pack(">hhii", -1, -1, _TIMEOUT_MS, 1) + _text(topic)
        body += struct.pack(">iii", 1, 0, len(batch)) + batch
        answer = self._ask(_PRODUCE, body)
        answer.take("i")
        answer.skip_text()
        _partitions, _partition, error = answer.take("iih")
        if error:
            raise Failure(f"records for {topic} are refused: Kafka's error {error}")

    def delete(self, *topics: str) -> None:
        """Removes topics; what is not there is no error."""
        names = b"".join(_text(topic) for topic in topics)
        body = struct.pack(">i", len(topics)) + names + struct.pack(">i", _TIMEOUT_MS)
        self._ask(_DELETE_TOPICS, body)

    def records(self, topic: str) -> int:
        """The sum of the partitions' end offsets; 0 while the topic is not there."""
        return self._ends(topic) or 0

    def _ends(self, topic: str) -> int | None:
        count = self._partitions[topic]
        latest = b"".join(struct.pack(">iq", partition, -1) for partition in range(count))
        body = struct.pack(">ii", -1, 1) + _text(topic) + struct.pack(">i", count) + latest
        answer = self._ask(_LIST_OFFSETS, body)
        answer.take("i")
        answer.skip_text()
        total = 0
        for _ in range(answer.take("i")[0]):
            _partition, error, _timestamp, offset = answer.take("ihqq")
            if error:
                return None
            total += offset
        return total

    def committed(self, group: str, topic: str) -> int:
        """The sum of a group's committed offsets."""
        count = self._partitions[topic]
        partitions = b"".join(struct.pack(">i", partition) for partition in range(count))
        one = struct.pack(">i", 1)
        body = _text(group) + one + _text(topic) + struct.pack(">i", count) + partitions
        answer = self._ask(_OFFSET_FETCH, body)
        answer.take("i")
        answer.skip_text()
        total = 0
        for _ in range(answer.take("i")[0]):
            _partition, offset = answer.take("iq")
            answer.skip_text()
            answer.take("h")
            total += max(offset, 0)
        return total
