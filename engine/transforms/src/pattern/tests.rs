//! What `java.util.regex` found, as `integration/oracle/java_regex` recorded it.

use proptest::prelude::*;

use super::*;

/// Tabs and line breaks are recorded as their pictures.
fn cell(text: &str) -> String {
    text.replace('\u{2409}', "\t").replace('\u{240a}', "\n").replace('\u{240d}', "\r")
}

fn found(pattern: &Pattern, text: &str) -> String {
    let Some(captures) = pattern.part.captures(text) else {
        return "-".to_owned();
    };
    let all = captures.get(0).unwrap();
    let start = if all.start() == 0 { "^" } else { "" };
    let mut found = format!("{start}<{}>", all.as_str());
    for group in captures.iter().skip(1) {
        found.push('|');
        found.push_str(group.map_or("~", |group| group.as_str()));
    }
    found
}

#[test]
fn patterns_find_what_javas_find() {
    let golden = include_str!("../../tests/golden/java_regex.tsv");
    let mut wrong = Vec::new();
    let mut refused = Vec::new();
    let lines: Vec<Vec<String>> =
        golden.lines().map(|line| line.split('\t').map(cell).collect()).collect();
    for group in lines.chunk_by(|a, b| a[0] == b[0]) {
        let pattern = match Pattern::new("regex", &group[0][0]) {
            Ok(pattern) => pattern,
            Err(error) => {
                let words = error.to_string();
                let (_, reason) = words.split_once("regex: ").unwrap();
                refused.push(reason.split(" is not").next().unwrap().to_owned());
                continue;
            }
        };
        for line in group {
            let matches = if pattern.matches(&line[1]) { "1" } else { "0" };
            // Where lookaheads come first, only texts that match as a whole are searched.
            let is_searched = pattern.ahead.is_empty() || line[2] == "1";
            let found = if is_searched { found(&pattern, &line[1]) } else { line[3].clone() };
            if [matches, &found] != [&line[2], &line[3]] {
                wrong.push(format!("{line:?} <> {matches} {found:?}"));
            }
        }
    }
    assert!(lines.len() > 5000, "the file is there");
    // What is at the end but for a line break is not at the end here.
    let meant = [
        r#"["(?m)^b$", "a\u{2028}b", "0", "<b>"] <> 0 "-""#,
        r#"["^b$", "b\n", "0", "^<b>"] <> 0 "-""#,
        r#"["b\\Z", "b\n", "0", "^<b>"] <> 0 "-""#,
    ];
    assert_eq!(wrong, meant);
    assert_eq!(refused, ["the flag (?U)", "lookaround (?!…)"]);
}

#[test]
fn what_cannot_be_matched_is_named() {
    for (expression, construct) in [
        ("a(?=b)", "lookaround (?=…)"),
        ("(?!a)b|c", "lookaround (?!…)"),
        ("(?=(a))b", "lookaround (?=…)"),
        ("a(?!__).*", "lookaround (?!…)"),
        ("(?<=a)b", "lookaround (?<=…)"),
        ("(?<!a)b", "lookaround (?<!…)"),
        ("(?>a)", "the atomic group (?>…)"),
        ("a++", "the possessive quantifier ++"),
        ("a{2,}+", "the possessive quantifier {2,}+"),
        ("(a)\\1", "the back reference \\1"),
        ("(?<n>a)\\k<n>", "the back reference \\k<…>"),
        ("(?x)a # b", "the flag (?x)"),
        ("\\G", "\\G"),
        ("\\X", "\\X"),
        ("\\p{InGreek}", "\\p{InGreek}"),
        ("\\p{javaLowerCase}", "\\p{javaLowerCase}"),
        ("(?:a{1000}){1000}", "an expression this large"),
    ] {
        let error = Pattern::new("regex", expression).unwrap_err().to_string();
        let expected = format!(
            "Invalid value {expression} for configuration regex: {construct} is not supported: \
             write it without that; `docs/transformations.md` says what there is"
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn replacements_are_javas() {
    let replaced = |expression: &str, replacement: &str| {
        let pattern = Pattern::new("regex", expression)?;
        let replacement = Replacement::new(&pattern, replacement)?;
        Ok(pattern.replace_first("ab12cd", &replacement).unwrap_or_default())
    };
    for (expression, replacement, expected) in [
        (r"(\w)(\w)\d+", "$2$1-$0", "ba-ab12cd"),
        (r"(?<n>\d+)", "<${n}>", "ab<12>cd"),
        (r"(\d)", "$10", "ab102cd"),
        (r"(\d)|(x)", "[$2]", "ab[]2cd"),
        (r"\d", r"\$1\\", r"ab$1\2cd"),
        (r"\d*", "-", "-ab12cd"),
    ] {
        let got: Result<String, Error> = replaced(expression, replacement);
        assert_eq!(got.unwrap(), expected, "{expression} {replacement}");
    }
    for (replacement, words, class) in [
        ("$2", "No group 2", "java.lang.IndexOutOfBoundsException"),
        ("$", "Illegal group reference: group index is missing", ILLEGAL_ARGUMENT),
        ("$x", "Illegal group reference", ILLEGAL_ARGUMENT),
        ("\\", "character to be escaped is missing", ILLEGAL_ARGUMENT),
        ("${", "named capturing group is missing trailing '}'", ILLEGAL_ARGUMENT),
        ("${n-}", "named capturing group is missing trailing '}'", ILLEGAL_ARGUMENT),
        ("${1n}", "capturing group name {1n} starts with digit character", ILLEGAL_ARGUMENT),
        ("${no}", "No group with name {no}", ILLEGAL_ARGUMENT),
    ] {
        let error = replaced(r"(\d)", replacement).unwrap_err();
        assert_eq!((error.message(), error.java_class()), (words, class));
    }
}

proptest! {
    #[test]
    fn no_expression_and_no_replacement_panics(
        expression in r"[a-z0-9(){}<>\[\]\\^$|?*+.,:=!&\-pPQEuxkäé\u{1f600}]{0,20}",
        replacement in r"[a-z0-9${}\\ä]{0,8}",
    ) {
        if let Ok(pattern) = Pattern::new("regex", &expression) {
            pattern.matches("aä1-");
            if let Ok(replacement) = Replacement::new(&pattern, &replacement) {
                pattern.replace_first("aä1-", &replacement);
            }
        }
    }
}
