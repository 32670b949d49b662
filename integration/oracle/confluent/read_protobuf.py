"""Reads with Python's protobuf what our converter wrote, and says where it finds another value.

Each line has an envelope of JsonConverter, the files of the schema that describes it (a FileDescriptorSet), the message's
name, and the message; both in hexadecimal digits. The last line printed is how many messages agreed."""

import base64
import json
import pathlib
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import reading  # noqa: E402

LOGICAL = "org.apache.kafka.connect.data."
UNION = "io.confluent.connect.protobuf.Union"
ENUM = "io.confluent.connect.protobuf.Enum"
MILLIS_A_DAY = 86_400_000


def agrees(schema, ours, message, field):
    """Whether a field of a message has our value. What is null takes the default, or is not said."""
    ours = schema.get("default") if ours is None else ours
    theirs = getattr(message, field.name)
    if ours is None:
        return not (message.HasField(field.name) if field.has_presence and not field.is_repeated else theirs)
    if schema["type"] == "array":
        items = schema["items"]
        return len(ours) == len(theirs) and all(
            is_same(items, items.get("default") if a is None else a, b, field) for a, b in zip(ours, theirs))
    if schema["type"] == "map":
        return agrees_map(schema, ours, theirs)
    return is_same(schema, ours, theirs, field)


def agrees_map(schema, ours, entries):
    pairs = list(ours.items()) if isinstance(ours, dict) else ours
    same = lambda pair, entry: all(
        agrees(schema[part + "s"], value, entry, entry.DESCRIPTOR.fields_by_name[part]) for part, value in zip(("key", "value"), pair))
    return len(pairs) == len(entries) and all(any(same(pair, entry) for entry in entries) for pair in pairs)


def is_same(schema, ours, theirs, field):
    logical, kind = schema.get("name", ""), schema["type"]
    if logical.startswith(LOGICAL):
        return is_same_logical(logical.removeprefix(LOGICAL), schema, ours, theirs)
    if kind == "struct":
        return is_same_struct(schema, ours, theirs)
    if field.enum_type:
        symbol = field.enum_type.values_by_number.get(theirs)
        return theirs == ours or symbol.name == ours
    if kind == "bytes":
        return base64.b64decode(ours) == theirs
    if kind == "float":
        return struct.unpack("f", struct.pack("f", ours))[0] == theirs
    return ours == theirs


def is_same_logical(logical, schema, ours, theirs):
    if logical == "Decimal":
        unscaled = int.from_bytes(base64.b64decode(ours), "big", signed=True)
        return unscaled == int.from_bytes(theirs.value, "big", signed=True) and theirs.scale == int(schema["parameters"]["scale"])
    if logical == "Date":
        return ours == days(theirs.year, theirs.month, theirs.day)
    if logical == "Time":
        millis = ((theirs.hours * 60 + theirs.minutes) * 60 + theirs.seconds) * 1000 + theirs.nanos // 1_000_000
        return ours % MILLIS_A_DAY == millis
    if logical == "Variant":
        return base64.b64decode(ours["value"]) == theirs.value
    return ours == theirs.seconds * 1000 + theirs.nanos // 1_000_000


def days(year, month, day):
    """Since 1970, in the calendar of Gregory, without limits."""
    year, month = (year, month) if month > 2 else (year - 1, month + 12)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 1 - 719468


def is_same_struct(schema, ours, message):
    known = message.DESCRIPTOR.fields_by_name
    for field in schema["fields"]:
        value = ours.get(field["field"])
        if field.get("name", "").startswith(UNION):
            taken = [member for member in field["fields"] if value and value.get(member["field"]) is not None]
            members = [known[member["field"]] for member in field["fields"]]
            said = [member.name for member in members if message.HasField(member.name)]
            if said != [member["field"] for member in taken]:
                return False
            if not all(agrees(member, value[member["field"]], message, known[member["field"]]) for member in taken):
                return False
        elif not agrees(field, value, message, known[field["field"]]):
            return False
    return True


def disagreement(envelope, files, name, body):
    data, files, body = json.loads(envelope), bytes.fromhex(files), bytes.fromhex(body)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(files).file:
        pool.Add(file)
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(name)).FromString(body)
    if message.SerializeToString() and not list(message.ListFields()):
        return "has fields that its schema lacks"
    schema, value = data["schema"], data["payload"]
    is_whole = schema["type"] == "struct"
    same = is_same_struct(schema, value, message) if is_whole else agrees(schema, value, message, message.DESCRIPTOR.fields_by_name["value"])
    return None if same else f"is {message!r}"


reading.report(disagreement)
