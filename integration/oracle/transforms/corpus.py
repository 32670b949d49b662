"""Records, and the configurations of transformations and predicates that Java is given them with; see the script `record`.

Prints a JSON text a line: {"record": NAME, …} first, then {"class": CLASS, "config": {…}, "records": [NAME, …]}.
A schema is a type ("int64"; "int64?" is optional; "timestamp", "decimal(2)" are logical types), or an object with
"type" and whatever else it has. A value is what JSON has for null, booleans, strings, int64 and lists, and an
object for the others: {"int32": 5}, {"float64": "1.5"}, {"map": [[KEY, VALUE]]}, {"struct": [a value a field]}.
"""
import json

TRANSFORMS = "org.apache.kafka.connect.transforms."
NOW = 1483425001864  # 2017-01-03T06:30:01.864Z


def struct(*fields, optional=False, **more):
    return {"type": "struct?" if optional else "struct", **more, "fields": [list(field) for field in fields]}


def number(kind, value):
    return {kind: str(value) if kind.startswith("float") else value}


def i8(n): return number("int8", n)
def i16(n): return number("int16", n)
def i32(n): return number("int32", n)
def f32(n): return number("float32", n)
def f64(n): return number("float64", n)
def raw(text): return {"bytes": text.encode().hex()}
def decimal(unscaled, scale): return {"decimal": f"{unscaled}:{scale}"}
def date(days): return {"date": days}
def time(millis): return {"time": millis}
def timestamp(millis): return {"timestamp": millis}
def row(*values): return {"struct": list(values)}
def mapping(**entries): return {"map": [[key, value] for key, value in entries.items()]}
def pairs(*entries): return {"map": [list(entry) for entry in entries]}


RECORDS = {}
GROUPS = {}


def record(group, name, schema, value, **more):
    """A record that a sink is given, unless it says otherwise."""
    whole = {"topic": "orders", "partition": 2, "offset": 40 + len(RECORDS), "timestamp": NOW,
             "key": ["string", "k"], "value": [schema, value], "headers": []}
    whole.update(more)
    if more.get("offset", 0) is None:
        del whole["offset"]
    assert name not in RECORDS, name
    RECORDS[name] = whole
    GROUPS.setdefault(group, []).append(name)


ORDER = struct(("id", "int64"), ("name", "string"), ("amount", "float64"), ("flag", "boolean?"),
               ("count", {"type": "int32?", "default": i32(5)}),
               name="com.example.Order", version=3, doc="an order", parameters={"p": "1", "q": "2"})
PLAIN = struct(("id", "int64"), ("name", "string?"))
INNER = struct(("c", "string"), ("n", "int32?"), optional=True)
NESTED = struct(("id", "int64"), ("in", struct(("b", INNER), ("name", "string?"), optional=True, name="In")),
                ("list", {"type": "array", "values": "string"}),
                ("map", {"type": "map?", "keys": "string", "values": "int64"}))
DOTTED = struct(("a.b", "string"), ("a", struct(("b", "string"), ("c.d", "int32"))), ("`t`", "int64"))

record("base", "order", ORDER, row(7, "Ann", f64(12.5), True, i32(3)))
record("base", "order-nulls", ORDER, row(8, "", f64("-0.0"), None, None))
record("base", "order-source", ORDER, row(9, "Bob", f64("NaN"), False, i32(-1)), offset=None, partition=None)
record("base", "order-no-timestamp", PLAIN, row(10, "Cid"), timestamp=None)
record("base", "plain-null", PLAIN, row(11, None))
record("base", "optional-struct", {**PLAIN, "type": "struct?"}, row(12, "Dan"))
record("base", "defaults", struct(
    ("id", {"type": "int64", "default": 1}), ("name", {"type": "string?", "default": "none", "doc": "who", "version": 2}),
    ("amount", {"type": "decimal(2)?", "default": decimal(100, 2)})), row(None, None, None))
record("base", "default-struct", {**PLAIN, "type": "struct?"}, None)
record("base", "missing", struct(("other", "string")), row("x"))
record("base", "no-fields", struct(), row())
record("base", "nested", NESTED, row(13, row(row("deep", i32(4)), "Eve"), ["x", "y"], pairs(["one", 1], ["two", 2])))
record("base", "nested-nulls", NESTED, row(14, row(None, None), [], None))
record("base", "nested-null", NESTED, row(15, None, ["z"], pairs()))
record("base", "dotted", DOTTED, row("x", row("y", i32(1)), 2))
record("base", "logical", struct(("id", "timestamp"), ("name", "date?"), ("amount", "decimal(2)"), ("t", "time")),
       row(timestamp(NOW), date(17169), decimal(-1250, 2), time(23401864)))
record("base", "tombstone", None, None)
record("base", "tombstone-without-key", None, None, key=[None, None])
record("base", "tombstone-source", None, None, offset=None)
record("base", "null-string", "string?", None)
record("base", "null-with-default", {"type": "int32?", "default": i32(9)}, None)
record("base", "string", "string", "abc")
record("base", "int64", "int64", NOW)
record("base", "boolean", "boolean", True)
record("base", "bytes", "bytes", raw("bytes"))
record("base", "timestamp", "timestamp", timestamp(NOW))
record("base", "array", {"type": "array", "values": "int32"}, [i32(1), i32(2)])
record("base", "map", {"type": "map", "keys": "string", "values": "string"}, pairs(["id", "1"], ["name", "x"]))
record("base", "headers", PLAIN, row(16, "Fay"), headers=[["one", "string", "1"], ["two", "int64", 2], ["one", "string", "3"]])
record("base", "headers-nulls", None, mapping(id=17, name="Gil"),
       headers=[["one", None, None], ["three", PLAIN, row(1, "x")], ["four", None, pairs(["a", [1]])]])
record("base", "free", None, mapping(id=1, name="Hal", amount=f64(2.5), flag=True, count=None))
record("base", "free-nested", None, mapping(id=2, list=["x", 1, None], **{"in": mapping(b=mapping(c="deep", n=4), name="Ivy")}))
record("base", "free-nested-null", None, mapping(id=3, **{"in": mapping(b=None)}))
record("base", "free-nested-wrong", None, mapping(id=[], name=mapping(), **{"in": "text"}))
record("base", "free-dotted", None, pairs(["a.b", "x"], ["a", mapping(b="y", **{"c.d": 1})], ["`t`", 2]))
record("base", "free-missing", None, mapping(other="x"))
record("base", "free-empty", None, mapping())
record("base", "free-java", None, mapping(id=i32(5), name=raw("x"), amount=decimal(15, 1), flag=f32(1.5), count=i8(1), t=timestamp(NOW)))
record("base", "free-keys", None, pairs([1, "x"], [True, "y"], ["id", 3]))
record("base", "free-source", None, mapping(id=4, name="Jim"), offset=None, partition=None, timestamp=None)
record("base", "free-text", None, "text")
record("base", "free-long", None, 5)
record("base", "free-double", None, f64("1.5"))
record("base", "free-boolean", None, False)
record("base", "free-bytes", None, raw("x"))
record("base", "free-list", None, [1, "x"])
record("base", "free-date", None, timestamp(NOW))
record("base", "both-free", None, mapping(id=6), key=[None, mapping(k="v")])
record("base", "both-structs", PLAIN, row(18, "Kim"), key=[struct(("k", "int32")), row(i32(1))])

# What Cast is for: each kind of number, its ends, and texts.
KINDS = struct(("i8", "int8"), ("i16", "int16"), ("i32", "int32"), ("i64", "int64"), ("f32", "float32"), ("f64", "float64"),
               ("b", "boolean"), ("s", "string"))
record("cast", "kinds", KINDS, row(i8(1), i16(-2), i32(3), -4, f32("5.5"), f64("-6.5"), True, "7"))
record("cast", "kinds-high", KINDS, row(i8(127), i16(32767), i32(2147483647), 9223372036854775807, f32("3.4028235E38"), f64("1.7976931348623157E308"), False, "128"))
record("cast", "kinds-low", KINDS, row(i8(-128), i16(-32768), i32(-2147483648), -9223372036854775808, f32("-Infinity"), f64("NaN"), False, "-1e3"))
record("cast", "kinds-small", KINDS, row(i8(0), i16(0), i32(0), 0, f32("1.0E-5"), f64("1.0E7"), False, "TRUE"))
record("cast", "free-kinds", None, mapping(i8=i8(1), i16=i16(-2), i32=i32(3), i64=-4, f32=f32("5.5"), f64=f64("-6.5"), b=True, s="7"))
record("cast", "free-high", None, mapping(i8=i8(127), i16=i16(32767), i32=i32(2147483647), i64=9223372036854775807, f32=f32("3.4028235E38"), f64=f64("1.0E20"), b=False, s=" 12"))
record("cast", "free-json", None, mapping(i8=300, i16=70000, i32=5000000000, i64=f64("1.0E30"), f32=f64("0.1"), f64=f64("123456789.125"), b=0, s="x"))
record("cast", "free-null", None, mapping(i8=None, s=None))
record("cast", "free-odd", None, mapping(i8=[1], s=mapping(a=1), b="true"))
record("cast", "with-attributes", struct(("i8", {"type": "int8?", "default": i8(4), "doc": "d", "name": "n", "version": 5, "parameters": {"p": "v"}}),
                                         ("s", {"type": "string", "default": "12"})), row(None, "34"))
record("cast", "bad-default", struct(("s", {"type": "string?", "default": "word"})), row("5"))
record("cast", "cast-logical", struct(("i8", "date"), ("i16", "time?"), ("i32", "timestamp"), ("i64", "decimal(2)"), ("s", "bytes")),
       row(date(17169), time(1000), timestamp(NOW), decimal(12345, 2), raw("\x01\xff")))
record("cast", "cast-deep", struct(("s", struct(("x", "int32"))), ("b", {"type": "array", "values": "int64"})), row(row(i32(1)), [1, 2]))
for text in ["1", "-1", "+5", "128", "1.5", "1e2", "0x10", " 7 ", "1_000", "", "true", "FALSE", "yes", "NaN", "Infinity", "1f", "99999999999999999999", "\u0664", "word"]:
    record("texts", f"text {text}", "string", text)
for kind, value in [("int8", i8(-1)), ("int16", i16(300)), ("int32", i32(70000)), ("float32", f32("1.1")), ("float64", f64("1.0E10")), ("float64", f64("-0.5"))]:
    record("texts", f"number {kind} {list(value.values())[0]}", kind, value)
record("texts", "optional number", {"type": "int32?", "default": i32(7)}, None)
record("texts", "decimal", "decimal(1)", decimal(105, 1))
record("texts", "date", "date", date(17169))
record("texts", "time", "time", time(23401864))
record("texts", "optional timestamp", "timestamp?", None)

# What TimestampConverter and its like read.
TIMES = [("int64", "int64", NOW), ("optional", "int64?", None), ("negative", "int64", -1), ("zero", "int64", 0), ("seconds", "int64", 1483425001),
         ("micros", "int64", 1483425001864123), ("nanos", "int64", 1483425001864123456), ("int32", "int32", i32(1483425001)),
         ("timestamp", "timestamp", timestamp(NOW)), ("timestamp-null", "timestamp?", None), ("timestamp-old", "timestamp", timestamp(-86400001)),
         ("date", "date", date(17169)), ("date-old", "date?", date(-1)), ("time", "time", time(23401864)), ("time-null", "time?", None),
         ("text", "string", "2017-01-03 06:30:01.864"), ("text-day", "string", "2017-01-03"), ("text-null", "string?", None),
         ("text-bad", "string", "yesterday"), ("text-empty", "string", ""), ("boolean", "boolean", True), ("double", "float64", f64("1.5")),
         ("default", {"type": "int64?", "default": NOW}, None), ("struct", PLAIN, row(1, "x")),
         ("leap", "timestamp", timestamp(1709210096789)), ("far", "timestamp", timestamp(253402300799999))]
for name, schema, value in TIMES:
    record("whole-times", f"whole {name}", schema, value)
    record("times", f"ts {name}", struct(("id", "int64"), ("ts", schema), ("rest", "string?")), row(1, value, "r"))
    if value is None or not isinstance(schema, dict):
        record("times", f"free ts {name}", None, mapping(id=1, ts=timestamp(value["date"] * 86400000) if isinstance(value, dict) and "date" in value
               else timestamp(value["time"]) if isinstance(value, dict) and "time" in value else value))
    if not isinstance(schema, dict) and value is not None:
        record("whole-times", f"free whole {name}", None, timestamp(value["date"] * 86400000) if isinstance(value, dict) and "date" in value
               else timestamp(value["time"]) if isinstance(value, dict) and "time" in value else value)
record("times", "ts nested", struct(("id", "int64"), ("in", struct(("ts", "int64"), ("other", "string")))), row(1, row(NOW, "x")))
record("times", "free ts nested", None, mapping(id=1, **{"in": mapping(ts=NOW, other="x")}))

# Topics and timestamps for routers.
for topic, stamp in [("orders-2017", 0), ("prod.db.orders", NOW), ("orders_v1_eu", -5), ("a", None), ("order$s", 1709210096789), ("ORDERS", 253402300799999),
                     ("topic-with-\u00e4", 951782400000), ("x.y", -62135769600000), ("__internal", 1), ("1", 1703980800000)]:
    record("topics", f"topic {topic}", "string", "x", topic=topic, timestamp=stamp)
    record("topics", f"source topic {topic}", None, None, topic=topic, timestamp=stamp, offset=None, partition=None)

# Headers of every kind.
record("headers", "many headers", PLAIN, row(1, "a"), headers=[
    ["a", "string", "x"], ["b", "int32", i32(1)], ["a", None, 5], ["B", "bytes", raw("x")], ["c", "timestamp", timestamp(NOW)], ["", "string?", None]])
record("headers", "one header", None, mapping(id=1), headers=[["a", "string", "x"]])
record("headers", "same header thrice", "string", "x", headers=[["a", "int8", i8(n)] for n in (1, 2, 3)])
record("headers", "other headers", None, None, headers=[["z", "boolean", True]], offset=None)

CASES = []


def cases(name, groups, *configs, sides=("",), turned=4):
    """The configurations for each side; the key is asked the first few alone."""
    names = [name for group in groups.split() for name in GROUPS[group]]
    for side in sides:
        for config in configs[:turned] if side == "$Key" else configs:
            CASES.append({"class": TRANSFORMS + name + side, "config": config, "records": names})


BOTH = ("$Value", "$Key")

for spec in ["id:string,count:int64", "id:int32,name:int8", "amount:float32,flag:string", "name:boolean"]:
    cases("Cast", "base", {"spec": spec}, sides=BOTH)
cases("Cast", "base", {"spec": "name:string,amount:float64", "replace.null.with.default": "false"}, {"spec": "t:string,id:string,amount:string,count:int8"},
      {"spec": "in:string"}, {"spec": "missing:int8"}, sides=("$Value",))
for kind in ["int8", "int16", "int32", "int64", "float32", "float64", "boolean", "string"]:
    cases("Cast", "cast", {"spec": ",".join(f"{field}:{kind}" for field in ["i8", "i16", "i32", "i64", "f32", "f64", "b"])}, sides=("$Value",))
    cases("Cast", "cast", {"spec": f"s:{kind}"}, sides=("$Value",))
    cases("Cast", "texts", {"spec": kind}, sides=("$Value",))
    cases("Cast", "base", {"spec": kind}, sides=BOTH if kind in ("int8", "string") else ("$Value",))
cases("Cast", "cast", {"spec": "i8:string", "replace.null.with.default": "false"}, {"spec": "i8:string, s : int32 "}, sides=("$Value",))
cases("Cast", "", {}, {"spec": ""}, {"spec": "bytes"}, {"spec": "a:bytes"}, {"spec": "a:b:c"}, {"spec": "int8,int16"}, {"spec": "int8,a:int16"},
      {"spec": "a:INT8"}, {"spec": "a:array"}, {"spec": "a:"}, {"spec": ":int8"}, {"spec": "a:int8,a:string"}, {"spec": "word"},
      {"spec": "a:int8", "replace.null.with.default": "maybe"}, sides=("$Value",))

cases("DropHeaders", "base headers", {"headers": "one"}, {"headers": "a,two,three"}, {"headers": "none"}, {"headers": " a , b "})
cases("DropHeaders", "", {}, {"headers": ""})

cases("ExtractField", "base", {"field": "id"}, {"field": "name"}, {"field": "in.b.c", "field.syntax.version": "V2"}, {"field": "amount"},
      {"field": "count", "replace.null.with.default": "false"}, {"field": "count"}, {"field": "name", "replace.null.with.default": "false"},
      {"field": "a.b"}, {"field": "a.b", "field.syntax.version": "V2"}, {"field": "`a.b`", "field.syntax.version": "V2"},
      {"field": "a.`c.d`", "field.syntax.version": "v2"}, {"field": "in"}, {"field": "in.b", "field.syntax.version": "V2"},
      {"field": "in.name", "field.syntax.version": "V2"}, {"field": "`\\`t\\``", "field.syntax.version": "V2"}, {"field": ""}, sides=BOTH)
cases("ExtractField", "", {}, {"field": "a", "field.syntax.version": "V3"}, {"field": "a..b", "field.syntax.version": "V2"}, {"field": "`a", "field.syntax.version": "V2"},
      {"field": "`a`b", "field.syntax.version": "V2"}, {"field": "a.", "field.syntax.version": "V2"}, {"field": ".a", "field.syntax.version": "V2"},
      {"field": "", "field.syntax.version": "V2"}, {"field": "a`b.c", "field.syntax.version": "V2"}, {"field": "a", "replace.null.with.default": "1"}, sides=("$Value",))

cases("Filter", "base", {}, {"anything": "x"})

cases("Flatten", "base", {}, {"delimiter": "_"}, {"delimiter": ""}, {"delimiter": "->"}, sides=BOTH, turned=2)
record("flatten", "flatten-deep", struct(("a", struct(("b", struct(("c", {"type": "string?", "default": "dc"}), ("d", "int32"), name="D", optional=True)), ("e", "timestamp"))),
       ("f", {"type": "bytes", "doc": "f"}), name="com.example.Deep", version=1, doc="deep"), row(row(row(None, i32(1)), timestamp(NOW)), raw("x")))
record("flatten", "flatten-deep-null", struct(("a", struct(("b", struct(("c", "string"), ("d", {"type": "int32?", "default": i32(3)})), ), ("e", "timestamp"), optional=True))), row(None))
record("flatten", "flatten-same", struct(("a.b", "string"), ("a", struct(("b", "string")))), row("1", row("2")))
record("flatten", "flatten-array-of-structs", struct(("a", {"type": "array?", "values": PLAIN}), ("m", {"type": "map", "keys": "int32", "values": PLAIN})),
       row([row(1, "x")], pairs([i32(1), row(2, None)])))
record("flatten", "flatten-defaults", struct(("x", struct(("y", {"type": "int64", "default": 5, "parameters": {"a": "b"}, "name": "Y"}), optional=True))), row(row(None)))
record("flatten", "flatten-free", None, mapping(a=mapping(b=mapping(c=None, d=i32(1)), e=timestamp(NOW)), f=raw("x"), g=[mapping(h=1)], i=mapping()))
record("flatten", "flatten-free-same", None, pairs(["a.b", 1], ["a", mapping(b=2)]))
record("flatten", "flatten-free-keys", None, pairs(["a", pairs([1, 2])]))
cases("Flatten", "flatten", {}, {"delimiter": "_"}, {"delimiter": ""}, sides=BOTH)

for operation in ["copy", "move"]:
    cases("HeaderFrom", "base", {"fields": "id", "headers": "h", "operation": operation}, {"fields": "id,name", "headers": "one,two", "operation": operation},
          {"fields": "missing,other", "headers": "a,b", "operation": operation}, {"fields": "in,count", "headers": "a,b", "operation": operation},
          {"fields": "name", "headers": "x", "operation": operation, "replace.null.with.default": "false"}, sides=BOTH, turned=2)
cases("HeaderFrom", "headers", {"fields": "id", "headers": "a", "operation": "copy"}, {"fields": "id,id", "headers": "a,b", "operation": "move"}, {"fields": " id ", "headers": " a ", "operation": "MOVE"}, sides=BOTH)
cases("HeaderFrom", "", {}, {"fields": "a", "headers": "a,b", "operation": "copy"}, {"fields": "a", "headers": "a", "operation": "steal"}, {"fields": "", "headers": "", "operation": "copy"},
      {"fields": "a", "headers": "", "operation": "copy"}, {"fields": "a", "headers": "b"}, sides=("$Value",))

cases("HoistField", "base", {"field": "f"}, {"field": "a.b"}, {"field": ""}, sides=BOTH)
cases("HoistField", "", {}, sides=("$Value",))

cases("InsertField", "base", {"topic.field": "t"}, {"topic.field": "t!", "partition.field": "p!", "timestamp.field": "ts!", "static.field": "s!", "static.value": "v"},
      {"offset.field": "o"}, {"static.field": "id", "static.value": "new"}, {"partition.field": "p?"}, {"timestamp.field": "ts"}, {"offset.field": "o!", "topic.field": "t?"},
      {"static.field": "s", "static.value": "", "replace.null.with.default": "false"}, {"topic.field": "x", "static.field": "x", "static.value": "v"}, sides=BOTH)
cases("InsertField", "", {}, {"static.field": "s"}, {"static.value": "s"}, sides=("$Value",))
cases("InsertField", "headers", {"topic.field": ""}, {"topic.field": "!"}, sides=("$Value",))

cases("InsertHeader", "base headers", {"header": "h", "value.literal": "text"}, {"header": "one", "value.literal": "5"}, {"header": "a", "value.literal": "[1, \"x\"]"})
cases("InsertHeader", "headers", *[{"header": "h", "value.literal": literal} for literal in
      ["true", "1.5", "null", "", " x ", "{\"a\": 1}", "2017-01-03", "2017-01-03T06:30:01.864Z", "06:30:01.864Z", "\"quoted\"", "300", "70000", "5000000000", "99999999999999999999", "-0", "[1,2.5]", "[", "{\"a\":[true,null]}", "NaN", "1e400"]])
cases("InsertHeader", "", {}, {"header": "h"}, {"header": "", "value.literal": "x"}, {"value.literal": "x"})

for config in [{"fields": "id"}, {"fields": "id,name,amount,flag,count"}, {"fields": "name", "replacement": "xxx"}, {"fields": "id,amount", "replacement": "7"}]:
    cases("MaskField", "base", config, sides=BOTH)
cases("MaskField", "base", {"fields": "missing"}, {"fields": "in,list,map,t"}, {"fields": "list,map,a"}, {"fields": "t", "replacement": "x"}, {"fields": "id", "replacement": "x"}, {"fields": "flag", "replacement": "x"},
      {"fields": "count,name", "replace.null.with.default": "false"}, sides=("$Value",))
cases("MaskField", "cast", {"fields": "i8,i16,i32,i64,f32,f64,b,s"}, {"fields": "i8,i16,i32,i64,f32,f64,s", "replacement": "12"}, {"fields": "i8,i16", "replacement": "300"},
      {"fields": "f32,f64", "replacement": "1e3"}, {"fields": "i32,i64", "replacement": "1.5"}, {"fields": "i64", "replacement": ""}, {"fields": "b", "replacement": "true"}, sides=("$Value",))
cases("MaskField", "", {}, {"fields": ""}, {"fields": "a", "replacement": ""}, {"fields": "a,,b"}, {"fields": "a", "replace.null.with.default": "x"}, sides=("$Value",))

cases("RegexRouter", "topics", *[{"regex": regex, "replacement": replacement} for regex, replacement in
      [("orders(.*)", "bills$1"), (".*", "all"), ("(.*)\\.(.*)", "$2.$1"), ("(?i)orders", "found"), ("[a-z]+", "lower"), ("(?<first>[^.]*)\\.(?<rest>.*)", "${rest}-${first}"),
       ("orders", "x"), ("(\\w+)-(\\d+)", "$1_$2_$0"), ("order\\$s", "\\$a\\\\"), ("(.*)", ""), ("(a)|(1)", "<$1$2>"), ("\\p{Alpha}+", "alpha"), ("[^\\x00-\\x7F]*.*\u00e4", "umlaut"),
       ("(.)*", "$1"), ("\\Qx.y\\E", "quoted"), ("(?<=x).*", "behind"), ("^(?!__).*$", "ahead"), ("[a-z&&[^o]]+", "class"), ("\\w++", "possessive"), ("(\\w)\\1*", "back"),
       ("(orders).*", "$2"), ("orders.*", "$"), ("orders.*", "${no}"), ("orders.*", "\\"), ("orders.*", "$x")]])
cases("RegexRouter", "base", {"regex": "or(.*)", "replacement": "$1"})
cases("RegexRouter", "", {}, {"regex": "a"}, {"regex": "(", "replacement": "b"}, {"regex": "[", "replacement": "b"}, {"regex": "*a", "replacement": "b"}, {"regex": "", "replacement": "b"}, {"regex": "a\\", "replacement": "b"})

cases("ReplaceField", "base", {"exclude": "id"}, {"include": "id,name"}, {"renames": "id:key,name:title"}, {"exclude": "name", "include": "id,name", "renames": "id:x"},
      {"exclude": "missing"}, {"include": "missing"}, {"renames": "id:name"}, {"renames": "name:id"}, {"renames": "id:name,name:id"}, {"exclude": "a.b"}, {}, {"exclude": "id,name,amount,flag,count"},
      {"include": "count,name", "replace.null.with.default": "false"}, {"renames": "count:c,amount:d", "replace.null.with.default": "false"}, {"include": "amount,count,name"}, sides=BOTH)
cases("ReplaceField", "", {"renames": "a"}, {"renames": "a:b:c"}, {"renames": "a:b,a:c"}, {"renames": "a:b,c:b"}, {"renames": ":b"}, {"renames": "a:"}, {"exclude": "a", "replace.null.with.default": "x"},
      {"whitelist": "a"}, {"blacklist": "a"}, sides=("$Value",))

cases("SetSchemaMetadata", "base", {"schema.name": "com.example.New"}, {"schema.version": "7"}, {"schema.name": "n", "schema.version": "-1"}, {}, {"schema.name": ""},
      {"schema.name": "n", "replace.null.with.default": "false"}, {"schema.name": "org.apache.kafka.connect.data.Timestamp"}, sides=BOTH)
cases("SetSchemaMetadata", "", {"schema.version": "x"}, {"schema.version": "99999999999"}, sides=("$Value",))

for target, more in [("unix", {}), ("Timestamp", {}), ("Date", {}), ("Time", {}), ("string", {"format": "yyyy-MM-dd HH:mm:ss.SSS"})]:
    config = {"field": "ts", "target.type": target, **more}
    cases("TimestampConverter", "times", config, {**config, "format": "yyyy-MM-dd"}, sides=("$Value",))
    cases("TimestampConverter", "base", {**config, "field": "id"}, sides=BOTH)
    whole = {key: value for key, value in config.items() if key != "field"}
    cases("TimestampConverter", "whole-times", whole, {**whole, "format": "yyyy-MM-dd HH:mm:ss.SSS"}, sides=BOTH, turned=1)
for precision in ["seconds", "microseconds", "nanoseconds"]:
    cases("TimestampConverter", "times", {"field": "ts", "target.type": "Timestamp", "unix.precision": precision}, {"field": "ts", "target.type": "unix", "unix.precision": precision}, sides=("$Value",))
for pattern in ["EEE, d MMM yyyy HH:mm:ss Z", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "hh:mm a", "yyDDD", "''yyyy''", "YYYY-'W'ww-u", "G yyyyy MMMM EEEE", "H k K h m s S", "z", "X XX XXX", "LLL", "F W"]:
    cases("TimestampConverter", "whole-times", {"target.type": "string", "format": pattern}, sides=("$Value",))
cases("TimestampConverter", "times", {"field": "ts", "target.type": "Timestamp", "replace.null.with.default": "false"}, {"field": "in.ts", "target.type": "Timestamp"}, sides=("$Value",))
cases("TimestampConverter", "base", {"target.type": "unix"}, {"target.type": "string", "format": "yyyy"}, sides=("$Value",))
cases("TimestampConverter", "", {}, {"target.type": "text"}, {"target.type": "string"}, {"target.type": "string", "format": "b"}, {"target.type": "string", "format": "yyyy'"}, {"target.type": "unix", "unix.precision": "days"},
      {"target.type": "unix", "format": "Q"}, {"target.type": "Timestamp", "replace.null.with.default": "x"}, sides=("$Value",))

cases("TimestampRouter", "base topics", {}, {"topic.format": "${topic}_${timestamp}", "timestamp.format": "yyyy-MM-dd'T'HH"}, {"topic.format": "x"}, {"timestamp.format": "EEE MMM d yyyy"},
      {"topic.format": "${timestamp}${topic}${timestamp}"}, {"topic.format": "$topic-${TOPIC}", "timestamp.format": "yyyy"}, {"timestamp.format": "''$1\\\\"}, {"timestamp.format": ""})
cases("TimestampRouter", "", {"timestamp.format": "nope"}, {"timestamp.format": "'"}, {"topic.format": ""})

cases("ValueToKey", "base", {"fields": "id"}, {"fields": "id,name"}, {"fields": "name", "replace.null.with.default": "false"}, {"fields": "missing"}, {"fields": "in"}, {"fields": "name,id,name"}, {"fields": "amount,count"},
      {"fields": "count", "replace.null.with.default": "false"}, {"fields": " id , name "})
cases("ValueToKey", "", {}, {"fields": ""}, {"fields": "a,,b"}, {"fields": "a", "replace.null.with.default": "x"})

cases("predicates.HasHeaderKey", "base headers", {"name": "one"}, {"name": "a"}, {"name": "A"}, {"name": "z"})
cases("predicates.HasHeaderKey", "", {}, {"name": ""}, {"name": " "})
cases("predicates.RecordIsTombstone", "base headers topics", {}, {"any": "x"})
cases("predicates.TopicNameMatches", "base topics", *[{"pattern": pattern} for pattern in ["orders", "orders.*", ".*", "", "(?i)ORDERS", "\\w+", "[^.]+\\.[^.]+", "ord|orders", "^a$", "__.*", "(?!__).*", "\\p{Lu}+"]])
cases("predicates.TopicNameMatches", "", {}, {"pattern": "("}, {"pattern": "[a"})



def chain(groups, *steps, **predicates):
    """Transformations in a row, as a connector is configured with; a step is a class, its keys, and `predicate` and `negate`."""
    config = {"name": "c", "connector.class": "org.apache.kafka.connect.tools.MockSinkConnector",
              "transforms": ",".join(f"t{i}" for i in range(len(steps))), "predicates": ",".join(predicates)}
    for i, (name, keys) in enumerate(steps):
        config[f"transforms.t{i}.type"] = TRANSFORMS + name
        config.update({f"transforms.t{i}.{key}": value for key, value in keys.items()})
    for alias, (name, keys) in predicates.items():
        config[f"predicates.{alias}.type"] = TRANSFORMS + "predicates." + name
        config.update({f"predicates.{alias}.{key}": value for key, value in keys.items()})
    names = [name for group in groups.split() for name in GROUPS[group]]
    CASES.append({"chain": config, "records": names})


TOMBSTONE = ("RecordIsTombstone", {})
ONE = ("HasHeaderKey", {"name": "one"})
ORDERS = ("TopicNameMatches", {"pattern": "orders.*"})
chain("base topics", ("Filter", {"predicate": "tombstone"}), tombstone=TOMBSTONE)
chain("base topics", ("Filter", {"predicate": "tombstone", "negate": "true"}), tombstone=TOMBSTONE)
chain("base topics", ("Filter", {"predicate": "orders", "negate": "TRUE"}), orders=ORDERS)
chain("base headers", ("InsertField$Value", {"static.field": "one", "static.value": "1", "predicate": "one"}),
      ("InsertField$Value", {"static.field": "none", "static.value": "0", "predicate": "one", "negate": "true"}), one=ONE)
chain("base", ("HoistField$Value", {"field": "line", "predicate": "tombstone", "negate": "true"}), ("InsertField$Value", {"topic.field": "topic", "offset.field": "offset"}),
      ("DropHeaders", {"headers": "one", "predicate": "one"}), tombstone=TOMBSTONE, one=ONE)
chain("base", ("ReplaceField$Value", {"exclude": "amount"}), ("ValueToKey", {"fields": "id"}), ("ExtractField$Key", {"field": "id"}))
chain("base", ("ReplaceField$Value", {"renames": "id:key", "predicate": "one", "negate": "false"}), ("Cast$Value", {"spec": "id:string"}),
      ("MaskField$Value", {"fields": "name"}), ("SetSchemaMetadata$Value", {"schema.name": "S", "predicate": "orders"}),
      ("HeaderFrom$Value", {"fields": "id", "headers": "h", "operation": "move"}), ("Flatten$Value", {"delimiter": "_"}), one=ONE, orders=ORDERS)
chain("base times", ("TimestampConverter$Value", {"field": "ts", "target.type": "string", "format": "yyyy", "predicate": "tombstone", "negate": "true"}),
      ("ExtractField$Value", {"field": "ts"}), ("Filter", {"predicate": "gone"}), ("HoistField$Value", {"field": "v"}), tombstone=TOMBSTONE, gone=TOMBSTONE)
chain("topics", ("RegexRouter", {"regex": "(orders).*", "replacement": "$1"}), ("InsertHeader", {"header": "one", "value.literal": "1", "predicate": "only"}),
      ("TimestampRouter", {"predicate": "one"}), ("Filter", {"predicate": "late"}), only=("TopicNameMatches", {"pattern": "orders"}), one=ONE,
      late=("TopicNameMatches", {"pattern": ".*-2024.*"}))
chain("base cast", ("Cast$Value", {"spec": "i8:int8,i16:int8,s:int8"}), ("Cast$Value", {"spec": "id:boolean"}), ("ExtractField$Value", {"field": "id", "predicate": "tombstone"}), tombstone=TOMBSTONE)
chain("base")

for name, whole in RECORDS.items():
    print(json.dumps({"record": name, **whole}, ensure_ascii=False, separators=(",", ":")))
for case in CASES:
    print(json.dumps(case, ensure_ascii=False, separators=(",", ":")))
