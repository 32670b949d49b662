//! A bar for each table on its way into a topic, and for each topic on its way into the lake.

use std::fmt;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::shop::Shop;

/// How far a table has got.
pub(super) struct TableCounts {
    pub(super) name: &'static str,
    pub(super) rows: u64,
    pub(super) topic: u64,
    pub(super) lake: u64,
}

/// The bars. Not drawn when standard error is no terminal.
pub(super) struct Progress {
    bars: MultiProgress,
    tables: Vec<(ProgressBar, ProgressBar)>,
}

/// Fits into 80 columns.
const BAR: &str = "{prefix:>21} [{bar:14}] {pos:>8}/{len:8} {rate:>9}/s {eta:>3}";

impl Progress {
    pub(super) fn start(shop: &Shop) -> Self {
        let bars = MultiProgress::new();
        let style =
            ProgressStyle::with_template(BAR).expect("the template is right").progress_chars("=> ");
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{:.0}", state.per_sec());
        };
        let style = style.with_key("rate", rate);
        let bar = |rows: u64, prefix: String| {
            bars.add(ProgressBar::new(rows).with_style(style.clone()).with_prefix(prefix))
        };
        let table = |name: &str, rows| {
            let topic = bar(rows, format!("{name} → topic"));
            (topic, bar(rows, format!("{name} → lake")))
        };
        let tables = shop.tables.iter().map(|t| table(t.name, t.rows)).collect();
        Self { bars, tables }
    }

    pub(super) fn show(&self, counts: &[TableCounts]) {
        for ((topic, lake), count) in self.tables.iter().zip(counts) {
            topic.set_position(count.topic);
            lake.set_position(count.lake);
            if count.topic >= count.rows {
                topic.abandon();
            }
            if count.lake >= count.rows {
                lake.abandon();
            }
        }
    }

    pub(super) fn finish(self) {
        for (topic, lake) in &self.tables {
            topic.abandon();
            lake.abandon();
        }
        drop(self.bars);
    }
}
