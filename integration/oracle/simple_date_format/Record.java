// Records what java.text.SimpleDateFormat writes and reads, in UTC with the locale en_US:
//
//     java integration/oracle/simple_date_format/Record.java \
//         > engine/transforms/tests/golden/simple_date_format.tsv
//
// A line is `format`, a pattern, milliseconds and the text; or `parse`, a pattern, a text and the
// milliseconds or `-`; or `refuse`, a pattern and the message. Years of two digits begin with
// 22 November 1946, 12:00.

import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.text.SimpleDateFormat;
import java.util.Calendar;
import java.util.Date;
import java.util.GregorianCalendar;
import java.util.Locale;
import java.util.Random;
import java.util.TimeZone;

public class Record {
    private static final TimeZone UTC = TimeZone.getTimeZone("UTC");
    private static final StringBuilder OUT = new StringBuilder();

    private static final String[] PATTERNS = {
        "yyyy-MM-dd'T'HH:mm:ss.SSSX", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        "yyyy-MM-dd'T'HH:mm:ssZ", "yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd HH:mm:ss.SSSSSS", "yyyy-MM-dd",
        "yyyyMMdd", "yyyyMMddHHmmssSSS", "yyMMdd", "yy/M/d H:m:s.S", "dd.MM.yyyy", "dd-MMM-yyyy",
        "MMMM d, yyyy h:mm a", "EEE, dd MMM yyyy HH:mm:ss zzz", "EEE MMM dd HH:mm:ss z yyyy",
        "EEEE, d. MMMM yyyy G", "GGGG yyyy", "YYYY-'W'ww-u", "YY-w-E", "yyyy-DDD", "yyyy-D HH",
        "yyyy-MM-W-EEE", "yyyy-MM-F-E", "KK:mm a", "hh:mm:ss aaaa", "kk:mm", "LLL LLLL L", "zzzz",
        "HH 'o''clock'", "''yyyy''", "'T'", "yyyy'Jahr'", "yyyy\u5e74MM\u6708dd\u65e5", "u F W w D",
        "yyyyyy.MM", "y", "YYY", "S", "SSSSSSSSSS", "MMMMM", "EEEEEE", "XX", "yyyy-MM-dd'T'HH:mm[:ss]",
        "yyyy-MM-dd'T'HH", "yyyy/MM/dd/HH", "'year='yyyy/'month='MM/'day='dd", "yyyy.ww", "hhmma",
    };

    private static final String[] ILLEGAL = {
        "yyyy-MM-dd'T'HH:mm:ss.nnn", "yyyy-MM-ddTHH:mm", "XXXX", "'open", "uuuu-MM-dd b", "e", "yyyyQ",
        "V", "O", "p", "x", "c", "B", "A", "N", "n", "q", "U", "I", "i", "yyyy''' ",
    };

    private static final long[] MOMENTS = {
        0, 1, -1, 1_700_000_000_123L, 951_782_400_000L, 1_735_603_199_999L, 1_767_225_600_000L,
        4_102_444_800_000L, -2_208_988_800_000L, -12_219_292_800_000L, -12_219_292_800_001L,
        -12_212_640_000_000L, -12_244_089_600_000L, -62_135_769_600_001L, -62_167_219_200_000L,
        -62_198_755_200_000L, -99_999_999_999_999L, 253_402_300_800_000L, 999_999_999_999_999L,
        43_200_000L, 46_800_000L, 1_078_012_800_000L, 1_451_606_400_000L, 1_483_228_799_000L,
        Long.MAX_VALUE, Long.MIN_VALUE,
    };

    private static final String[][] TEXTS = {
        {"yyyy-MM-dd", "2024-02-30", "2024-13-01", "2024-00-00", "2024--1-5", " 2024- 1-\t5", "2024-1-1x",
            "1582-10-04", "1582-10-05", "1582-10-14", "1582-10-15", "1500-02-29", "0000-01-01",
            "-0001-01-01", "99999999-01-01", "2024-01", "", " ", "x", "2024/01/01", "20240101",
            "99999999999-01-01", "9999999999999999999999-01-01", "2024-+1-01", "24-01-01", "2024-1-99999"},
        {"yyyy-MM-dd HH:mm:ss.SSS", "2024-01-01 25:61:61.1234567", "2024-01-01 -1:00:00.0",
            "1582-10-04 24:00:00.0", "1582-10-14 24:00:00.0", "2024-01-01 12:00:00"},
        {"yy-MM-dd", "46-11-21", "46-11-22", "46-11-23", "47-01-01", "45-12-31", "00-01-01", "99-01-01",
            "1-01-01", "001-01-01", "-1-01-01", "2024-01-01", "+1-01-01"},
        {"yy-MM-dd HH", "46-11-22 11", "46-11-22 12"},
        {"YY-ww", "46-47", "46-48", "24-01", "1-1"},
        {"yyyyMMdd", "20240131", "2024013", "202401311", "2024 1 5", "-2024131", "2024-1-1", "0240131"},
        {"yyyyMMddHHmmss", "20240131235959", "2024013123595", "202401312359599"},
        {"HHmm", "930", "0930", "09300", " 930", "  930"},
        {"yyyyD", "20241", "2024366", "2024400", "20240"},
        {"dd MMM yyyy", "01 jan 2024", "01 JANUARY 2024", "1 Sept 2024", "1 mai 2024", "1  May 2024",
            "1 May2024", "31 Feb 2024", "1 M 2024"},
        {"MMM", "may", "marc", "ma"},
        {"EEE", "mon", "Tuesday", "Thurs", "so"},
        {"EEEE yyyy-MM-dd", "Monday 2024-05-15", "Sat 2024-05-15"},
        {"yyyy-MM-dd EEE", "2024-05-15 Monday", "2024-05-15 Sat"},
        {"yyyy-MM EEE", "2024-05 Monday", "2024-05 Sat", "2024-05 Sun"},
        {"yyyy-MM W", "2024-05 1", "2024-05 2", "2024-05 0", "2024-05 6", "2024-05 -1"},
        {"yyyy-MM W u", "2024-05 1 1", "2024-05 2 7", "2024-05 0 3", "2024-05 6 9"},
        {"yyyy-MM F E", "2024-05 1 Mon", "2024-05 -1 Fri", "2024-05 0 Sun", "2024-02 -2 Thu", "2024-12 -1 Tue"},
        {"yyyy-ww", "2024-01", "2024-53", "2024-60", "2024-00", "1582-01", "1582-50"},
        {"yyyy-ww-u", "2024-01-1", "2024-53-7", "1582-42-1", "2024-10-8", "2024-10-0", "2024-10-15"},
        {"YYYY-ww-u", "2024-01-1", "2024-53-7", "1582-42-1", "2024-10-8", "2024-10-0", "2024-10-15",
            "2024-10--7", "1583-01-1", "1400-01-1"},
        {"YYYY-MM-dd", "2024-05-05", "1999-12-31"},
        {"YYYY yyyy MM dd", "2024 2020 05 06"},
        {"yyyy YYYY MM dd", "2024 2020 05 06"},
        {"yyyy-DDD", "1582-277", "1582-278", "1582-288", "1582-365", "1583-001", "1500-366", "2024-000",
            "2024-1000", "1500-99999"},
        {"D d M", "100 5 3", "400 1 1"},
        {"M d D", "5 3 100"},
        {"hh:mm a", "12:00 AM", "12:00 pm", "13:00 PM", "00:30 am", "11:59 Pm", "1:2 x"},
        {"a hh", "PM 01", "AM 12"},
        {"hh", "12", "5", "25"},
        {"KK a", "0 PM", "12 AM", "11 PM"},
        {"kk", "24", "0", "1", "25"},
        {"HH hh a", "05 06 PM"},
        {"hh a HH", "06 PM 05"},
        {"HH hh", "05 06"},
        {"HH a", "05 PM"},
        {"a", "AM", "pm", "A", " AM"},
        {"G yyyy", "AD 2024", "BC 2024", "bc 1", "BCE 5", "Before Christ 44", "Anno Domini 44", "X 5"},
        {"yyyy G", "0 BC", "-5 BC", "-5 AD"},
        {"YYYY G ww", "5 BC 10", "5 AD 10"},
        {"HH:mm X", "10:00 Z", "10:00 z", "10:00 +02", "10:00 -0230", "10:00 +2", "10:00 +24", "10:00 UTC",
            "10:00 ", "10:00", "10:00 02", "10:00 +02:30"},
        {"HH:mm XX", "10:00 Z", "10:00 +02", "10:00 -0230", "10:00 +02:30", "10:00 +0260"},
        {"HH:mmXXX", "10:00Z", "10:00+02", "10:00-0230", "10:00+02:30", "10:00 -23:59", "10:00+2:30"},
        {"HH:mm Z", "10:00 Z", "10:00 +02", "10:00 -0230", "10:00 +02:30", "10:00 GMT", "10:00 GMT+1",
            "10:00 gmt+1:30", "10:00 GMT-11:30", "10:00 GMT+1:3", "10:00 UTC", "10:00 PST", "10:00  GMT+1:30",
            "10:00 GMT+24:00", "10:00 GMT 5", "10:00 +"},
        {"MM/yyyy HH:mm z", "7/2024 10:00 +0200", "7/2024 10:00 EST", "7/2024 10:00 edt",
            "7/2024 10:00 CST", "7/2024 10:00 CDT", "7/2024 10:00 MST", "7/2024 10:00 MDT",
            "7/2024 10:00 PST", "7/2024 10:00 PDT", "7/2024 10:00 CET", "7/2024 10:00 CEST",
            "7/2024 10:00 MET", "7/2024 10:00 EET", "7/2024 10:00 EEST", "7/2024 10:00 WET",
            "7/2024 10:00 WEST", "7/2024 10:00 BST", "7/2024 10:00 MSK", "7/2024 10:00 JST",
            "7/2024 10:00 IST", "7/2024 10:00 KST", "7/2024 10:00 HKT", "7/2024 10:00 SGT",
            "7/2024 10:00 AKST", "7/2024 10:00 AST", "7/2024 10:00 ADT", "7/2024 10:00 NDT",
            "7/2024 10:00 HST", "7/2024 10:00 AEST", "7/2024 10:00 AEDT", "7/2024 10:00 AWST",
            "7/2024 10:00 NZST", "7/2024 10:00 NZDT", "7/2024 10:00 SAST", "7/2024 10:00 CAT",
            "7/2024 10:00 EAT", "7/2024 10:00 WAT", "7/2024 10:00 PKT", "7/2024 10:00 IDT",
            "7/2024 10:00 BRT", "7/2024 10:00 UT", "7/2024 10:00 Pacific Standard Time",
            "7/2024 10:00 eastern daylight time", "7/2024 10:00 Central European Time",
            "7/2024 10:00 Central European Summer Time", "7/2024 10:00 Coordinated Universal Time",
            "7/2024 10:00 UTC+1", "7/2024 10:00 Greenwich Mean Time",
            "7/2024 10:00 Japan Standard Time", "7/2024 10:00 India Standard Time",
            "7/2024 10:00 British Summer Time", "7/2024 10:00 Europe/Berlin", "7/2024 10:00 Z",
            "7/2024 10:00 nowhere"},
        {"yyyy-MM-dd'T'HH:mm:ss.SSSX", "2024-05-15T10:20:30.5Z", "2024-05-15t10:20:30.5Z",
            "2024-05-15T10:20:30.123456+01", "2024-05-15T10:20:30Z", "2024-05-15 10:20:30.000Z"},
        {"''", "'", "''"},
        {"", "", "x"},
        {"'lit'", "lit", "literal", "li"},
        {"S", "-5", "5", "5.5", "1,000", ".5"},
        {"ss.SSS", "5.5", "5. 5", "5.-5"},
        {"MM/yy", "01/24", "13/24", "01/2024"},
        {"yyyy-MM-dd yyyy", "2024-01-02 2023"},
        {"y", "24", "2024", "1"},
        {"yyy", "24"},
    };

    public static void main(String[] args) {
        Locale.setDefault(Locale.US);
        TimeZone.setDefault(UTC);
        for (String pattern : ILLEGAL) {
            refuse(pattern);
        }
        for (String pattern : PATTERNS) {
            for (long moment : MOMENTS) {
                format(pattern, moment);
            }
        }
        for (String[] texts : TEXTS) {
            for (int i = 1; i < texts.length; i++) {
                parse(texts[0], texts[i]);
            }
        }
        anything(args.length > 0 ? Integer.parseInt(args[0]) : 600);
        byte[] recorded = OUT.toString().getBytes(StandardCharsets.UTF_8);
        System.out.write(recorded, 0, recorded.length);
        System.out.flush();
    }

    /** Patterns and texts that nobody thought of. */
    private static void anything(int rounds) {
        Random random = new Random(7);
        String letters = "GyMdkHmsSEDFwWahKzZYuXL";
        String between = " -:/.,T''";
        for (int round = 0; round < rounds; round++) {
            StringBuilder pattern = new StringBuilder();
            for (int fields = 1 + random.nextInt(5); fields > 0; fields--) {
                char letter = letters.charAt(random.nextInt(letters.length()));
                int count = 1 + random.nextInt(letter == 'X' ? 3 : 4);
                pattern.append(String.valueOf(letter).repeat(count));
                int next = random.nextInt(12);
                if (next < 6 || letter == 'X') {
                    pattern.append(between.charAt(next % 6));
                }
            }
            // Half of them before the Gregorian calendar, or around its beginning.
            long moment = switch (random.nextInt(4)) {
                case 0 -> -12_219_292_800_000L + random.nextLong() % 31_536_000_000L;
                case 1 -> random.nextLong() % 100_000_000_000_000L;
                default -> random.nextLong() % 4_000_000_000_000L;
            };
            String text = format(pattern.toString(), moment);
            parse(pattern.toString(), text);
            StringBuilder other = new StringBuilder(text);
            other.setCharAt(random.nextInt(other.length()), "0123456789 -+:aZ".charAt(random.nextInt(16)));
            parse(pattern.toString(), other.toString());
        }
    }

    private static SimpleDateFormat made(String pattern) {
        SimpleDateFormat format = new SimpleDateFormat(pattern);
        format.setTimeZone(UTC);
        Calendar start = new GregorianCalendar(1946, Calendar.NOVEMBER, 22, 12, 0, 0);
        format.set2DigitYearStart(start.getTime());
        return format;
    }

    private static void refuse(String pattern) {
        String message = "none";
        try {
            made(pattern);
        } catch (IllegalArgumentException e) {
            message = e.getMessage();
        }
        line("refuse", pattern, message);
    }

    private static String format(String pattern, long moment) {
        String text = made(pattern).format(new Date(moment));
        line("format", pattern, Long.toString(moment), text);
        return text;
    }

    private static void parse(String pattern, String text) {
        String moment = "-";
        try {
            moment = Long.toString(made(pattern).parse(text).getTime());
        } catch (ParseException e) {
            // It is refused.
        }
        line("parse", pattern, text, moment);
    }

    private static void line(String... cells) {
        for (int i = 0; i < cells.length; i++) {
            OUT.append(i == 0 ? "" : "\t").append(cells[i].replace("\t", "\\t"));
        }
        OUT.append('\n');
    }
}
