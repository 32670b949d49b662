"""Prints the corpus of ProtobufConverter for Record.java, the same each time.

`from` lines hold an envelope of JsonConverter, `to` lines a schema, a message's name and the message in JSON."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import connect  # noqa: E402
from connect import (  # noqa: E402
    LOGICAL, PRIMITIVES, RANDOM, any_schema, any_struct, compact, decimal, default_of, logical, print_from,
    schema_of, struct,
)

SPACE = "io.confluent.connect.protobuf."
TAG, TYPE, ENUM, WRAPPER = SPACE + "Tag", SPACE + "Type", SPACE + "Enum", SPACE + "Wrapper"
SUM = "org.apache.kafka.connect.data."
connect.ENUM = ENUM
connect.SYMBOLS = {"RED": "0", "BLUE": "1"}
connect.enum_name = lambda name: name.rpartition(".")[2]
connect.enum_attributes = lambda name: {"name": name}

WRITING = ["", ":optional.for.nullables=true", ":wrapper.for.nullables=true", ":scrub.invalid.names=true",
           ":enhanced.protobuf.schema.support=true", ":ignore.default.for.nullables=true"]
READING = [":flatten.unions=true", ":generate.index.for.unions=false", ":generalized.sum.type.support=true",
           ":int.for.enums=true", ":generate.struct.for.nulls=true", ":optional.for.proto2=false",
           ":wrapper.for.raw.primitives=false"]


def tagged(schema, tag, **more):
    return schema | {"parameters": schema.get("parameters", {}) | {TAG: str(tag)} | more}


def color(name="my.ns.Color", kind="string", **more):
    return schema_of(kind, name=name, parameters={ENUM: name.rpartition(".")[2], ENUM + ".RED": "0", ENUM + ".BLUE": "7"}, **more)


# --- Connect data -----------------------------------------------------------------------------------------

def print_primitives():
    for kind in PRIMITIVES:
        for options in ["", ":wrapper.for.nullables=true", ":wrapper.for.raw.primitives=false"]:
            print_from(options, schema_of(kind))
        print_from("", schema_of(kind, optional=True, name="my.ns.N", version=3, doc="d", parameters={"k": "v"}))
        for options in WRITING:
            fields = struct(("f", schema_of(kind, optional=True, doc="field doc")),
                            ("g", schema_of(kind, default=default_of(schema_of(kind)))),
                            ("h", schema_of(kind, optional=True, default=default_of(schema_of(kind)))),
                            ("items", schema_of("array", items=schema_of(kind, optional=True))),
                            name="a.b.Top", doc="the record", version=2)
            print_from(options, fields)


def print_chosen():
    union = schema_of("struct", name=SPACE + "Union.kind", optional=True, fields=[
        tagged(schema_of("int32", optional=True), 4) | {"field": "number"},
        tagged(schema_of("string", optional=True), 5) | {"field": "text"},
        tagged(schema_of("string", optional=True), 6, **{WRAPPER: "true"}) | {"field": "wrapped"},
        tagged(struct(("x", schema_of("int32")), name="In", optional=True), 7) | {"field": "inner"}])
    for options in WRITING + READING:
        whole = struct(("id", tagged(schema_of("int64"), 1)), ("kind", union), name="a.Whole")
        empty = {"number": None, "text": None, "wrapped": None, "inner": None}
        for more in ({"number": 3}, {"text": ""}, {"wrapped": "w"}, {"inner": {"x": 0}}):
            print_from(options, whole, {"id": 1, "kind": empty | more})
        print_from(options, whole, {"id": 1, "kind": None})
        print_from(options, whole, {"id": 1, "kind": empty})
    for options in WRITING:
        same = struct(("a", schema_of("int32")), name="n.Same")
        for schema in (
            struct(),
            struct(name="Empty"),
            struct(("a", schema_of("int32")), optional=True, name="O"),
            struct(("x", struct(("a", schema_of("int32")))), ("y", struct(("a", schema_of("string"))))),
            struct(("x", same), ("y", same), ("z", schema_of("array", items=same)), name="Twice"),
            struct(("x", struct(("y", same), name="m.Mid")), ("z", same), name="Deep"),
            struct(("Same", same), ("y", same), name="n.Outer"),
            struct(("l", schema_of("array", items=schema_of("array", items=schema_of("int32")))), name="Nested"),
            struct(("m", schema_of("map", keys=schema_of("int32"), values=same)), name="M"),
            struct(("m", schema_of("map", keys=schema_of("string", optional=True), values=schema_of("int64", optional=True))), name="M"),
            struct(("m", schema_of("map", name="my_map", keys=schema_of("string"), values=schema_of("bytes"))),
                   ("n", schema_of("map", name="p.Other", keys=schema_of("boolean"), values=decimal(2))), name="M"),
            struct(("m", schema_of("map", keys=schema_of("string"), values=schema_of("array", items=schema_of("string")))), name="M"),
            struct(("m", schema_of("array", items=schema_of("map", keys=schema_of("string"), values=schema_of("string")))), name="M"),
            struct(("m", schema_of("map", keys=schema_of("float"), values=schema_of("double"))), name="M"),
            struct(("no-good name", schema_of("int32")), ("1st", schema_of("int32")), ("_u", schema_of("string")), ("ünï", schema_of("string")), name="bad-name.x y"),
            struct(("d", decimal(-2)), name="A"),
            struct(("d", decimal(70)), ("e", decimal(2, optional=True)), name="A"),
            struct(("e", color()), ("f", color(optional=True)), ("g", schema_of("array", items=color())), name="E"),
            struct(("e", color(kind="int32")), name="E"),
            struct(("e", color("a.Other")), ("f", color("b.Other")), name="E"),
            struct(("t", tagged(schema_of("int32"), 9, **{TYPE: "sint32"})), ("u", tagged(schema_of("int64"), 3, **{TYPE: "fixed64"})),
                   ("v", tagged(schema_of("int64", optional=True), 4, **{TYPE: "uint32"})), ("w", schema_of("int32")), name="T"),
            struct(("a", schema_of("int32", default=5)), ("b", schema_of("string", default='q"\\u00e9\n')),
                   ("c", schema_of("double", default=1.5)), ("d", schema_of("boolean", default=True)), name="D"),
            struct(("message", schema_of("int32")), ("repeated", schema_of("string")), ("syntax", schema_of("string")), name="option"),
            schema_of("array", items=schema_of("string")),
            schema_of("map", keys=schema_of("string"), values=schema_of("string")),
            decimal(2),
            logical("Timestamp", "int64", optional=True),
        ):
            print_from(options, schema)
        dates = struct(("d", logical("Date", "int32")), ("t", logical("Time", "int32")), ("s", logical("Timestamp", "int64")),
                       ("o", logical("Timestamp", "int64", optional=True)), name="L")
        for days, millis, stamp in ((0, 0, 0), (19_000, 86_399_999, 1_600_000_000_123), (-1, 1, -1), (-141_428, 5, -10**13),
                                    (2_932_896, 1000, 253402300799999), (-719_162, 0, -62135596800000)):
            print_from(options, dates, {"d": days, "t": millis, "s": stamp, "o": None})
    sums = {SUM + "Union": "either"}
    either = schema_of("struct", name="either", optional=True, parameters=sums, fields=[
        tagged(schema_of("int32", optional=True), 2) | {"field": "a"}, tagged(schema_of("string", optional=True), 3) | {"field": "b"}])
    symbols = schema_of("string", name="Col", parameters={SUM + "Enum": "Col", SUM + "Enum.A": "0", SUM + "Enum.B": "1"})
    for options in ["", ":generalized.sum.type.support=true"]:
        print_from(options, struct(("u", either), ("e", tagged(symbols, 9)), name="S"), {"u": {"a": 1, "b": None}, "e": "B"})


# --- Messages ---------------------------------------------------------------------------------------------

def to(schema, name, *messages, options=("",), references=()):
    text = compact({"schema": schema, "references": references} if references else schema)
    for one in options:
        for message in messages:
            message = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
            print(f"to{one}\t{text}\t{name}\t{message}")


SCALARS = ["double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
           "sfixed64", "bool", "string", "bytes"]
MOST = {"double": 1.5, "float": -0.25, "int32": -2**31, "int64": str(-2**63), "uint32": 2**32 - 1, "uint64": str(2**64 - 1),
        "sint32": -5, "sint64": "-7", "fixed32": 2**32 - 1, "fixed64": str(2**64 - 1), "sfixed32": -9, "sfixed64": "-11",
        "bool": True, "string": "Grüße \U0001F600", "bytes": "AP8="}
ALL = [""] + WRITING[1:] + READING


def print_scalars():
    for kind in SCALARS:
        fields = f"{kind} one = 1; optional {kind} maybe = 2; repeated {kind} many = 3;"
        schema = f'syntax = "proto3"; message M {{ {fields} }}'
        to(schema, "M", {}, {"one": MOST[kind], "maybe": MOST[kind], "many": [MOST[kind]] * 2}, options=ALL)
        packed = "" if kind in ("string", "bytes") else f"repeated {kind} packed = 4 [packed = true];"
        schema = f'syntax = "proto2"; package p; message M {{ required {kind} one = 1; optional {kind} maybe = 2; repeated {kind} many = 3; {packed} }}'
        to(schema, "p.M", {"one": MOST[kind]}, {"one": MOST[kind], "maybe": MOST[kind], "many": [MOST[kind]] * 2},
           options=["", ":optional.for.nullables=true", ":optional.for.proto2=false", ":generate.struct.for.nulls=true"])
    keys = [kind for kind in SCALARS if kind not in ("double", "float", "bytes")]
    for kind in keys:
        key = {"bool": "true", "string": "k"}.get(kind, str(MOST[kind]))
        to(f'syntax = "proto3"; message M {{ map<{kind}, string> by_key = 1; }}', "M", {}, {"byKey": {key: "v"}})
    for kind in SCALARS:
        to(f'syntax = "proto3"; message M {{ map<string, {kind}> by = 1; }}', "M", {"by": {"k": MOST[kind]}})


WRAPPERS = ["Double", "Float", "Int32", "Int64", "UInt32", "UInt64", "Bool", "String", "Bytes"]


def print_known_types():
    for wrapper in WRAPPERS:
        most = MOST[wrapper.lower()]
        schema = f'''syntax = "proto3"; package w; import "google/protobuf/wrappers.proto";
          message M {{ google.protobuf.{wrapper}Value one = 1; repeated google.protobuf.{wrapper}Value many = 2;
          oneof either {{ google.protobuf.{wrapper}Value a = 3; {wrapper.lower()} b = 4; }}
          map<string, google.protobuf.{wrapper}Value> by = 5; }}'''
        to(schema, "w.M", {}, {"one": most, "many": [most], "a": most, "by": {"k": most}}, {"b": most}, options=ALL)
    schema = '''syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/type/date.proto";
      import "google/type/timeofday.proto"; import "confluent/type/decimal.proto"; import "confluent/meta.proto";
      message M { google.protobuf.Timestamp at = 1; google.type.Date day = 2; google.type.TimeOfDay time = 3;
      confluent.type.Decimal price = 4 [(confluent.field_meta) = { params: [{ key: "scale", value: "2" }, { key: "precision", value: "10" }] }];
      repeated google.protobuf.Timestamp all = 5; map<string, google.type.Date> days = 6; confluent.type.Decimal bare = 7;
      oneof one { google.protobuf.Timestamp t = 8; confluent.type.Decimal d = 9; } }'''
    to(schema, "M", {}, {"at": "2024-02-29T12:34:56.789123456Z", "day": {"year": 2024, "month": 2, "day": 29},
                         "time": {"hours": 23, "minutes": 59, "seconds": 59, "nanos": 999999999},
                         "price": {"value": "AN4=", "precision": 3, "scale": 2}, "all": ["1969-12-31T23:59:59.999Z"],
                         "days": {"k": {"year": 1600, "month": 1, "day": 1}}, "bare": {"value": "Aw=="}, "t": "0001-01-01T00:00:00Z"},
       {"d": {"value": "AN4=", "scale": 0}}, {"price": {"value": "AN4=", "scale": 4}}, {"price": {}}, {"price": {"value": ""}},
       {"day": {"year": 2024, "month": 2, "day": 30}}, {"day": {}}, {"day": {"year": 2024}}, {"time": {"hours": 24}}, {"time": {}},
       {"day": {"year": 1582, "month": 10, "day": 10}}, {"day": {"year": 1500, "month": 3, "day": 1}}, {"at": "1970-01-01T00:00:00Z"},
       options=["", ":wrapper.for.nullables=true", ":generate.struct.for.nulls=true", ":flatten.unions=true"])
    any_types = '''syntax = "proto3"; import "google/protobuf/duration.proto"; import "google/protobuf/empty.proto";
      import "google/protobuf/field_mask.proto"; import "google/type/money.proto"; import "google/type/latlng.proto";
      import "google/type/dayofweek.proto"; import "google/protobuf/any.proto";
      message M { google.protobuf.Duration d = 1; google.protobuf.Empty e = 2; google.protobuf.FieldMask f = 3; google.protobuf.Any a = 6;
      google.type.Money m = 4; google.type.LatLng l = 5; google.type.DayOfWeek w = 7; }'''
    to(any_types, "M", {}, {"d": "1.5s", "e": {}, "f": "a,b.c", "m": {"currencyCode": "EUR", "units": "3"}, "l": {"latitude": 1.5}, "w": "MONDAY"})
    for name, kind, value in (
        ("calendar_period", "CalendarPeriod", "WEEK"), ("color", "Color", {"red": 1.5, "alpha": 0.5}), ("decimal", "Decimal", {"value": "1.5"}),
        ("datetime", "DateTime", {"year": 2024, "timeZone": {"id": "UTC"}}), ("expr", "Expr", {"title": "t"}), ("fraction", "Fraction", {"numerator": "1"}),
        ("interval", "Interval", {"startTime": "2024-01-01T00:00:00Z"}), ("month", "Month", "MAY"), ("phone_number", "PhoneNumber", {"shortCode": {"number": "1"}}),
        ("postal_address", "PostalAddress", {"addressLines": ["a", "b"], "organization": "o"}), ("quaternion", "Quaternion", {"w": 1})):
        to(f'syntax = "proto3"; import "google/type/{name}.proto"; message M {{ google.type.{kind} v = 1; }}', "M", {"v": value})
    to('syntax = "proto3"; import "google/protobuf/struct.proto"; message M { google.protobuf.Struct s = 1; }', "M", {}, {"s": {"a": 1}})
    to('syntax = "proto3"; import "google/protobuf/struct.proto"; message M { google.protobuf.Value v = 1; int32 a = 2; }', "M", {"a": 1}, {"v": "x"})
    to('syntax = "proto3"; import "confluent/type/variant.proto"; message M { confluent.type.Variant v = 1; int32 a = 2; }', "M", {"a": 1}, {"v": {"metadata": "AQAA", "value": "DAU="}})
    variant = struct(("metadata", schema_of("bytes")), ("value", schema_of("bytes")), name=LOGICAL + "Variant")
    print_from("", struct(("v", variant), name="V"), {"v": {"metadata": "AQAA", "value": "DAU="}})


def print_shapes():
    shapes = '''syntax = "proto3"; package s.t;
      message Outer { Inner inner = 2; repeated Inner many = 1; Color color = 5; repeated Color colors = 6; map<int32, Inner> by = 7;
        map<string, Color> colored = 8; Other other = 9;
        message Inner { int32 a = 1; Deep deep = 2; message Deep { string s = 1; } }
        enum Color { UNKNOWN = 0; RED = 1; BLUE = 5; }
        oneof first { string text = 10; Inner nested = 11; Color tint = 12; }
        oneof second { int64 number = 13; bytes raw = 14; } }
      message Other { Outer.Inner.Deep deep = 1; Outer.Color color = 2; }'''
    inner = {"a": 1, "deep": {"s": "x"}}
    to(shapes, "s.t.Outer", {}, {"inner": inner, "many": [inner, {}], "color": "BLUE", "colors": ["RED", "UNKNOWN"], "by": {"3": inner},
                                 "colored": {"k": "RED"}, "other": {"deep": {"s": "y"}, "color": "RED"}, "text": "t", "number": "5"},
       {"nested": {}, "raw": ""}, {"tint": "UNKNOWN"}, {"color": 9}, {"text": ""}, {"inner": {"deep": {}}}, options=ALL)
    to(shapes, "s.t.Other", {"color": "BLUE"}, options=["", ":enhanced.protobuf.schema.support=true"])
    to(shapes, "s.t.Outer.Inner.Deep", {"s": "deep"}, {})
    proto2 = '''syntax = "proto2"; package two; message M { optional int32 a = 1 [default = -5]; optional string s = 2 [default = "hey"];
      optional E e = 3 [default = B]; required bool r = 4; optional bytes b = 10 [default = "x"]; optional double d = 11 [default = inf];
      optional uint64 u = 12 [default = 18446744073709551615]; enum E { A = 1; B = 2; } repeated int32 p = 13 [packed = true];
      oneof o { int32 k = 14; string l = 15; } extensions 100 to 200; optional sint32 z = 16 [default = -7]; }
      extend M { optional int32 ext = 100; }'''
    full = {"a": 1, "s": "x", "e": "A", "r": True, "b": "AQ==",
            "d": 1.5, "u": "3", "p": [1, 2], "l": "l", "z": 4}
    to(proto2, "two.M", {"r": False}, full, options=ALL)
    groups = '''syntax = "proto2"; message M { optional int32 a = 1; repeated group Result = 5 { required string url = 6; optional int32 n = 7; }
      optional group One = 8 { optional int32 x = 9; } }'''
    to(groups, "-", "000801", "002b3201612c", "002b3201612c2b32016238052c43480344")
    to('syntax = "proto2"; message M { enum E { option allow_alias = true; X = 0; Y = 0; Z = -1; } optional E e = 1; repeated E es = 2; }', "M",
       {}, {"e": "Y", "es": ["Z", "X"]}, options=["", ":int.for.enums=true", ":generalized.sum.type.support=true"])
    to('message M { optional int32 a = 1; }', "M", {}, {"a": 3})
    to('syntax = "proto2"; message M { optional string s = 1 [default = "hey\\n"]; optional bytes b = 2 [default = "\\001x"]; }', "M", {}, {"s": "a"})
    recursive = 'syntax = "proto3"; message Node { int32 v = 1; Node next = 2; }'
    to(recursive, "Node", {}, {"v": 1, "next": {"v": 2}})
    to('syntax = "proto3"; message A { int32 a = 1; B b = 2; } message B { string s = 1; C c = 2; } message C { repeated B bs = 1; }', "A", {"a": 1})
    names = '''syntax = "proto3"; package n; message M { int32 camelCase = 1; int32 snake_case = 2; int32 UPPER = 3; int32 x = 4 [json_name = "y"];
      map<string, int32> some_map = 5; map<string, int32> otherMap = 6; repeated FakeEntry fake = 7; message FakeEntry { string key = 1; int32 value = 2; }
      repeated RealEntry real = 8; message RealEntry { string key = 1; int32 value = 2; int32 more = 3; } reserved 20, 30 to 40; reserved "gone"; }'''
    to(names, "n.M", {}, {"camelCase": 1, "snakeCase": 2, "UPPER": 3, "y": 4, "someMap": {"a": 1}, "otherMap": {"b": 2},
                          "fake": [{"key": "f", "value": 3}, {"value": 4}], "real": [{"key": "r"}]}, options=["", ":enhanced.protobuf.schema.support=true"])
    meta = '''syntax = "proto3"; import "confluent/meta.proto"; option java_package = "x.y"; option (confluent.file_meta) = { doc: "file" };
      message M { option (confluent.message_meta).doc = "msg"; int32 i8 = 1 [(confluent.field_meta) = { params: [{ key: "connect.type", value: "int8" }] }];
      int32 i16 = 2 [(confluent.field_meta).params = { key: "connect.type", value: "int16" }, deprecated = true];
      string s = 3 [(confluent.field_meta) = { doc: "d", tags: ["PII"] }]; repeated int32 many8 = 4 [(confluent.field_meta) = { params: [{ key: "connect.type", value: "int8" }] }]; }'''
    to(meta, "M", {}, {"i8": -128, "i16": 300, "s": "x", "many8": [1, 2]}, {"i8": 200})
    to(meta.replace('import "confluent/meta.proto";', ""), "M", {"i8": 1})
    to('syntax = "proto3"; message Top { message Mid { message Low { int32 x = 1; } Low low = 1; } int32 y = 1; } message Next { Top.Mid.Low l = 1; }',
       "Next", {"l": {"x": 3}})
    to('syntax = "proto3"; option java_multiple_files = true; service S { rpc Call (M) returns (M); } message M { int32 a = 1; }', "M", {"a": 1})
    editions = 'edition = "2023"; package e; message M { int32 a = 1; string s = 2 [features.field_presence = IMPLICIT]; repeated int32 p = 3; }'
    to(editions, "e.M", {}, {"a": 1, "s": "x", "p": [1]})


def print_references():
    other = 'syntax = "proto3"; package o; message Other { int32 a = 1; enum E { X = 0; Y = 1; } }'
    own = 'syntax = "proto3"; package m; import "other.proto"; message M { o.Other other = 1; o.Other.E e = 2; }'
    to(own, "m.M", {}, {"other": {"a": 1}, "e": "Y"}, references=[["other.proto", other]], options=["", ":enhanced.protobuf.schema.support=true"])
    base = 'syntax = "proto3"; message Base { string s = 1; }'
    middle = 'syntax = "proto3"; import public "dir/base.proto"; message Middle { Base base = 1; }'
    own = 'syntax = "proto3"; import "middle.proto"; message M { Middle middle = 1; Base base = 2; }'
    references = [["dir/base.proto", base], ["middle.proto", middle]]
    to(own, "M", {"middle": {"base": {"s": "x"}}, "base": {"s": "y"}}, references=references)


def print_bytes():
    schema = 'syntax = "proto3"; package p; message A { int32 a = 1; B b = 2; repeated int32 many = 3; string s = 4; } message B { int32 x = 1; message C { int32 y = 1; } }'
    for line in ("00", "000801", "0200" "0801", "0202" "0803", "040200" "0801", "0206", "0400", "08", "00" "08", "00" "0801" "0802", "00" "12020801" "12020801",
                 "00" "1803" "1804", "00" "1a020304" "1805", "00" "0dffffffff", "00" "2201ff", "00" "9a0601ff" "0801", "00" "9306" "0801" "9406", "00" "22" "7f",
                 "00" "08ffffffff0f", "00" "08ffffffffffffffffff01", "00" "08808080808080808080808001", "00" "1200", "01" "0801", "0401" "00", "00" "1208" "01"):
        to(schema, "-", line)
    numbers = 'syntax = "proto3"; message A { uint32 u = 1; int32 i = 2; bool b = 3; sint32 s = 4; E e = 5; enum E { X = 0; Y = 1; } }'
    for line in ("00" "08ffffffffffffffffff01", "00" "10ffffffff1f", "00" "1802", "00" "20ffffffffff1f", "00" "2863", "00" "28ffffffffffffffffff01"):
        to(numbers, "-", line)
    closed = 'syntax = "proto2"; message A { optional E e = 5; repeated E es = 6; enum E { X = 0; Y = 1; } map<string, E> by = 7; }'
    for line in ("00" "2863", "00" "30013063", "00" "3a050a016b1063", "00" "3a050a016b1001"):
        to(closed, "-", line)


def print_strict():
    """Pairs of schemas: what is written with the first must be read with the second."""
    base = "int32 a = 1; string b = 2; repeated int32 l = 3;"
    bodies = [base, "int32 a = 1;", base + " int32 c = 4;", "int64 a = 1; string b = 2; repeated int32 l = 3;", "sint32 a = 1; string b = 2;", "string a = 1;",
              "int32 renamed = 1; string b = 2; repeated int32 l = 3;", "bytes b = 2; int32 a = 1;", "uint32 a = 1; bool z = 9;", "fixed32 a = 1;", "double a = 1;", "repeated int32 a = 1;",
              "oneof o { int32 a = 1; string b = 2; }", "oneof o { int32 a = 1; }", "E a = 1; enum E { X = 0; Y = 1; }", "E a = 1; enum E { X = 0; }", "In a = 1; message In { int32 x = 1; }",
              "In a = 1; message In { int64 x = 1; string y = 2; }", "Out a = 1; message Out { int32 x = 1; }", "map<string, int32> a = 1;", "optional int32 a = 1; string b = 2;", ""]
    schemas = [compact(f'syntax = "proto3"; message M {{ {body} }}') for body in bodies]
    schemas += [compact(text) for text in ('syntax = "proto3"; message N { int32 a = 1; }', 'syntax = "proto3"; package p; message M { int32 a = 1; }',
                                           'syntax = "proto3"; message M { int32 a = 1; } message N { int32 a = 1; }', 'syntax = "proto2"; message M { required int32 a = 1; }',
                                           'syntax = "proto2"; message M { optional int32 a = 1; }')]
    for ours in schemas:
        for latest in schemas:
            print(f"strict\t{ours}\t{latest}")


print_primitives()
print_chosen()
print_strict()
for number in range(300):
    options = "" if number % 3 else RANDOM.choice(WRITING + READING)
    chosen = any_struct(0) if RANDOM.random() < 0.9 else any_schema()
    print_from(options, chosen)
print_scalars()
print_known_types()
print_shapes()
print_references()
print_bytes()
