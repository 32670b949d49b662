"""Change events as Debezium writes them, and the configurations its transformations are given them with; written as by
../corpus.py, which says how.
"""
import json

TRANSFORMS = "io.debezium.transforms."
NOW = 1700000000123


def struct(*fields, optional=False, **more):
    return {"type": "struct?" if optional else "struct", **more, "fields": [list(field) for field in fields]}


def i32(n): return {"int32": n}
def row(*values): return {"struct": list(values)}
def mapping(**entries): return {"map": [[key, value] for key, value in entries.items()]}


SOURCE = struct(("version", "string"), ("connector", "string"), ("name", "string"), ("ts_ms", "int64"),
                ("snapshot", {"type": "string?", "name": "io.debezium.data.Enum", "version": 1,
                              "parameters": {"allowed": "true,first,last,false,incremental"}, "default": "false"}),
                ("db", "string"), ("table", "string"), ("lsn", "int64?"), name="io.debezium.connector.postgresql.Source")
BLOCK = struct(("id", "string"), ("total_order", "int64"), ("data_collection_order", "int64"), optional=True,
               name="event.block", version=1)
TIMES = [("ts_ms", "int64?"), ("ts_us", "int64?"), ("ts_ns", "int64?")]
KEY = struct(("id", "int32"), name="shop.public.orders.Key")


def table(name, *fields, **more):
    return struct(*fields, optional=True, name=name + ".Value", **more)


def envelope(name, value, *more, source=SOURCE, version=2):
    return struct(("before", value), ("after", value), ("source", source), ("transaction", BLOCK), ("op", "string"), *TIMES,
                  *more, name=name + ".Envelope", version=version)


def source(table="orders", lsn=77):
    return row("3.6.1.Final", "postgresql", "shop", NOW - 5, "last", "shop", table, lsn)


BLOCKED = row("571:53195829", 1, 1)


def event(op, before, after, block=None, of=None, times=(NOW, NOW * 1000 + 7, NOW * 1000000 + 8)):
    return row(before, after, of or source(), block, op, *times)


RECORDS = {}
GROUPS = {}


def record(group, name, schema, value, **more):
    whole = {"topic": "shop.public.orders", "partition": None, "timestamp": NOW,
             "key": [KEY, row(i32(7))], "value": [schema, value], "headers": []}
    whole.update(more)
    assert name not in RECORDS, name
    RECORDS[name] = whole
    for each in group.split():
        GROUPS.setdefault(each, []).append(name)


ORDER = table("shop.public.orders", ("id", "int32"), ("who", "string?"),
              ("state", {"type": "string?", "default": "new"}), ("total", "decimal(2)?"))
EVENT = envelope("shop.public.orders", ORDER)
ANN = row(i32(7), "Ann", "paid", {"decimal": "1250:2"})
BOB = row(i32(7), "Bob", None, None)
record("all", "create", EVENT, event("c", None, ANN))
record("all", "read", EVENT, event("r", None, BOB, BLOCKED))
record("all", "update", EVENT, event("u", ANN, BOB, BLOCKED))
record("all", "update-without-before", EVENT, event("u", None, ANN))
record("all", "delete", EVENT, event("d", ANN, None))
record("all", "delete-in-transaction", EVENT, event("d", BOB, None, BLOCKED))
record("all", "delete-without-before", EVENT, event("d", None, None))
record("all", "truncate", EVENT, event("t", None, None))
record("all", "tombstone", None, None)
record("all", "tombstone-with-schema", {**EVENT, "type": "struct?"}, None)
record("all", "without-key", EVENT, event("c", None, ANN), key=[None, None])
record("all", "string-key", EVENT, event("c", None, ANN), key=["string", "k"])
record("all", "sink", EVENT, event("u", ANN, BOB), partition=3, offset=17)
record("all", "sink-delete", EVENT, event("d", ANN, None), partition=3, offset=18)
record("all", "sink-tombstone", None, None, partition=3, offset=19)
record("all", "no-times", EVENT, event("c", None, ANN, times=(None, None, None)), timestamp=None)
record("all", "headers", EVENT, event("u", BOB, ANN), headers=[["__op", "string", "x"], ["h", "int32", i32(1)]])
OLD = struct(("before", ORDER), ("after", ORDER), ("op", "string"), ("ts_ms", "int64?"), name="shop.public.orders.Envelope")
record("all", "without-source", OLD, row(None, ANN, "c", NOW))
record("all", "without-op", struct(("before", ORDER), ("after", ORDER), ("source", SOURCE), name="x.Envelope"), row(None, ANN, source()))
record("all", "without-after", struct(("before", ORDER), ("op", "string"), name="x.Envelope"), row(ANN, "d"))
record("all", "delete-source-null", envelope("shop.public.orders", ORDER, source={**SOURCE, "type": "struct?"}),
       row(ANN, None, None, None, "d", NOW, None, None))
record("all", "extra", envelope("shop.public.extras", {**ORDER, "name": "shop.public.extras.Value"}, ("who", "int64?"), ("team", "string?")), row(ANN, BOB, source(), None, "u", NOW, None, None, 5, "blue"))
FULL = table("shop.public.docs", ("id", {"type": "int32", "default": i32(1)}), ("body", {"type": "string", "default": "none", "doc": "text"}),
             version=3, doc="documents", parameters={"p": "1"})
record("all", "required-defaults", {**envelope("shop.public.docs", FULL), "doc": "an event", "parameters": {"q": "2"}}, event("c", None, row(i32(1), "x")), topic="shop.public.docs")
record("all", "required-null", envelope("shop.public.docs", FULL), event("c", None, row(i32(1), None)), topic="shop.public.docs")
record("all", "required-null-delete", envelope("shop.public.docs", FULL), event("d", row(None, "y"), None), topic="shop.public.docs")
DELETED = table("shop.public.gone", ("id", "int32"), ("__deleted", "string?"), ("__op", "string?"))
record("all", "fields-there", envelope("shop.public.gone", DELETED), event("u", None, row(i32(1), "no", "x")), topic="shop.public.gone")
record("all", "after-text", struct(("before", "string?"), ("after", "string?"), ("source", SOURCE), ("op", "string"), ("ts_ms", "int64?"), name="m.Envelope"),
       row(None, '{"a":1}', source(), "c", NOW))
record("all", "after-text-delete", struct(("before", "string?"), ("after", "string?"), ("source", SOURCE), ("op", "string"), ("ts_ms", "int64?"), name="m.Envelope"),
       row("{}", None, source(), "d", NOW))
HEARTBEAT = struct(("ts_ms", "int64"), name="io.debezium.connector.common.Heartbeat", version=1)
record("all", "heartbeat", HEARTBEAT, row(NOW), topic="__debezium-heartbeat.shop",
       key=[struct(("serverName", "string"), name="io.debezium.connector.common.ServerNameKey", version=1), row("shop")])
record("all", "schema-change", struct(("source", SOURCE), ("ts_ms", "int64"), ("ddl", "string?"), name="io.debezium.connector.mysql.SchemaChangeValue", version=1),
       row(source(), NOW, "create table t"), topic="shop",
       key=[struct(("databaseName", "string"), name="io.debezium.connector.mysql.SchemaChangeKey", version=1), row("shop")])
record("all", "transaction", struct(("status", "string"), ("id", "string"), name="io.debezium.connector.common.TransactionMetadataValue", version=1), row("BEGIN", "571"),
       topic="shop.transaction", key=[struct(("id", "string"), name="io.debezium.connector.common.TransactionMetadataKey", version=1), row("571")])
record("all", "plain", struct(("id", "int32")), row(i32(1)))
record("all", "plain-named", struct(("id", "int32"), name="Envelope"), row(i32(1)))
record("all", "text", "string", "x")
record("all", "text-envelope", {"type": "string", "name": "x.Envelope"}, "x")
record("all", "free", None, mapping(before=None, after=mapping(id=1), op="c"))
record("all", "free-text", None, "x")
record("all", "null-string", "string?", None)

# What else a key may be, and topics of shards.
for shard in ["shop1.eu.orders", "shop2.us.orders", "shop3.us.orders-old", "bills", "a b.c.orders", "1.eu.orders"]:
    for op, before, after in [("c", None, ANN), ("d", BOB, None)]:
        record("shards", f"{shard} {op}", envelope(shard, {**ORDER, "name": shard + ".Value"}), event(op, before, after), topic=shard,
               key=[struct(("id", "int32"), name=shard + ".Key"), row(i32(7))])
record("shards", "shard-tombstone", None, None, topic="shop1.eu.orders", key=[struct(("id", "int32"), name="shop1.eu.orders.Key"), row(i32(7))])
record("shards", "shard-key-taken", None, None, topic="shop1.eu.orders", key=[struct(("__dbz__physicalTableIdentifier", "string"), ("shard", "string?")), row("x", None)])
record("shards", "shard-key-nulls", EVENT, event("c", None, ANN), topic="shop1.eu.orders",
       key=[struct(("a", {"type": "int32", "default": i32(4)}), ("b", "string?"), optional=True, version=4, doc="d", parameters={"p": "q"}), row(None, None)])
record("shards", "shard-key-null-with-schema", EVENT, event("c", None, ANN), topic="shop1.eu.orders", key=[{"type": "string?"}, None])
record("shards", "shard-free-key", EVENT, event("c", None, ANN), topic="shop1.eu.orders", key=[None, mapping(id=1)])
record("shards", "shard-envelope-nulls", envelope("s.Docs", FULL), event("u", row(i32(1), "x"), row(None, "y")), topic="shop1.eu.orders")
record("shards", "shard-source-default", EVENT, row(ANN, BOB, row("v", "c", "n", NOW, None, "d", "t", None), None, "u", NOW, None, None), topic="shop1.eu.orders")
record("shards", "shard-unlike", struct(("before", ORDER), ("after", table("x", ("id", "int32"))), ("op", "string"), name="shop1.eu.orders.Envelope"),
       row(None, row(i32(3)), "c"), topic="shop1.eu.orders")
record("shards", "shard-unlike-more", struct(("before", table("x", ("id", "int32"))), ("after", ORDER), ("op", "string"), name="shop1.eu.orders.Envelope"),
       row(None, ANN, "c"), topic="shop1.eu.orders")
record("shards", "shard-after-only", struct(("after", ORDER), ("op", "string"), name="shop1.eu.orders.Envelope"), row(ANN, "c"), topic="shop1.eu.orders")
record("shards", "shard-neither", struct(("op", "string"), name="shop1.eu.orders.Envelope"), row("m"), topic="shop1.eu.orders")
record("shards", "shard-envelope-without-name", struct(("op", "string")), row("m"), topic="shop1.eu.orders")

# Headers that list fields to drop.
LIST = {"type": "array", "values": "string"}
for name, schema, value in [("list", LIST, ["who", "state"]), ("required", LIST, ["id"]), ("empty", LIST, []), ("unknown", LIST, ["nobody"]), ("null", None, None), ("free", None, ["who", "nobody"])]:
    for op, before, after in [("u", ANN, BOB), ("d", BOB, None)]:
        record("drop", f"drop-{name}-{op}", EVENT, event(op, before, after), headers=[["h", "string", "x"], ["drop", schema, value]],
               key=[struct(("id", "int32"), ("who", "string?"), name="shop.public.orders.Key"), row(i32(7), "k")])
record("drop", "drop-without-key", EVENT, event("c", None, ANN), headers=[["drop", LIST, ["who"]]], key=[None, None])
record("drop", "drop-text", EVENT, event("c", None, ANN), headers=[["drop", "string", "who"]])

# Outboxes. Where objects of an array have other fields, Java's order of fields changes from run to run: here one object
# has them all.
def outbox(*more, payload="string?", event_id="string", key="string", kind="string"):
    return table("shop.public.outbox", ("id", event_id), ("aggregatetype", kind), ("aggregateid", key), ("type", "string"), ("payload", payload), *more)


OUTBOX = outbox()
OUTBOX_EVENT = envelope("shop.public.outbox", OUTBOX)
CONTENT = '{"id": 7, "who": "Ann", "total": 12.5, "tags": ["a", "b"], "none": null, "at": {"zip": 9999999999, "big": 1e400}, "empty": [], "ok": true}'


def sent(payload=CONTENT, kind="Order", *more, op="c", before=None, key="7"):
    return event(op, before, row("e-1", kind, key, "OrderCreated", payload, *more))


def out(name, value, schema=OUTBOX_EVENT, **more):
    record("outbox", name, schema, value, **{"topic": "shop.public.outbox", "key": [struct(("id", "string"), name="shop.public.outbox.Key"), row("e-1")], **more})


out("outbox", sent())
out("outbox-read", sent(op="r"))
out("outbox-other", sent("{}", "Customer"))
out("outbox-update", sent(op="u"))
out("outbox-delete", event("d", row("e-1", "Order", "7", "x", "y"), None))
out("outbox-tombstone", None, None)
out("outbox-truncate", event("t", None, None))
out("outbox-message", event("m", None, None))
out("outbox-null-payload", sent(None))
out("outbox-empty-payload", sent(""))
out("outbox-blank-payload", sent("  "))
out("outbox-text-payload", sent("plain"))
out("outbox-broken-payload", sent('{"a": '))
out("outbox-no-kind", sent(kind=""))
out("outbox-header", sent(), headers=[["id", "string", "old"], ["h", None, None]])
out("outbox-sink", sent(), partition=4, offset=9)
out("outbox-no-time", event("c", None, row("e-1", "Order", "7", "x", "y"), times=(None, None, None)))
out("outbox-heartbeat", row(NOW), HEARTBEAT)
out("outbox-plain", row(i32(1)), struct(("id", "int32")))
out("outbox-free", mapping(op="c"), None)
for name, text in [("array", '[1, 2]'), ("array-objects", '[{"a": 1}, {"a": 2, "b": "x"}]'), ("mixed", '{"a": [1, "x"]}'), ("mixed-numbers", '{"a": [1, 2.5]}'),
                   ("objects", '{"list": [{"a": 1, "b": null}, {"a": 2, "b": "x"}], "last": {"deep": {"er": [[1]]}}}'), ("nulls", '{"list": [null, 1], "only": [null]}'),
                   ("names", '{"a-b": 1, "1c": 2, "d.e": {"f g": 3}, "": 4}'), ("twice", '{"a": 1, "a": "x"}'), ("numbers", '{"i": 2147483647, "j": 2147483648, "k": -9223372036854775808, "l": -0.0, "m": 1E2, "n": 0.1}'), ("big", '{"k": 9223372036854775808}'),
                   ("objects-alike", '{"l": [{"a": 1}, {"a": 2}]}'), ("objects-texts", '{"l": [{"a": 1}, "x"]}'), ("empty-object", '{}'), ("trailing", '{} x'), ("blank-first", ' {"a": 1}'),
                   ("objects-null", '{"l": [{"a": 1}, null]}')]:
    out("outbox-json-" + name, sent(text))
WIDE = outbox(("at", {"type": "int64?", "name": "io.debezium.time.MicroTimestamp", "version": 1}), ("plain_at", "int64?"), ("date_at", "timestamp?"),
              ("part", "int32?"), ("tenant", {"type": "string?", "default": "none"}), ("v", "int32?"),
              ("nano_at", {"type": "int64", "name": "io.debezium.time.NanoTimestamp", "version": 1}), ("odd_at", {"type": "int64?", "name": "io.debezium.time.Time", "version": 1}))
WIDE_EVENT = envelope("shop.public.outbox", WIDE)
MORE = [1600000000123456, 5, {"timestamp": 1500000000123}, i32(3), "eu", i32(2), 1400000000123456789, 6]
out("wide", sent(CONTENT, "Order", *MORE), WIDE_EVENT)
out("wide-nulls", sent(CONTENT, "Order", None, None, None, None, None, None, 0, None), WIDE_EVENT)
out("wide-empty", sent("", "Order", *MORE), WIDE_EVENT)
out("wide-other", sent("x", "Order", *MORE[:5], i32(5), *MORE[6:]), WIDE_EVENT)
out("bytes-payload", sent({"bytes": "7b7d"}), envelope("shop.public.outbox", outbox(payload="bytes?")))
out("bytes-empty", sent({"bytes": ""}), envelope("shop.public.outbox", outbox(payload="bytes?")))
JSON = {"type": "string?", "name": "io.debezium.data.Json", "version": 1}
out("json-payload", sent(), envelope("shop.public.outbox", outbox(payload=JSON)))
out("struct-payload", sent(row(1)), envelope("shop.public.outbox", outbox(payload=struct(("a", "int64"), optional=True))))
out("int-key", sent(key=i32(5)), envelope("shop.public.outbox", outbox(key="int32")))
out("int-kind", sent(kind=i32(5)), envelope("shop.public.outbox", outbox(kind="int32")))
out("null-kind", sent(kind=None), envelope("shop.public.outbox", outbox(kind="string?")))
out("no-payload", event("c", None, row("e", "Order", "k")), envelope("shop.public.outbox", table("x", ("id", "string"), ("aggregatetype", "string"), ("aggregateid", "string"))))
out("no-id", event("c", None, row("Order", "k", "p")), envelope("shop.public.outbox", table("x", ("aggregatetype", "string"), ("aggregateid", "string"), ("payload", "string"))))
out("no-kind", event("c", None, row("e", "k", "p")), envelope("shop.public.outbox", table("x", ("id", "string"), ("aggregateid", "string"), ("payload", "string"))))
out("no-key", event("c", None, row("e", "Order", "p")), envelope("shop.public.outbox", table("x", ("id", "string"), ("aggregatetype", "string"), ("payload", "string"))))
out("no-schema-name", event("c", None, row("e", "Order", "k", "t", "p")), envelope("shop.public.outbox", {key: part for key, part in OUTBOX.items() if key != "name"}))
out("simple-schema-name", event("c", None, row("e", "Order", "k", "t", "p")), envelope("shop.public.outbox", {**OUTBOX, "name": "Outbox"}))

CASES = []


def cases(name, groups, *configs):
    of = [name for group in groups.split() for name in GROUPS[group]]
    for config in configs:
        CASES.append({"class": TRANSFORMS + name, "config": config, "records": of})


def alone(name, group, *configs):
    """Each record has a transformation of its own: EventRouter takes the schemas of the first for those of others."""
    for config in configs:
        for record in GROUPS[group]:
            CASES.append({"class": TRANSFORMS + name, "config": config, "records": [record]})


MODES = ["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"]
NAME = "ExtractNewRecordState"
cases(NAME, "all", {}, *[{"delete.tombstone.handling.mode": mode} for mode in MODES])
cases(NAME, "all", *[{"delete.tombstone.handling.mode": mode, "add.fields": "op,table,source.ts_ms,transaction.id,lsn:LSN"} for mode in MODES])
cases(NAME, "all", *[{"delete.tombstone.handling.mode": mode, "add.headers": "op,table,source.ts_ms,transaction.id,snapshot"} for mode in MODES])
cases(NAME, "all", {"add.fields": "op, source.table , ts_ms,ts_us,ts_ns", "add.fields.prefix": ""}, {"add.fields": "total_order,id,data_collection_order"},
      {"add.headers": "op:operation,source.lsn:lsn", "add.headers.prefix": "h."}, {"add.fields": "nobody,source.nobody"}, {"add.fields": "who,team"}, {"add.fields": "no.field"},
      {"add.fields": "op:who", "add.fields.prefix": ""}, {"add.fields": "op,op"}, {"add.fields": "source,transaction"}, {"add.headers": "op,op,before"}, {"add.fields": "op:__deleted", "add.fields.prefix": "", "delete.tombstone.handling.mode": "rewrite"},
      {"route.by.field": "who"}, {"route.by.field": "state", "delete.tombstone.handling.mode": "rewrite"}, {"route.by.field": "id"}, {"route.by.field": "who", "delete.tombstone.handling.mode": "drop"},
      {"route.by.field": "who", "delete.tombstone.handling.mode": "delete-to-tombstone", "add.fields": "op"}, {"replace.null.with.default": "false", "delete.tombstone.handling.mode": "rewrite"},
      {"replace.null.with.default": "false"}, {"add.headers": "source.table,op", "add.fields": "op", "delete.tombstone.handling.mode": "rewrite-with-tombstone"})
cases(NAME, "drop all", {"drop.fields.header.name": "drop"}, {"drop.fields.header.name": "drop", "delete.tombstone.handling.mode": "rewrite"})
cases(NAME, "drop", {"drop.fields.header.name": "drop", "drop.fields.from.key": "true"}, {"drop.fields.header.name": "drop", "drop.fields.from.key": "true", "drop.fields.keep.schema.compatible": "false"},
      {"drop.fields.header.name": "drop", "drop.fields.keep.schema.compatible": "false", "delete.tombstone.handling.mode": "rewrite"}, {"drop.fields.header.name": "none"}, {"drop.fields.header.name": ""},
      {"drop.fields.header.name": "drop", "add.fields": "op:who", "add.fields.prefix": ""}, {"drop.fields.header.name": "drop", "delete.tombstone.handling.mode": "delete-to-tombstone"})
GROUPS["none"] = []
cases(NAME, "none", {"delete.tombstone.handling.mode": "nothing"}, {"delete.tombstone.handling.mode": "DROP"}, {"delete.tombstone.handling.mode": " drop "}, {"delete.tombstone.handling.mode": ""}, {"add.fields": "a:b:c"},
      {"drop.tombstones": "false", "delete.handling.mode": "rewrite"}, {"add.fields": "a,,b"}, {"drop.fields.from.key": "x"}, {"add.fields": "op,"}, {"add.fields": ":x"}, {"add.headers": "."})

NAME = "ByLogicalTableRouter"
SHARDS = {"topic.regex": r"shop(\d)\.(.*)\.orders", "topic.replacement": "shop.$2.all"}
cases(NAME, "shards all", SHARDS, {"topic.regex": r"shop.*", "topic.replacement": "all orders"}, {**SHARDS, "key.enforce.uniqueness": "false"})
cases(NAME, "shards", {**SHARDS, "key.field.name": "shard"}, {**SHARDS, "key.field.regex": r"shop(\d).*", "key.field.replacement": "$1"}, {**SHARDS, "key.field.regex": "nowhere", "key.field.replacement": "x"},
      {"topic.regex": ".*", "topic.replacement": ""}, {"topic.regex": "(.*)", "topic.replacement": "1-$1", "schema.name.adjustment.mode": "avro"},
      {"topic.regex": "(.*)", "topic.replacement": "1-$1", "schema.name.adjustment.mode": "avro_unicode"}, {"topic.regex": "(.*)", "topic.replacement": "é_$1", "schema.name.adjustment.mode": "none"},
      {"topic.regex": "(.*)", "topic.replacement": "é_$1", "schema.name.adjustment.mode": "avro_unicode"}, {**SHARDS, "key.field.regex": r"(shop)?\d?.*", "key.field.replacement": "<$1>", "logical.table.cache.size": "1"})
cases(NAME, "none", {}, {"topic.regex": "a"}, {"topic.replacement": "a"}, {"topic.regex": "(", "topic.replacement": "a"}, {"topic.regex": "", "topic.replacement": "a"}, {"topic.regex": "a", "topic.replacement": ""},
      {**SHARDS, "key.field.regex": "a"}, {**SHARDS, "key.field.regex": " ", "key.field.replacement": ""}, {**SHARDS, "key.field.regex": "(", "key.field.replacement": "x"}, {**SHARDS, "schema.name.adjustment.mode": "x"},
      {**SHARDS, "logical.table.cache.size": "x"}, {**SHARDS, "key.enforce.uniqueness": "x"}, {**SHARDS, "key.field.name": ""})

NAME = "outbox.EventRouter"
cases(NAME, "outbox all", {})
PLACE = "table.fields.additional.placement"
cases(NAME, "outbox", {"route.by.field": "type"}, {"route.topic.replacement": "events.${routedByValue}.x"}, {"route.topic.regex": "(O)(.*)", "route.topic.replacement": "$2-$1"}, {"route.tombstone.on.empty.payload": "true"},
      {"table.field.event.key": "type"}, {"table.field.event.key": "nobody"}, {"table.field.event.id": "aggregateid"}, {"table.field.event.id": "nobody"}, {"table.field.event.payload": "type"}, {"table.field.event.payload": "nobody"},
      {"table.op.invalid.behavior": "fatal"}, {"table.op.invalid.behavior": "error"}, {PLACE: "type:header"}, {PLACE: "type:header:kind,aggregateid:header"}, 
      {PLACE: "part:partition"}, {PLACE: "part:partition,tenant:header", "table.field.additional.missing": "ignore"}, {"table.field.event.schema.version": "v"},
      {PLACE: "type:partition"},
      *[{"table.field.event.timestamp": field} for field in ["at", "plain_at", "date_at", "nano_at", "odd_at", "part"]], {"table.expand.json.payload": "true"},
      {"table.expand.json.payload": "true", "table.json.payload.null.behavior": "optional_bytes"},
      {"table.expand.json.payload": "true", "field.name.adjustment.mode": "avro"}, {"table.expand.json.payload": "true", "route.tombstone.on.empty.payload": "true", "table.field.event.payload": "payload"})
alone(NAME, "outbox", {PLACE: "type:envelope"}, {PLACE: "type:envelope:kind, tenant:envelope ,tenant:header:t,part:partition"},
      {PLACE: "tenant:envelope,v:envelope", "table.field.additional.missing": "ignore"}, {PLACE: "type:envelope", "table.field.event.schema.version": "v"}, {PLACE: "payload:envelope"}, {PLACE: "type:envelope:payload"},
      {"table.expand.json.payload": "true", PLACE: "type:envelope"})
cases(NAME, "none", {"table.op.invalid.behavior": "x"}, {PLACE: "type"}, {PLACE: "a:b:c:d"}, {PLACE: "type:nowhere"}, {PLACE: ""}, {"route.topic.regex": "("}, {"route.tombstone.on.empty.payload": "x"},
      {"table.json.payload.null.behavior": "x"}, {"table.expand.json.payload": "x"}, {"table.field.additional.missing": "x"}, {"route.topic.regex": ""}, {"route.by.field": ""}, {"table.field.event.key": ""},
      {"route.topic.replacement": ""}, {"table.op.invalid.behavior": "FATAL"})

for name, whole in RECORDS.items():
    print(json.dumps({"record": name, **whole}, ensure_ascii=False, separators=(",", ":")))
for case in CASES:
    print(json.dumps(case, ensure_ascii=False, separators=(",", ":")))
