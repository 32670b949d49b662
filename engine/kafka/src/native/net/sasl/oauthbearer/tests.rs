//! Tokens from login modules, files and a token endpoint that the test plays.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use millrace_api::ErrorKind;
use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::Properties;
use crate::properties::Reader;
use crate::properties::jaas::{Jaas, OAUTHBEARER};

fn login_of(text: &str, allowed: &Allowed) -> Result<Login> {
    let lines = text.lines().filter_map(|line| line.trim().split_once('='));
    let properties: Properties = lines.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let mut reader = Reader::new(&properties);
    let options = reader.text("options").unwrap_or_default();
    let jaas = format!("{OAUTHBEARER} required {options};");
    let jaas = Jaas::of("OAUTHBEARER", OAUTHBEARER, Some(&jaas)).expect("the options are legal");
    read(&mut reader, &jaas, allowed).map(Login::new)
}

fn allowed(urls: &str, files: &str) -> Allowed {
    Allowed::read(&|name| match name {
        "MILLRACE_OAUTHBEARER_ALLOWED_URLS" => Some(urls.to_owned()),
        "MILLRACE_OAUTHBEARER_ALLOWED_FILES" => Some(files.to_owned()),
        _ => None,
    })
}

fn login(text: &str) -> Result<Login> {
    login_of(text, &Allowed::default())
}

const SECURED: &str = "sasl.login.callback.handler.class=\
                       org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";

/// A token that nobody has signed, which this side does not look at.
fn jwt(claims: &Value) -> String {
    let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.{}", part(&json!({"alg": "RS256"})), part(claims), "c2ln")
}

fn good(name: &str) -> String {
    jwt(&json!({"sub": name, "exp": now_ms() / 1_000 + 3_600}))
}

fn decoded(part: &str) -> Value {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).expect("it is base64");
    serde_json::from_slice(&json).expect("it is JSON")
}

#[tokio::test]
async fn the_first_message_is_that_of_the_rfc_with_extensions() {
    let options = "unsecuredLoginStringClaim_sub=\"alice\" unsecuredLoginListClaim_scope=\"|a|b\" \
                   unsecuredLoginNumberClaim_n=\"1.5\" unsecuredLoginExtension_traceId=\"1 2\" \
                   unsecuredLoginLifetimeSeconds=\"60\"";
    let login = login(&format!("options={options}")).unwrap();
    let mut exchange = login.exchange().await.unwrap();
    let first = String::from_utf8(exchange.first().to_vec()).unwrap();
    let parts: Vec<_> = first.split('\u{1}').collect();
    let [header, auth, extension, "", ""] = parts[..] else { panic!("{parts:?}") };
    assert_eq!((header, extension), ("n,,", "traceId=1 2"));
    let token: Vec<_> = auth.strip_prefix("auth=Bearer ").unwrap().split('.').collect();
    let [header, claims, ""] = token[..] else { panic!("{token:?}") };
    assert_eq!(decoded(header), json!({"alg": "none"}));
    let claims = decoded(claims);
    let part = |name: &str| claims[name].as_f64().unwrap();
    assert!((part("exp") - part("iat") - 60.0).abs() < 0.001, "{claims}");
    assert_eq!((claims["sub"].as_str(), part("n")), (Some("alice"), 1.5));
    assert_eq!(claims["scope"], json!(["a", "b"]));

    assert_eq!(exchange.answer(b"").unwrap(), None);
    let mut exchange = login.exchange().await.unwrap();
    let agreed = exchange.answer(br#"{"status":"invalid_token"}"#).unwrap();
    assert_eq!(agreed.unwrap(), "\u{1}");
    let error = exchange.answer(b"").unwrap_err().to_string();
    assert!(error.contains(r#"refuses the token: {"status":"invalid_token"}"#), "{error}");
}

#[test]
fn complaints_are_javas_and_hide_secrets() {
    let url = "sasl.oauthbearer.token.endpoint.url";
    let secured = |more: &str| format!("{SECURED}\n{more}");
    let at = |more: &str| secured(&format!("{url}=https://idp.example/token\n{more}"));
    let client = "sasl.oauthbearer.client.credentials.client";
    for (text, expected) in [
        ("options=".to_owned(), "unsecuredLoginStringClaim_sub"),
        ("options=clientId=\"hush\"".to_owned(), "the token names nobody"),
        (
            "options=unsecuredLoginStringClaim_sub=a unsecuredLoginStringClaim_exp=hush".to_owned(),
            "Cannot explicitly set the 'exp' claim",
        ),
        (
            "options=unsecuredLoginStringClaim_sub=a unsecuredLoginLifetimeSeconds=hush".to_owned(),
            "is not a number of seconds",
        ),
        (
            "options=unsecuredLoginStringClaim_sub=a unsecuredLoginExtension_auth=hush".to_owned(),
            "Extension name auth is reserved",
        ),
        ("sasl.login.callback.handler.class=com.example.H".to_owned(), "cannot be loaded: use org"),
        (secured(""), "token.endpoint.url value is required"),
        (secured(&format!("{url}=ftp://hush")), "Invalid value ftp:… for configuration"),
        (secured(&format!("{url}=https://id:hush@idp.example/")), "do not belong into the URL"),
        (
            secured(&format!("{url}=https://elsewhere.example/token")),
            "Invalid value https://elsewhere.example/token for configuration \
             sasl.oauthbearer.token.endpoint.url: The URL cannot be accessed due to restrictions",
        ),
        (secured(&format!("{url}=file:///etc/passwd")), "MILLRACE_OAUTHBEARER_ALLOWED_URLS"),
        (at(""), "Could not find OAuth configuration for sasl.oauthbearer.client.credentials"),
        (at(&format!("{client}.id=a")), "or OAuth JAAS configuration for clientSecret"),
        (at("sasl.oauthbearer.jwt.retriever.class=com.example.R"), "use DefaultJwtRetriever"),
        (at("sasl.oauthbearer.jwt.validator.class=com.example.V"), "leave the key out"),
        (
            at("sasl.oauthbearer.assertion.claim.iss=me"),
            "sasl.oauthbearer.assertion.private.key.file value is required",
        ),
        (
            at("sasl.oauthbearer.assertion.file=/etc/hostname"),
            "Invalid value /etc/hostname for configuration sasl.oauthbearer.assertion.file: The \
             file cannot be accessed due to restrictions",
        ),
        (
            at(&format!("{client}.id=a\n{client}.secret=hush\nsasl.login.retry.backoff.ms=20000")),
            "is less than sasl.login.retry.backoff.ms",
        ),
        ("sasl.login.refresh.window.factor=0.4".to_owned(), "Value must be at least 0.5"),
        ("sasl.login.refresh.window.jitter=1".to_owned(), "Value must be no more than 0.25"),
        ("sasl.login.refresh.buffer.seconds=3601".to_owned(), "Value must be no more than 3600"),
    ] {
        let allowed = allowed("https://idp.example/token", "");
        let error = login_of(&text, &allowed).expect_err(expected);
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let error = error.to_string();
        assert!(error.contains(expected) && !error.contains("hush"), "{text}: {error}");
    }
}

#[test]
fn what_may_be_used_is_read_as_a_jvm_reads_it() {
    const FLAG: &str = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=";
    let options = format!("-Xmx1g {FLAG}https://old {FLAG}https://a,https://b\t-Dother=c");
    let allowed = Allowed::read(&|name| match name {
        "KAFKA_OPTS" => Some(options.clone()),
        "MILLRACE_OAUTHBEARER_ALLOWED_URLS" => Some(" https://d , ".to_owned()),
        _ => None,
    });
    for (url, is_allowed) in [
        ("https://a", true),
        ("https://b", true),
        ("https://d", true),
        ("https://old", false),
        ("https://a/", false),
        ("", false),
    ] {
        assert_eq!(allowed.check_url("key", url).is_ok(), is_allowed, "{url}");
    }
    assert!(allowed.check_file("key", "https://a").is_err());
}

#[test]
fn tokens_are_refreshed_when_java_does() {
    let refresh = Refresh {
        window_factor: 0.8,
        window_jitter: 0.05,
        min_period_ms: 60_000,
        buffer_ms: 300_000,
    };
    let hour = 3_600_000;
    for (issued, expires, now, random, expected) in [
        // 80 to 85 per cent of the life.
        (Some(0), hour, 0, 0.0, 2_880_000),
        (Some(0), hour, 0, 1.0, 3_060_000),
        // Fetched late in its life: from its beginning, not from now.
        (Some(0), hour, 1_000_000, 0.0, 1_880_000),
        (None, hour, 1_000_000, 0.0, 2_080_000),
        // Not within the last five minutes.
        (Some(0), 1_000_000, 0, 0.0, 700_000),
        // Not before a minute.
        (Some(0), hour, 2_870_000, 0.0, 60_000),
        // Too short for both.
        (Some(0), 100_000, 0, 0.0, 80_000),
    ] {
        let due = refresh.due_in(issued, expires, now, random);
        assert_eq!(due, expected, "{issued:?} {expires} {now} {random}");
    }
}

#[test]
fn tokens_have_what_brokers_ask_for() {
    let names = jwt::ClaimNames::default();
    let token =
        jwt::read(&format!(" {}\n", jwt(&json!({"sub": "a", "exp": 12.5, "iat": 1}))), &names);
    let token = token.unwrap();
    assert_eq!((token.issued_ms, token.expires_ms), (Some(1_000), 12_500));
    for (text, expected) in [
        ("opaque-hush".to_owned(), "expected three sections"),
        ("a..c".to_owned(), "expected three sections"),
        ("hush.!.c".to_owned(), "its payload is no JSON object"),
        (jwt(&json!(["hush"])), "its payload is no JSON object"),
        (jwt(&json!({"sub": "hush"})), "exp value must be non-null"),
        (jwt(&json!({"sub": "hush", "exp": -1})), "exp value must be a number"),
        (jwt(&json!({"sub": "", "exp": 1})), "sub value must be a text"),
        (jwt(&json!({"hush": "a", "exp": 1})), "sub value must be a text"),
        (jwt(&json!({"sub": "a", "exp": 1, "scope": [1]})), "scope value must hold texts"),
    ] {
        let error = jwt::read(&text, &names).expect_err(expected).to_string();
        assert!(error.contains(expected) && !error.contains("hush"), "{error}");
    }
    let named = jwt::ClaimNames { sub: "client".to_owned(), scope: "scp".to_owned() };
    jwt::read(&jwt(&json!({"client": "a", "exp": 1, "scope": [1]})), &named).unwrap();
}

/// A token endpoint that answers what it is told to, in turn, and keeps what it was asked.
struct Endpoint {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn endpoint(answers: &[(u16, String)]) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token?tenant=hush", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut answers: VecDeque<_> = answers.to_vec().into();
    let kept = asked.clone();
    tokio::spawn(async move {
        while let Some((status, body)) = answers.pop_front() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = request(&mut stream).await;
            kept.lock().unwrap().push(request);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
            // Who hangs up early does not want it.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Endpoint { url, asked }
}

async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    loop {
        let mut part = [0; 4_096];
        let read = stream.read(&mut part).await.unwrap();
        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if read == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}

fn credentials(url: &str, more: &str) -> Login {
    let client = "sasl.oauthbearer.client.credentials.client";
    let text = format!(
        "{SECURED}\nsasl.oauthbearer.token.endpoint.url={url}\n{client}.id=alice\n\
         {client}.secret=hush hush\nsasl.oauthbearer.scope=read write\n\
         sasl.login.retry.backoff.ms=1\n{more}"
    );
    login_of(&text, &allowed(url, "")).expect("the settings are legal")
}

#[tokio::test]
async fn client_credentials_are_posted_and_a_token_is_kept() {
    let token = good("one");
    let answer = json!({"access_token": token, "token_type": "Bearer"}).to_string();
    let endpoint = endpoint(&[(200, answer)]).await;
    let login = credentials(&endpoint.url, "");
    let (one, two) = tokio::join!(login.token(), login.token());
    assert_eq!(one.unwrap().value.expose(), token);
    assert_eq!(two.unwrap().value.expose(), token);
    let asked = endpoint.asked.lock().unwrap();
    let [request] = &asked[..] else { panic!("one fetch is enough: {asked:?}") };
    assert!(request.starts_with("POST /token?tenant=hush HTTP/1.1\r\n"), "{request}");
    let basic = BASE64_STANDARD.encode("alice:hush hush");
    assert!(request.contains(&format!("authorization: Basic {basic}\r\n")), "{request}");
    assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=read write"));
}

#[tokio::test]
async fn trouble_passes_and_refusals_do_not() {
    let late = good("late");
    let token = json!({"id_token": late}).to_string();
    let busy = || (503, "hush".to_owned());
    let endpoint_1 = endpoint(&[busy(), busy(), (201, token)]).await;
    let login = credentials(&endpoint_1.url, "sasl.oauthbearer.header.urlencode=true");
    assert_eq!(login.token().await.unwrap().value.expose(), late);
    let asked = endpoint_1.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3);
    let basic = BASE64_STANDARD.encode("alice:hush+hush");
    assert!(asked[0].contains(&format!("Basic {basic}\r\n")) && asked[0].ends_with("read+write"));

    let basic = BASE64_STANDARD.encode("alice:hush hush");
    let told =
        json!({"error": "invalid_client", "error_description": format!("hush hush {basic}")});
    let okta = json!({"errorCode": "E1", "errorSummary": "no"});
    for (status, body, kind, expected) in [
        (
            401,
            told.to_string(),
            ErrorKind::Fatal,
            "401: invalid_client - [hidden] [hidden] (remedy: see sasl.oauthbearer.client",
        ),
        (403, okta.to_string(), ErrorKind::Fatal, "answers 403: E1 - no"),
        (302, String::new(), ErrorKind::Fatal, "answers 302"),
        (200, "hush".to_owned(), ErrorKind::Fatal, "did not contain a valid JWT"),
        (200, json!({"access_token": "hush"}).to_string(), ErrorKind::Fatal, "three sections"),
        (200, "x".repeat(2 << 20), ErrorKind::Fatal, "longer than 1 MiB"),
        (
            200,
            json!({"access_token": jwt(&json!({"sub": "a", "exp": 1}))}).to_string(),
            ErrorKind::Fatal,
            "has expired already",
        ),
        (500, "hush".to_owned(), ErrorKind::Retriable, "answers 500 (token endpoint: http://127"),
    ] {
        let endpoint = endpoint(&[(status, body)]).await;
        let login = credentials(&endpoint.url, "sasl.login.retry.backoff.max.ms=1");
        // With one answer only, a second attempt would find nobody.
        let error = login.settings.retriever.token(&login.settings.claims).await;
        let error = match error {
            Ok(token) => Held::new(token, &login.settings.refresh).expect_err(expected),
            Err(error) => error,
        };
        if status != 500 {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(!error.trace().contains("hush"), "{}", error.trace());
    }
}

/// The stores are options of the login module, as in Java.
#[tokio::test]
async fn an_endpoint_over_tls_is_known_by_its_certificate() {
    let server = [
        ("ssl.keystore.location", store("server.p12")),
        ("ssl.keystore.password", "store-secret".to_owned()),
    ];
    let server = server.map(|(key, value)| (key.to_owned(), value)).into();
    let server = millrace_tls::TlsSettings::read(&server).unwrap();
    let server = server.server_config(millrace_tls::ClientAuth::None).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/token", listener.local_addr().unwrap().port());
    let token = good("tls");
    let body = json!({"access_token": token}).to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Who does not trust us hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            request(&mut stream).await;
            let length = body.len();
            let answer = format!("HTTP/1.1 200 X\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let with = |store: &str| {
        let client = "sasl.oauthbearer.client.credentials.client";
        let text = format!(
            "{SECURED}\nsasl.oauthbearer.token.endpoint.url={url}\n{client}.id=a\n\
             {client}.secret=b\noptions=ssl.truststore.type=PEM ssl.truststore.location=\"{store}\""
        );
        login_of(&text, &allowed(&url, "")).unwrap()
    };
    assert_eq!(with(&store("ca.pem")).token().await.unwrap().value.expose(), token);
    let error = with(&store("stranger.pem")).token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let error = error.to_string();
    assert!(error.contains("the token endpoint is not trusted: its certificate"), "{error}");
    assert!(error.contains("options of the login module"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_away_or_silent_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let times = "sasl.login.retry.backoff.max.ms=1\nsasl.login.read.timeout.ms=20";
    let login = credentials(&url, times);
    let error = login.token().await.unwrap_err();
    assert!(error.is_retriable() && error.to_string().contains("sasl.login.read.timeout.ms"));
    drop(listener);
    let error = login.token().await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert!(error.to_string().contains("cannot be connected to (token endpoint: http"), "{error}");
}

#[tokio::test]
async fn a_token_that_cannot_be_refreshed_holds_to_its_end() {
    let soon = jwt(&json!({"sub": "a", "exp": now_ms() / 1_000 + 1_000}));
    let endpoint = endpoint(&[
        (200, json!({"access_token": soon}).to_string()),
        (400, json!({"error": "down"}).to_string()),
        (400, json!({"error": "down"}).to_string()),
    ])
    .await;
    let login = credentials(&endpoint.url, "");
    login.token().await.unwrap();
    login.held.lock().await.as_mut().unwrap().refresh_at = Instant::now();
    assert_eq!(login.token().await.unwrap().value.expose(), soon);
    login.token().await.expect("the next attempt is later");
    assert_eq!(endpoint.asked.lock().unwrap().len(), 2);
    let now = Instant::now();
    {
        let mut held = login.held.lock().await;
        let held = held.as_mut().unwrap();
        (held.refresh_at, held.expires_at) = (now, now);
    }
    let error = login.token().await.unwrap_err().to_string();
    assert!(error.contains("answers 400: down"), "{error}");
}

#[tokio::test]
async fn tokens_of_files_are_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let (one, two) = (good("one"), good("two"));
    std::fs::write(&path, format!("{one}\n")).unwrap();
    let url = format!("file://{}", path.display());
    let text = format!("{SECURED}\nsasl.oauthbearer.token.endpoint.url={url}");
    let login = login_of(&text, &allowed(&url, "")).unwrap();
    assert_eq!(login.token().await.unwrap().value.expose(), one);
    std::fs::write(&path, &two).unwrap();
    login.held.lock().await.as_mut().unwrap().refresh_at = Instant::now();
    assert_eq!(login.token().await.unwrap().value.expose(), two);
    std::fs::remove_file(&path).unwrap();
    *login.held.lock().await = None;
    let error = login.token().await.unwrap_err();
    assert!(error.is_retriable() && error.to_string().contains("the file cannot be read"));
}

fn store(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tls/tests/stores").join(name);
    std::path::absolute(path).unwrap().display().to_string()
}

#[tokio::test]
async fn assertions_are_signed_and_posted() {
    let token = json!({"access_token": good("alice")}).to_string();
    let endpoint = endpoint(&[(200, token.clone()), (200, token)]).await;
    let url = &endpoint.url;
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("template.json");
    let content = json!({"header": {"kid": "k1"}, "payload": {"aud": "of-template", "x": [1]}});
    std::fs::write(&template, content.to_string()).unwrap();
    let (key_file, template) = (store("sec1-key.pem"), template.display().to_string());
    let common = format!(
        "{SECURED}\nsasl.oauthbearer.token.endpoint.url={url}\n\
         sasl.oauthbearer.assertion.algorithm=es256\n\
         sasl.oauthbearer.assertion.private.key.file={key_file}\n\
         sasl.oauthbearer.assertion.template.file={template}\n\
         sasl.oauthbearer.assertion.claim.aud=of-key\n\
         sasl.oauthbearer.assertion.claim.iss=me\n\
         sasl.oauthbearer.assertion.claim.jti.include=true\n\
         sasl.oauthbearer.scope=a&b\n"
    );
    let allowed = allowed(url, &format!("{key_file},{template}"));
    let bearer = "sasl.oauthbearer.jwt.retriever.class=\
                  org.apache.kafka.common.security.oauthbearer.JwtBearerJwtRetriever";
    for more in [bearer, "sasl.oauthbearer.client.credentials.client.id=alice"] {
        login_of(&format!("{common}{more}"), &allowed).unwrap().token().await.unwrap();
    }
    let asked = endpoint.asked.lock().unwrap().clone();
    let bodies: Vec<_> =
        asked.iter().map(|asked| asked.split_once("\r\n\r\n").unwrap().1).collect();
    let [bearer, client] = bodies[..] else { panic!("{bodies:?}") };
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let assertion = bearer.strip_prefix(grant).expect(bearer);
    let assertion = assertion.strip_suffix("&scope=a%26b").expect(bearer);
    assert!(client.starts_with(
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&\
         client_assertion=ey"
    ));
    assert!(client.ends_with("&grant_type=client_credentials&client_id=alice&scope=a%26b"));

    let (content, signature) = assertion.rsplit_once('.').unwrap();
    let (header, payload) = content.split_once('.').unwrap();
    assert_eq!(decoded(header), json!({"kid": "k1", "alg": "ES256", "typ": "JWT"}));
    let payload = decoded(payload);
    assert_eq!((&payload["aud"], &payload["iss"]), (&json!("of-template"), &json!("me")));
    let number = |name: &str| payload[name].as_i64().unwrap();
    assert_eq!((number("exp") - number("iat"), number("iat") - number("nbf")), (300, 60));
    assert_eq!(payload["jti"].as_str().unwrap().len(), 36);
    let pem = std::fs::read_to_string(store("sec1-key.pem")).unwrap();
    let key = millrace_tls::private_key_pem(&pem, None).unwrap();
    let rng = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, key.secret_der(), &rng).unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref())
        .verify(content.as_bytes(), &signature)
        .expect("the signature is the key's");

    let encrypted = store("encrypted-key.pem");
    let of_jdk = common.replace(&key_file, &encrypted)
        + "sasl.oauthbearer.assertion.private.key.passphrase=key-secret";
    for (text, expected) in [
        (common.replace("es256", "RS256"), "the key is not one for RS256"),
        (of_jdk.clone(), "needs its public half too, which openssl ec adds"),
        (of_jdk.replace("key-secret", "key-hush"), "the password is wrong"),
    ] {
        let allowed = self::allowed(url, &format!("{key_file},{encrypted},{template}"));
        let login = login_of(&text, &allowed).unwrap();
        let error = login.token().await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("key.pem"), "{error}");
        assert!(!error.contains("key-secret") && !error.contains("key-hush"), "{error}");
    }
}
