import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.transforms.Transformation;

/** Chains.java CHAINS ORDERS FORM NAME: nanoseconds of processor time a record in one chain, once it is warm. */
public class Chains {
    private static final long WARM_NS = 2_000_000_000L;
    private static final long MEASURED_NS = 500_000_000L;
    private static final long EPOCH_MS = 1_763_700_000_000L;
    private static final OperatingSystemMXBean PROCESS = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private static final ObjectMapper MAPPER = new ObjectMapper();

    /** What comes out is stored, so that it has to be made. */
    static volatile Object out;

    public static void main(String[] args) throws Exception {
        List<Transformation<SinkRecord>> chain = chain(Path.of(args[0]), args[3]);
        int count = Files.readAllLines(Path.of(args[1])).size();
        Runnable pass;
        if (args[2].equals("bytes")) {
            List<byte[]> texts = texts(Path.of(args[1]), false);
            JsonConverter reader = converter(false);
            JsonConverter writer = converter(false);
            pass = () -> passBytes(chain, texts, reader, writer);
        } else {
            List<SinkRecord> records = records(Path.of(args[1]), args[2].equals("struct"));
            pass = () -> pass(chain, records);
        }
        through(pass, count, WARM_NS);
        System.out.println(through(pass, count, MEASURED_NS));
    }

    private static double through(Runnable pass, int count, long nanos) {
        long start = PROCESS.getProcessCpuTime();
        long passes = 0;
        long spent;
        do {
            for (int i = 0; i < 20; i++) {
                pass.run();
            }
            passes += 20;
            spent = PROCESS.getProcessCpuTime() - start;
        } while (spent < nanos);
        return (double) spent / (passes * count);
    }

    private static void pass(List<Transformation<SinkRecord>> chain, List<SinkRecord> records) {
        for (SinkRecord record : records) {
            SinkRecord made = record;
            for (Transformation<SinkRecord> step : chain) {
                made = step.apply(made);
            }
            out = made;
        }
    }

    private static void passBytes(List<Transformation<SinkRecord>> chain, List<byte[]> texts, JsonConverter reader, JsonConverter writer) {
        long offset = 0;
        for (byte[] text : texts) {
            SinkRecord made = record(reader, text, offset++);
            for (Transformation<SinkRecord> step : chain) {
                made = step.apply(made);
            }
            out = writer.fromConnectData("orders", made.valueSchema(), made.value());
        }
    }

    private static JsonConverter converter(boolean schemas) {
        JsonConverter converter = new JsonConverter();
        converter.configure(Map.of("schemas.enable", Boolean.toString(schemas)), false);
        return converter;
    }

    private static List<byte[]> texts(Path orders, boolean schemas) throws Exception {
        List<byte[]> texts = new ArrayList<>();
        for (String line : Files.readAllLines(orders)) {
            String text = schemas ? line : MAPPER.readTree(line).get("payload").toString();
            texts.add(text.getBytes(StandardCharsets.UTF_8));
        }
        return texts;
    }

    private static List<SinkRecord> records(Path orders, boolean schemas) throws Exception {
        JsonConverter converter = converter(schemas);
        List<SinkRecord> records = new ArrayList<>();
        for (byte[] text : texts(orders, schemas)) {
            records.add(record(converter, text, records.size()));
        }
        return records;
    }

    /** As a consumer and JsonConverter give them. */
    private static SinkRecord record(JsonConverter converter, byte[] text, long offset) {
        SchemaAndValue value = converter.toConnectData("orders", text);
        return new SinkRecord("orders", 0, null, null, value.schema(), value.value(), offset, EPOCH_MS + offset,
            TimestampType.CREATE_TIME);
    }

    @SuppressWarnings("unchecked")
    private static List<Transformation<SinkRecord>> chain(Path chains, String name) throws Exception {
        List<Transformation<SinkRecord>> chain = new ArrayList<>();
        for (JsonNode written : MAPPER.readTree(chains.toFile())) {
            if (!written.get("name").asText().equals(name)) {
                continue;
            }
            for (JsonNode step : written.get("steps")) {
                Map<String, String> config = new HashMap<>();
                step.properties().forEach(entry -> config.put(entry.getKey(), entry.getValue().asText()));
                String type = "org.apache.kafka.connect.transforms." + config.remove("type");
                chain.add((Transformation<SinkRecord>) Class.forName(type).getDeclaredConstructor().newInstance());
                chain.get(chain.size() - 1).configure(config);
            }
        }
        return chain;
    }
}
