import static org.apache.kafka.common.config.ConfigDef.*;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.runtime.AbstractHerder;

/**
 * Records what Java answers: settings.jsonl, infos.json and properties.jsonl, which tests compare with.
 *
 * <p>Run with the jars of Apache Kafka Connect 4.3.1: {@code java -cp 'libs/*' JavaConfig.java OUT [RANDOM_CASES]}
 */
public class JavaConfig {
    static final ObjectMapper JSON = new ObjectMapper();

    static final Map<String, Validator> RULES = new LinkedHashMap<>();

    static {
        RULES.put("", null);
        RULES.put("between(1, 10)", Range.between(1, 10));
        RULES.put("between(0.0, 1.0)", Range.between(0.0, 1.0));
        RULES.put("at_least(1)", Range.atLeast(1));
        RULES.put("at_least(0L)", Range.atLeast(0L));
        RULES.put("one_of(a, b)", ValidString.in("a", "b"));
        RULES.put("one_of_ignore_case(3)", CaseInsensitiveValidString.in("interval", "poll", "connector"));
        RULES.put("one_of_ignore_case(2)", CaseInsensitiveValidString.in("requested", "required"));
        RULES.put("one_of_ignore_case(15)", CaseInsensitiveValidString.in(("a b c alpha beta gamma delta epsilon "
            + "zeta eta theta iota kappa lambda mu").split(" ")));
        RULES.put("one_of_ignore_case(bucket)", CaseInsensitiveValidString.in("BB", "AA", "Q", "a", "aa"));
        RULES.put("non_empty_string", new NonEmptyString());
        RULES.put("without_control_chars", new NonEmptyStringWithoutControlChars());
        RULES.put("non_null", new NonNullValidator());
        RULES.put("list_size_limit(2)", ListSize.atMostOfSize(2));
        RULES.put("list_of(a, b)", ValidList.in("a", "b"));
        RULES.put("non_empty_list_of(a, b)", ValidList.in(false, "a", "b"));
        RULES.put("unique_list", ValidList.anyNonDuplicateValues(true, false));
        RULES.put("non_empty_list", ValidList.anyNonDuplicateValues(false, false));
        RULES.put("or_null(non_empty_list)", ValidList.anyNonDuplicateValues(false, true));
        RULES.put("all_of", CompositeValidator.of(new NonEmptyString(), ValidString.in("a", "b")));
    }

    static final List<String> LINES = new ArrayList<>();

    /** Parses and validates one key with each text; null stands for a missing key. */
    static void settings(Type type, String rule, String... texts) throws IOException {
        Validator validator = RULES.get(rule);
        ConfigDef def = new ConfigDef().define("k", type, NO_DEFAULT_VALUE, validator, Importance.LOW, "");
        for (String text : texts) {
            Map<String, String> props = text == null ? Map.of() : Map.of("k", text);
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("type", type.name());
            line.put("rule", rule);
            line.put("prints", String.valueOf(validator));
            line.put("text", text);
            try {
                line.put("parsed", convertToString(def.parse(props).get("k"), type));
            } catch (ConfigException e) {
                line.put("error", e.getMessage());
            }
            ConfigValue found = def.validate(props).get(0);
            line.put("value", convertToString(found.value(), type));
            line.put("errors", found.errorMessages());
            LINES.add(JSON.writeValueAsString(line));
        }
    }

    static void allSettings() throws IOException {
        for (Type type : Type.values()) {
            settings(type, "", (String) null);
        }
        settings(Type.BOOLEAN, "", "true", " TRUE ", "False", "yes", "");
        settings(Type.INT, "", "1", " +5 ", "-7", "2147483647", "2147483648", "-2147483648", "-2147483649", "", "-",
            "+", "1.0", "x", "0x10", "1_000", "007", "\u00a01", "\u00011\u0001");
        settings(Type.SHORT, "", "32767", "32768", "-32768", " 3");
        settings(Type.LONG, "", "9223372036854775807", "9223372036854775808", "1L");
        settings(Type.DOUBLE, "", "1", "1.5", "1.", "  .5", "1e10", "1e7", "9999999", "123456789.125", "0.001",
            "0.0001", "1d", "1F", "NaN", "nan", "Infinity", "-Infinity", "+Infinity", "inf", "infinity", "INFINITY",
            "1e400", "-0", "1e", "", "1e-5", "1.7976931348623157E308", "100", "d", "1e5f", "1dd", "+1.5", ".", "-",
            "NaNd", "--1", "+-1", "1 2", "-1e-400", "0.1e1D", "12345678", "1.0E-4", "+NaN", "--Infinity");
        settings(Type.LIST, "", "", "  ", "a", "a,b", " a , b ", "a,,b", ",", "a,", "\u000ba\u000b,\u001f b",
            "a b , c\td", "a\u00a0,b");
        settings(Type.STRING, "", "", " a b ", "\u0001x\u0001", "\u00a0x\u00a0", "\u2003x");
        settings(Type.PASSWORD, "", " secret ", "");
        settings(Type.CLASS, "", "java.lang.String");
        settings(Type.INT, "between(1, 10)", null, "0", "1", "10", "11", "x");
        settings(Type.INT, "at_least(1)", null, "0", "1", "x");
        settings(Type.DOUBLE, "between(0.0, 1.0)", "-0.5", "0.5", "1.5");
        settings(Type.LONG, "at_least(0L)", "-1", "5");
        settings(Type.STRING, "one_of(a, b)", null, "a", "b", "A", "");
        settings(Type.STRING, "one_of_ignore_case(3)", null, "poll", "POLL", "x", "");
        settings(Type.STRING, "one_of_ignore_case(2)", "x");
        settings(Type.STRING, "one_of_ignore_case(15)", "x");
        settings(Type.STRING, "one_of_ignore_case(bucket)", "x");
        settings(Type.STRING, "non_empty_string", null, "", "a");
        settings(Type.STRING, "without_control_chars", null, "", "a", "a\tb\nc\u0085d\ud83d\ude00");
        settings(Type.STRING, "non_null", null, "a");
        settings(Type.LIST, "list_size_limit(2)", "a,b", "a,b,c");
        settings(Type.LIST, "list_of(a, b)", null, "", "a", "a,b", "c", "a,a", "a,,b", "a,c,a");
        settings(Type.LIST, "non_empty_list_of(a, b)", "", "c");
        settings(Type.LIST, "unique_list", null, "", "a,a", "a,,b", "a,b", ",");
        settings(Type.LIST, "non_empty_list", null, "", "a,a");
        settings(Type.LIST, "or_null(non_empty_list)", null, "", "a,a");
        settings(Type.STRING, "all_of", null, "", "x", "a\nb", "a");
    }

    /** Two definitions: one embedded below a prefix, one with dependents and recommenders. */
    static List<Object> infos() {
        ConfigDef child = new ConfigDef()
            .define("zlow", Type.INT, 1, Range.atLeast(0), Importance.LOW, "d")
            .define("ahigh", Type.STRING, null, Importance.HIGH, "d")
            .define("req", Type.STRING, NO_DEFAULT_VALUE, new NonEmptyString(), Importance.LOW, "d")
            .define("g2", Type.STRING, "", Importance.HIGH, "d", "G", 9, Width.LONG, "Late")
            .define("g1", Type.STRING, "", Importance.LOW, "d", "G", 3, Width.LONG, "Gee", List.of("zlow"));
        ConfigDef outer = new ConfigDef().define("first", Type.STRING, Importance.HIGH, "d");
        outer.embed("t.a.", "Transforms: a", 2, child);
        Recommender recommender = new Recommender() {
            public List<Object> validValues(String name, Map<String, Object> values) {
                return new ArrayList<>(List.of("p", "q"));
            }

            public boolean visible(String name, Map<String, Object> values) {
                return values.get("c") != null;
            }
        };
        ConfigDef dependent = new ConfigDef()
            .define("a", Type.STRING, "", Importance.HIGH, "d", "G", 1, Width.SHORT, "A", List.of("c", "gone"))
            .define("b", Type.STRING, "", Importance.HIGH, "d", "G", 2, Width.SHORT, "B", List.of("c"))
            .define("c", Type.INT, Importance.HIGH, "d", "G", 3, Width.SHORT, "C", recommender)
            .define("l", Type.LIST, "x,y", Importance.LOW, "d", "G2", 1, Width.NONE, "L", recommender)
            .define("pw", Type.PASSWORD, "dflt", Importance.LOW, "d")
            .define("cl", Type.CLASS, "java.util.Map$Entry", Importance.LOW, "d");
        return List.of(
            AbstractHerder.generateResult("C", outer.configKeys(),
                outer.validate(Map.of("t.a.zlow", "-1", "t.a.req", "")), outer.groups()),
            AbstractHerder.generateResult("C", dependent.configKeys(),
                dependent.validate(Map.of("c", "x", "pw", "s3")), dependent.groups()),
            AbstractHerder.generateResult("C", dependent.configKeys(),
                dependent.validate(Map.of("c", "1", "l", "")), dependent.groups()));
    }

    static String properties(String text) throws IOException {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("text", text);
        try {
            Properties properties = new Properties();
            properties.load(new ByteArrayInputStream(text.getBytes(StandardCharsets.ISO_8859_1)));
            line.put("props", new TreeMap<>(properties));
        } catch (IllegalArgumentException e) {
            line.put("error", e.getMessage());
        }
        return JSON.writeValueAsString(line);
    }

    static List<String> allProperties(int randomCases) throws IOException {
        List<String> lines = new ArrayList<>();
        String[] texts = {
            "", "a=b", "a:b", "a b", "a", "a=", "=b", "a = b ", "a\t:\fb", "a  b  c", "a==b", "a=:b", "a =:b", "a : = b",
            "# c\na=b", "! c\na=b", "  # c\n  a=b", "a=#b", "#c\\\na=b", "a\\=b=c", "a\\ b=c", "a\\:b c", "a\\\\=b",
            "a=b\\\n  c", "a=b\\\r\n\tc\r\nd=e", "a=b\\\r  c\rd", "a=b\\\\\nc=d", "a=b\\\\\\\nc=d", "a=b\\", "a=b\\\n",
            "\\", "\\\n", "\\\n\n#c=d", "\\\n#c=d", "\\\n   ", "a\\\n=b", "a=\\u0041\\u00e9", "a=\\u00e", "a=\\u00eg",
            "\\u0041b=c", "a=\\ud83d\\ude00", "a=\\t\\n\\r\\f\\q\\\"", "caf\u00e9=\u00ff", "a=1\na=2", "\n\n \na=b\n\n",
            "key\\\n  with\\\n  parts = v", "a=b\r\n\r\nc=d", "a\\u003db=c", "a=\\\\u0041", "a=b\\\n\n c=d", "a=b\\\n#c",
            "=", ":", " = ", "a=b \\\n c ",
            "a\fb", "a=b\t ", "a=b=c", "a=b:c", "a=b\n\rc=d", " \t# c\na=b", "a=b#c", "a=b\\\n\t\f c", "a=b\\\n#c\nd=e",
            "a=b\\\n!c\nd=e", "\\\na=b", "\\\n\n", "\\\\", "a\\\\\\=b=c", "\\#a=b", "\\!a=b", "a=\\ b", "a=\\b\\0\\'", "a=\\u0020b",
            "a=\\u000Ab", "a=\\U0041", "a=\\\\\\u0041", "a=\\u", "a=\\uu0041", "a=\\u 041", "a=\\u+041", "a=\\u00\\\n41",
            "a=b\u0085c=d", "a=b\u00a0", "\u00a0a=b", "a\u000bb", "a=b\u0000c", "a=b\u001a", "a=[\"x\", \"y\"]",
            "{\"name\": \"x\",\n \"a\": 1}", "url=jdbc:db://h:1/x?a=b&c=d#e", "p=C:\\dir\\new\\users", "a=${file:/x:y}",
            "a=b,\\\n  c,\\\n  d\ne=f", "a=b\\\n\\\n\\\nc", "a=b\\\n  \\\n  c", "a\\", "a=b\\ \nc", "a\n\tb=c\n  d e",
        };
        for (String text : texts) {
            lines.add(properties(text));
        }
        Random random = new Random(4);
        String alphabet = "aab=: \t\f\\\\\n\n\r#!u0\u00e9";
        for (int i = 0; i < randomCases; i++) {
            StringBuilder text = new StringBuilder();
            for (int n = random.nextInt(24); n > 0; n--) {
                text.append(alphabet.charAt(random.nextInt(alphabet.length())));
            }
            lines.add(properties(text.toString()));
        }
        return lines;
    }

    public static void main(String[] args) throws IOException {
        Path out = Path.of(args[0]);
        allSettings();
        Files.write(out.resolve("settings.jsonl"), LINES);
        Files.writeString(out.resolve("infos.json"),
            JSON.writerWithDefaultPrettyPrinter().writeValueAsString(infos()) + "\n");
        Files.write(out.resolve("properties.jsonl"), allProperties(args.length > 1 ? Integer.parseInt(args[1]) : 60));
    }
}
