//! How log lines look: as Connect's do, with the connector and task they belong to, or as JSON.

mod levels;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;

use clap::ValueEnum;
use millrace_runtime::{Loggers, without_secrets};
use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Event, Id, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, reload};

use self::levels::Levels;
use crate::catalog::catalog;

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `[time] LEVEL [connector|task-0] message (module)`
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to log to standard error, and hands out what changes levels. `MILLRACE_LOG` sets them at
/// first, such as `info,millrace_kafka=debug`; without it `level` does.
pub fn start_logging(format: LogFormat, level: &str) -> Arc<dyn Loggers> {
    let spec = std::env::var("MILLRACE_LOG").unwrap_or_else(|_| level.to_owned());
    let (levels, wrong) = Levels::new(&spec, &catalog());
    let (filter, handle) = reload::Layer::new(levels.targets());
    let registry = tracing_subscriber::registry().with(filter).with(ConnectorContext);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Lines);
    match format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        LogFormat::Text => {
            let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry.with(lines.with_ansi(ansi).event_format(ConnectLine)).init();
        }
    }
    panic::set_hook(Box::new(log_panic));
    for part in wrong {
        tracing::warn!("MILLRACE_LOG: {part} is not understood; write LEVEL or MODULE=LEVEL");
    }
    Arc::new(levels.applied_by(move |targets| {
        if let Err(e) = handle.reload(targets) {
            tracing::error!("cannot change log levels: {e}");
        }
    }))
}

/// A panic is a line of the log, so that it has its form and shows no more than others. Which task
/// it ends is said by others.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let trace = Backtrace::capture();
    match trace.status() {
        BacktraceStatus::Captured => tracing::error!("{panic}\n{trace}"),
        _ => tracing::error!("{panic}"),
    }
}

/// Standard error, without the values of config providers. Each write is a whole line.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        // Digits of the time, which comes first in both forms, are nobody's secret.
        let (time, said) = text.split_at(text.find('Z').unwrap_or(0));
        let shown = [time, &without_secrets(said)].concat();
        io::stderr().write_all(shown.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What stands before the message of everything that happens in a span: KIP-449's
/// `connector.context`.
struct Prefix(String);

/// Computes the prefix once a span, not once a line.
struct ConnectorContext;

#[derive(Default)]
struct SpanFields {
    connector: Option<String>,
    task: Option<u64>,
}

impl Visit for SpanFields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "task" {
            self.task = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "connector" {
            self.connector = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "connector" {
            self.connector = Some(format!("{value:?}"));
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ConnectorContext {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = SpanFields::default();
        attributes.record(&mut fields);
        if let (Some(connector), Some(span)) = (fields.connector, context.span(id)) {
            let scope = fields.task.map_or("worker".to_owned(), |task| format!("task-{task}"));
            span.extensions_mut().insert(Prefix(format!("[{connector}|{scope}] ")));
        }
    }
}

/// Red for errors, yellow for warnings, grey for what only developers want; else as it is.
fn colour(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "0",
        Level::DEBUG | Level::TRACE => "90",
    }
}

/// Kafka's own layout.
struct ConnectLine;

impl<S, N> FormatEvent<S, N> for ConnectLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "[")?;
        SystemTime.format_time(&mut writer)?;
        let metadata = event.metadata();
        match writer.has_ansi_escapes() {
            true => write!(writer, "] \x1b[{}m{}\x1b[0m ", colour(metadata), metadata.level())?,
            false => write!(writer, "] {} ", metadata.level())?,
        }
        let spans = context.event_scope().into_iter().flatten();
        for span in spans {
            if let Some(Prefix(prefix)) = span.extensions().get::<Prefix>() {
                write!(writer, "{prefix}")?;
                break;
            }
        }
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer, " ({})", metadata.target())
    }
}
