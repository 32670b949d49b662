//! Decides how Java's security properties (JAAS, key stores and trust stores) reach librdkafka:
//! certificates and keys as PEM text, in memory.

use millrace_api::Result;
use millrace_tls::{TlsSettings, certificates_pem};

use super::settings::{Setting, push, push_secret};
use crate::properties::jaas::{self, Jaas, PLAIN, SCRAM, broken};
use crate::properties::{Reader, invalid};

/// What Java loads classes for, and we cannot.
const CLASSES: [&str; 3] =
    ["sasl.client.callback.handler.class", "sasl.login.callback.handler.class", "sasl.login.class"];

pub(super) fn translate(reader: &mut Reader<'_>, out: &mut Vec<Setting>) -> Result<()> {
    let protocols = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    let protocol = reader.choice("security.protocol", &protocols)?.unwrap_or("PLAINTEXT");
    push(out, "security.protocol", "security.protocol", protocol.to_ascii_lowercase());
    // Looked at in any case, so that a file with keys for another protocol causes no warning.
    let mechanism = reader.text("sasl.mechanism").unwrap_or("GSSAPI");
    let jaas = reader.text("sasl.jaas.config");
    let classes = CLASSES.map(|key| (key, reader.text(key).filter(|class| !class.is_empty())));
    let tls: Vec<_> =
        millrace_tls::KEYS.iter().filter_map(|key| Some((*key, reader.text(key)?))).collect();
    if protocol.starts_with("SASL") {
        if let Some((key, class)) = classes.iter().find_map(|(key, class)| Some((key, (*class)?))) {
            return Err(invalid(key, class, "Java code cannot be loaded; leave the key out"));
        }
        sasl(mechanism, jaas, out)?;
    }
    if protocol.ends_with("SSL") {
        let tls = tls.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        ssl(&TlsSettings::read(&tls.collect())?, out)?;
    }
    Ok(())
}

fn sasl(mechanism: &str, jaas: Option<&str>, out: &mut Vec<Setting>) -> Result<()> {
    let module = match mechanism {
        "PLAIN" => PLAIN,
        "SCRAM-SHA-256" | "SCRAM-SHA-512" => SCRAM,
        "GSSAPI" => return Err(jaas::kerberos()),
        "OAUTHBEARER" => {
            let why = "tokens cannot be fetched with kafka.client=librdkafka; use \
                       kafka.client=native, or PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
            return Err(invalid("sasl.mechanism", mechanism, why));
        }
        _ => {
            let why = "use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
            return Err(invalid("sasl.mechanism", mechanism, why));
        }
    };
    let jaas = Jaas::of(mechanism, module, jaas)?;
    if jaas.get("tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(broken("delegation tokens (tokenauth=true) are not supported"));
    }
    push(out, "sasl.mechanism", "sasl.mechanisms", mechanism);
    push(out, "sasl.jaas.config", "sasl.username", jaas.option("username")?);
    push_secret(out, "sasl.jaas.config", "sasl.password", jaas.option("password")?);
    Ok(())
}

fn ssl(tls: &TlsSettings, out: &mut Vec<Setting>) -> Result<()> {
    const ALGORITHM: &str = "ssl.endpoint.identification.algorithm";
    push(out, ALGORITHM, ALGORITHM, if tls.verify_host_name { "https" } else { "none" });
    match &tls.trusted {
        Some(trusted) => {
            push(out, "ssl.truststore.location", "ssl.ca.pem", certificates_pem(trusted));
        }
        // OpenSSL may be built in, and would look where it was built.
        None => push(out, "ssl.truststore.location", "ssl.ca.location", "probe"),
    }
    if let Some(identity) = &tls.identity {
        let chain = identity.chain_pem();
        push(out, "ssl.keystore.location", "ssl.certificate.pem", chain);
        push_secret(out, "ssl.keystore.location", "ssl.key.pem", &identity.key_pem());
    }
    if let Some(ciphers) = ciphers(tls)? {
        push(out, "ssl.cipher.suites", "ssl.cipher.suites", ciphers);
    }
    Ok(())
}

/// The cipher suites of TLS 1.2 that Java knows under IANA's names, and OpenSSL's names for them.
const SUITES: &[(&str, &str)] = &[
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
    ("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384"),
    ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE-RSA-AES128-GCM-SHA256"),
    ("TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305"),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384"),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
];

/// What OpenSSL is told of `ssl.cipher.suites` and `ssl.enabled.protocols`; nothing when both are
/// Java's defaults. librdkafka can choose the suites of TLS 1.2 only, and no versions.
fn ciphers(tls: &TlsSettings) -> Result<Option<String>> {
    /// A suite that OpenSSL knows and no client of ours can use: with it alone, TLS 1.2 is off.
    const NOTHING_BEFORE_1_3: &str = "PSK-AES256-GCM-SHA384";
    let is_on = |version: &str| tls.protocols.iter().any(|protocol| protocol == version);
    let (new, old): (Vec<_>, Vec<_>) = tls
        .cipher_suites
        .iter()
        .partition(|suite| suite.starts_with("TLS_AES_") || suite.starts_with("TLS_CHACHA20_"));
    let known = |suite: &&String| SUITES.iter().find(|(name, _)| *name == suite.as_str());
    let names: Vec<_> = old.iter().filter_map(known).map(|(_, name)| *name).collect();
    if let Some(unknown) = old.iter().find(|suite| known(suite).is_none()) {
        if names.is_empty() && new.is_empty() {
            let why = "none of the suites is supported";
            return Err(invalid("ssl.cipher.suites", unknown, why));
        }
        tracing::warn!("ssl.cipher.suites: {unknown} is left out, it is not supported");
    }
    let chosen = !tls.cipher_suites.is_empty();
    if !is_on("TLSv1.3") || (chosen && new.is_empty()) {
        tracing::warn!("ssl.enabled.protocols, ssl.cipher.suites: TLSv1.3 is used where it can be");
    }
    if !is_on("TLSv1.2") || (chosen && names.is_empty()) {
        return Ok(Some(NOTHING_BEFORE_1_3.to_owned()));
    }
    Ok(chosen.then(|| names.join(":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_change_their_names() {
        let ciphers = |suites: &str, protocols: &str| {
            let properties = [("ssl.cipher.suites", suites), ("ssl.enabled.protocols", protocols)];
            let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
            ciphers(&TlsSettings::read(&properties.into()).expect("legal"))
        };
        assert_eq!(ciphers("", "").unwrap(), None);
        assert_eq!(
            ciphers("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256", "").unwrap(),
            Some("ECDHE-RSA-AES256-GCM-SHA384".to_owned())
        );
        let only_new = ciphers("TLS_AES_128_GCM_SHA256", "").unwrap();
        assert_eq!(only_new.as_deref(), Some("PSK-AES256-GCM-SHA384"));
        assert_eq!(ciphers("", "TLSv1.3").unwrap(), only_new);
        assert!(ciphers("TLS_KRB5_WITH_RC4", "").is_err());
    }
}
