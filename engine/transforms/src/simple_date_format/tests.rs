//! What `java.text.SimpleDateFormat` wrote and read, as `integration/oracle/simple_date_format`
//! recorded it.

use proptest::prelude::*;

use super::*;

/// 22 November 2026, 12:00.
const NOW: i64 = 1_795_348_800_000;

#[test]
fn texts_and_moments_are_javas() {
    let golden = include_str!("../../tests/golden/simple_date_format.tsv");
    let mut wrong = Vec::new();
    for line in golden.lines() {
        let cells: Vec<String> = line.split('\t').map(|cell| cell.replace("\\t", "\t")).collect();
        let (pattern, recorded) = (&cells[1], cells.last().expect("a line has cells"));
        let ours = match (&*cells[0], SimpleDateFormat::made_at(pattern, NOW)) {
            ("refuse", format) => format.err().map_or("none".into(), |e| e.message().to_owned()),
            (_, Err(error)) => error.to_string(),
            ("format", Ok(format)) => format.format(cells[2].parse().unwrap()),
            (_, Ok(format)) => format.parse(&cells[2]).map_or("-".into(), |n| n.to_string()),
        };
        if ours != *recorded {
            wrong.push(format!("{line}  <>  {ours}"));
        }
    }
    assert!(golden.lines().count() > 2000, "the file is there");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_long_pattern_writes_little() {
    let format = SimpleDateFormat::new(&"y".repeat(100_000)).unwrap();
    assert_eq!(format.format(0).len(), MAX_DIGITS);
}

proptest! {
    #[test]
    fn no_pattern_and_no_text_panics(
        pattern in "[GyMdkHmsSEDFwWahKzZYuXL'é .:-]{0,12}",
        text in "[0-9é a-zA-Z.:+\t-]{0,24}",
        millis in any::<i64>(),
    ) {
        if let Ok(format) = SimpleDateFormat::new(&pattern) {
            format.parse(&text);
            let shown = format.format(millis);
            format.parse(&shown);
            format.parse(&format!("{shown}{text}"));
        }
    }
}
