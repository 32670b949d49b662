//! Decides what a worker with secrets in all places is, and what of it is searched.

use millrace_integration::canary::Canaries;
use millrace_integration::connect::{Connect, Properties, Setup, millrace, write_properties};
use millrace_integration::rest::Answer;
use millrace_integration::security::{STORE_PASSWORD, jaas, store};
use millrace_integration::site::{PATIENCE, Site, file_sink, properties, with};
use millrace_integration::{free_port, wait_until};
use std::cell::RefCell;
use std::fs;

pub(super) const AUTHORIZATION: &str = "Authorization";

/// What holds secrets because the test put them there.
const PLANTED: [&str; 2] = ["planted", "worker.properties"];

const PROVIDERS: &str = "org.apache.kafka.common.config.provider.";

/// A worker's surroundings, the secrets in them, and what came out.
pub(super) struct Scene {
    pub(super) site: Site,
    pub(super) canaries: Canaries,
    /// The good login.
    pub(super) login: String,
    /// Where TLS is spoken.
    pub(super) https: String,
    admin: String,
    /// The worker's process.
    process: u32,
    environment: Properties,
    secrets: Properties,
    /// What was found as soon as it came out.
    found: RefCell<Vec<String>>,
}

/// The value of `Authorization`.
pub(super) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = format!("{user}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

/// The configuration as JSON.
pub(super) fn json(config: &Properties) -> String {
    serde_json::to_string(config).unwrap()
}

pub(super) fn file_sink_with_dead_letters(name: &str, topic: &str, letters: &str) -> Properties {
    with(
        file_sink(name, "out.txt", topic),
        &[
            ("consumer.override.auto.offset.reset", "earliest"),
            ("errors.tolerance", "all"),
            ("errors.log.enable", "true"),
            ("errors.log.include.messages", "true"),
            ("errors.deadletterqueue.topic.name", letters),
            ("errors.deadletterqueue.topic.replication.factor", "1"),
            ("errors.deadletterqueue.context.headers.enable", "true"),
        ],
    )
}

impl Scene {
    pub(super) fn new(site: Site) -> Self {
        let mut canaries = Canaries::default();
        canaries.known("password of a key store", STORE_PASSWORD);
        fs::create_dir_all(site.path("planted/directory")).unwrap();
        let password = canaries.plant("password of a REST user");
        let other = canaries.plant("password of another REST user");
        let users = format!("admin={password}\nother={other}\n");
        site.write("planted/users.properties", users);
        let module =
            "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required";
        let users = site.path("planted/users.properties").display().to_string();
        let section = format!("KafkaConnect {{ {module} file=\"{users}\"; }};");
        site.write("planted/jaas.conf", section);
        let file = site.path("planted/jaas.conf").display().to_string();
        let options = format!("-Djava.security.auth.login.config={file}");
        Self {
            login: basic("admin", &password),
            https: format!("127.0.0.1:{}", free_port()),
            admin: format!("127.0.0.1:{}", free_port()),
            process: 0,
            environment: properties(&[("MILLRACE_LOG", "trace"), ("KAFKA_OPTS", &options)]),
            secrets: Properties::new(),
            found: RefCell::default(),
            canaries,
            site,
        }
    }

    /// Puts a value into the file of secrets, and gives the variable that stands for it.
    pub(super) fn in_file(&mut self, key: &str, value: &str) -> String {
        self.secrets.insert(key.to_owned(), value.to_owned());
        write_properties(&self.site.path("planted/secrets.properties"), &self.secrets);
        self.variable(key)
    }

    /// The variable for a key in the file of secrets.
    pub(super) fn variable(&self, key: &str) -> String {
        let file = self.site.path("planted/secrets.properties");
        format!("${{file:{}:{key}}}", file.display())
    }

    pub(super) fn planted_in_file(&mut self, place: &str) -> String {
        let secret = self.canaries.plant(place);
        self.in_file(&format!("k{}", self.canaries.count()), &secret)
    }

    pub(super) fn planted_in_directory(&mut self, place: &str) -> String {
        let name = format!("f{}", self.canaries.count());
        let secret = self.canaries.plant(place);
        self.site.write(&format!("planted/directory/{name}"), secret);
        format!("${{directory:{}:{name}}}", self.site.path("planted/directory").display())
    }

    /// Before the worker starts, to be right; while it runs there is none of that name, and the
    /// variable stays.
    pub(super) fn planted_in_environment(&mut self, name: &str) -> String {
        if !self.environment.contains_key(name) {
            let secret = self.canaries.plant(&format!("variable {name} of the environment"));
            self.environment.insert(name.to_owned(), secret);
        }
        format!("${{env:{name}}}")
    }

    /// Starts a worker that has secrets wherever a worker may have them.
    pub(super) fn start(&mut self, log_format: &str) -> Connect {
        self.planted_in_environment("CONNECTOR_PASSWORD");
        let worker = self.worker();
        let bootstrap = self.site.backend.bootstrap();
        let directory = self.site.path("");
        let setup =
            Setup { directory: &directory, bootstrap: &bootstrap, worker, connectors: Vec::new() };
        let arguments = ["--log-format", log_format];
        let mut connect =
            Connect::launch(self.site.millrace(), &setup, &self.environment, &arguments);
        connect.wait_for_rest();
        self.process = connect.process().id();
        connect
    }

    fn worker(&mut self) -> Properties {
        let mut worker = properties(&[
            ("offset.flush.interval.ms", "500"),
            ("config.providers", "file,directory,env"),
            ("config.providers.file.class", &format!("{PROVIDERS}FileConfigProvider")),
            ("config.providers.directory.class", &format!("{PROVIDERS}DirectoryConfigProvider")),
            ("config.providers.env.class", &format!("{PROVIDERS}EnvVarConfigProvider")),
            (
                "rest.extension.classes",
                "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension",
            ),
            ("admin.listeners", &format!("http://{},https://{}", self.admin, self.https)),
            ("admin.listeners.https.ssl.keystore.type", "PKCS12"),
            ("admin.listeners.https.ssl.keystore.password", STORE_PASSWORD),
        ]);
        let store = store("server.p12").display().to_string();
        worker.insert("admin.listeners.https.ssl.keystore.location".to_owned(), store);
        for key in [
            "admin.ssl.keystore.password",
            "config.providers.file.param.token",
            "conection.password",
            "consumer.ssl.truststore.password",
            "listeners.https.ssl.key.password",
            "my.api.password",
            "producer.sasl.oauthbearer.client.credentials.client.secret",
            "producer.ssl.key.password",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.oauthbearer.client.credentials.client.secret",
            "ssl.key.password",
            "ssl.keystore.password",
            "ssl.truststore.password",
            "value.converter.basic.auth.user.info",
        ] {
            worker.insert(key.to_owned(), self.canaries.plant(&format!("the worker's {key}")));
        }
        for (prefix, module) in
            [("", "plain.Plain"), ("producer.", "scram.Scram"), ("consumer.", "plain.Plain")]
        {
            let key = format!("{prefix}sasl.jaas.config");
            let secret = self.canaries.plant(&format!("the worker's {key}"));
            worker.insert(key, jaas(module, "me", &secret));
        }
        let jaas = jaas("scram.Scram", "me", &self.canaries.plant("the worker's admin JAAS"));
        worker.insert("admin.sasl.jaas.config".to_owned(), self.in_file("admin-jaas", &jaas));
        let key = self.canaries.plant("the worker's private key");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
        worker.insert("ssl.keystore.key".to_owned(), pem);
        let url = self.canaries.plant("the worker's URL of a registry");
        let url = format!("http://me:{url}@127.0.0.1:1/");
        worker.insert("value.converter.schema.registry.url".to_owned(), url);
        let token = self.planted_in_environment("WORKER_TOKEN");
        worker.insert("producer.ssl.keystore.password".to_owned(), token);
        let token = self.planted_in_directory("the worker's token");
        worker.insert("some.unknown.key".to_owned(), token);
        worker
    }

    /// Sets loggers to TRACE, those of other people's crates too.
    pub(super) fn told_to_tell_all(&self) {
        for logger in ["root", "millrace", "hyper", "rustls", "sqlx", "sqlx_postgres", "h2", "log"]
        {
            let path = format!("/admin/loggers/{logger}");
            let answer = self.ask_admin("PUT", &path, Some(r#"{"level": "TRACE"}"#));
            assert_eq!(answer.status, 200, "{logger}: {answer:?}");
        }
        assert!(self.log().contains("DEBUG"), "{}", self.log());
    }

    /// Looks into something that came out.
    pub(super) fn note(&self, what: &str, bytes: &[u8]) {
        self.found.borrow_mut().extend(self.canaries.found_in(what, bytes));
    }

    /// Asks as a user who may, and looks into the answer.
    #[track_caller]
    pub(super) fn ask(
        &self,
        connect: &Connect,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Answer {
        self.send(connect, (method, path), &[(AUTHORIZATION, &self.login)], body)
    }

    /// The same with these headers; what is asked is a method and a path.
    #[track_caller]
    pub(super) fn send(
        &self,
        connect: &Connect,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let url = format!("http://{}{path}", connect.address());
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        let answer = connect.send(method, &url, &headers, body);
        self.look_into(method, path, &answer);
        answer
    }

    /// Asks the listener for administrators, who need no password.
    #[track_caller]
    pub(super) fn ask_admin(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let url = format!("http://{}{path}", self.admin);
        let answer = millrace_integration::rest::request(method, &url, body).unwrap();
        self.look_into(method, path, &answer);
        answer
    }

    fn look_into(&self, method: &str, path: &str, answer: &Answer) {
        let what = format!("the answer {} to {method} {path}", answer.status);
        self.note(&what, format!("{:?} {}", answer.headers, answer.body).as_bytes());
    }

    /// Asks and does not look into the answer.
    #[track_caller]
    pub(super) fn unrecorded(
        &self,
        connect: &Connect,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Answer {
        let url = format!("http://{}{path}", connect.address());
        let headers = [(AUTHORIZATION, self.login.as_str()), ("Content-Type", "application/json")];
        connect.send(method, &url, &headers, body)
    }

    /// Makes a connector.
    #[track_caller]
    pub(super) fn create(&self, connect: &Connect, name: &str, config: &Properties) {
        let path = format!("/connectors/{name}/config");
        let answer = self.ask(connect, "PUT", &path, Some(&json(config)));
        assert_eq!(answer.status, 201, "{name}: {answer:?}");
    }

    /// Waits until the connector or its task has failed, and gives the trace.
    #[track_caller]
    pub(super) fn wait_for_failure(&self, connect: &Connect, name: &str) -> String {
        self.wait_for(connect, name, "FAILED")
    }

    /// Waits until the connector's task, or to fail the connector, has a state.
    #[track_caller]
    pub(super) fn wait_for(&self, connect: &Connect, name: &str, state: &str) -> String {
        let path = format!("/connectors/{name}/status");
        wait_until(&format!("{name} to be {state}"), PATIENCE, || {
            let status = self.ask(connect, "GET", &path, None).body;
            let connector = status.pointer("/connector").filter(|_| state == "FAILED");
            let parts = [status.pointer("/tasks/0"), connector];
            let part = parts.into_iter().flatten().find(|part| part["state"] == state)?;
            Some(part["trace"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// All it has logged so far.
    pub(super) fn log(&self) -> String {
        self.site.read("worker.log")
    }

    /// Asks everything that can be asked without changing anything.
    pub(super) fn sweep(&self, connect: &Connect) {
        let mut paths: Vec<String> = [
            "/",
            "/health",
            "/openapi.json",
            "/connectors",
            "/connectors?expand=info&expand=status",
            "/connector-plugins?connectorsOnly=false",
        ]
        .map(str::to_owned)
        .into();
        let plugins = self.ask(connect, "GET", "/connector-plugins?connectorsOnly=false", None);
        for plugin in plugins.body.as_array().unwrap() {
            let class = plugin["class"].as_str().unwrap();
            paths.push(format!("/connector-plugins/{class}/config"));
        }
        let connectors = self.ask(connect, "GET", "/connectors", None);
        for name in connectors.body.as_array().unwrap() {
            let name = name.as_str().unwrap();
            for path in
                ["", "/config", "/status", "/tasks", "/tasks/0/status", "/topics", "/offsets"]
            {
                paths.push(format!("/connectors/{name}{path}"));
            }
            let config = self.ask(connect, "GET", &format!("/connectors/{name}/config"), None);
            let class = config.body["connector.class"].as_str().unwrap().to_owned();
            let path = format!("/connector-plugins/{class}/config/validate");
            let answer = self.ask(connect, "PUT", &path, Some(&config.body.to_string()));
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
        }
        for path in &paths {
            self.ask(connect, "GET", path, None);
        }
        for path in ["/admin/loggers", "/admin/loggers/root"] {
            assert_eq!(self.ask_admin("GET", path, None).status, 200);
        }
        let line = fs::read(format!("/proc/{}/cmdline", self.process)).unwrap();
        assert!(!line.is_empty());
        self.note("the command line", &line);
    }

    /// Ends the worker and looks into all it leaves behind.
    #[track_caller]
    pub(super) fn end(&self, connect: Connect) {
        assert!(connect.stop().success());
        let found = self.canaries.found_below(&self.site.path(""), &PLANTED);
        self.found.borrow_mut().extend(found);
    }

    /// Starts a worker that is expected to end by itself, and gives its exit code and log.
    pub(super) fn refused(
        &self,
        worker: &[(&str, &str)],
        connectors: &[Properties],
    ) -> (Option<i32>, String) {
        let _ = fs::remove_file(self.site.path("worker.log"));
        let bootstrap = self.site.backend.bootstrap();
        let directory = self.site.path("");
        let setup = Setup {
            directory: &directory,
            bootstrap: &bootstrap,
            worker: properties(worker),
            connectors: connectors.to_vec(),
        };
        let mut connect = Connect::launch(self.site.millrace(), &setup, &self.environment, &[]);
        let status = wait_until(&format!("the worker to refuse {worker:?}"), PATIENCE, || {
            connect.process().exited()
        });
        (status.code(), connect.process().log())
    }

    /// Starts a worker with the keys that it last had and this connector file; it is expected to
    /// end by itself.
    pub(super) fn refused_with_file(&self, file: &str) -> (Option<i32>, String) {
        let mut command = millrace();
        command.args(["standalone", "worker.properties", file]).envs(&self.environment);
        let output = command.current_dir(self.site.path("")).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// # Panics
    /// With each secret that came out.
    #[track_caller]
    pub(super) fn shows_nothing(&self) {
        let mut found = self.found.take();
        found.sort();
        found.dedup();
        assert!(found.is_empty(), "{} secrets are shown:\n{}", found.len(), found.join("\n"));
    }
}
