"""Reads with fastavro what our converter wrote, and says where it finds another value.

Each line has an envelope of JsonConverter, the Avro schema that describes it, and the body in hexadecimal digits. The
last line printed is how many bodies agreed."""

import base64
import datetime
import decimal
import io
import json
import pathlib
import struct
import sys

import fastavro

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import reading  # noqa: E402

LOGICAL = "org.apache.kafka.connect.data."
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)


def agrees(schema, ours, theirs):
    if ours is None:
        # A null is written as the default, where there is one.
        ours = schema.get("default")
    if ours is None or theirs is None:
        return ours is theirs
    logical = schema.get("name", "")
    if logical.startswith(LOGICAL):
        return agrees_logical(logical.removeprefix(LOGICAL), schema, ours, theirs)
    kind = schema["type"]
    if kind == "struct":
        return agrees_struct(schema, ours, theirs)
    if kind == "array":
        return len(ours) == len(theirs) and all(map(lambda a, b: agrees(schema["items"], a, b), ours, theirs))
    if kind == "map":
        return agrees_map(schema, ours, theirs)
    if kind == "bytes":
        return base64.b64decode(ours) == theirs
    if kind == "float":
        return struct.unpack("f", struct.pack("f", ours))[0] == theirs
    return ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool)


def agrees_logical(logical, schema, ours, theirs):
    if logical == "Decimal":
        unscaled = int.from_bytes(base64.b64decode(ours), "big", signed=True)
        # Digits beyond the precision that the schema states are rounded away when they are read.
        precise = decimal.Context(prec=int(schema["parameters"].get("connect.decimal.precision", 64)))
        return precise.create_decimal(unscaled).scaleb(-int(schema["parameters"]["scale"]), precise) == theirs
    if logical == "Date":
        return EPOCH.date() + datetime.timedelta(days=ours) == theirs
    if logical == "Time":
        # The last of all is the first of the next day, which has no time here.
        return (datetime.datetime.min + ours * MILLISECOND).time() == theirs
    return EPOCH + ours * MILLISECOND == theirs


def agrees_struct(schema, ours, theirs):
    """A union of several types is a struct of which one field is set."""
    fields = schema["fields"]
    if schema.get("name", "").endswith(".avro.Union"):
        taken = [field for field in fields if ours.get(field["field"]) is not None]
        return len(taken) == 1 and agrees(taken[0], ours[taken[0]["field"]], theirs)
    return len(fields) == len(theirs) and all(map(
        lambda field, value: agrees(field, ours.get(field["field"]), value), fields, theirs.values()))


def agrees_map(schema, ours, theirs):
    keys, values = schema["keys"], schema["values"]
    pairs = list(ours.items()) if isinstance(ours, dict) else ours
    found = list(theirs.items()) if isinstance(theirs, dict) else [(e["key"], e["value"]) for e in theirs]
    same = lambda pair, other: agrees(keys, pair[0], other[0]) and agrees(values, pair[1], other[1])
    return len(pairs) == len(found) and all(any(same(pair, other) for other in found) for pair in pairs)


def disagreement(envelope, schema, body):
    data, schema, body = json.loads(envelope), json.loads(schema), bytes.fromhex(body)
    payload = io.BytesIO(body)
    if "bytes" in (schema, schema["type"] if isinstance(schema, dict) else None):
        # Bytes that are a whole payload go without their length.
        payload = io.BytesIO()
        fastavro.schemaless_writer(payload, "bytes", body)
        payload.seek(0)
    value = fastavro.schemaless_reader(payload, fastavro.parse_schema(schema))
    if payload.read():
        return "goes on"
    return None if agrees(data["schema"], data["payload"], value) else f"is {value!r}"


reading.report(disagreement)
