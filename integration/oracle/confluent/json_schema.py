"""Prints the corpus of JsonSchemaConverter for Record.java, the same each time.

`from` lines hold an envelope of JsonConverter, `to` lines a schema and a payload."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import connect  # noqa: E402
from connect import (  # noqa: E402
    LOGICAL, PRIMITIVES, RANDOM, any_schema, any_struct, compact, decimal, default_of, logical, print_from,
    schema_of, struct,
)

SPACE = "io.confluent.connect.json."
SUM = "org.apache.kafka.connect.data."
connect.ENUM = SPACE + "Enum"

WRITING = ["", ":decimal.format=NUMERIC", ":object.additional.properties=false", ":ignore.default.for.nullables=true",
           ":generalized.sum.type.support=true"]
READING = [":use.optional.for.nonrequired=true", ":flatten.singleton.unions=false",
           ":json.fail.invalid.schema=true", ":ignore.modern.dialects=true"]
ALL = WRITING + READING


# --- Connect data -----------------------------------------------------------------------------------------

def print_primitives():
    for kind in PRIMITIVES:
        for more in ({}, {"optional": True}, {"name": "my.ns.N", "version": 3, "doc": "d", "parameters": {"k": "v", "zz": "1", "a.b": ""}}):
            print_from("", schema_of(kind, **more))
        for more in ({}, {"optional": True}):
            print_from("", schema_of(kind, default=default_of(schema_of(kind)), **more))
        for options in WRITING:
            fields = struct(("f", schema_of(kind, optional=True, doc="field doc")),
                            ("g", schema_of(kind, default=default_of(schema_of(kind)))),
                            ("h", schema_of(kind, optional=True, default=default_of(schema_of(kind)))),
                            ("items", schema_of("array", items=schema_of(kind, optional=True))),
                            name="a.b.Top", doc="the record", version=2)
            print_from(options, fields)


def print_chosen():
    union = struct((SPACE + "OneOf.field.0", schema_of("int32", optional=True)),
                   (SPACE + "OneOf.field.1", schema_of("string", optional=True)),
                   (SPACE + "OneOf.field.2", struct(("x", schema_of("int32")), name="In", optional=True)),
                   name=SPACE + "OneOf", optional=True)
    general = struct(("connect_union_field_0", schema_of("int32", optional=True)), ("connect_union_field_1", schema_of("string", optional=True)),
                     name="connect_union_0", parameters={SUM + "Union": "connect_union_0"})
    symbols = schema_of("string", parameters={SUM + "Enum": "", SUM + "Enum.A": "0", SUM + "Enum.B": "1"})
    holes = schema_of("string", parameters={SPACE + "Enum": "", SPACE + "Enum.A": "A", SPACE + "Enum.<NULL>": "<NULL>"}, optional=True)
    same = struct(("a", schema_of("int32")), name="n.Same", parameters={SPACE + "Id": "#id1"})
    many = [(name, schema_of("int32", optional=True)) for name in
            ["id", "name", "created_at", "updated_at", "a", "b", "c", "type", "value", "key", "x1", "x2", "Ä", "zz", "customer_id", "price"]]
    for options in ALL:
        for value in ({"0": 3, "1": None, "2": None}, {"0": None, "1": "", "2": None}, {"0": None, "1": None, "2": {"x": 1}}, {"0": None, "1": None, "2": None}):
            value = {f"{SPACE}OneOf.field.{key}": one for key, one in value.items()}
            print_from(options, struct(("u", union), name="U"), {"u": value})
        print_from(options, struct(("u", union), name="U"), {"u": None})
        print_from(options, struct(("u", general), ("e", symbols), ("h", holes), name="S"), {"u": {"connect_union_field_0": 1, "connect_union_field_1": None}, "e": "B", "h": "A"})
    for options in WRITING + [":use.optional.for.nonrequired=true"]:
        for schema in (
            struct(),
            struct(name="Empty"),
            struct(("a", schema_of("int32")), optional=True, name="O"),
            struct(("x", struct(("a", schema_of("int32")))), ("y", struct(("a", schema_of("string")), optional=True))),
            struct(("x", same), ("y", same), ("z", schema_of("array", items=same)), name="Twice"),
            struct(*many, name="Many"),
            struct(*many[:3], name="Three"), struct(*many[:6], name="Six"), struct(*many[:12], name="Twelve"), struct(*many[:13], name="Thirteen"),
            schema_of("array", items=schema_of("array", items=schema_of("int32", optional=True))),
            schema_of("map", keys=schema_of("string"), values=schema_of("bytes", optional=True)),
            schema_of("map", keys=schema_of("int32"), values=schema_of("string"), name="m.M"),
            schema_of("map", keys=schema_of("string", optional=True), values=schema_of("int64", doc="d")),
            struct(("m", schema_of("map", keys=schema_of("boolean"), values=same)), name="M"),
            struct(("no-good name", schema_of("int32")), ("1st", schema_of("int32")), ("q\"\\/\n", schema_of("string")), ("ünï\U0001F600", schema_of("string")), name="bad name\U0001F600"),
            struct(("d", decimal(-2)), name="A"),
            struct(("d", decimal(70)), ("e", decimal(2, optional=True)), ("f", decimal(0, default="AN4=")), name="A"),
            struct(("d", logical("Date", "int32")), ("t", logical("Time", "int32")), ("s", logical("Timestamp", "int64", optional=True)),
                   ("f", logical("Timestamp", "int64", default=1234567890123)), name="L"),
            struct(("a", struct(("b", schema_of("int32", default=4)), name="B")), ("l", schema_of("array", items=schema_of("int32"), default=[1, 2])),
                   ("m", schema_of("map", keys=schema_of("string"), values=schema_of("double"), default={"k": 1.0})), name="D"),
            struct(("a", schema_of("float", default=0.1)), ("b", schema_of("double", default=1e300)), ("c", schema_of("double", default=1e-7)),
                   ("d", schema_of("int64", default=2**62)), ("e", schema_of("string", default="q\"\\/é\u2028\U0001F600")), ("f", schema_of("boolean", default=False)), name="F"),
            decimal(2), decimal(2, optional=True), logical("Timestamp", "int64", optional=True), logical("Date", "int32"),
        ):
            print_from(options, schema)
        print_from(options, struct(("f", schema_of("float")), ("d", schema_of("double"))), {"f": 1e10, "d": 1e-10})
        print_from(options, struct(("f", schema_of("float")), ("d", schema_of("double"))), {"f": 1e-5, "d": 123456789.125})
    # An optional null on its own, and defaults in its place.
    for schema in (schema_of("string", optional=True), schema_of("int32", default=3), schema_of("int32", default=3, optional=True), struct(("a", schema_of("int32")), optional=True)):
        for options in ["", ":ignore.default.for.nullables=true"]:
            print_from(options, schema, None)


# --- Schemas of others ------------------------------------------------------------------------------------

def to(schema, *payloads, options=("",), references=()):
    text = schema if isinstance(schema, str) else compact(schema)
    quoted = compact({"schema": text, "references": references} if references else text)
    for one in options:
        for payload in payloads:
            print(f"to{one}\t{quoted}\t{payload if isinstance(payload, str) else compact(payload)}")


def print_types():
    values = ['null', 'true', '0', '1', '-1', '1.0', '1.5', '1e2', '1e300', '300', '70000', '9223372036854775808', '"a"', '"AQI="', '""', '"no base64!"', '[]', '[1]', '[null]', '{}', '{"a":1}']
    for kind in ("boolean", "integer", "number", "string", "null"):
        to({"type": kind}, *values)
    for kind in ("int8", "int16", "int32", "int64", "float32", "float64"):
        to({"type": "integer" if kind.startswith("int") else "number", "connect.type": kind}, *values)
        to({"type": ["integer", "null"], "connect.type": kind}, "1", "null")
    to({"type": "string", "connect.type": "bytes"}, *values)
    to({"type": "number", "title": LOGICAL + "Decimal", "connect.version": 1, "connect.type": "bytes", "connect.parameters": {"scale": "2"}}, "1.5", "1.50", "150", '"AN4="', '"x"')
    to({"type": "string", "title": LOGICAL + "Decimal", "connect.version": 1, "connect.type": "bytes", "connect.parameters": {"scale": "2"}}, "1.5", "1.50", '"AN4="', '"x"')
    for name in ("Date", "Time", "Timestamp"):
        to({"type": "integer", "title": LOGICAL + name, "connect.version": 1, "connect.type": "int64" if name == "Timestamp" else "int32"}, "0", "5", "-5", "86400001", "3000000000", '"x"', "1.5")
    to({"type": "integer", "title": LOGICAL + "Timestamp", "connect.version": 1}, "5")
    to({"type": "array", "items": {"type": "string"}}, *values)
    to({"type": "array"}, "[]")
    to({"type": "array", "items": [{"type": "string"}, {"type": "integer"}]}, '["a",1]')
    to({"type": "array", "items": {"type": "integer"}, "minItems": 1, "uniqueItems": True}, "[1,2]", "[]", "[1,1]", options=["", ":json.fail.invalid.schema=true"])
    to({"type": "object"}, *values)
    to({"type": "object", "additionalProperties": {"type": "integer"}}, "{}", '{"a":1}')
    to({"type": "object", "connect.type": "map", "additionalProperties": {"type": "integer"}}, "{}", '{"a":1,"b":2}', '{"a":"x"}', "[]")
    to({"type": "object", "connect.type": "map"}, "{}")
    entry = {"type": "object", "properties": {"key": {"type": "integer"}, "value": {"type": "string"}}}
    to({"type": "array", "connect.type": "map", "items": entry}, "[]", '[{"key":1,"value":"a"}]', '[{"key":1}]', '[{"key":1,"value":"a","more":2}]', "{}", "[3]")
    to("{}", *values)
    to("true", *values[:4])
    to("false", "1")
    to({"title": "T"}, "1", '{"a":1}')
    to({"description": "d", "properties": {"a": {"type": "integer"}}}, '{"a":1}')
    to({"minimum": 3}, "4", '"x"')
    to({"minLength": 3}, '"abcd"')
    to({"pattern": "a+"}, '"aa"')
    to({"items": {"type": "integer"}}, "[1]")


def print_combined():
    text, number, integer, null, boolean = ({"type": kind} for kind in ("string", "number", "integer", "null", "boolean"))
    object_a = {"type": "object", "title": "A", "properties": {"a": integer, "s": text}, "required": ["a"]}
    object_b = {"type": "object", "properties": {"a": integer, "b": text, "c": {"type": "object", "properties": {"d": integer}}}}
    options = ["", ":generalized.sum.type.support=true", ":flatten.singleton.unions=false", ":use.optional.for.nonrequired=true"]
    values = ['null', '1', '1.5', 'true', '"x"', '{"a":1}', '{"a":1,"b":"x"}', '{"c":{"d":1}}', '[]', '{"q":1}']
    for keyword in ("oneOf", "anyOf", "allOf"):
        to({keyword: [null, integer]}, "null", "1", '"x"', options=options)
        to({keyword: [integer]}, "1", "null", options=options)
        to({keyword: [integer, text]}, "1", '"x"', "1.5", "null", options=options)
        to({keyword: [null, integer, text]}, "null", "1", '"x"', options=options)
        to({keyword: [object_a, object_b, number, boolean]}, *values, options=options)
        to({keyword: [object_a, object_b]}, *values[5:8], options=options)
        to({keyword: [{"type": "array", "items": integer}, text, null]}, '[1]', '"x"', 'null')
        to({keyword: [{keyword: [integer, text]}, boolean]}, '1', 'true')
        to({"title": "T", "description": "d", keyword: [integer, text]}, "1")
        if keyword != "allOf":  # Java has its fields in another order each time.
            to({"type": "object", "title": "P", "properties": {"own": integer}, keyword: [object_a, object_b]}, '{"own":1,"a":2}', options=options)
        to({"type": "object", "properties": {"u": {keyword: [integer, text], "connect.index": 3}, "v": integer}}, '{"u":1,"v":2}', '{"v":2}', options=options)
        to({keyword: [null, object_a], "default": None}, "null", '{"a":1}')
    to({"type": ["string", "null"]}, '"x"', "null", "1", options=options)
    to({"type": ["null", "integer"], "title": "N", "description": "d"}, "1", "null", options=options)
    to({"type": ["string", "integer", "boolean"]}, '"x"', "1", "true", "null", options=options)
    to({"type": ["string"]}, '"x"', options=options)
    to({"type": ["string", "null"], "default": None}, "null", '"x"')
    to({"type": ["string", "null"], "default": "d"}, "null", '"x"')
    to({"type": ["object", "null"], "properties": {"a": integer}, "required": ["a"]}, '{"a":1}', "null", options=options)
    to({"enum": ["a", "b"]}, '"a"', '"z"', "null", options=options + [":json.fail.invalid.schema=true"])
    to({"type": "string", "enum": ["a", "b"]}, '"a"', '"z"', "1", options=options + [":json.fail.invalid.schema=true"])
    to({"type": "integer", "enum": [1, 2]}, "1", "5")
    to({"enum": ["a", 1, None, True, 1.5, {"x": 1}, [1]]}, '"a"', "1", "null")
    to({"type": ["string", "null"], "enum": ["a", None]}, '"a"', "null")
    to({"const": "c"}, '"c"', '"d"', options=options)
    to({"const": 5}, "5", '"5"')
    to({"type": "string", "const": "c"}, '"c"')
    to({"type": "integer", "const": 5}, "5")
    to({"type": "string", "format": "date-time"}, '"2024-01-01T00:00:00Z"', '"x"', options=["", ":json.fail.invalid.schema=true"])
    to({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"}, '"ab"', '"b"', options=["", ":json.fail.invalid.schema=true"])
    to({"not": integer}, '"x"')
    to({"if": {"type": "integer"}, "then": {"minimum": 3}, "else": text}, "4")
    to({"allOf": [{"type": "string"}, {"format": "email"}]}, '"x"')
    to({"allOf": [text, {"enum": ["a"]}]}, '"a"')
    to({"allOf": [{"$ref": "#/definitions/A"}, {"properties": {"x": integer}}], "definitions": {"A": object_a}}, '{"a":1,"x":2}', options=options)
    to({"allOf": [{"$ref": "#/definitions/A"}], "definitions": {"A": object_a}}, '{"a":1}', options=options)
    to({"type": "object", "properties": {"r": {"allOf": [{"$ref": "#/definitions/A"}], "description": "d"}}, "definitions": {"A": object_a}}, '{"r":{"a":1}}')


def print_objects():
    text, integer = {"type": "string"}, {"type": "integer"}
    names = ["id", "name", "created_at", "a", "b", "zz", "type", "value", "customer_id", "price", "Ä", "key", "x", "y"]
    for count in (1, 2, 3, 4, 6, 7, 12, 13, 14):
        to({"type": "object", "properties": {name: integer for name in names[:count]}}, {name: at for at, name in enumerate(names[:count])})
    indexed = {"type": "object", "title": "I", "properties": {"a": integer | {"connect.index": 2}, "b": text | {"connect.index": 0}, "c": text | {"connect.index": 1}}}
    to(indexed, '{"a":1,"b":"x","c":"y"}', "{}")
    to({"type": "object", "properties": {"a": integer | {"connect.index": 5}, "b": text, "c": text | {"connect.index": 0}}}, '{"a":1,"b":"x","c":"y"}')
    required = {"type": "object", "title": "R", "properties": {"a": integer, "b": text, "n": {"type": ["null", "string"]}}, "required": ["a"], "additionalProperties": False}
    open_ = required | {"additionalProperties": True}
    typed = required | {"additionalProperties": {"type": "integer"}}
    for schema in (required, open_, typed):
        to(schema, '{"a":1,"b":"x","n":null}', '{"a":1}', '{"b":"x"}', '{"a":null}', '{"a":1,"more":3}', '{"a":1,"more":{"x":[1,"y",null]},"and":"text"}', "[]", "null", '{"a":"x"}',
           options=["", ":use.optional.for.nonrequired=true", ":json.fail.invalid.schema=true",
                    ":use.optional.for.nonrequired=true,json.fail.invalid.schema=true"])
    to({"type": "object", "properties": {"__connect_additional_properties__": integer}}, "{}")
    to({"type": "object", "properties": {"a": integer}}, '{"__connect_additional_properties__":1}')
    defaults = {"type": "object", "properties": {"i": integer | {"default": 5}, "s": text | {"default": "d"}, "b": {"type": "boolean", "default": True},
                "n": {"type": "number", "default": 1.5}, "o": {"oneOf": [{"type": "null"}, text | {"default": "in"}]}, "p": {"oneOf": [{"type": "null"}, text], "default": "out"},
                "a": {"type": "array", "items": integer, "default": [1, 2]}, "e": {"enum": ["x", "y"], "default": "y"}, "z": integer | {"default": None}}}
    to(defaults, "{}", '{"i":null,"s":null,"b":null,"n":null,"o":null,"p":null,"a":null,"e":null}', '{"i":1}', options=["", ":use.optional.for.nonrequired=true"])
    to(integer | {"default": 5}, "null", "1")
    to(integer | {"default": "x"}, "1")
    to({"type": "string", "connect.version": 7, "connect.parameters": {"a": "b"}, "title": "T", "description": "D"}, '"x"')
    to({"type": "string", "connect.parameters": {"a": 5}}, '"x"')
    to({"type": "string", "connect.type": "nonsense"}, '"x"')
    to({"type": "integer", "connect.type": "nonsense"}, "1")
    to({"type": "object", "patternProperties": {"^x": integer}, "properties": {"a": text}}, '{"a":"b","x1":1}')
    to({"type": "object", "required": ["a"]}, '{"a":1}', '{}', options=["", ":json.fail.invalid.schema=true"])
    to({"type": "object", "properties": {"any": {}, "t": True}}, '{"any":1,"t":"x"}', '{"any":{"a":[1,2.5,"x",null,true,{}]},"t":[]}', '{"any":null}', '{}')
    to({"type": "object", "properties": {"n": {"type": "null"}}}, "{}")
    to({"type": "object", "properties": {"a": {"type": "object", "title": "In", "properties": {"b": {"type": "array", "items": {"type": "object", "properties": {"c": integer}}}}}}}, '{"a":{"b":[{"c":1},{}]}}')
    to({"type": "integer", "minimum": 3, "exclusiveMaximum": 10, "multipleOf": 2}, "4", "2", "5", "10", options=["", ":json.fail.invalid.schema=true"])
    to({"type": "object", "minProperties": 1, "maxProperties": 2, "dependencies": {"a": ["b"]}, "propertyNames": {"pattern": "^[a-c]$"}},
       "{}", '{"a":1}', '{"a":1,"b":2}', '{"z":1}', options=["", ":json.fail.invalid.schema=true"])


def print_references():
    text, integer = {"type": "string"}, {"type": "integer"}
    inner = {"type": "object", "title": "In", "properties": {"x": integer}}
    for keyword in ("definitions", "$defs"):
        to({"type": "object", "properties": {"r": {"$ref": f"#/{keyword}/In"}, "l": {"type": "array", "items": {"$ref": f"#/{keyword}/In"}}}, keyword: {"In": inner}}, '{"r":{"x":1},"l":[{"x":2}]}',
           options=["", ":use.optional.for.nonrequired=true"])
    to({"$ref": "#/definitions/In", "definitions": {"In": inner}}, '{"x":1}')
    to({"type": "object", "properties": {"r": {"$ref": "#/definitions/In", "description": "beside"}}, "definitions": {"In": inner}}, '{"r":{"x":1}}')
    to({"type": "object", "title": "Node", "properties": {"v": integer, "next": {"$ref": "#"}}}, '{"v":1}', '{"v":1,"next":{"v":2}}')
    to({"type": "object", "properties": {"t": {"oneOf": [{"type": "null"}, {"$ref": "#/definitions/T"}]}}, "definitions": {"T": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/definitions/T"}}}}}}, '{"t":null}')
    to({"type": "object", "properties": {"o": {"$ref": "other.json"}}}, '{"o":{"x":1}}', references=[["other.json", compact(inner)]])
    to({"type": "object", "properties": {"o": {"$ref": "other.json#/definitions/In"}}}, '{"o":{"x":1}}', references=[["other.json", compact({"definitions": {"In": inner}})]])
    to({"$id": "http://a/root.json", "type": "object", "properties": {"o": {"$ref": "next.json"}}}, '{"o":{"x":1}}', references=[["http://a/next.json", compact(inner)]])
    for draft in ("http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-07/schema#",
                  "https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema"):
        schema = {"$schema": draft, "type": "object", "title": "D", "properties": {"a": integer, "b": {"type": ["string", "null"]}, "c": {"enum": ["x"]}, "r": {"$ref": "#/$defs/In"}}, "required": ["a"], "$defs": {"In": inner}}
        to(schema, '{"a":1,"b":null,"c":"x","r":{"x":1}}', options=["", ":ignore.modern.dialects=true", ":use.optional.for.nonrequired=true"])
        to({"$schema": draft, "type": "array", "prefixItems": [integer], "items": text}, '["a"]')
        to({"$schema": draft, "type": "object", "properties": {"a": {"type": "integer", "exclusiveMinimum": 3}, "b": {"oneOf": [integer, text]}, "c": {"allOf": [inner, {"properties": {"y": text}}]}}}, '{"a":4,"b":"x","c":{"x":1,"y":"z"}}')
        to({"$schema": draft, "type": "object", "properties": {"b": integer | {"connect.index": 1, "connect.type": "int8"}, "a": text | {"connect.index": 0}}}, '{"a":"x","b":1}')
        to({"$schema": draft, "type": "object", "properties": {"u": {"type": ["integer", "string"]}, "e": {}, "c": {"const": 3}}}, '{"u":1,"e":{"q":1},"c":3}')


def print_odd():
    inner = '{"type":"object","properties":{"a":{"type":"integer"}}}'
    for payload in ('{"a":1}  ', ' {"a":1}', '{"a":1}x', '{"a":1,"a":2}', '', '{', 'nope', '{"a":1.0}', '{"a":"1"}', "{'a':1}", '{"a":NaN}', '{"a":01}', '\ufeff{"a":1}', '{"a":1}{"a":2}'):
        to(inner, payload)
    for schema in ('{"type":"nonsense"}', '{"type":5}', '[]', '5', '"x"', '{', '', '{"properties":[]}', '{"enum":[]}', '{"enum":"x"}', '{"required":"a"}', '{"oneOf":[]}', '{"$ref":"#/nowhere"}',
                   '{"type":"object","properties":{"a":5}}', '{"items":5,"type":"array"}', '{"minimum":"x"}', '{"pattern":"("}', '{"type":"integer","connect.version":"x"}', '{"type":"object","properties":{"a":{"connect.index":"x","type":"integer"}}}'):
        to(schema, "1")


def print_strict():
    """Pairs of schemas: what is written with the first must be read with the second."""
    integer, text = {"type": "integer"}, {"type": "string"}
    a, ab = {"a": integer}, {"a": integer, "b": text}
    schemas = [{"type": kind} for kind in ("integer", "number", "string", "boolean")]
    schemas += [{"oneOf": [{"type": "null"}, one]} for one in (integer, text)]
    for properties in ({}, a, ab, {"a": {"type": "number"}}, {"a": {"oneOf": [{"type": "null"}, integer]}}):
        for more in ({}, {"required": ["a"]}, {"additionalProperties": False}, {"additionalProperties": False, "required": ["a"]}):
            schemas.append({"type": "object", "properties": properties} | more)
    schemas += [{"type": "array", "items": one} for one in (integer, text, schemas[8])]
    schemas.append({"type": "object", "connect.type": "map", "additionalProperties": integer})
    quoted = [compact(compact(schema)) for schema in schemas]
    for ours in quoted:
        for latest in quoted:
            print(f"strict\t{ours}\t{latest}")


print_primitives()
print_chosen()
print_strict()
for number in range(250):
    options = "" if number % 3 else RANDOM.choice(ALL)
    chosen = any_struct(0) if RANDOM.random() < 0.75 else any_schema()
    print_from(options, chosen)
print_types()
print_combined()
print_objects()
print_references()
print_odd()
