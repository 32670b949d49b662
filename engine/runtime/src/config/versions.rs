//! Decides which versions of a plugin a requirement admits (KIP-891): Maven's version ranges and
//! Maven's order of versions (`VersionRange` and `ComparableVersion` there).

use std::cmp::Ordering;
use std::fmt;

/// What `*.plugin.version` asks for: any of some intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionRange {
    intervals: Vec<Interval>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Interval {
    lower: Option<String>,
    lower_included: bool,
    upper: Option<String>,
    upper_included: bool,
}

/// Reads a requirement: a range, or a version that has to be met exactly. None: any version will
/// do. The error is Maven's message.
pub(crate) fn requirement(text: Option<&str>) -> Result<Option<VersionRange>, String> {
    match text {
        None | Some("latest") => Ok(None),
        Some(text) => VersionRange::parse(text.trim()).map(Some),
    }
}

impl VersionRange {
    fn parse(text: &str) -> Result<Self, String> {
        let mut intervals: Vec<Interval> = Vec::new();
        let mut rest = text;
        while rest.starts_with(['[', '(']) {
            let end = rest.find([']', ')']).ok_or_else(|| format!("Unbounded range: {text}"))?;
            let interval = Interval::parse(&rest[..=end])?;
            let before = intervals.last().and_then(|last| last.upper.as_deref());
            if let Some(before) = before
                && interval.lower.as_deref().is_none_or(|l| compare(l, before).is_lt())
            {
                return Err(format!("Ranges overlap: {text}"));
            }
            intervals.push(interval);
            rest = rest[end + 1..].trim();
            rest = rest.strip_prefix(',').map_or(rest, str::trim);
        }
        if intervals.is_empty() {
            return Ok(Self { intervals: vec![Interval::parse(&format!("[{rest}]"))?] });
        }
        match rest.is_empty() {
            true => Ok(Self { intervals }),
            false => {
                Err(format!("Only fully-qualified sets allowed in multiple set scenario: {text}"))
            }
        }
    }

    /// Whether a version meets the requirement.
    pub(crate) fn contains(&self, version: &str) -> bool {
        self.intervals.iter().any(|interval| interval.contains(version))
    }
}

impl Interval {
    /// Parses `[a,b)` and its like, brackets and all.
    fn parse(text: &str) -> Result<Self, String> {
        let (lower_included, upper_included) = (text.starts_with('['), text.ends_with(']'));
        let inner = text[1..text.len() - 1].trim();
        let Some((lower, upper)) = inner.split_once(',') else {
            if !lower_included || !upper_included {
                return Err(format!("Single version must be surrounded by []: {text}"));
            }
            let version = Some(inner.to_owned());
            return Ok(Self {
                lower: version.clone(),
                lower_included,
                upper: version,
                upper_included,
            });
        };
        let (lower, upper) = (lower.trim(), upper.trim());
        if !lower.is_empty() && !upper.is_empty() {
            let order = compare(upper, lower);
            if order.is_lt() || order.is_eq() && !(lower_included && upper_included) {
                return Err(format!("Range defies version ordering: {text}"));
            }
        }
        let bound = |version: &str| Some(version.to_owned()).filter(|v| !v.is_empty());
        Ok(Self { lower: bound(lower), lower_included, upper: bound(upper), upper_included })
    }

    fn contains(&self, version: &str) -> bool {
        let above = self.lower.as_deref().is_none_or(|lower| match compare(lower, version) {
            Ordering::Equal => self.lower_included,
            order => order.is_lt(),
        });
        let below = self.upper.as_deref().is_none_or(|upper| match compare(upper, version) {
            Ordering::Equal => self.upper_included,
            order => order.is_gt(),
        });
        above && below
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, interval) in self.intervals.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            f.write_str(if interval.lower_included { "[" } else { "(" })?;
            let (lower, upper) = (interval.lower.as_deref(), interval.upper.as_deref());
            write!(f, "{},{}", lower.unwrap_or_default(), upper.unwrap_or_default())?;
            f.write_str(if interval.upper_included { "]" } else { ")" })?;
        }
        Ok(())
    }
}

/// A part of a version: numbers are above qualifiers, and known qualifiers come in Maven's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Before a release, by rank: alpha, beta, milestone, candidate, snapshot.
    Before(u8),
    /// Nothing, or what says as much.
    Release,
    /// A service pack.
    After,
    /// A qualifier that Maven does not know.
    Other(String),
    Number(u64),
}

fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (parts(left), parts(right));
    let ended = |part: &Part| match part {
        // A missing number is 0, a missing qualifier is a release.
        Part::Number(0) => Ordering::Equal,
        other => other.cmp(&Part::Release),
    };
    for i in 0..left.len().max(right.len()) {
        let order = match (left.get(i), right.get(i)) {
            (Some(left), Some(right)) => left.cmp(right),
            (Some(left), None) => ended(left),
            (None, Some(right)) => ended(right).reverse(),
            (None, None) => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Splits at dots, hyphens, underscores, and between digits and letters.
fn parts(version: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for piece in version.to_lowercase().split(['.', '-', '_']) {
        let mut rest = piece;
        while let Some(first) = rest.chars().next() {
            let is_digit = first.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            parts.push(part(token, is_digit, after.starts_with(|c: char| c.is_ascii_digit())));
            rest = after;
        }
    }
    parts
}

/// A token as a part. Before a digit, `a`, `b` and `m` are short for what they begin.
fn part(token: &str, is_number: bool, before_digit: bool) -> Part {
    match token {
        _ if is_number => Part::Number(token.parse().unwrap_or(u64::MAX)),
        "alpha" => Part::Before(0),
        "beta" => Part::Before(1),
        "milestone" => Part::Before(2),
        "a" if before_digit => Part::Before(0),
        "b" if before_digit => Part::Before(1),
        "m" if before_digit => Part::Before(2),
        "rc" | "cr" => Part::Before(3),
        "snapshot" => Part::Before(4),
        "" | "final" | "ga" | "release" => Part::Release,
        "sp" => Part::After,
        other => Part::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<VersionRange, String> {
        Ok(requirement(Some(text))?.expect("it is not `latest`"))
    }

    #[test]
    fn requirements_print_as_mavens() {
        assert_eq!(requirement(None), Ok(None));
        assert_eq!(requirement(Some("latest")), Ok(None));
        for (text, printed) in [
            ("1.0", "[1.0,1.0]"),
            ("", "[,]"),
            ("[1.0]", "[1.0,1.0]"),
            ("[1,1]", "[1,1]"),
            ("(,)", "(,)"),
            ("[4.0,5.0)", "[4.0,5.0)"),
            (" (,1] , [2, ) ", "(,1],[2,)"),
        ] {
            assert_eq!(range(text).unwrap().to_string(), printed);
        }
        for (text, complaint) in [
            ("[", "Unbounded range: ["),
            ("(1)", "Single version must be surrounded by []: (1)"),
            ("[2,1]", "Range defies version ordering: [2,1]"),
            ("(1,1]", "Range defies version ordering: (1,1]"),
            ("[1,3],[2,4]", "Ranges overlap: [1,3],[2,4]"),
            ("[1,2]x", "Only fully-qualified sets allowed in multiple set scenario: [1,2]x"),
        ] {
            assert_eq!(range(text).unwrap_err(), complaint);
        }
    }

    #[test]
    fn ranges_admit_what_lies_in_them() {
        for (text, inside, outside) in [
            ("1.0", "1.0", "1.1"),
            ("1.0", "1", "1.0-rc1"),
            ("[4.0,5.0)", "4.3.1", "5.0"),
            ("[4.0,5.0)", "5.0-SNAPSHOT", "4.0-beta2"),
            ("(1,)", "10", "1.0.0"),
            ("(,1.9]", "1.8", "1.10"),
            ("(,1],[2,)", "2", "1.5"),
            ("[1-b2,1-sp]", "1", "1-alpha"),
        ] {
            let range = range(text).unwrap();
            assert!(range.contains(inside) && !range.contains(outside), "{text}");
        }
    }
}
