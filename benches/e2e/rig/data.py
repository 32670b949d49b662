"""Decides what is copied: lines of a hundred characters, and orders of eight fields.

Both are made from a seed, once for each number of records, and kept in the work directory with the
digests that a right copy must have.
"""

import json
import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rig.batches import zigzag
from rig.digest import Digest, Summing

_CHUNK = 10_000
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.-"
_COUNTRIES = ("FR", "DE", "US", "JP", "BR", None, "IN", "KE")


@dataclass(frozen=True)
class Lines:
    """A text file, and what a topic or file must hold after a copy."""

    path: Path
    digest: Digest
    bytes: int

    @property
    def count(self) -> int:
        return self.digest.lines


@dataclass(frozen=True)
class Orders:
    """The same rows in each form in which they meet a worker."""

    envelopes: Lines  # as JsonConverter with schemas.enable=true writes them
    copy_text: Lines  # as COPY of PostgreSQL reads and writes them
    payloads: Digest  # the envelopes' payloads alone
    structs: Digest  # as FileStreamSink prints a Struct
    structs_bytes: int
    avro: Path  # Avro bodies, each after its length in four bytes

    @property
    def count(self) -> int:
        return self.envelopes.count


_SCHEMA = {
    "type": "struct",
    "optional": False,
    "name": "bench.Order",
    "fields": [
        {"type": "int64", "optional": False, "field": "id"},
        {"type": "string", "optional": False, "field": "customer"},
        {"type": "double", "optional": False, "field": "amount"},
        {"type": "int32", "optional": True, "field": "quantity"},
        {"type": "boolean", "optional": False, "field": "active"},
        {
            "type": "int64",
            "optional": False,
            "name": "org.apache.kafka.connect.data.Timestamp",
            "version": 1,
            "field": "created_at",
        },
        {"type": "string", "optional": True, "field": "country"},
        {"type": "string", "optional": True, "field": "note"},
    ],
}

# What Connect's schema becomes.
AVRO_SCHEMA = {
    "type": "record",
    "name": "Order",
    "namespace": "bench",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "customer", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "quantity", "type": ["null", "int"], "default": None},
        {"name": "active", "type": "boolean"},
        {"name": "created_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "country", "type": ["null", "string"], "default": None},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}

TABLE_COLUMNS = (
    "id bigint primary key, customer text not null, amount double precision not null, "
    "quantity int, active boolean not null, created_at timestamp(3) not null, "
    "country varchar(2), note text"
)

_ENVELOPE = '{"schema":' + json.dumps(_SCHEMA, separators=(",", ":")) + ',"payload":'


def payload_of(envelope: bytes) -> bytes:
    """What `payloads` sums up: the part of the envelope that holds the values."""
    return envelope[envelope.index(b'"payload":') + 10 : -2]


def lines(folder: Path, count: int) -> Lines:
    """The file of `count` lines, made when it is not there."""
    path = folder / f"lines-{count}.txt"
    if not _is_made(path):
        text = "".join(random.Random(42).choices(_LETTERS, k=1 << 20))
        made = Summing()
        with _being_made(path) as file:
            for base in range(0, count, _CHUNK):
                numbers = range(base, min(base + _CHUNK, count))
                chunk = [_line(text, number).encode() for number in numbers]
                made.add(chunk)
                file.writelines(chunk)
        _keep(path, lines=_facts(made))
    return _lines(path, "lines")


def _line(text: str, number: int) -> str:
    start = number * 97 % 1_000_000
    return f"{number:010d} {text[start : start + 89]}\n"


def orders(folder: Path, count: int) -> Orders:
    """The files of `count` orders, made when they are not there."""
    envelopes = folder / f"orders-{count}.json"
    copy_text = folder / f"orders-{count}.copy"
    avro = folder / f"orders-{count}.avro"
    if not (_is_made(envelopes) and copy_text.exists() and avro.exists()):
        _make_orders(envelopes, copy_text, avro, count)
    facts = json.loads(_facts_path(envelopes).read_text())
    return Orders(
        envelopes=_lines(envelopes, "envelopes"),
        copy_text=Lines(copy_text, Digest(*facts["copy_text"][:2]), facts["copy_text"][2]),
        payloads=Digest(*facts["payloads"][:2]),
        structs=Digest(*facts["structs"][:2]),
        structs_bytes=facts["structs"][2],
        avro=avro,
    )


def _make_orders(envelopes: Path, copy_text: Path, avro: Path, count: int) -> None:
    chance = random.Random(42)
    forms: dict[str, Callable[[_Order], str]] = {
        "envelopes": lambda order: f"{_ENVELOPE}{order.payload()}}}\n",
        "copy_text": lambda order: order.copy_text() + "\n",
        "payloads": lambda order: order.payload(),
        "structs": lambda order: order.struct() + "\n",
    }
    made = {form: Summing() for form in forms}
    with (
        _being_made(avro) as bodies,
        _being_made(envelopes) as first,
        _being_made(copy_text) as second,
    ):
        files = {"envelopes": first, "copy_text": second}
        for base in range(1, count + 1, _CHUNK):
            last = min(base + _CHUNK, count + 1)
            chunk = [_Order.of(i, chance) for i in range(base, last)]
            for order in chunk:
                body = order.avro()
                bodies.write(struct.pack(">i", len(body)) + body)
            for form, write in forms.items():
                written = [write(order).encode() for order in chunk]
                made[form].add(written)
                if form in files:
                    files[form].writelines(written)
    _keep(envelopes, **{form: _facts(sums) for form, sums in made.items()})


@dataclass(frozen=True)
class _Order:
    id: int
    customer: str
    amount: float
    quantity: int | None
    active: bool
    created_at_ms: int
    country: str | None
    note: str

    @staticmethod
    def of(number: int, chance: random.Random) -> "_Order":
        bits = chance.getrandbits(120)
        return _Order(
            id=number,
            customer=f"customer-{bits % 1_000_000:06d}",
            amount=(bits % 100_000 + 1) / 100,
            quantity=None if bits % 16 == 0 else bits % 97,
            active=bits % 2 == 0,
            created_at_ms=1_700_000_000_000 + bits % 10_000_000_000,
            country=_COUNTRIES[number % 8],
            note=f"{bits:030x}",
        )

    def payload(self) -> str:
        quantity = "null" if self.quantity is None else self.quantity
        country = "null" if self.country is None else f'"{self.country}"'
        return (
            f'{{"id":{self.id},"customer":"{self.customer}","amount":{self.amount!r},'
            f'"quantity":{quantity},"active":{"true" if self.active else "false"},'
            f'"created_at":{self.created_at_ms},"country":{country},"note":"{self.note}"}}'
        )

    def avro(self) -> bytes:
        quantity = b"\0" if self.quantity is None else b"\2" + zigzag(self.quantity)
        country = b"\0" if self.country is None else b"\2" + _avro_text(self.country)
        return b"".join(
            (
                zigzag(self.id),
                _avro_text(self.customer),
                struct.pack("<d", self.amount),
                quantity,
                b"\1" if self.active else b"\0",
                zigzag(self.created_at_ms),
                country,
                b"\2" + _avro_text(self.note),
            )
        )

    def struct(self) -> str:
        """As Java prints it: fields that are null are left out, dates without milliseconds."""
        date = time.gmtime(self.created_at_ms // 1000)
        quantity = "" if self.quantity is None else f"quantity={self.quantity},"
        country = "" if self.country is None else f"country={self.country},"
        return (
            f"Struct{{id={self.id},customer={self.customer},amount={self.amount!r},{quantity}"
            f"active={'true' if self.active else 'false'},"
            f"created_at={time.strftime('%a %b %d %H:%M:%S UTC %Y', date)},"
            f"{country}note={self.note}}}"
        )

    def copy_text(self) -> str:
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.created_at_ms // 1000))
        # PostgreSQL writes no zeros at a fraction's end.
        fraction = f".{self.created_at_ms % 1000:03d}".rstrip("0").rstrip(".")
        return "\t".join(
            [
                str(self.id),
                self.customer,
                f"{self.amount:g}",
                r"\N" if self.quantity is None else str(self.quantity),
                "t" if self.active else "f",
                date + fraction,
                self.country or r"\N",
                self.note,
            ]
        )


def _avro_text(text: str) -> bytes:
    return zigzag(len(text)) + text.encode()


def avro_bodies(orders: Orders, many: int) -> Iterator[list[bytes]]:
    """The orders in Avro, so many at a time."""
    with orders.avro.open("rb") as file:
        bodies = []
        while length := file.read(4):
            bodies.append(file.read(*struct.unpack(">i", length)))
            if len(bodies) == many:
                yield bodies
                bodies = []
        if bodies:
            yield bodies


@contextmanager
def _being_made(path: Path) -> Iterator[IO[bytes]]:
    """A file that has its name only once it is whole."""
    part = path.with_name(path.name + ".part")
    with part.open("wb", buffering=1 << 20) as file:
        yield file
    os.replace(part, path)


def _facts(made: Summing) -> list[int]:
    return [made.digest.lines, made.digest.checksums, made.bytes]


def _facts_path(path: Path) -> Path:
    return path.with_name(path.name + ".facts")


def _is_made(path: Path) -> bool:
    return path.exists() and _facts_path(path).exists()


def _keep(path: Path, **facts: list[int]) -> None:
    _facts_path(path).write_text(json.dumps(facts))


def _lines(path: Path, form: str) -> Lines:
    count, checksums, size = json.loads(_facts_path(path).read_text())[form]
    return Lines(path, Digest(count, checksums), size)
