//! `millrace quickstart`: a database flows through a log into a lake, before the user's eyes.

mod lake;
mod progress;
mod scratch;
mod shop;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use millrace_api::{Error, ErrorKind, Props, Result, TopicPartition};
use millrace_kafka::Cluster;
use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use millrace_runtime::rest::RestServer;
use millrace_runtime::{Herder, Loggers, OffsetFile, StandaloneHerder, State, WorkerConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::lake::Lake;
use self::progress::{Progress, TableCounts};
use self::scratch::Scratch;
use self::shop::Shop;
use crate::catalog::catalog;
use crate::commands::{print_line, told_to_end};

/// Watch a database flow through Kafka into a lake of Parquet files.
///
/// Makes a SQLite database of a small shop, starts a worker with a JDBC source and a lake sink,
/// and waits until database, topics and files agree. Needs nothing but this binary: the log is
/// embedded, unless --bootstrap-servers names a Kafka cluster.
#[derive(Args)]
#[command(after_help = "\
Examples:
  millrace quickstart
  millrace quickstart --rows 1000000
  millrace quickstart --bootstrap-servers localhost:9092
  millrace quickstart --keep        (then: curl localhost:8083/connectors)")]
pub struct Arguments {
    /// Rows in the database, over its three tables.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(10..))]
    rows: u64,
    /// A Kafka cluster to run on, instead of the embedded log. Topics are named
    /// quickstart-STAMP-TABLE and deleted at the end.
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_servers: Option<String>,
    /// Where the Parquet files go; what an earlier quickstart left there is replaced.
    #[arg(long, default_value = "quickstart-lake")]
    lake: PathBuf,
    /// The port on which the embedded log speaks Kafka's protocol, for your own tools; 0 is any
    /// free one.
    #[arg(long, default_value_t = 0)]
    kafka_port: u16,
    /// Keep worker, database and log running until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Give up when the lake has not caught up after so many seconds.
    #[arg(long, default_value_t = 300)]
    timeout_s: u64,
}

/// The REST port that people look at first.
const REST_PORT: u16 = 8083;

/// Runs it. Exit codes: 0 when everything agrees, 1 when not, 130 after Ctrl-C.
pub async fn run(arguments: Arguments, loggers: Arc<dyn Loggers>) -> ExitCode {
    let end = match told_to_end() {
        Ok(end) => end,
        Err(e) => {
            tracing::error!("cannot wait for signals: {e}");
            return ExitCode::from(1);
        }
    };
    tokio::pin!(end);
    let mut scratch = match Scratch::make(&arguments.lake) {
        Ok(scratch) => scratch,
        Err(e) => return failed(&e),
    };
    let outcome = tokio::select! {
        outcome = copy(&arguments, &scratch, loggers) => outcome.map(Some),
        () = &mut end => Ok(None),
    };
    match outcome {
        Ok(Some(pipeline)) => {
            scratch.keep_lake();
            if arguments.keep {
                print_line(&format!(
                    "Running until Ctrl-C; REST on http://{}/",
                    pipeline.worker_id
                ));
                end.await;
            }
            pipeline.stop().await;
            ExitCode::SUCCESS
        }
        Ok(None) => {
            print_line("Interrupted: everything made so far is removed.");
            ExitCode::from(130)
        }
        Err(e) => failed(&e),
    }
}

fn failed(error: &Error) -> ExitCode {
    print_line(&format!("quickstart failed: {error}"));
    tracing::debug!("{}", error.trace());
    ExitCode::from(1)
}

/// Makes the database, starts the connectors, and returns once everything agrees.
async fn copy(
    arguments: &Arguments,
    scratch: &Scratch,
    loggers: Arc<dyn Loggers>,
) -> Result<Pipeline> {
    let started = Instant::now();
    print_line("Making a database of a small shop …");
    let shop = Shop::create(&scratch.database(), arguments.rows).await?;
    for table in &shop.tables {
        print_line(&format!("  {:<12} {:>9} rows", table.name, table.rows));
    }
    if let Some(servers) = &arguments.bootstrap_servers {
        print_line(&format!("Connecting to {servers} …"));
    }
    let pipeline = Pipeline::start(arguments, scratch, loggers).await?;
    if let Some(port) = &pipeline.port {
        print_line(&format!(
            "Its log speaks Kafka's protocol on {0}: kcat -b {0} -L",
            port.address
        ));
    }
    print_line(&format!(
        "Copying by a JDBC source and a lake sink, {} …",
        rest_at(&pipeline.worker_id)
    ));
    let copying = Instant::now();
    let lake = Lake::new(scratch.lake().to_owned(), pipeline.prefix.clone());
    let timeout = Duration::from_secs(arguments.timeout_s);
    pipeline.wait_for(&shop, &lake, timeout).await?;
    let copied = copying.elapsed();
    let counts = pipeline.count(&shop, &lake).await?;
    let read_back = lake.verify(&shop)?;
    report(&counts, &read_back, copied, started.elapsed());
    let wrong = counts.iter().zip(&read_back).any(|(c, r)| c.topic != c.rows || *r != c.rows);
    if wrong {
        return Err(Error::fatal("the lake does not hold what the database holds"));
    }
    print_line(&next_steps(arguments, scratch, &pipeline));
    Ok(pipeline)
}

/// The worker with its two connectors.
struct Pipeline {
    herder: Arc<StandaloneHerder>,
    cluster: Arc<dyn Cluster>,
    worker_id: String,
    /// Topics are named so, followed by the table.
    prefix: String,
    /// Where the embedded log is served.
    port: Option<KafkaPort>,
    /// Whether the topics are in a cluster of the user's, which is left as it was.
    borrowed: bool,
    stop_rest: tokio::sync::oneshot::Sender<()>,
}

/// The embedded log, served for as long as this lives.
struct KafkaPort {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl KafkaPort {
    async fn open(log: &EmbeddedCluster, port: u16) -> Result<Self> {
        let failed = |e| {
            Error::config("cannot listen: choose another port by --kafka-port")
                .context("port", port)
                .with_source(e)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let log = log.clone();
        let server = tokio::spawn(async move {
            if let Err(e) = log.serve(listener).await {
                tracing::error!("the log is not served any more: {}", e.trace());
            }
        });
        Ok(Self { address, server })
    }
}

impl Drop for KafkaPort {
    fn drop(&mut self) {
        self.server.abort();
    }
}

const SOURCE: &str = "shop-source";
const SINK: &str = "shop-lake";

impl Pipeline {
    async fn start(
        arguments: &Arguments,
        scratch: &Scratch,
        loggers: Arc<dyn Loggers>,
    ) -> Result<Self> {
        let stamp = format!("{:x}", std::process::id());
        let (prefix, suffix) = match arguments.bootstrap_servers {
            Some(_) => (format!("quickstart-{stamp}-"), format!("-{stamp}")),
            None => ("shop-".to_owned(), String::new()),
        };
        let (server, config) = bind(worker_props(arguments, scratch))?;
        let offsets = Arc::new(OffsetFile::open(&config.offset_file)?);
        let worker_id = server.worker_id(&config);
        let (cluster, port): (Arc<dyn Cluster>, _) = match arguments.bootstrap_servers {
            Some(_) => (millrace_kafka::connect(&config.client_properties())?, None),
            None => {
                let log = EmbeddedCluster::open(&scratch.log(), Settings::default())?;
                let port = KafkaPort::open(&log, arguments.kafka_port).await?;
                (Arc::new(log), Some(port))
            }
        };
        let herder = StandaloneHerder::start(
            config,
            catalog(),
            Arc::clone(&cluster),
            offsets,
            worker_id.clone(),
        );
        let herder = Arc::new(herder.await?);
        let (stop_rest, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        tokio::spawn(server.serve(Arc::clone(&herder) as Arc<dyn Herder>, loggers, shutdown));
        let connectors = [
            (format!("{SOURCE}{suffix}"), source_props(scratch, &prefix)),
            (format!("{SINK}{suffix}"), sink_props(scratch, &prefix)),
        ];
        for (name, mut props) in connectors {
            props.insert("name".into(), name.clone());
            herder.put_connector(&name, props, None, false).await?;
        }
        let borrowed = arguments.bootstrap_servers.is_some();
        Ok(Self { herder, cluster, worker_id, prefix, port, borrowed, stop_rest })
    }

    fn topic(&self, table: &str) -> String {
        format!("{}{table}", self.prefix)
    }

    /// Shows progress until every row is in its topic and in the lake.
    async fn wait_for(&self, shop: &Shop, lake: &Lake, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let progress = Progress::start(shop);
        loop {
            let counts = self.count(shop, lake).await?;
            progress.show(&counts);
            if counts.iter().all(|c| c.topic >= c.rows && c.lake >= c.rows) {
                progress.finish();
                return Ok(());
            }
            self.require_running().await?;
            if Instant::now() > deadline {
                return Err(Error::fatal("the lake has not caught up in time")
                    .context("seconds", timeout.as_secs())
                    .context("remedy", "see MILLRACE_LOG=info, or give more by --timeout-s"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn count(&self, shop: &Shop, lake: &Lake) -> Result<Vec<TableCounts>> {
        let partitions: Vec<_> =
            shop.tables.iter().map(|t| TopicPartition::new(self.topic(t.name), 0)).collect();
        let names: Vec<String> = partitions.iter().map(|p| p.topic.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let existing = self.cluster.describe_topics(Some(&names)).await?;
        let known: Vec<_> =
            partitions.iter().filter(|p| existing.contains_key(&*p.topic)).cloned().collect();
        let ends = self.cluster.end_offsets(&known).await?;
        let counts = shop.tables.iter().zip(&partitions).map(|(table, partition)| {
            let topic = ends.get(partition).copied().unwrap_or(0);
            Ok(TableCounts {
                name: table.name,
                rows: table.rows,
                topic: u64::try_from(topic).unwrap_or(0),
                lake: lake.published_rows(table.name)?,
            })
        });
        counts.collect()
    }

    /// Fails with the trace of whatever has failed.
    async fn require_running(&self) -> Result<()> {
        for name in self.herder.connectors().await? {
            let status = self.herder.status(&name).await?;
            let tasks = status.tasks.iter().map(|t| &t.status);
            for status in std::iter::once(&status.connector.status).chain(tasks) {
                if status.state == State::Failed {
                    let trace = status.trace.clone().unwrap_or_default();
                    return Err(Error::fatal(format!("connector {name} failed: {trace}")));
                }
            }
        }
        Ok(())
    }

    async fn stop(self) {
        self.herder.stop().await;
        if self.borrowed
            && let Err(e) = self.delete_topics().await
        {
            tracing::warn!("cannot delete the topics {}*: {}", self.prefix, e.trace());
        }
        let _ = self.stop_rest.send(());
    }
}

/// How often, and after what time, it is looked whether deleted topics are back.
const LOOKS: usize = 20;
const LOOK_AFTER: Duration = Duration::from_millis(300);

impl Pipeline {
    /// Deletes the topics. A client that is still closing may ask for one and so bring it back;
    /// then it is deleted again.
    async fn delete_topics(&self) -> Result<()> {
        let topics = shop::TABLES.map(|table| self.topic(table));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        for _ in 0..LOOKS {
            let left = self.cluster.describe_topics(Some(&topics)).await?;
            if left.is_empty() {
                return Ok(());
            }
            for topic in left.keys() {
                match self.cluster.delete_topic(topic).await {
                    Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
            }
            tokio::time::sleep(LOOK_AFTER).await;
        }
        Err(Error::fatal("somebody makes them again and again"))
    }
}

/// Where the REST API is, and why not where everybody looks for it.
fn rest_at(worker_id: &str) -> String {
    let usual = format!(":{REST_PORT}");
    let why = match worker_id.ends_with(&usual) {
        true => String::new(),
        false => format!(" (port {REST_PORT} is taken)"),
    };
    format!("REST on http://{worker_id}/{why}")
}

/// Listens where people look first, or anywhere if that port is taken.
fn bind(mut props: Props) -> Result<(RestServer, WorkerConfig)> {
    let mut listen_on = |port: u16| {
        props.insert("listeners".into(), format!("http://127.0.0.1:{port}"));
        let config = WorkerConfig::parse(props.clone())?;
        Ok((RestServer::bind(&config)?, config))
    };
    listen_on(REST_PORT).or_else(|_: Error| listen_on(0))
}

fn props(pairs: &[(&str, String)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn worker_props(arguments: &Arguments, scratch: &Scratch) -> Props {
    let embedded = || format!("embedded:{}", scratch.log().display());
    let json = "org.apache.kafka.connect.json.JsonConverter";
    props(&[
        ("bootstrap.servers", arguments.bootstrap_servers.clone().unwrap_or_else(embedded)),
        ("key.converter", json.into()),
        ("value.converter", json.into()),
        ("offset.storage.file.filename", scratch.offsets().display().to_string()),
        ("offset.flush.interval.ms", "1000".into()),
        // A newcomer who mistyped an address need not wait for Java's minute.
        ("default.api.timeout.ms", "15000".into()),
        ("producer.compression.type", "lz4".into()),
        ("producer.linger.ms", "5".into()),
    ])
}

fn source_props(scratch: &Scratch, prefix: &str) -> Props {
    props(&[
        ("connector.class", "io.confluent.connect.jdbc.JdbcSourceConnector".into()),
        ("tasks.max", shop::TABLES.len().to_string()),
        ("connection.url", format!("jdbc:sqlite:{}", scratch.database().display())),
        ("table.whitelist", shop::TABLES.join(",")),
        ("mode", "incrementing".into()),
        ("incrementing.column.name", "id".into()),
        ("topic.prefix", prefix.into()),
        ("poll.interval.ms", "1000".into()),
        ("batch.max.rows", "2000".into()),
    ])
}

fn sink_props(scratch: &Scratch, prefix: &str) -> Props {
    let topics: Vec<String> = shop::TABLES.iter().map(|t| format!("{prefix}{t}")).collect();
    props(&[
        ("connector.class", "io.millrace.connect.lake.LakeSinkConnector".into()),
        ("tasks.max", "1".into()),
        ("topics", topics.join(",")),
        ("store.url", format!("file://{}", scratch.lake().display())),
        ("format.class", "parquet".into()),
        ("flush.size", "50000".into()),
        ("rotate.interval.ms", "1000".into()),
        ("consumer.override.metadata.max.age.ms", "1000".into()),
    ])
}

fn report(counts: &[TableCounts], read_back: &[u64], copied: Duration, total: Duration) {
    print_line(&format!(
        "\n{:<12} {:>12} {:>14} {:>20}",
        "table", "in database", "in its topic", "read from Parquet"
    ));
    for (count, read) in counts.iter().zip(read_back) {
        print_line(&format!(
            "{:<12} {:>12} {:>14} {read:>20}",
            count.name, count.rows, count.topic
        ));
    }
    let rows: u64 = counts.iter().map(|c| c.rows).sum();
    let rate = rows as f64 / copied.as_secs_f64();
    print_line(&format!(
        "\n{rows} rows in {:.1} s ({rate:.0} rows/s), {:.1} s in all, peak memory {}",
        copied.as_secs_f64(),
        total.as_secs_f64(),
        peak_memory().map_or("unknown".to_owned(), |mb| format!("{mb} MB")),
    ));
}

/// The most memory this process ever had, in MB (10^6 bytes).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024 / 1_000_000)
}

fn next_steps(arguments: &Arguments, scratch: &Scratch, pipeline: &Pipeline) -> String {
    let lake = scratch.lake().display();
    let prefix = &pipeline.prefix;
    let watch = if arguments.keep {
        let topic = pipeline.topic("orders");
        let tools = pipeline.port.as_ref().map_or(String::new(), |port| {
            format!("  kcat -b {} -C -t {topic} -o beginning -c 5\n", port.address)
        });
        tools
            + &format!(
                "  curl http://{0}/connectors/{SINK}/status\n  \
             curl -X PUT http://{0}/connectors/{SINK}/pause\n",
                pipeline.worker_id
            )
    } else {
        "  millrace quickstart --keep    keeps the worker and its REST API running\n".to_owned()
    };
    format!(
        "\nWhat to try next\n  duckdb -c \"select * from '{lake}/topics/{prefix}orders/**/*.parquet' \
         limit 5\"\n{watch}  millrace plugins              lists connectors, converters and \
         transformations\n  millrace standalone --help    runs your own connectors"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_rest_port_than_the_usual_is_explained() {
        assert_eq!(rest_at("127.0.0.1:8083"), "REST on http://127.0.0.1:8083/");
        let other = "REST on http://127.0.0.1:18083/ (port 8083 is taken)";
        assert_eq!(rest_at("127.0.0.1:18083"), other);
    }
}
