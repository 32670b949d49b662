import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.source.SourceRecord;

/** How corpus.py writes schemas, values and records: read, and written again. */
final class Notation {
    static final ObjectMapper MAPPER = new ObjectMapper();
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final long DAY = 86_400_000L;

    private Notation() {
    }

    static ConnectRecord<?> record(JsonNode node, boolean turned) {
        JsonNode key = node.get(turned ? "value" : "key");
        JsonNode value = node.get(turned ? "key" : "value");
        Schema keySchema = schema(key.get(0));
        Schema valueSchema = schema(value.get(0));
        ConnectHeaders headers = new ConnectHeaders();
        for (JsonNode header : node.get("headers")) {
            Schema schema = schema(header.get(1));
            headers.add(header.get(0).asText(), value(schema, header.get(2)), schema);
        }
        String topic = node.get("topic").asText();
        Integer partition = node.get("partition").isNull() ? null : (Integer) node.get("partition").intValue();
        Long timestamp = node.get("timestamp").isNull() ? null : (Long) node.get("timestamp").longValue();
        Object k = value(keySchema, key.get(1));
        Object v = value(valueSchema, value.get(1));
        if (!node.has("offset")) {
            return new SourceRecord(Map.of(), Map.of(), topic, partition, keySchema, k, valueSchema, v, timestamp, headers);
        }
        return new SinkRecord(topic, partition, keySchema, k, valueSchema, v, node.get("offset").longValue(), timestamp,
            TimestampType.CREATE_TIME, headers);
    }

    static ObjectNode written(ConnectRecord<?> record) {
        ObjectNode node = NODES.objectNode();
        node.put("topic", record.topic());
        node.put("partition", record.kafkaPartition());
        if (record instanceof SinkRecord sink) {
            node.put("offset", sink.kafkaOffset());
        }
        node.put("timestamp", record.timestamp());
        node.set("key", NODES.arrayNode().add(schema(record.keySchema())).add(value(record.keySchema(), record.key())));
        node.set("value", NODES.arrayNode().add(schema(record.valueSchema())).add(value(record.valueSchema(), record.value())));
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(schema(header.schema())).add(value(header.schema(), header.value()));
        }
        return node;
    }

    private static Schema schema(JsonNode node) {
        if (node.isNull()) {
            return null;
        }
        boolean plain = node.isTextual();
        String type = plain ? node.asText() : node.get("type").asText();
        boolean optional = type.endsWith("?");
        type = optional ? type.substring(0, type.length() - 1) : type;
        SchemaBuilder builder;
        if (type.startsWith("decimal(")) {
            builder = Decimal.builder(Integer.parseInt(type.substring(8, type.length() - 1)));
        } else {
            builder = switch (type) {
                case "date" -> org.apache.kafka.connect.data.Date.builder();
                case "time" -> Time.builder();
                case "timestamp" -> Timestamp.builder();
                case "array" -> SchemaBuilder.array(schema(node.get("values")));
                case "map" -> SchemaBuilder.map(schema(node.get("keys")), schema(node.get("values")));
                default -> SchemaBuilder.type(Schema.Type.valueOf(type.toUpperCase(Locale.ROOT)));
            };
        }
        if (optional) {
            builder.optional();
        }
        return plain ? builder.build() : attributes(builder, node).build();
    }

    private static SchemaBuilder attributes(SchemaBuilder builder, JsonNode node) {
        if (node.has("name")) {
            builder.name(node.get("name").asText());
        }
        if (node.has("version")) {
            builder.version(node.get("version").intValue());
        }
        if (node.has("doc")) {
            builder.doc(node.get("doc").asText());
        }
        node.path("parameters").properties().forEach(p -> builder.parameter(p.getKey(), p.getValue().asText()));
        for (JsonNode field : node.path("fields")) {
            builder.field(field.get(0).asText(), schema(field.get(1)));
        }
        if (node.has("default")) {
            builder.defaultValue(value(builder, node.get("default")));
        }
        return builder;
    }

    /** Logical types that are nothing else have a word of their own. */
    private static String type(Schema schema, boolean logical) {
        String type = schema.type().getName();
        if (logical && schema.name() != null) {
            type = switch (schema.name()) {
                case Decimal.LOGICAL_NAME -> "decimal(" + schema.parameters().get(Decimal.SCALE_FIELD) + ")";
                case org.apache.kafka.connect.data.Date.LOGICAL_NAME -> "date";
                case Time.LOGICAL_NAME -> "time";
                case Timestamp.LOGICAL_NAME -> "timestamp";
                default -> type;
            };
        }
        return schema.isOptional() ? type + "?" : type;
    }

    static JsonNode schema(Schema schema) {
        if (schema == null) {
            return NODES.nullNode();
        }
        if (schema.type().isPrimitive()) {
            for (boolean logical : new boolean[] {false, true}) {
                JsonNode word = NODES.textNode(type(schema, logical));
                if (schema(word).equals(schema)) {
                    return word;
                }
            }
        }
        ObjectNode node = NODES.objectNode();
        node.put("type", type(schema, false));
        if (schema.name() != null) {
            node.put("name", schema.name());
        }
        if (schema.version() != null) {
            node.put("version", schema.version());
        }
        if (schema.doc() != null) {
            node.put("doc", schema.doc());
        }
        if (schema.parameters() != null && !schema.parameters().isEmpty()) {
            ObjectNode parameters = node.putObject("parameters");
            schema.parameters().forEach(parameters::put);
        }
        if (schema.defaultValue() != null) {
            node.set("default", value(schema, schema.defaultValue()));
        }
        if (schema.type() == Schema.Type.MAP) {
            node.set("keys", schema(schema.keySchema()));
        }
        if (schema.type() == Schema.Type.MAP || schema.type() == Schema.Type.ARRAY) {
            node.set("values", schema(schema.valueSchema()));
        }
        if (schema.type() == Schema.Type.STRUCT) {
            ArrayNode fields = node.putArray("fields");
            for (Field field : schema.fields()) {
                fields.addArray().add(field.name()).add(schema(field.schema()));
            }
        }
        return node;
    }

    private static Object value(Schema schema, JsonNode node) {
        if (node.isNull()) {
            return null;
        } else if (node.isBoolean()) {
            return node.booleanValue();
        } else if (node.isTextual()) {
            return node.asText();
        } else if (node.isNumber()) {
            return node.longValue();
        } else if (node.isArray()) {
            List<Object> list = new ArrayList<>();
            node.forEach(item -> list.add(value(schema == null ? null : schema.valueSchema(), item)));
            return list;
        }
        Map.Entry<String, JsonNode> only = node.properties().iterator().next();
        JsonNode of = only.getValue();
        return switch (only.getKey()) {
            case "int8" -> (byte) of.intValue();
            case "int16" -> (short) of.intValue();
            case "int32" -> of.intValue();
            case "float32" -> Float.valueOf(of.asText());
            case "float64" -> Double.valueOf(of.asText());
            case "bytes" -> HexFormat.of().parseHex(of.asText());
            case "decimal" -> {
                String[] parts = of.asText().split(":");
                yield new BigDecimal(new BigInteger(parts[0]), Integer.parseInt(parts[1]));
            }
            case "date" -> new Date(of.longValue() * DAY);
            case "time", "timestamp" -> new Date(of.longValue());
            case "map" -> map(schema, of);
            default -> struct(schema, of);
        };
    }

    private static Map<Object, Object> map(Schema schema, JsonNode entries) {
        // What JsonConverter makes.
        Map<Object, Object> map = new HashMap<>();
        for (JsonNode entry : entries) {
            map.put(value(schema == null ? null : schema.keySchema(), entry.get(0)),
                value(schema == null ? null : schema.valueSchema(), entry.get(1)));
        }
        return map;
    }

    private static Struct struct(Schema schema, JsonNode values) {
        // A builder is another schema than what it builds.
        Struct struct = new Struct(schema.schema());
        for (Field field : schema.fields()) {
            Object value = value(field.schema(), values.get(field.index()));
            // A required field with a default may be left out, and cannot be set to null.
            if (value != null) {
                struct.put(field, value);
            }
        }
        return struct;
    }

    static JsonNode value(Schema schema, Object value) {
        ObjectNode node = NODES.objectNode();
        if (value == null) {
            return NODES.nullNode();
        } else if (value instanceof Boolean bool) {
            return NODES.booleanNode(bool);
        } else if (value instanceof String text) {
            return NODES.textNode(text);
        } else if (value instanceof Long number) {
            return NODES.numberNode(number);
        } else if (value instanceof Byte number) {
            return node.put("int8", number.intValue());
        } else if (value instanceof Short number) {
            return node.put("int16", number.intValue());
        } else if (value instanceof Integer number) {
            return node.put("int32", number);
        } else if (value instanceof Float number) {
            return node.put("float32", number.toString());
        } else if (value instanceof Double number) {
            return node.put("float64", number.toString());
        } else if (value instanceof byte[] bytes) {
            return node.put("bytes", HexFormat.of().formatHex(bytes));
        } else if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            return node.put("bytes", HexFormat.of().formatHex(bytes));
        } else if (value instanceof BigDecimal number) {
            return node.put("decimal", number.unscaledValue() + ":" + number.scale());
        } else if (value instanceof Date date) {
            return date(schema, date);
        } else if (value instanceof List<?> list) {
            ArrayNode items = NODES.arrayNode();
            list.forEach(item -> items.add(value(schema == null ? null : schema.valueSchema(), item)));
            return items;
        } else if (value instanceof Map<?, ?> map) {
            return node.set("map", entries(schema, map));
        } else if (value instanceof Struct struct) {
            ArrayNode values = node.putArray("struct");
            for (Field field : struct.schema().fields()) {
                values.add(value(field.schema(), struct.getWithoutDefault(field.name())));
            }
            if (!struct.schema().equals(schema)) {
                node.set("schema", schema(struct.schema()));
            }
            return node;
        }
        return node.put(value.getClass().getName(), value.toString());
    }

    private static JsonNode date(Schema schema, Date date) {
        String name = schema == null || schema.name() == null ? "" : schema.name();
        ObjectNode node = NODES.objectNode();
        return switch (name) {
            case org.apache.kafka.connect.data.Date.LOGICAL_NAME -> node.put("date", Math.floorDiv(date.getTime(), DAY));
            case Time.LOGICAL_NAME -> node.put("time", date.getTime());
            default -> node.put("timestamp", date.getTime());
        };
    }

    /** In the order of their keys' texts: a hash map has none. */
    private static ArrayNode entries(Schema schema, Map<?, ?> map) {
        Map<String, JsonNode> sorted = new TreeMap<>();
        map.forEach((key, value) -> {
            JsonNode written = value(schema == null ? null : schema.keySchema(), key);
            sorted.put(written.toString(), NODES.arrayNode().add(written)
                .add(value(schema == null ? null : schema.valueSchema(), value)));
        });
        return NODES.arrayNode().addAll(sorted.values());
    }
}
