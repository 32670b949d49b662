//! Decides which trouble with a connection is a refusal that repeating does not mend, and says it
//! with the names of Java's keys.
//!
//! As in Java, a certificate or a user that is refused ends the client; librdkafka would try for
//! ever.

use std::ffi::{c_char, c_int, c_void};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;

use super::context::Context;
use super::error::text;

/// librdkafka's names, and Java's.
const NAMES: &[(&str, &str)] = &[
    ("ssl.key.location and ssl.certificate.location", "ssl.keystore.location"),
    ("ssl.ca.location", "ssl.truststore.location"),
    ("ssl.ca.pem", "ssl.truststore.location"),
    ("ssl.certificate.pem", "ssl.keystore.location"),
    ("ssl.key.pem", "ssl.keystore.location"),
    ("ssl.key.location", "ssl.keystore.location"),
    ("ssl.certificate.location", "ssl.keystore.location"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("sasl.username", "sasl.jaas.config"),
    ("sasl.password", "sasl.jaas.config"),
    (
        ": connecting to a PLAINTEXT broker listener?",
        ": does the broker speak TLS on this port? See security.protocol",
    ),
    (" (install ca-certificates package)", ""),
    (" (see api.version.request)", ""),
];

/// librdkafka's words with the names of Java's keys.
pub(super) fn in_java_words(line: &str) -> String {
    NAMES.iter().fold(line.to_owned(), |line, (theirs, java)| line.replace(theirs, java))
}

/// What to do about a refusal, by what librdkafka and OpenSSL say of it.
const REFUSALS: &[(Code, &[&str], &str)] = &[
    (
        Code::RD_KAFKA_RESP_ERR__SSL,
        &["certificate verify failed", "Failed to verify broker certificate"],
        "the broker's certificate is not trusted: see ssl.truststore.location",
    ),
    (
        Code::RD_KAFKA_RESP_ERR__SSL,
        &["alert certificate required", "Empty client certificate chain"],
        "the broker asks for a certificate of this client: set ssl.keystore.location, to one whose \
         issuer the broker trusts",
    ),
    (
        Code::RD_KAFKA_RESP_ERR__SSL,
        &[
            "alert bad certificate",
            "alert unsupported certificate",
            "alert certificate revoked",
            "alert certificate expired",
            "alert certificate unknown",
            "alert unknown ca",
            "alert access denied",
        ],
        "the broker refuses this client's certificate, or the lack of one: see \
         ssl.keystore.location",
    ),
    (
        Code::RD_KAFKA_RESP_ERR__SSL,
        &["alert handshake failure", "alert protocol version", "unsupported protocol"],
        "no protocol or cipher suits both sides, or the broker asks for a certificate: see \
         ssl.enabled.protocols, ssl.cipher.suites and ssl.keystore.location",
    ),
    (
        Code::RD_KAFKA_RESP_ERR__SSL,
        &["wrong version number", "packet length too long", "record layer failure"],
        "the broker does not speak TLS on this port: see security.protocol and bootstrap.servers",
    ),
    (
        Code::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        &[
            "Unsupported SASL mechanism",
            "SaslHandshakeRequest failed",
            // What a listener without SASL answers.
            "mechanism handshake failed: Broker: Request not valid in current SASL state",
        ],
        "the broker does not know this mechanism on this port: see sasl.mechanism",
    ),
    (
        Code::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        &["SASL authentication error", "SASL SCRAM", "Authentication failed"],
        "the broker refuses the user or the password: see sasl.jaas.config and sasl.mechanism",
    ),
];

const NO_SASL: &str = "the broker takes no SASL on this port: set security.protocol to that of its \
                       listener, or give the port of its SASL listener in bootstrap.servers";

/// The lasting refusal that a line of librdkafka's log tells of.
pub(super) fn refusal(line: &str) -> Option<(i32, String)> {
    let says = |texts: &[&str]| texts.iter().any(|text| line.contains(text));
    // The name of the thread, which repeats the broker's.
    let line = line.split_once("]: ").map_or(line, |(_, line)| line);
    let (code, _, advice) = REFUSALS.iter().find(|(_, texts, _)| says(texts))?;
    let mechanisms = line.split_once("supported mechanisms:").map(|(_, rest)| rest.trim_start());
    let advice = match mechanisms {
        Some(rest) if rest.is_empty() || rest.starts_with('(') => NO_SASL,
        _ => advice,
    };
    Some((*code as i32, format!("{advice} ({})", in_java_words(line))))
}

/// OpenSSL's codes for what is wrong with a certificate (`x509_vfy.h`).
fn flaw(code: c_int) -> &'static str {
    match code {
        9 => "is not valid yet: check both clocks",
        10 => "has expired: the broker needs a new one",
        23 => "was revoked",
        2 | 18..=21 | 24 | 33 | 79 => {
            "is not signed by one that ssl.truststore.location trusts: put the certificate of its \
             issuer there"
        }
        62 | 64 => {
            "is not for this host: use a name that it has in bootstrap.servers and in the broker's \
             advertised.listeners, or set ssl.endpoint.identification.algorithm to nothing"
        }
        _ => "is refused by OpenSSL",
    }
}

/// librdkafka asks whether a broker's certificate is good enough, after OpenSSL has looked at it.
pub(super) unsafe extern "C" fn on_certificate(
    _: *mut sys::rd_kafka_t,
    broker: *const c_char,
    _broker_id: i32,
    x509_error: *mut c_int,
    _depth: c_int,
    der: *const c_char,
    size: usize,
    reason: *mut c_char,
    reason_size: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka hands over a number to read; all pointers live during the call.
    let code = unsafe { *x509_error };
    if code == 0 {
        return 1;
    }
    // SAFETY: the opaque pointer is the client's context, which outlives it; the broker is a C
    // string; the certificate has the size given.
    let (context, broker, der) = unsafe {
        let der = std::slice::from_raw_parts(der.cast::<u8>(), size);
        (&*opaque.cast::<Context>(), text(broker), der)
    };
    let certificate = millrace_tls::describe_certificate(der);
    let told = format!(
        "the certificate of broker {broker} {} ({certificate}; OpenSSL's code {code})",
        flaw(code)
    );
    let told_bytes = told.as_bytes();
    let length = told_bytes.len().min(reason_size.saturating_sub(1));
    // SAFETY: the buffer has the size given, and the text with its zero byte is not longer.
    unsafe {
        if reason_size > 0 {
            std::ptr::copy_nonoverlapping(told_bytes.as_ptr().cast(), reason, length);
            *reason.add(length) = 0;
        }
    }
    context.refuse(Code::RD_KAFKA_RESP_ERR__SSL as i32, told);
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_ends_a_client() {
        let context = Context::default();
        context.note(Code::RD_KAFKA_RESP_ERR__SSL as i32, "unexpected eof".to_owned());
        context.note(Code::RD_KAFKA_RESP_ERR__TRANSPORT as i32, "it is away".to_owned());
        context.check("x").expect("this may pass");
        context.refuse(Code::RD_KAFKA_RESP_ERR__SSL as i32, "the first".to_owned());
        context.refuse(Code::RD_KAFKA_RESP_ERR__AUTHENTICATION as i32, "the second".to_owned());
        let error = context.check("x").expect_err("this does not pass").to_string();
        assert!(error.contains("the first"), "{error}");
    }

    #[test]
    fn refusals_name_javas_keys() {
        let ssl = Code::RD_KAFKA_RESP_ERR__SSL as i32;
        let sasl = Code::RD_KAFKA_RESP_ERR__AUTHENTICATION as i32;
        for (line, code, advice) in [
            (
                "ssl://b:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::\
                 certificate verify failed: broker certificate could not be verified, verify that \
                 ssl.ca.location is correctly configured or root CA certificates are installed \
                 (install ca-certificates package) (after 5ms in state SSL_HANDSHAKE)",
                ssl,
                "ssl.truststore.location",
            ),
            (
                "ssl://b:1/1: Receive failed: error:0A00045C:SSL routines::tlsv13 alert \
                 certificate required: SSL alert number 116",
                ssl,
                "ssl.keystore.location",
            ),
            (
                "sasl_ssl://b:1/bootstrap: SASL authentication error: Authentication failed \
                 during authentication due to invalid credentials with SASL mechanism PLAIN",
                sasl,
                "sasl.jaas.config",
            ),
            (
                "[thrd:sasl_plaintext://b:1/bootstrap]: sasl_plaintext://b:1/bootstrap: SASL \
                 SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL mechanism: \
                 broker's supported mechanisms: PLAIN",
                sasl,
                "on this port: see sasl.mechanism (sasl_plaintext://",
            ),
            (
                "sasl_plaintext://b:1/bootstrap: SASL PLAIN mechanism handshake failed: Broker: \
                 Request not valid in current SASL state: broker's supported mechanisms:  (after \
                 3ms in state AUTH_HANDSHAKE)",
                sasl,
                "takes no SASL on this port: set security.protocol",
            ),
        ] {
            let (found, told) = refusal(line).expect(line);
            assert_eq!(found, code, "{line}");
            assert!(told.contains(advice) && !told.contains("ssl.ca.location"), "{told}");
        }
        for line in [
            "ssl://b:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
            "ssl://b:1/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT \
             broker listener?",
            // A broker that is stopped while hands are shaken.
            "ssl://b:1/1: SSL handshake failed: error:0A000126:SSL routines::unexpected eof while \
             reading (after 2ms in state SSL_HANDSHAKE)",
            "b:1/1: 3 request(s) timed out: disconnect (after 60000ms in state UP)",
        ] {
            assert_eq!(refusal(line), None);
        }
    }
}
