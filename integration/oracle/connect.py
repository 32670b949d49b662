"""Connect schemas and values for the corpora, the same each time, as envelopes of JsonConverter."""

import base64
import json
import random

RANDOM = random.Random(7)
LOGICAL = "org.apache.kafka.connect.data."
PRIMITIVES = ["int8", "int16", "int32", "int64", "float", "double", "boolean", "string", "bytes"]
TEXTS = ["", "a", "Grüße", "日本", "\U0001F600 x", 'line\nbreak\t"q"', "x" * 70]
# The parameter of enums and the values of its symbols, which each format has its own of.
ENUM = "io.confluent.connect.avro.Enum"
SYMBOLS = {"RED": "RED", "BLUE": "BLUE"}
names = 0


def enum_name(name):
    """What the parameter of an enum says of its name."""
    return name


def enum_attributes(_name):
    """What else the schema of an enum has."""
    return {}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def schema_of(kind, **more):
    return {"type": kind, **more}


def struct(*fields, **more):
    return schema_of("struct", fields=[schema | {"field": name} for name, schema in fields], **more)


def logical(name, kind, **more):
    return schema_of(kind, name=LOGICAL + name, version=1, **more)


def decimal(scale, **more):
    return logical("Decimal", "bytes", parameters={"scale": str(scale)}, **more)


def base64_of(length):
    return base64.b64encode(bytes(RANDOM.randrange(256) for _ in range(length))).decode()


def integer(bits, common):
    most = 2 ** (bits - 1)
    return RANDOM.choice([-most, most - 1, 0, RANDOM.randrange(-common, common)])


def value_of(schema):
    if schema.get("optional") and RANDOM.random() < 0.25:
        return None
    kind, logical = schema["type"], schema.get("name", "").removeprefix(LOGICAL)
    parameters = schema.get("parameters", {})
    if logical == "Decimal":
        return base64_of(RANDOM.choice([1, 2, 5, 9]))
    if logical in ("Date", "Time", "Timestamp"):
        least, most = {"Date": (-40_000, 40_000), "Time": (0, 86_400_000), "Timestamp": (-10**13, 10**13)}[logical]
        return RANDOM.randrange(least, most)
    if kind.startswith("int"):
        bits = int(kind[3:])
        return integer(bits, min(10 ** (bits // 5), 2 ** (bits - 1)))
    if kind in ("float", "double"):
        return RANDOM.choice([0.0, 1.5, -2.25, 1e10, 3.0, 0.1 if kind == "double" else 0.5])
    if kind == "boolean":
        return RANDOM.random() < 0.5
    if kind == "string":
        symbols = [key.removeprefix(ENUM + ".") for key in parameters if key.startswith(ENUM + ".")]
        return RANDOM.choice(symbols or TEXTS)
    if kind == "bytes":
        return base64_of(int(parameters.get("connect.fixed.size", RANDOM.choice([0, 1, 3, 20]))))
    if kind == "array":
        return [value_of(schema["items"]) for _ in range(RANDOM.randrange(4))]
    if kind == "map":
        return map_of(schema)
    return {field["field"]: value_of(field) for field in schema["fields"]}


def map_of(schema):
    keys, values = schema["keys"], schema["values"]
    if keys["type"] == "string":
        return {key: value_of(values) for key in RANDOM.sample(["a", "b", "ключ", "k 1"], RANDOM.randrange(4))}
    entries = {}
    for _ in range(RANDOM.randrange(3)):
        key = value_of(keys | {"optional": False})
        entries[compact(key)] = [key, value_of(values)]
    return list(entries.values())


def default_of(schema):
    return value_of({key: value for key, value in schema.items() if key != "optional"})


def numbered(name):
    global names
    names += 1
    return f"{name}{names}"


def any_logical():
    logical = RANDOM.choice(["Decimal", "Date", "Time", "Timestamp"])
    kind = {"Decimal": "bytes", "Timestamp": "int64"}.get(logical, "int32")
    schema = schema_of(kind, name=LOGICAL + logical, version=1)
    if logical == "Decimal":
        schema["parameters"] = {"scale": str(RANDOM.choice([0, 2, 9]))}
        if RANDOM.random() < 0.5:
            schema["parameters"]["connect.decimal.precision"] = str(RANDOM.choice([10, 38]))
    return schema


def any_map(depth):
    optional = {"optional": True} if RANDOM.random() < 0.4 else {}
    keys = schema_of("string") if RANDOM.random() < 0.6 else schema_of(RANDOM.choice(["int32", "string", "int64"]), **optional)
    schema = schema_of("map", keys=keys, values=any_schema(depth + 1))
    if RANDOM.random() < 0.3:
        schema["name"] = numbered("my.maps.M")
    return schema


def any_kind(depth):
    dice = RANDOM.random()
    if depth < 3 and dice < 0.12:
        return schema_of("array", items=any_schema(depth + 1))
    if depth < 3 and dice < 0.22:
        return any_map(depth)
    if depth < 3 and dice < 0.4:
        return any_struct(depth + 1)
    if dice < 0.55:
        return any_logical()
    if dice < 0.6:
        name = numbered("my.ns.Color")
        symbols = {ENUM: enum_name(name)} | {f"{ENUM}.{name}": value for name, value in SYMBOLS.items()}
        return schema_of("string", parameters=symbols, **enum_attributes(name))
    if dice < 0.64:
        size = {"connect.fixed.size": RANDOM.choice(["4", "16"])}
        return schema_of("bytes", name=numbered("my.ns.Fixed"), parameters=size)
    return schema_of(RANDOM.choice(PRIMITIVES))


def any_schema(depth=0):
    schema = any_kind(depth)
    if RANDOM.random() < 0.35:
        schema["optional"] = True
    if RANDOM.random() < 0.12:
        schema["doc"] = RANDOM.choice(["a doc", 'with "quotes" and ünïcode', ""])
    if RANDOM.random() < 0.08:
        schema.setdefault("version", RANDOM.randrange(1, 9))
    if RANDOM.random() < 0.08:
        schema.setdefault("name", RANDOM.choice(["plain", "my.types.T", "com.example.Named"]))
    if RANDOM.random() < 0.08:
        schema.setdefault("parameters", {}).update({"p.1": "v", "b": "ü"})
    if RANDOM.random() < 0.12 and schema["type"] != "struct":
        schema["default"] = default_of(schema)
    return schema


def any_struct(depth):
    schema = schema_of("struct", fields=[])
    if RANDOM.random() < 0.8:
        schema["name"] = numbered(RANDOM.choice(["Rec", "my.ns.Rec", "com.example.deep.Inner"]))
    for at in range(RANDOM.randrange(0 if depth > 1 else 1, 6)):
        name = RANDOM.choice(["id", "name", "a_b", "x", "Value", "f"])
        schema["fields"].append(any_schema(depth) | {"field": f"{name}{at}"})
    return schema


def print_from(options, schema, *value):
    envelope = {"schema": schema, "payload": value[0] if value else value_of(schema)}
    print(f"from{options}\t{compact(envelope)}")
