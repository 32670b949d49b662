// Records what java.util.regex finds of many patterns in many texts:
//
//     java integration/oracle/java_regex/Record.java > engine/transforms/tests/golden/java_regex.tsv
//
// A line is a pattern, a text, whether the whole of it matches, and the first thing found with its
// groups; `~` is a group without a match, `-` nothing found. Tabs and line breaks are written as
// their pictures, U+2409, U+240A and U+240D.

import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Record {
    private static final String[] PATTERNS = {
        "", "a", "ab|a", "a|ab", "(a)|b", "(?:(a)|b)*", "(a+)*", "a*?b", "x?y", "a{2}", "a{2,}b", "a{1,2}?", ".", "..", ".*",
        "(?s).", "(?s:.)b", "((?s).).", "(?i)ORDERS", "(?i:o)rders", "(?i)o(?-i)rders", "(?iu)ä", "(?m)^b$", "^b$", "^ab$",
        "\\d+", "\\D+", "\\w+", "\\W+", "\\s+", "\\S+", "\\h+", "\\v+", "\\H", "\\V+", "\\R", "\\ba", "\\Bb", "\\Aa", "b\\z", "b\\Z",
        "[a-c]+", "[^a-c]+", "[]a]+", "[^]a]+", "[a\\]]+", "[a-]+", "[-a]+", "[+--]+", "[a&&[^b]]+", "[a-z&&[^o]]+", "[a-z&&b]",
        "[a[0-9]]+", "[^a[0-9]]+", "[\\d_]+", "[^\\d_]+", "[\\w.]+", "[\\D]+", "[.]+", "[~!]+", "[a~~b]+", "[a^]+", "[ -~]+",
        "[\\p{Lu}_]+", "\\p{Lu}+", "\\P{Lu}+", "\\pL+", "\\p{Alpha}+", "\\P{Alpha}+", "\\p{Punct}+", "\\p{Space}", "\\p{IsLatin}+",
        "\\p{IsAlphabetic}+", "\\p{script=Greek}+", "\\p{gc=Lu}+", "\\p{sc=Latin}+", "\\p{ASCII}+", "\\p{XDigit}+", "\\p{Blank}",
        "\\Qa.b\\E", "\\Q.", "\\Q[\\E+", "a\\.b", "\\/", "\\<", "\\>", "\\#", "\\ ", "\\-", "\\_", "\\x41", "\\x{1F600}", "\\u0041",
        "\\uD83D\\uDE00", "\\0101", "\\cA", "\\t", "\\e", "(?<db>\\w+)\\.(?<table>\\w+)", "([^.]+)\\.(.*)", "(.*)-(\\d{4})", "}", "]",
        "a}", "(?:)", "(|a)", "a||b", "^*a", "(?:a+)+b", "[\\t ]", "[\\x41-\\x43]+", "[\\\\a]", "\\\\", "\"", "#", "&&", "[&a]", "[a&]",
        "prod\\.(.*)", "^prod\\.", "(?:prod|dev)\\.([a-z]+)\\..*", ".*\\.(.*)", "([A-Z])([a-z]*)", "\\$", "[$^]", "é", "(?U)\\w",
        "^(?!__).*$", "(?!__).*", "(?!a|b)(.*)", "(?=.*-)(\\w+).*", "^(?!a$)(?!b)[^x]+", "(?![()\\]])(.)(.*)", "(?!)a", "(?=)a",
        "(?i)(?!A).", "(?!\\))(?:a|b).*",
    };

    private static final String[] TEXTS = {
        "", "a", "b", "ab", "aab", "aaa", "abab", "b\n", "a\nb", "a\r\nb", "orders", "ORDERS", "Orders-2017", "orders_v1_eu",
        "prod.db.orders", "a.b", "a]b", "a-b", "a+b,c", "1", "12a34", " \t", "\u00a0", "ä", "Ä", "é", "αβγ", "naïve", "\uD83D\uDE00", "^a$",
        "[[", "a~b", "a&b", "\\", "x y", "#", "/", "A", "ABC", "DEADbeef", "\u0001", "\u001b", "a}", "a\u2028b", "{}", "__internal",
    };

    public static void main(String[] args) {
        StringBuilder out = new StringBuilder();
        for (String expression : PATTERNS) {
            Pattern pattern = Pattern.compile(expression);
            for (String text : TEXTS) {
                Matcher matcher = pattern.matcher(text);
                boolean whole = matcher.matches();
                matcher.reset();
                StringBuilder found = new StringBuilder("-");
                if (matcher.find()) {
                    found = new StringBuilder().append(matcher.start() == 0 ? "^" : "").append('<').append(matcher.group()).append('>');
                    for (int group = 1; group <= matcher.groupCount(); group++) {
                        String value = matcher.group(group);
                        found.append('|').append(value == null ? "~" : value);
                    }
                }
                String[] cells = {expression, text, whole ? "1" : "0", found.toString()};
                for (int i = 0; i < cells.length; i++) {
                    String cell = cells[i].replace("\n", "\u240a").replace("\r", "\u240d").replace("\t", "\u2409");
                    out.append(i == 0 ? "" : "\t").append(cell);
                }
                out.append('\n');
            }
        }
        byte[] recorded = out.toString().getBytes(StandardCharsets.UTF_8);
        System.out.write(recorded, 0, recorded.length);
        System.out.flush();
    }
}
