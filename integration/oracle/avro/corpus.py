"""Prints the corpus for Record.java, the same each time.

`from` lines hold an envelope of JsonConverter, `avro` lines an Avro schema and a datum in Avro's JSON."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from connect import (  # noqa: E402
    LOGICAL, PRIMITIVES, RANDOM, any_schema, any_struct, compact, default_of, print_from, schema_of,
)

OPTIONS = ["", ":connect.meta.data=false", ":enhanced.avro.schema.support=true"]


def print_primitives():
    for kind in PRIMITIVES:
        for more in ({}, {"optional": True}, {"name": "my.ns.N", "version": 3, "doc": "d", "parameters": {"k": "v"}}):
            print_from("", schema_of(kind, **more))
        for more in ({}, {"optional": True}):
            print_from("", schema_of(kind, default=default_of(schema_of(kind)), **more))
        for options in OPTIONS:
            fields = [schema_of(kind, optional=True, doc="field doc", field="f"),
                      schema_of(kind, field="g", default=default_of(schema_of(kind)))]
            docs = {"io.confluent.connect.avro.field.doc.f": "fd", "io.confluent.connect.avro.record.doc": "rd"}
            print_from(options, schema_of("struct", name="a.b.Top", doc="the record", version=2, fields=fields, parameters=docs))


def print_chosen():
    def struct(*fields, **more):
        return schema_of("struct", fields=[schema | {"field": name} for name, schema in fields], **more)

    def decimal(scale):
        return schema_of("bytes", name=LOGICAL + "Decimal", version=1, parameters={"scale": scale})

    union = struct(("int", schema_of("int32", optional=True)), ("string", schema_of("string", optional=True)),
                   name="io.confluent.connect.avro.Union")
    for options in OPTIONS:
        for schema in (
            struct(),
            struct(("a", schema_of("int32")), optional=True, name="O"),
            struct(("x", struct(("a", schema_of("int32")))), ("y", struct(("a", schema_of("string"))))),
            schema_of("array", items=schema_of("string", optional=True)),
            schema_of("map", keys=schema_of("string"), values=schema_of("bytes", optional=True)),
            schema_of("map", keys=schema_of("int32"), values=schema_of("string")),
            schema_of("map", keys=schema_of("string", optional=True), values=schema_of("int64")),
            struct(("no-good name", schema_of("int32")), name="bad-name.x y"),
            struct(("d", decimal("-2")), name="A"),
            struct(("d", decimal("70")), name="A"),
            decimal("2"),
            schema_of("int64", name=LOGICAL + "Timestamp", version=1, optional=True),
        ):
            print_from(options, schema)
        print_from(options, union, {"int": 5, "string": None})


# --- Avro schemas and data --------------------------------------------------------------------------------

def record(name, *fields, **more):
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name, schema, **more):
    return {"name": name, "type": schema, **more}


def print_avro(schema, *data):
    for options in OPTIONS:
        for datum in data:
            print(f"avro{options}\t{compact(schema)}\t{json.dumps(datum, ensure_ascii=False)}")


COLOR = {"type": "enum", "name": "n.Color", "symbols": ["RED", "GREEN"], "doc": "colors", "default": "RED"}
FOUR = {"type": "fixed", "name": "n.F4", "size": 4}


def print_avro_types():
    types = {"int": 5, "long": 2**40, "float": 1.5, "double": -2.5, "boolean": True, "string": "x", "bytes": "\x01\xff", "null": None}
    for kind, datum in types.items():
        print_avro(kind, datum)
        print_avro(record("R", field("a", kind)), {"a": datum})
        if kind != "null":
            print_avro(["null", kind], None, {kind: datum})
            print_avro([kind, "null"], {kind: datum}, None)
            print_avro(record("R", field("a", ["null", kind], default=None)), {"a": None}, {"a": {kind: datum}})
    logical = [("int", "date", 17), ("int", "time-millis", 1000), ("long", "time-micros", 10**6),
               ("long", "timestamp-millis", 10**12), ("long", "timestamp-micros", 10**15),
               ("long", "local-timestamp-millis", 10**12), ("long", "timestamp-nanos", 10**17),
               ("string", "uuid", "123e4567-e89b-12d3-a456-426614174000"), ("int", "no-such", 3)]
    schemas = [({"type": kind, "logicalType": name}, kind, datum) for kind, name, datum in logical]
    for precision in ({"precision": 10, "scale": 2}, {"precision": 64, "scale": 2}, {"precision": 3}):
        schemas.append(({"type": "bytes", "logicalType": "decimal", **precision}, "bytes", "\x01\x02"))
    named = {"connect.name": LOGICAL + "Timestamp", "connect.version": 1}
    schemas.append(({"type": "long", "logicalType": "timestamp-millis", **named}, "long", -1))
    for schema, kind, datum in schemas:
        print_avro(schema, datum)
        both = record("R", field("a", schema), field("b", ["null", schema], default=None))
        print_avro(both, {"a": datum, "b": {kind: datum}})
    print_avro({"type": "fixed", "name": "D", "size": 3, "logicalType": "decimal", "precision": 5, "scale": 2}, "\x00\x01\x02")
    print_avro({"type": "fixed", "name": "Du", "size": 12, "logicalType": "duration"}, "abcdefghijkl")


def print_avro_unions():
    print_avro(["int"], {"int": 3})
    print_avro(["null"], None)
    print_avro(["null", "int", "string"], None, {"int": 1}, {"string": "s"})
    print_avro(["int", "string", record("a.b.Inner", field("x", "long"))], {"int": 1}, {"a.b.Inner": {"x": 4}})
    many = ["null", "int", {"type": "array", "items": "string"}, {"type": "map", "values": "long"}]
    print_avro(record("R", field("u", many)), {"u": None}, {"u": {"array": ["a"]}}, {"u": {"map": {"k": 3}}})
    print_avro(COLOR, "GREEN")
    color = record("R", field("c", COLOR, doc="field doc"), field("d", ["null", "n.Color"], default=None))
    print_avro(color, {"c": "RED", "d": {"n.Color": "GREEN"}})
    print_avro(FOUR, "abcd")
    print_avro(record("R", field("c", FOUR), field("o", ["null", "n.F4"])), {"c": "abcd", "o": None})
    named = ["string", "int", COLOR, FOUR, record("w.I", field("k", "int"))]
    data = [{"string": "a"}, {"n.Color": "RED"}, {"n.F4": "aaaa"}, {"w.I": {"k": 1}}]
    print_avro(record("R", field("u", named)), *({"u": datum} for datum in data))
    print_avro(record("R", field("u", ["null", "string", "int"], default=None)), {"u": None}, {"u": {"int": 1}})


def print_avro_records():
    defaults = record(
        "R", field("a", "int", default=7), field("s", "string", default="dé"), field("b", "bytes", default="\xff"),
        field("arr", {"type": "array", "items": "int"}, default=[1, 2]),
        field("m", {"type": "map", "values": "int"}, default={"a": 1}), field("d", "double", default=1.0),
        field("l", "long", default=2**40), field("z", "boolean", default=True),
        field("n", record("N", field("q", "int")), default={"q": 3}), field("u", ["int", "null"], default=4),
        field("e", COLOR, default="GREEN"), field("x", FOUR, default="abcd"))
    print_avro(defaults, {"a": 1, "s": "x", "b": "y", "arr": [], "m": {}, "d": 0.5, "l": 1, "z": False,
                          "n": {"q": 1}, "u": None, "e": "RED", "x": "wxyz"})
    own = field("a", "int", doc="fdoc", order="descending", aliases=["old"])
    print_avro(record("ns.R", own, doc="rdoc", aliases=["Old"], custom="prop", **{"connect.name": "other.Name"}), {"a": 1})
    print_avro(record("io.confluent.connect.avro.ConnectDefault", field("a", "int")), {"a": 1})
    entry = record("io.confluent.connect.avro.MapEntry", field("key", "int"), field("value", "string"))
    print_avro({"type": "array", "items": entry}, [{"key": 1, "value": "a"}], [])
    entry = record("my.Map1", field("key", ["null", "string"]), field("value", "string"), **{"connect.internal.type": "MapEntry"})
    print_avro({"type": "array", "items": entry}, [{"key": {"string": "k"}, "value": "a"}])
    print_avro({"type": "array", "items": ["null", "int"]}, [None, {"int": 3}])
    print_avro({"type": "map", "values": ["null", record("V", field("q", "int"))]}, {"a": None, "b": {"V": {"q": 1}}})
    for kind, datum in (("int8", 5), ("int16", 5), ("int8", 300), ("nonsense", 5)):
        print_avro({"type": "int", "connect.type": kind}, datum)
    print_avro({"type": "string", "connect.parameters": {"a": "b"}, "connect.doc": "d", "connect.version": 4,
                "connect.name": "N", "connect.default": "df"}, "x")
    inner = ["null", {"type": "string", "connect.default": "q"}]
    print_avro(record("R", field("a", {"type": "int", "connect.default": 5}), field("b", inner)), {"a": 1, "b": None})
    nested = ["null", record("S", field("b", ["null", "int"], default=None))]
    print_avro(record("R", field("a", nested, default=None)), {"a": {"S": {"b": {"int": 3}}}})
    print_avro(record("R", field("a", record("x.S", field("b", "int"))), field("c", "x.S")), {"a": {"b": 1}, "c": {"b": 2}})
    print_avro(record("Node", field("v", "int"), field("next", ["null", "Node"], default=None)), {"v": 1, "next": None})
    print_avro(record("Empty"), {})
    print_avro({"type": "error", "name": "E", "fields": [field("a", "int")]}, {"a": 1})


print_primitives()
print_chosen()
for number in range(420):
    options = OPTIONS[0] if number % 3 else RANDOM.choice(OPTIONS)
    chosen = any_struct(0) if RANDOM.random() < 0.85 else any_schema()
    print_from(options, chosen)
print_avro_types()
print_avro_unions()
print_avro_records()
