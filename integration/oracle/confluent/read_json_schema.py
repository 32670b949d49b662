"""Reads with Python what our converter wrote, has jsonschema say whether it is as its schema demands, and says where it
finds another value.

Each line has an envelope of JsonConverter, the JSON Schema that describes it, and the payload. The last line printed is how
many payloads agreed."""

import base64
import json
import pathlib
import struct
import sys

import jsonschema

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import reading  # noqa: E402

LOGICAL = "org.apache.kafka.connect.data."
UNIONS = ("io.confluent.connect.json.OneOf", "connect_union_")


def agrees(schema, ours, theirs):
    """A union is written as what is set of it."""
    ours = schema.get("default") if ours is None else ours
    if schema.get("name", "").startswith(UNIONS) and ours is not None:
        taken = [field for field in schema["fields"] if ours[field["field"]] is not None]
        return agrees(taken[0], ours[taken[0]["field"]], theirs) if taken else theirs is None
    if ours is None or theirs is None:
        return ours is theirs
    kind = schema["type"]
    if schema.get("name") == LOGICAL + "Decimal" and isinstance(theirs, (int, float)):
        unscaled = int.from_bytes(base64.b64decode(ours), "big", signed=True)
        return abs(unscaled / 10 ** int(schema["parameters"]["scale"]) - theirs) <= 1e-9 * abs(theirs)
    if kind == "struct":
        return agrees_struct(schema, ours, theirs)
    if kind == "array":
        return len(ours) == len(theirs) and all(map(lambda a, b: agrees(schema["items"], a, b), ours, theirs))
    if kind == "map":
        return agrees_map(schema, ours, theirs)
    if kind == "float":
        return struct.unpack("f", struct.pack("f", ours)) == struct.unpack("f", struct.pack("f", theirs))
    return ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool)


def agrees_struct(schema, ours, theirs):
    """What is required and null is left out."""
    fields = schema["fields"]
    names = {field["field"] for field in fields}
    return names >= theirs.keys() and all(agrees(field, ours.get(field["field"]), theirs.get(field["field"])) for field in fields)


def agrees_map(schema, ours, theirs):
    keys, values = schema["keys"], schema["values"]
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(agrees(values, ours[key], theirs[key]) for key in ours)
    pairs = list(ours.items()) if isinstance(ours, dict) else ours
    same = lambda pair, entry: agrees(keys, pair[0], entry["key"]) and agrees(values, pair[1], entry["value"])
    return len(pairs) == len(theirs) and all(any(same(pair, entry) for entry in theirs) for pair in pairs)


def disagreement(envelope, schema, payload):
    data, schema, payload = json.loads(envelope), json.loads(json.loads(schema)), json.loads(payload)
    # Java names what is referred to by `id`, which draft 4 has.
    jsonschema.Draft4Validator.check_schema(schema)
    jsonschema.Draft4Validator(schema).validate(payload)
    return None if agrees(data["schema"], data["payload"], payload) else "is another value"


reading.report(disagreement)
