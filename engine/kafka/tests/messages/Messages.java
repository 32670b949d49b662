// Writes every message of the APIs that Millrace speaks as Java's own classes encode it, each field with a value
// that no other field has. `golden.rs` beside it compares. With a JDK of 17 or newer and the jars of Kafka 4.3.1:
//
//   java -cp 'kafka-clients-4.3.1.jar:slf4j-api.jar' Messages.java > messages.txt
//
// A line a message: API, "request" or "response", version, "full" or "nulls", bytes, and the fields.

import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class Messages {
    static final String[] APIS = {
        "Produce", "Fetch", "ListOffsets", "Metadata", "OffsetCommit", "OffsetFetch", "FindCoordinator", "JoinGroup",
        "Heartbeat", "LeaveGroup", "SyncGroup", "DescribeGroups", "ListGroups", "SaslHandshake", "ApiVersions",
        "CreateTopics", "DeleteTopics", "DeleteRecords", "InitProducerId", "OffsetForLeaderEpoch",
        "AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn", "TxnOffsetCommit", "DescribeConfigs", "SaslAuthenticate",
        "CreatePartitions", "DeleteGroups", "IncrementalAlterConfigs", "OffsetDelete", "DescribeCluster",
        "ConsumerGroupHeartbeat", "ConsumerGroupDescribe", "DescribeTransactions", "ListTransactions",
        "DescribeProducers",
    };

    static int number;
    static boolean nulls;
    static StringBuilder fields;

    public static void main(String[] arguments) {
        for (String api : APIS) {
            ApiMessageType type = null;
            for (ApiMessageType candidate : ApiMessageType.values()) {
                if (candidate.name.equals(api)) type = candidate;
            }
            for (int i = 0; i < 2; i++) {
                Schema[] schemas = i == 0 ? type.requestSchemas() : type.responseSchemas();
                for (short version = 0; version < schemas.length; version++) {
                    if (schemas[version] == null) continue;
                    ApiMessage message = i == 0 ? type.newRequest() : type.newResponse();
                    String name = api + (i == 0 ? " request " : " response ") + version;
                    String full = line(schemas[version], message, version, false);
                    String empty = line(schemas[version], message, version, true);
                    System.out.println(name + " full " + full);
                    if (!hex(full).equals(hex(empty))) System.out.println(name + " nulls " + empty);
                }
            }
        }
    }

    static String hex(String line) {
        return line.split(" ")[0];
    }

    static String line(Schema schema, ApiMessage message, short version, boolean withNulls) {
        number = 0;
        nulls = withNulls;
        fields = new StringBuilder();
        Object value = value(schema, "");
        ByteBuffer bytes = ByteBuffer.allocate(schema.sizeOf(value));
        schema.write(bytes, value);
        bytes.flip();
        // The class that Java's clients use has to agree.
        message.read(new ByteBufferAccessor(bytes.duplicate()), version);
        ByteBuffer again = MessageUtil.toByteBufferAccessor(message, version).buffer();
        if (!again.equals(bytes)) throw new IllegalStateException(message.getClass() + " " + version);
        byte[] array = new byte[bytes.remaining()];
        bytes.get(array);
        return HexFormat.of().formatHex(array) + fields;
    }

    static Object value(Type type, String name) {
        if (type.isNullable() && nulls) return null;
        if (type instanceof Schema schema) {
            Struct struct = new Struct(schema);
            for (BoundField field : schema.fields()) struct.set(field, value(field.def.type, field.def.name));
            return struct;
        }
        if (type instanceof TaggedFields tagged) {
            TreeMap<Integer, Object> values = new TreeMap<>();
            for (Map.Entry<Integer, Field> field : tagged.fields().entrySet()) {
                Object value = value(field.getValue().type, field.getValue().name);
                if (value != null) values.put(field.getKey(), value);
            }
            return values;
        }
        if (type.isArray()) return new Object[] {value(type.arrayElementType().get(), name)};
        Object value = scalar(type.toString());
        fields.append(' ').append(name).append('=');
        if (value instanceof ByteBuffer || value instanceof MemoryRecords) fields.append("b" + number);
        else if (value instanceof Uuid) fields.append(new java.util.UUID(number, number));
        else fields.append(value);
        return value;
    }

    static Object scalar(String type) {
        number++;
        ByteBuffer bytes = ByteBuffer.wrap(("b" + number).getBytes());
        return switch (type) {
            case "BOOLEAN" -> true;
            case "INT8" -> (byte) number;
            case "INT16" -> (short) (1000 + number);
            case "UINT16" -> 50000 + number;
            case "INT32" -> 1000000 + number;
            case "UNSIGNED_INT32" -> 3000000000L + number;
            case "INT64" -> 1000000000000L + number;
            case "FLOAT64" -> number + 0.5;
            case "UUID" -> new Uuid(number, number);
            case "STRING", "COMPACT_STRING", "NULLABLE_STRING", "COMPACT_NULLABLE_STRING" -> "s" + number;
            case "BYTES", "COMPACT_BYTES", "NULLABLE_BYTES", "COMPACT_NULLABLE_BYTES" -> bytes;
            case "RECORDS", "COMPACT_RECORDS", "NULLABLE_RECORDS", "COMPACT_NULLABLE_RECORDS" -> MemoryRecords.readableRecords(bytes);
            default -> throw new IllegalStateException(type);
        };
    }
}
