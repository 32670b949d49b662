import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.util.JsonFormat;
import io.confluent.connect.json.JsonSchemaConverter;
import io.confluent.connect.json.JsonSchemaData;
import io.confluent.connect.json.JsonSchemaDataConfig;
import io.confluent.connect.protobuf.ProtobufConverter;
import io.confluent.connect.protobuf.ProtobufData;
import io.confluent.connect.protobuf.ProtobufDataConfig;
import io.confluent.kafka.schemaregistry.ParsedSchema;
import io.confluent.kafka.schemaregistry.client.MockSchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.rest.entities.SchemaReference;
import io.confluent.kafka.schemaregistry.json.JsonSchemaProvider;
import io.confluent.kafka.schemaregistry.protobuf.ProtobufSchema;
import io.confluent.kafka.schemaregistry.protobuf.ProtobufSchemaProvider;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.storage.Converter;

/** Reads a corpus (protobuf.py, json_schema.py) and prints what Java makes of each line; see the script `record`. */
public class Record {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final String SUBJECT = "t-value";
    private static final int PREFIX = 5;

    private final boolean isProtobuf;
    private final JsonConverter json = new JsonConverter();
    private final PrintStream out =
        new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);

    private Record(boolean isProtobuf) {
        this.isProtobuf = isProtobuf;
        json.configure(Map.of("converter.type", "value", "schemas.enable", "true"), false);
    }

    public static void main(String[] args) throws Exception {
        Record record = new Record(args[0].equals("protobuf"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            record.line(line.split("\t", -1));
        }
        record.out.flush();
    }

    private void line(String[] parts) throws Exception {
        String options = parts[0].contains(":") ? parts[0].substring(parts[0].indexOf(':')) : "";
        MockSchemaRegistryClient registry = registry();
        if (parts[0].startsWith("from")) {
            from(registry, options, parts[1]);
            return;
        }
        if (parts[0].equals("strict")) {
            // What use.latest.version asks with latest.compatibility.strict.
            boolean is = parse(registry, parts[2]).isBackwardCompatible(parse(registry(), parts[1])).isEmpty();
            print("strict", parts[1], parts[2], Boolean.toString(is));
            return;
        }
        ParsedSchema schema;
        try {
            schema = parse(registry, parts[1]);
            // As a registry would: schemas that are not valid are not taken.
            schema.validate(false);
        } catch (Exception | StackOverflowError e) {
            print("to" + options, parts[1], payloadText(parts), error(e));
            return;
        }
        int id = registry.register(SUBJECT, schema);
        byte[] payload = isProtobuf ? message((ProtobufSchema) schema, parts[2], parts[3])
            : parts[2].getBytes(StandardCharsets.UTF_8);
        print("to" + options, parts[1], text(payload), read(registry, options, id, payload));
    }

    private static MockSchemaRegistryClient registry() {
        return new MockSchemaRegistryClient(List.of(new ProtobufSchemaProvider(), new JsonSchemaProvider()));
    }

    private String payloadText(String[] parts) {
        return isProtobuf ? "" : parts[2];
    }

    /** An envelope of JsonConverter becomes a schema and a payload; what those become again follows. */
    private void from(MockSchemaRegistryClient registry, String options, String envelope) throws Exception {
        SchemaAndValue connect = json.toConnectData("t", envelope.getBytes(StandardCharsets.UTF_8));
        byte[] bytes;
        try {
            bytes = converter(registry, options).fromConnectData("t", connect.schema(), connect.value());
        } catch (Exception | StackOverflowError e) {
            print("from" + options, envelope, schemaAlone(options, connect.schema()), error(e));
            return;
        }
        if (bytes == null) {
            print("from" + options, envelope, schemaAlone(options, connect.schema()), "null");
            return;
        }
        int id = ByteBuffer.wrap(bytes).getInt(1);
        byte[] payload = Arrays.copyOfRange(bytes, PREFIX, bytes.length);
        String schema = quoted(registry.getSchemaBySubjectAndId(SUBJECT, id));
        print("from" + options, envelope, schema, text(payload));
        // Whoever reads has the text alone; the writer's own object knows more, such as defaults.
        MockSchemaRegistryClient other = registry();
        print("to" + options, "=", "=", read(other, options, other.register(SUBJECT, parse(other, schema)), payload));
    }

    private String read(MockSchemaRegistryClient registry, String options, int id, byte[] payload) {
        ByteBuffer bytes = ByteBuffer.allocate(PREFIX + payload.length).put((byte) 0).putInt(id).put(payload);
        try {
            SchemaAndValue connect = converter(registry, options).toConnectData("t", bytes.array());
            return new String(json.fromConnectData("t", connect.schema(), connect.value()), StandardCharsets.UTF_8);
        } catch (Exception | StackOverflowError e) {
            return error(e);
        }
    }

    private String schemaAlone(String options, Schema schema) {
        try {
            Map<String, String> config = config(options);
            ParsedSchema parsed = isProtobuf
                ? new ProtobufData(new ProtobufDataConfig(config)).fromConnectSchema(schema)
                : new JsonSchemaData(new JsonSchemaDataConfig(config)).fromConnectSchema(schema);
            return quoted(parsed);
        } catch (Exception | StackOverflowError e) {
            return error(e);
        }
    }

    private Converter converter(MockSchemaRegistryClient registry, String options) {
        Converter converter = isProtobuf ? new ProtobufConverter(registry) : new JsonSchemaConverter(registry);
        converter.configure(config(options), false);
        return converter;
    }

    /** A schema is a JSON string, or an object with its references: [name, text] each, first what others need. */
    private ParsedSchema parse(MockSchemaRegistryClient registry, String quoted) throws Exception {
        JsonNode node = MAPPER.readTree(quoted);
        String type = isProtobuf ? "PROTOBUF" : "JSON";
        List<SchemaReference> references = new ArrayList<>();
        for (JsonNode reference : node.path("references")) {
            String name = reference.get(0).asText();
            ParsedSchema parsed = registry
                .parseSchema(type, reference.get(1).asText(), new ArrayList<>(references)).orElseThrow();
            registry.register(name, parsed);
            references.add(new SchemaReference(name, name, 1));
        }
        String text = node.isTextual() ? node.asText() : node.get("schema").asText();
        return registry.parseSchema(type, text, references)
            .orElseThrow(() -> new IllegalArgumentException("schema does not parse"));
    }

    /** A message in JSON, or its indexes and bytes in hexadecimal digits when it has no name. */
    private static byte[] message(ProtobufSchema schema, String name, String value) throws Exception {
        if (name.equals("-")) {
            return HexFormat.of().parseHex(value);
        }
        DynamicMessage.Builder builder = schema.newMessageBuilder(name);
        JsonFormat.parser().merge(value, builder);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(schema.toMessageIndexes(name).toByteArray());
        bytes.write(builder.build().toByteArray());
        return bytes.toByteArray();
    }

    private static Map<String, String> config(String options) {
        Map<String, String> config = new HashMap<>();
        config.put("schema.registry.url", "mock://t");
        for (String option : options.replaceFirst("^:", "").split(",")) {
            String[] pair = option.split("=");
            if (pair.length == 2) {
                config.put(pair[0], pair[1]);
            }
        }
        return config;
    }

    private static String quoted(ParsedSchema schema) throws Exception {
        return MAPPER.writeValueAsString(schema.canonicalString());
    }

    private String text(byte[] payload) {
        return isProtobuf ? HexFormat.of().formatHex(payload) : new String(payload, StandardCharsets.UTF_8);
    }

    private static String error(Throwable e) {
        Throwable cause = e;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        String text = "error: " + cause.getClass().getName() + ": " + cause.getMessage();
        return text.replace("\n", "\\n").replace("\t", "\\t");
    }

    private void print(String... parts) {
        out.println(String.join("\t", parts));
    }
}
