//! Decides which addresses `bootstrap.servers` names (`ClientUtils` and `Utils` in Java).

use millrace_api::{Error, Result};

use super::reader::missing;
use crate::native::Address;

const KEY: &str = "bootstrap.servers";

/// The addresses, whose text is as librdkafka reads them: an IPv6 host in brackets.
///
/// As in Java, a protocol may precede an address and means nothing (librdkafka refuses all but that
/// of `security.protocol`), and a port is a must (librdkafka would take 9092).
pub(crate) fn addresses(text: &str) -> Result<Vec<Address>> {
    let named: Vec<_> =
        text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(address).collect();
    if named.is_empty() {
        return Err(missing(KEY));
    }
    named.into_iter().collect()
}

fn address(url: &str) -> Result<Address> {
    let refused = |what: &str| {
        Error::config(format!("Invalid {what} in {KEY}: {url}")).context(
            "remedy",
            "give host:port, separated by commas; an IPv6 host in brackets, as in [::1]:9092",
        )
    };
    let is_of = |text: &str, more: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || "-%._".contains(c) || more.contains(c))
    };
    let rest = match url.split_once("://") {
        Some((protocol, rest)) if is_of(protocol, "") => rest,
        Some(_) => return Err(refused("url")),
        None => url,
    };
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| refused("url"))?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    if !is_of(host, ":") || port.is_empty() || !port.chars().all(|c| c.is_ascii_digit()) {
        return Err(refused("url"));
    }
    let port: u16 = port.parse().map_err(|_| refused("port"))?;
    Ok(Address { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_java_takes() {
        for (text, expected) in [
            ("b:9092", "b:9092"),
            (" a.x_y-z:1 ,, b:65535,", "a.x_y-z:1,b:65535"),
            ("PLAINTEXT://b:9092,SSL://c:1", "b:9092,c:1"),
            ("[::1]:9092", "[::1]:9092"),
            ("::1:9092", "[::1]:9092"),
            ("SSL://[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
            (":9092", ":9092"),
        ] {
            let addresses = addresses(text).expect(text);
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            assert_eq!(addresses.join(","), expected);
        }
        for (text, complaint) in [
            ("127.0.0.1:1x9092", "Invalid url in bootstrap.servers: 127.0.0.1:1x9092"),
            ("a:1,127.0.0.1", "Invalid url in bootstrap.servers: 127.0.0.1"),
            ("a:", "Invalid url in bootstrap.servers: a:"),
            ("a b:1", "Invalid url in bootstrap.servers: a b:1"),
            ("http//a:1", "Invalid url in bootstrap.servers: http//a:1"),
            ("a:1/path", "Invalid url in bootstrap.servers: a:1/path"),
            ("a:65536", "Invalid port in bootstrap.servers: a:65536"),
        ] {
            let error = addresses(text).expect_err(text);
            assert_eq!(error.message(), complaint);
            assert_eq!(error.kind(), millrace_api::ErrorKind::Config);
        }
        assert!(addresses(" , ").is_err(), "no address");
    }
}
