//! The keys that all converters with a registry share: Java's names, types and defaults, and the
//! two prefixes under which users write them.

use millrace_api::config::validators::{at_least, between, non_empty_list};
use millrace_api::config::{ClassName, Config, Password, Props};

use super::unsupported::UnsupportedConfig;

/// Who else may stand before a key that the client of the registry reads.
const NAMESPACE: &str = "schema.registry.";

/// What every converter with a registry is told.
#[derive(Config)]
pub(crate) struct RegistryConfig {
    /// The base URLs of the schema registry, separated by commas; another is asked when one cannot
    /// answer.
    #[config(key = "schema.registry.url", importance = High, validate = non_empty_list)]
    pub(super) urls: Vec<String>,
    /// Whether to begin with any of the URLs, so that many workers spread over them.
    #[config(key = "schema.registry.url.randomize", importance = Low, default = false)]
    pub(super) randomize: bool,
    /// How many schemas are remembered, and how many are kept ready to read and write with, a topic.
    #[config(key = "max.schemas.per.subject", importance = Low, default = 1000)]
    #[config(validate = at_least(1))]
    pub(super) max_schemas: i32,
    /// Whether schemas are normalised before they are registered or looked up.
    #[config(key = "normalize.schemas", importance = Medium, default = false)]
    pub(super) normalize: bool,
    /// Whether schemas that the registry does not know are registered.
    #[config(key = "auto.register.schemas", importance = Medium, default = true)]
    pub(super) auto_register: bool,
    /// The id of the schema to write with, where schemas are not registered.
    #[config(key = "use.schema.id", importance = Low, default = -1)]
    pub(super) use_schema_id: i32,
    /// The GUID of the schema to write with, where schemas are not registered.
    #[config(key = "use.schema.guid", importance = Low, default = None)]
    pub(super) use_schema_guid: Option<String>,
    /// Whether data must be compatible with the schema of use.schema.id or use.schema.guid.
    #[config(key = "id.compatibility.strict", importance = Low, default = true)]
    pub(super) id_strict: bool,
    /// Whether to write with the latest schema of the subject, where schemas are not registered, and
    /// to read as the latest whatever was written.
    #[config(key = "use.latest.version", importance = Low, default = false)]
    pub(super) use_latest: bool,
    /// Whether data must be compatible with the latest schema of the subject that they are written
    /// with.
    #[config(key = "latest.compatibility.strict", importance = Low, default = true)]
    pub(super) latest_strict: bool,
    /// How many subjects' latest schemas are remembered.
    #[config(key = "latest.cache.size", importance = Low, default = 1000)]
    pub(super) latest_size: i32,
    /// How many seconds the latest schema of a subject is believed to be the latest; -1: forever.
    #[config(key = "latest.cache.ttl.sec", importance = Low, default = -1)]
    pub(super) latest_ttl_sec: i32,
    /// Who we are to the registry: URL (a user in the URL), USER_INFO (basic.auth.user.info) or
    /// SASL_INHERIT (sasl.jaas.config).
    #[config(key = "basic.auth.credentials.source", importance = Medium, default = "URL")]
    pub(super) basic_source: String,
    /// A user and a password, as user:password.
    #[config(key = "basic.auth.user.info", importance = Medium, default = "")]
    pub(super) user_info: Password,
    /// The same as basic.auth.user.info.
    #[config(key = "schema.registry.basic.auth.user.info", importance = Medium, default = "")]
    _user_info: Password,
    /// The login module whose user SASL_INHERIT takes over.
    #[config(key = "sasl.jaas.config", importance = Medium, default = None)]
    pub(super) sasl_jaas_config: Option<Password>,
    #[config(nested)]
    pub(super) bearer: BearerConfig,
    /// Which contexts subjects are in.
    #[config(key = "context.name.strategy", importance = Medium)]
    #[config(default = "io.confluent.kafka.serializers.context.NullContextNameStrategy")]
    pub(super) context_name_strategy: ClassName,
    /// How subjects of keys are named.
    #[config(key = "key.subject.name.strategy", importance = Medium)]
    #[config(default = "io.confluent.kafka.serializers.subject.AssociatedNameStrategy")]
    pub(super) key_subject_name_strategy: ClassName,
    /// How subjects of values are named.
    #[config(key = "value.subject.name.strategy", importance = Medium)]
    #[config(default = "io.confluent.kafka.serializers.subject.AssociatedNameStrategy")]
    pub(super) value_subject_name_strategy: ClassName,
    #[config(nested)]
    pub(super) ids: SchemaIdConfig,
    #[config(nested)]
    pub(super) http: HttpConfig,
    #[config(nested, prefix = "schema.registry.")]
    _ssl: SslConfig,
    #[config(nested)]
    _unsupported: UnsupportedConfig,
}

/// Tokens.
#[derive(Config)]
pub(crate) struct BearerConfig {
    /// Where a bearer token comes from: STATIC_TOKEN (bearer.auth.token) or OAUTHBEARER (a token
    /// endpoint).
    #[config(key = "bearer.auth.credentials.source", importance = Medium, default = "STATIC_TOKEN")]
    pub(super) source: String,
    /// The token.
    #[config(key = "bearer.auth.token", importance = Medium, default = "")]
    pub(super) token: Password,
    /// The same as bearer.auth.token.
    #[config(key = "schema.registry.bearer.auth.token", importance = Medium, default = "")]
    _token: Password,
    /// The token endpoint.
    #[config(key = "bearer.auth.issuer.endpoint.url", importance = Medium, default = None)]
    pub(super) endpoint: Option<String>,
    /// Who we are to the token endpoint.
    #[config(key = "bearer.auth.client.id", importance = Medium, default = None)]
    pub(super) client_id: Option<String>,
    /// What proves it.
    #[config(key = "bearer.auth.client.secret", importance = Medium, default = None)]
    pub(super) client_secret: Option<Password>,
    /// The same as bearer.auth.client.secret.
    #[config(key = "schema.registry.bearer.auth.client.secret", importance = Medium)]
    #[config(default = None)]
    _client_secret: Option<Password>,
    /// What the token shall be good for.
    #[config(key = "bearer.auth.scope", importance = Medium, default = None)]
    pub(super) scope: Option<String>,
    /// The claim of a token that names its scope. Tokens are not looked into.
    #[config(key = "bearer.auth.scope.claim.name", importance = Low, default = "scope")]
    _scope_claim: String,
    /// The claim of a token that names its subject. Tokens are not looked into.
    #[config(key = "bearer.auth.sub.claim.name", importance = Low, default = "sub")]
    _sub_claim: String,
    /// The logical cluster of the registry.
    #[config(key = "bearer.auth.logical.cluster", importance = Medium, default = None)]
    pub(super) logical_cluster: Option<String>,
    /// The identity pool that the token belongs to.
    #[config(key = "bearer.auth.identity.pool.id", importance = Medium, default = None)]
    pub(super) identity_pool: Option<String>,
    /// How many seconds before its end a token is replaced.
    #[config(key = "bearer.auth.cache.expiry.buffer.seconds", importance = Low, default = 300)]
    #[config(validate = between(0, 3600))]
    pub(super) expiry_buffer_seconds: i16,
    /// A class that Java gets tokens from. Without effect: OAUTHBEARER asks any token endpoint.
    #[config(key = "bearer.auth.custom.provider.class", importance = Medium, default = None)]
    _custom_provider: Option<String>,
}

/// Where ids are written and read.
#[derive(Config)]
pub(crate) struct SchemaIdConfig {
    /// Where the id of a key's schema is written: before the key, or in a header.
    #[config(key = "key.schema.id.serializer", importance = Medium)]
    #[config(default = "io.confluent.kafka.serializers.schema.id.PrefixSchemaIdSerializer")]
    pub(super) key_serializer: ClassName,
    /// Where the id of a value's schema is written: before the value, or in a header.
    #[config(key = "value.schema.id.serializer", importance = Medium)]
    #[config(default = "io.confluent.kafka.serializers.schema.id.PrefixSchemaIdSerializer")]
    pub(super) value_serializer: ClassName,
    /// Where the id of a key's schema is read: in a header, else before the key.
    #[config(key = "key.schema.id.deserializer", importance = Medium)]
    #[config(default = "io.confluent.kafka.serializers.schema.id.DualSchemaIdDeserializer")]
    pub(super) key_deserializer: ClassName,
    /// Where the id of a value's schema is read: in a header, else before the value.
    #[config(key = "value.schema.id.deserializer", importance = Medium)]
    #[config(default = "io.confluent.kafka.serializers.schema.id.DualSchemaIdDeserializer")]
    pub(super) value_deserializer: ClassName,
}

/// How the registry is asked.
#[derive(Config)]
pub(crate) struct HttpConfig {
    /// How long connecting may take, in milliseconds.
    #[config(key = "http.connect.timeout.ms", importance = Low, default = 60000)]
    #[config(validate = at_least(1))]
    pub(super) connect_timeout_ms: i32,
    /// How long an answer may take, in milliseconds.
    #[config(key = "http.read.timeout.ms", importance = Low, default = 60000)]
    #[config(validate = at_least(1))]
    pub(super) read_timeout_ms: i32,
    /// How often the registry is asked again when it cannot answer, before the task waits.
    #[config(key = "max.retries", importance = Low, default = 3, validate = between(0, 100))]
    pub(super) max_retries: i32,
    /// The first wait before it is asked again, in milliseconds; it doubles each time, with jitter.
    #[config(key = "retries.wait.ms", importance = Low, default = 1000, validate = at_least(0))]
    pub(super) retries_wait_ms: i32,
    /// The longest wait before it is asked again, in milliseconds.
    #[config(key = "retries.max.wait.ms", importance = Low, default = 20000)]
    #[config(validate = at_least(0))]
    pub(super) retries_max_wait_ms: i32,
    /// How many answers that there is nothing are remembered, for each kind of question.
    #[config(key = "missing.cache.size", importance = Low, default = 10000)]
    pub(super) missing_size: i32,
    /// How many seconds it is believed that there is no schema with an id; -1: a minute, after which
    /// the registry is asked again.
    #[config(key = "missing.id.cache.ttl.sec", importance = Low, default = -1)]
    pub(super) missing_id_ttl_sec: i32,
    /// How many seconds it is believed that a subject has no such version; -1: the registry is asked
    /// each time.
    #[config(key = "missing.version.cache.ttl.sec", importance = Low, default = -1)]
    pub(super) missing_version_ttl_sec: i32,
    /// How many seconds it is believed that a subject does not have a schema, or does not take it;
    /// -1: a minute, after which the registry is asked again.
    #[config(key = "missing.schema.cache.ttl.sec", importance = Low, default = -1)]
    pub(super) missing_schema_ttl_sec: i32,
    /// The HTTP proxy.
    #[config(key = "proxy.host", importance = Low, default = "")]
    pub(super) proxy_host: String,
    /// The HTTP proxy's port.
    #[config(key = "proxy.port", importance = Low, default = -1)]
    pub(super) proxy_port: i32,
}

/// What `https` needs. The meaning of these keys is decided by `millrace-tls`; they are listed so
/// that they are documented, and secrets stay hidden.
#[derive(Config)]
pub(crate) struct SslConfig {
    /// The protocol of the TLS context.
    #[config(key = "ssl.protocol", importance = Medium, default = "TLSv1.3")]
    _protocol: String,
    /// Java's security provider. Without effect.
    #[config(key = "ssl.provider", importance = Medium, default = None)]
    _provider: Option<String>,
    /// The protocols that may be spoken.
    #[config(key = "ssl.enabled.protocols", importance = Medium, default = "TLSv1.2,TLSv1.3")]
    _enabled_protocols: Vec<String>,
    /// The cipher suites that may be used; by default all that are safe.
    #[config(key = "ssl.cipher.suites", importance = Low, default = None)]
    _cipher_suites: Option<Vec<String>>,
    /// The kind of key store: JKS, PKCS12 or PEM.
    #[config(key = "ssl.keystore.type", importance = Medium, default = "JKS")]
    _keystore_type: String,
    /// The file with our key and certificate, for registries that ask for one.
    #[config(key = "ssl.keystore.location", importance = High, default = None)]
    _keystore_location: Option<String>,
    /// The password of the key store.
    #[config(key = "ssl.keystore.password", importance = High, default = None)]
    _keystore_password: Option<Password>,
    /// The password of the key.
    #[config(key = "ssl.key.password", importance = High, default = None)]
    _key_password: Option<Password>,
    /// Our key as PEM text.
    #[config(key = "ssl.keystore.key", importance = High, default = None)]
    _keystore_key: Option<Password>,
    /// Our certificates as PEM text.
    #[config(key = "ssl.keystore.certificate.chain", importance = High, default = None)]
    _keystore_chain: Option<Password>,
    /// The certificates we trust as PEM text.
    #[config(key = "ssl.truststore.certificates", importance = High, default = None)]
    _truststore_certificates: Option<Password>,
    /// The kind of trust store: JKS, PKCS12 or PEM.
    #[config(key = "ssl.truststore.type", importance = Medium, default = "JKS")]
    _truststore_type: String,
    /// The file with the certificates we trust; by default those of the system.
    #[config(key = "ssl.truststore.location", importance = High, default = None)]
    _truststore_location: Option<String>,
    /// The password of the trust store.
    #[config(key = "ssl.truststore.password", importance = High, default = None)]
    _truststore_password: Option<Password>,
    /// How the registry's name is checked against its certificate; empty: not at all.
    #[config(key = "ssl.endpoint.identification.algorithm", importance = Low, default = "https")]
    _endpoint_identification: String,
    /// Java's key manager. Without effect.
    #[config(key = "ssl.keymanager.algorithm", importance = Low, default = "SunX509")]
    _keymanager: String,
    /// Java's trust manager. Without effect.
    #[config(key = "ssl.trustmanager.algorithm", importance = Low, default = "PKIX")]
    _trustmanager: String,
    /// Java's source of random numbers. Without effect.
    #[config(key = "ssl.secure.random.implementation", importance = Low, default = None)]
    _secure_random: Option<String>,
    /// The class that makes Java's TLS engine. Without effect.
    #[config(key = "ssl.engine.factory.class", importance = Low, default = None)]
    _engine_factory: Option<ClassName>,
}

/// Keys whose own names begin so.
const OWN: [&str; 2] = ["schema.registry.url", "schema.registry.url.randomize"];

/// The properties with the keys of the registry's client under both of their names, as Java reads
/// them: with `schema.registry.` before them, which wins, and without.
pub(crate) fn with_aliases(props: &Props) -> Props {
    let mut all = props.clone();
    for (key, value) in props {
        match key.strip_prefix(NAMESPACE) {
            Some(bare) if !OWN.contains(&key.as_str()) => {
                all.insert(bare.to_owned(), value.clone());
            }
            _ => {}
        }
    }
    if let Some(value) = props.get("url.randomize") {
        all.entry(OWN[1].to_owned()).or_insert_with(|| value.clone());
    }
    all
}
