import io.apicurio.registry.serde.avro.NonRecordContainer;
import io.apicurio.registry.utils.converter.avro.AvroData;
import io.apicurio.registry.utils.converter.avro.AvroDataConfig;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;

/** Reads the corpus of corpus.py and prints what Java makes of each line; see the script `record`. */
public class Record {
    private final JsonConverter json = new JsonConverter();
    private final PrintStream out =
        new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        Record record = new Record();
        record.json.configure(Map.of("converter.type", "value", "schemas.enable", "true"), false);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            record.line(line.split("\t"));
        }
        record.out.flush();
    }

    private void line(String[] parts) throws Exception {
        String options = parts[0].contains(":") ? parts[0].substring(parts[0].indexOf(':')) : "";
        AvroData data = new AvroData(config(options));
        if (parts[0].startsWith("from")) {
            from(data, options, parts[1]);
        } else {
            Schema schema = parse(parts[1]);
            Object datum = new GenericDatumReader<Object>(schema)
                .read(null, DecoderFactory.get().jsonDecoder(schema, parts[2]));
            to(data, options, parts[1], body(schema, datum));
        }
    }

    /** An envelope of JsonConverter becomes a schema and a body; what those become again follows. */
    private void from(AvroData data, String options, String envelope) {
        SchemaAndValue connect = json.toConnectData("t", envelope.getBytes(StandardCharsets.UTF_8));
        String avro;
        Schema schema;
        try {
            schema = data.fromConnectSchema(connect.schema());
            avro = schema.toString();
        } catch (Exception e) {
            print("from" + options, envelope, error(e), "");
            return;
        }
        byte[] bytes;
        try {
            bytes = body(schema, data.fromConnectData(connect.schema(), connect.value()));
        } catch (Exception e) {
            print("from" + options, envelope, avro, error(e));
            return;
        }
        print("from" + options, envelope, avro, HexFormat.of().formatHex(bytes));
        to(data, options, avro, bytes);
    }

    private void to(AvroData data, String options, String avro, byte[] bytes) {
        String made;
        try {
            Schema schema = parse(avro);
            SchemaAndValue connect = data.toConnectData(schema, datum(schema, bytes));
            // A null has no schema here.
            made = connect == null
                ? "null"
                : new String(json.fromConnectData("t", connect.schema(), connect.value()), StandardCharsets.UTF_8);
        } catch (Exception | StackOverflowError e) {
            made = error(e);
        }
        print("to" + options, avro, HexFormat.of().formatHex(bytes), made);
    }

    /** What Confluent's serializer writes after the id: a schema of bytes has no length before them. */
    private static byte[] body(Schema schema, Object object) throws Exception {
        Object value = object instanceof NonRecordContainer container ? container.getValue() : object;
        if (schema.getType() == Schema.Type.BYTES && value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            return bytes;
        }
        if (schema.getType() == Schema.Type.BYTES) {
            return (byte[]) value;
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(out, null);
        new GenericDatumWriter<Object>(schema).write(value, encoder);
        return out.toByteArray();
    }

    private static Object datum(Schema schema, byte[] bytes) throws Exception {
        if (schema.getType() == Schema.Type.BYTES) {
            return ByteBuffer.wrap(bytes);
        }
        return new GenericDatumReader<Object>(schema).read(null, DecoderFactory.get().binaryDecoder(bytes, null));
    }

    private static Schema parse(String text) {
        return new Schema.Parser().setValidateDefaults(false).parse(text);
    }

    private static AvroDataConfig config(String options) {
        Map<String, String> config = new HashMap<>();
        for (String option : options.replaceFirst("^:", "").split(",")) {
            String[] pair = option.split("=");
            if (pair.length == 2) {
                config.put(pair[0], pair[1]);
            }
        }
        return new AvroDataConfig(config);
    }

    private static String error(Throwable e) {
        String text = "error: " + e.getClass().getName() + ": " + e.getMessage();
        return text.replace("\n", "\\n").replace("\t", "\\t");
    }

    private void print(String... parts) {
        out.println(String.join("\t", parts));
    }
}
