//! Decides what a certificate (X.509) says about itself: whose it is, who signed it, and when it
//! ends.

use rustls::pki_types::CertificateDer;

use crate::der::{
    CONSTRUCTED_0, CONSTRUCTED_3, Der, GENERALIZED_TIME, OCTET_STRING, OID, PRIMITIVE_2, SEQUENCE,
    SET, UTC_TIME,
};
use crate::flaw::Flaw;

/// 2.5.4.3: `commonName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17: `subjectAltName`.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// The parts of a certificate that are of use without a check of its signature.
#[derive(Clone, Debug)]
pub(crate) struct Certificate<'a> {
    /// DER of the name.
    pub(crate) subject: &'a [u8],
    /// DER of the name.
    pub(crate) issuer: &'a [u8],
    /// The public key, a bit string as DER.
    pub(crate) public_key: &'a [u8],
    /// When it begins and ends to be valid, seconds since 1970.
    pub(crate) valid: (i64, i64),
    /// Whether it lists names of hosts, besides its common name.
    pub(crate) has_dns_names: bool,
}

impl<'a> Certificate<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, Flaw> {
        let mut signed = Der::new(der).inside(SEQUENCE)?;
        let mut fields = signed.inside(SEQUENCE)?;
        fields.optional(CONSTRUCTED_0)?;
        // Serial number and signature algorithm.
        fields.element()?;
        fields.content(SEQUENCE)?;
        let issuer = fields.content(SEQUENCE)?;
        let mut validity = fields.inside(SEQUENCE)?;
        let valid = (time(&mut validity)?, time(&mut validity)?);
        let subject = fields.content(SEQUENCE)?;
        let mut public_key = fields.inside(SEQUENCE)?;
        public_key.content(SEQUENCE)?;
        let public_key = public_key.element()?.whole;
        let has_dns_names = has_dns_names(fields)?;
        Ok(Self { subject, issuer, public_key, valid, has_dns_names })
    }

    /// The common name of the subject, for people; empty when it has none.
    pub(crate) fn common_name(&self) -> String {
        common_name(self.subject).map(printable).unwrap_or_default()
    }

    /// The common name as it stands there, to be compared.
    pub(crate) fn exact_common_name(&self) -> Option<&'a str> {
        common_name(self.subject)
    }
}

/// Looks through what follows the public key.
fn has_dns_names(mut fields: Der<'_>) -> Result<bool, Flaw> {
    while !fields.is_empty() {
        let field = fields.element()?;
        if field.tag != CONSTRUCTED_3 {
            continue;
        }
        let mut extensions = Der::new(field.content).inside(SEQUENCE)?;
        while !extensions.is_empty() {
            let mut extension = extensions.inside(SEQUENCE)?;
            if extension.content(OID)? != ALTERNATIVE_NAMES {
                continue;
            }
            // Whether it is critical may stand between.
            let mut value = extension.element()?;
            if value.tag != OCTET_STRING {
                value = extension.element()?;
            }
            let mut names = Der::new(value.content).inside(SEQUENCE)?;
            while !names.is_empty() {
                if names.element()?.tag == PRIMITIVE_2 {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn common_name(name: &[u8]) -> Option<&str> {
    let mut parts = Der::new(name);
    while !parts.is_empty() {
        let mut part = parts.inside(SET).ok()?;
        let mut attribute = part.inside(SEQUENCE).ok()?;
        if attribute.content(OID).ok()? == COMMON_NAME {
            return std::str::from_utf8(attribute.element().ok()?.content).ok();
        }
    }
    None
}

/// The text, without control characters and cut where it would flood a log.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn time(validity: &mut Der<'_>) -> Result<i64, Flaw> {
    const DAMAGED: Flaw = Flaw::Damaged("a certificate in it has no valid date");
    let element = validity.element()?;
    let digits = std::str::from_utf8(element.content).map_err(|_| DAMAGED)?;
    let digits = digits.strip_suffix('Z').ok_or(DAMAGED)?;
    if !digits.is_ascii() {
        return Err(DAMAGED);
    }
    let (year, rest) = match element.tag {
        UTC_TIME if digits.len() == 12 => {
            let year: i64 = digits[..2].parse().map_err(|_| DAMAGED)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        GENERALIZED_TIME if digits.len() >= 14 => {
            (digits[..4].parse().map_err(|_| DAMAGED)?, &digits[4..14])
        }
        _ => return Err(DAMAGED),
    };
    let part = |i: usize| rest[2 * i..2 * i + 2].parse::<i64>().map_err(|_| DAMAGED);
    let days = days(year, part(0)?, part(1)?);
    Ok(((days * 24 + part(2)?) * 60 + part(3)?) * 60 + part(4)?)
}

/// Days since 1970 in the Gregorian calendar, counted in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

/// The day of a time, `YYYY-MM-DD` in UTC.
pub(crate) fn date(seconds: i64) -> String {
    let day = seconds.div_euclid(86_400) + 719_468;
    let mut year = (day * 400).div_euclid(146_097);
    let start =
        |year: i64| year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    if start(year) > day {
        year -= 1;
    } else if start(year + 1) <= day {
        year += 1;
    }
    let of_year = day - start(year);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = if month <= 2 { year + 1 } else { year };
    format!("{year:04}-{month:02}-{day:02}")
}

/// What is to be said about a certificate that is not valid at `now` (seconds since 1970).
pub(crate) fn complaint(der: &CertificateDer<'_>, now: i64) -> Option<String> {
    let certificate = Certificate::read(der).ok()?;
    let (from, until) = certificate.valid;
    let name = certificate.common_name();
    if now > until {
        Some(format!("the certificate of {name} expired on {}", date(until)))
    } else if now < from {
        Some(format!("the certificate of {name} is not valid before {}", date(from)))
    } else {
        None
    }
}

/// Subject, issuer and dates of a certificate, for people.
pub(crate) fn describe(der: &[u8]) -> String {
    let Ok(certificate) = Certificate::read(der) else {
        return String::new();
    };
    let (from, until) = certificate.valid;
    format!(
        "certificate of {}, signed by {}, valid from {} until {}",
        certificate.common_name(),
        common_name(certificate.issuer).map(printable).unwrap_or_default(),
        date(from),
        date(until)
    )
}

/// Orders a chain: the certificate of the key first, then who signed it, as far as it is known.
pub(crate) fn chain(
    first: CertificateDer<'static>,
    others: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![first];
    while chain.len() <= others.len() {
        let last = chain.last().expect("a chain begins with a certificate");
        let Ok(certificate) = Certificate::read(last) else { break };
        if certificate.issuer == certificate.subject {
            break;
        }
        let signs = |other: &&CertificateDer<'_>| {
            Certificate::read(other).is_ok_and(|other| other.subject == certificate.issuer)
        };
        match others.iter().find(signs) {
            Some(next) if !chain.contains(next) => chain.push(next.clone()),
            _ => break,
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2000-03-01", 951_868_800),
            ("1969-12-31", -86_400),
            ("2026-12-31", 1_798_675_200),
            ("2100-02-28", 4_107_456_000),
            ("2100-03-01", 4_107_542_400),
            ("9999-12-31", 253_402_214_400),
        ] {
            assert_eq!(date(seconds), text);
            let part = |range: std::ops::Range<usize>| text[range].parse().expect("digits");
            assert_eq!(days(part(0..4), part(5..7), part(8..10)) * 86_400, seconds, "{text}");
        }
    }
}
