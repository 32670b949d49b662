import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.apache.kafka.common.Configurable;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.transforms.Transformation;
import org.apache.kafka.connect.transforms.predicates.Predicate;

/** Reads the corpus of corpus.py and writes what Java makes of it, a file a class; see the script `record`. */
public class Record {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final List<String> MEMBERS = List.of("topic", "partition", "offset", "timestamp", "headers");

    private final Path directory;
    private final Map<String, JsonNode> records = new LinkedHashMap<>();
    private final Map<String, PrintStream> files = new HashMap<>();

    private Record(Path directory) {
        this.directory = directory;
    }

    public static void main(String[] args) throws Exception {
        Record record = new Record(Path.of(args[0]));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode node = Notation.MAPPER.readTree(line);
            if (node.has("record")) {
                record.records.put(node.get("record").asText(), node);
                record.file("records").println(line);
            } else if (node.has("chain")) {
                record.askChain(node);
            } else {
                record.ask(node);
            }
        }
        record.files.values().forEach(PrintStream::close);
    }

    private PrintStream file(String name) throws Exception {
        PrintStream file = files.get(name);
        if (file == null) {
            file = new PrintStream(directory.resolve(name + ".jsonl").toFile(), StandardCharsets.UTF_8);
            files.put(name, file);
        }
        return file;
    }

    /** One configuration: a line for it, then a line for each outcome with the records that have it. */
    private void ask(JsonNode asked) throws Exception {
        String name = asked.get("class").asText();
        PrintStream file = file(name.replaceFirst(".*\\.", "").replaceFirst("\\$.*", ""));
        ObjectNode header = NODES.objectNode().put("class", name);
        header.set("config", asked.get("config"));
        Function<ConnectRecord<?>, JsonNode> plugin;
        try {
            plugin = open(name, asked.get("config"));
        } catch (Exception e) {
            header.set("error", error(e));
            file.println(header);
            return;
        }
        file.println(header);
        outcomes(file, asked.get("records"), record -> {
            ConnectRecord<?> in = Notation.record(record, name.endsWith("$Key"));
            try {
                return plugin.apply(in);
            } catch (Exception e) {
                return NODES.objectNode().set("error", error(e));
            }
        });
    }

    private void askChain(JsonNode asked) throws Exception {
        PrintStream file = file("chains");
        file.println(NODES.objectNode().set("chain", asked.get("chain")));
        Chain chain = new Chain(properties(asked.get("chain")));
        outcomes(file, asked.get("records"), record -> {
            ConnectRecord<?> in = Notation.record(record, false);
            ObjectNode before = Notation.written(in);
            Chain.Outcome outcome = chain.apply(in);
            if (outcome.error() != null) {
                return NODES.objectNode().put("class", outcome.step().getName()).set("error", error(outcome.error()));
            }
            return outcome.record() == null ? NODES.nullNode() : changes(before, Notation.written(outcome.record()));
        });
    }

    private void outcomes(PrintStream file, JsonNode names, Function<JsonNode, JsonNode> ask) {
        Map<JsonNode, ArrayNode> outcomes = new LinkedHashMap<>();
        for (JsonNode name : names) {
            JsonNode outcome = ask.apply(records.get(name.asText()));
            outcomes.computeIfAbsent(outcome, o -> NODES.arrayNode()).add(name);
        }
        outcomes.forEach((outcome, of) -> file.println(NODES.arrayNode().add(of).add(outcome)));
    }

    private static Map<String, String> properties(JsonNode config) {
        Map<String, String> properties = new HashMap<>();
        config.properties().forEach(entry -> properties.put(entry.getKey(), entry.getValue().asText()));
        return properties;
    }

    private static Function<ConnectRecord<?>, JsonNode> open(String name, JsonNode config) throws Exception {
        Configurable plugin = (Configurable) Class.forName(name).getDeclaredConstructor().newInstance();
        plugin.configure(properties(config));
        if (plugin instanceof Predicate<?> predicate) {
            return record -> NODES.booleanNode(test(predicate, record));
        }
        return record -> {
            // Before, since a transformation may change what it is given.
            ObjectNode before = Notation.written(record);
            ConnectRecord<?> after = transform((Transformation<?>) plugin, record);
            return after == null ? NODES.nullNode() : changes(before, Notation.written(after));
        };
    }

    @SuppressWarnings("unchecked")
    private static <R extends ConnectRecord<R>> boolean test(Predicate<R> predicate, ConnectRecord<?> record) {
        return predicate.test((R) record);
    }

    @SuppressWarnings("unchecked")
    private static <R extends ConnectRecord<R>> ConnectRecord<?> transform(Transformation<R> plugin, ConnectRecord<?> record) {
        return plugin.apply((R) record);
    }

    /** The members of a record that are others now; of key and value, "=" stands for the same schema or value. */
    private static JsonNode changes(ObjectNode before, ObjectNode after) {
        ObjectNode changes = NODES.objectNode();
        for (String member : MEMBERS) {
            if (after.has(member) && !after.get(member).equals(before.get(member))) {
                changes.set(member, after.get(member));
            }
        }
        for (String member : List.of("key", "value")) {
            JsonNode is = after.get(member);
            JsonNode was = before.get(member);
            if (!is.equals(was)) {
                ArrayNode pair = changes.putArray(member);
                for (int i = 0; i < 2; i++) {
                    pair.add(is.get(i).equals(was.get(i)) ? NODES.textNode("=") : is.get(i));
                }
            }
        }
        return changes;
    }

    private static JsonNode error(Throwable e) {
        // Identities of objects differ from run to run.
        String message = e.getMessage() == null ? null : e.getMessage().replaceAll("@[0-9a-f]{5,8}\\b", "@");
        return NODES.arrayNode().add(e.getClass().getName()).add(message);
    }
}
