//! Asks PostgreSQL which transactions are not over, and when the oldest of them began.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use sqlx::Error;

use super::wire::{Parameter, Session};
use crate::dialect::{From, Missed, Select};
use crate::gaps::Horizon;
use crate::position::Moment;
use crate::table::Quoting;
use crate::unfinished::Unfinished;

/// What was found when it was looked last.
#[derive(Default)]
pub(super) struct Transactions(Option<Look>);

struct Look {
    at: Moment,
    /// What ran, and a time before which it did not begin.
    running: BTreeMap<String, Moment>,
}

/// A transaction that runs, and when it began where the server tells this user.
type Running = (String, Option<Moment>);

/// Stands in statements of transactions that only read, so that these do not count: another task
/// may read a big table for hours.
pub(super) const READS: &str = "/* millrace reads */";

/// Transactions that ran at a moment are listed by their locks on themselves, which everybody may
/// see; when they began is for those only whom `pg_read_all_stats` lets see it. Prepared ones have
/// no session any more.
const RUNNING: &str = "
    SELECT (extract(epoch FROM now()) * 1000000)::bigint, pg_is_in_recovery(), r.id,
           (extract(epoch FROM r.start) * 1000000)::bigint
    FROM (SELECT 1) AS one LEFT JOIN (
        SELECT l.virtualtransaction::text AS id, a.xact_start AS start
        FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted
            AND a.pid <> pg_backend_pid() AND a.datname = current_database()
            AND coalesce(a.backend_type, '') NOT IN ('autovacuum worker', 'parallel worker',
                'walsender')
            AND NOT coalesce(split_part(a.query, ' ', 1) IN ('COPY', 'SELECT')
                AND substr(a.query, strpos(a.query, ' ') + 1, 20) = '/* millrace reads */', false)
        UNION ALL
        SELECT 'prepared ' || p.transaction::text, NULL FROM pg_catalog.pg_prepared_xacts p
        WHERE p.database = current_database()
    ) AS r ON true";

/// The numbers are 64 bits wide; a savepoint has one of its own, which snapshots do not name.
const IN_PROGRESS: &str = "
    SELECT x FROM unnest($1::bigint[], $2::bigint[]) AS r(first, last),
        generate_series(r.first, r.last) AS x
    WHERE txid_status(x) = 'in progress' ORDER BY 1";

const HORIZON: &str = "SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s)
    FROM txid_current_snapshot() AS s";

/// A view has no system columns, a foreign table has them without a meaning.
const ROWS_TELL: &str = "
    SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        WHERE c.oid = to_regclass($1) AND c.relkind <> 'f'
            AND a.attname = 'xmin' AND a.attnum < 0)";

/// So many numbers are looked at in one go; those before count as running.
const MOST_ASKED: u64 = 1 << 20;

impl Transactions {
    /// Which transactions are not over, and which rows `before` could not see. The order of the
    /// questions matters: what begins after the first began after `since`, and what the last finds
    /// to be over is seen by whoever reads next.
    pub(super) async fn look(
        &mut self,
        session: &mut Session,
        select: &Select,
        before: Option<&Unfinished>,
    ) -> Result<(Unfinished, Missed), Error> {
        let since = self.since(session, select, before).await?;
        let horizon = horizon(session).await?;
        let running = running(session, horizon, before).await?;
        let unfinished = Unfinished::new(horizon.next, running, since);
        let missed = match &select.from {
            From::Table(table) => {
                let name = Parameter::text(&table.sql(Quoting::Always('"')));
                match session.row(ROWS_TELL, &[name]).await?.get(0)? {
                    true => Missed::Rows(before.map(|b| condition(b, horizon.next))),
                    false => Missed::Unknown,
                }
            }
            From::Query(_) => Missed::Unknown,
        };
        Ok((unfinished, missed))
    }

    /// A time before which none began that runs.
    async fn since(
        &mut self,
        session: &mut Session,
        select: &Select,
        before: Option<&Unfinished>,
    ) -> Result<Moment, Error> {
        let rows = session.rows(RUNNING, &[]).await?;
        let moment = |micros| Moment::from_micros(micros);
        let mut at = Moment::default();
        let mut running: Vec<Running> = Vec::new();
        for row in &rows {
            at = moment(row.get(0)?);
            if row.get(1)? {
                select.warnings.once(
                    "the database is a standby, which does not tell when transactions of its \
                     primary began: set commit.safety.grace.ms above the longest of them, or rows \
                     that are committed late may be lost"
                        .to_owned(),
                );
            }
            if let Some(id) = row.get(2)? {
                running.push((id, row.get::<Option<i64>>(3)?.map(moment)));
            }
        }
        let unknown = before.map_or(Moment::default(), |b| b.since);
        Ok(self.begun(at, running, unknown))
    }

    /// Takes over what runs. What the server does not tell follows from when it was not there yet;
    /// `unknown` is for what ran before anybody looked.
    fn begun(&mut self, at: Moment, running: Vec<Running>, unknown: Moment) -> Moment {
        let is_running = |id: &String| running.iter().any(|(other, _)| other == id);
        let last = self.0.take();
        // One that was prepared since then may be any of those that left their sessions.
        let gone = last.iter().flat_map(|l| l.running.iter().filter(|(id, _)| !is_running(id)));
        let gone = gone.map(|(_, begun)| *begun).min();
        let begun = |id: &str| match &last {
            None => unknown,
            Some(last) => match last.running.get(id) {
                Some(begun) => *begun,
                None if id.starts_with("prepared ") => gone.map_or(last.at, |g| g.min(last.at)),
                None => last.at,
            },
        };
        let running: BTreeMap<_, _> = running
            .iter()
            .map(|(id, told)| (id.clone(), told.unwrap_or_else(|| begun(id))))
            .collect();
        let since = running.values().copied().min().map_or(at, |first| first.min(at));
        self.0 = Some(Look { at, running });
        since
    }
}

/// Which transactions are over, by their numbers.
pub(super) async fn horizon(session: &mut Session) -> Result<Horizon, Error> {
    // The old names: version 12 and servers that only speak the protocol have no others.
    let row = session.row(HORIZON, &[]).await?;
    let number = |at| row.get::<i64>(at).map(i64::cast_unsigned);
    Ok(Horizon { oldest_running: number(0)?, next: number(1)? })
}

/// The numbers below the horizon's end that are in progress.
async fn running(
    session: &mut Session,
    horizon: Horizon,
    before: Option<&Unfinished>,
) -> Result<Vec<RangeInclusive<u64>>, Error> {
    let (assumed, asked) = candidates(horizon, before);
    let mut running: Vec<_> = assumed.into_iter().collect();
    if asked.is_empty() {
        return Ok(running);
    }
    let bound = |of: fn(&RangeInclusive<u64>) -> u64| {
        Parameter::numbers(asked.iter().map(|range| of(range).cast_signed()))
    };
    let bounds = [bound(|range| *range.start()), bound(|range| *range.end())];
    for row in session.rows(IN_PROGRESS, &bounds).await? {
        let number = row.get::<i64>(0)?.cast_unsigned();
        running.push(number..=number);
    }
    Ok(running)
}

/// Which numbers are taken as running, and which ones the server is asked about: what ran before,
/// and what began since.
fn candidates(
    horizon: Horizon,
    before: Option<&Unfinished>,
) -> (Option<RangeInclusive<u64>>, Vec<RangeInclusive<u64>>) {
    let Horizon { oldest_running: oldest, next } = horizon;
    let before = before.filter(|b| b.next <= next);
    let new = before.map_or(oldest, |b| b.next.max(oldest));
    let known = before.map_or(&[][..], |b| &b.running).iter();
    let ranges = known.map(|r| (*r.start(), *r.end() + 1)).chain([(new, next)]);
    let from = oldest.max(next.saturating_sub(MOST_ASKED));
    let ranges = ranges.map(|(first, end)| (first.max(from), end)).filter(|(f, e)| f < e);
    let assumed = (from > oldest).then(|| oldest..=from - 1);
    (assumed, ranges.map(|(first, end)| first..=end - 1).collect())
}

/// Which rows were written by transactions that `before` could not see. A row has the lower half
/// of a number; what is more than half of them away is long over.
fn condition(before: &Unfinished, next: u64) -> String {
    if before.next > next {
        // Another server's numbers, or those of before it was restored.
        return "TRUE".to_owned();
    }
    let first = before.first();
    let age = format!("(xmin::text::bigint - {} & 4294967295)", first & 0xffff_ffff);
    let mut among = vec![format!("{age} >= {}", before.next - first)];
    for range in &before.running {
        among.push(format!("{age} BETWEEN {} AND {}", range.start() - first, range.end() - first));
    }
    format!("{age} < 2147483648 AND ({})", among.join(" OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Moment {
        Moment::from_micros(micros)
    }

    fn unfinished(next: u64, running: &[u64]) -> Unfinished {
        Unfinished::new(next, running.iter().map(|n| *n..=*n).collect(), at(0))
    }

    #[test]
    fn what_is_not_told_began_after_it_was_not_there() {
        let mut transactions = Transactions::default();
        let mut look = |micros: i64, ids: &[(&str, Option<i64>)]| {
            let running = ids.iter().map(|(id, told)| ((*id).to_owned(), told.map(at))).collect();
            transactions.begun(at(micros), running, at(3)).micros()
        };
        assert_eq!(look(10, &[("3/1", Some(7))]), 7);
        assert_eq!(look(20, &[("3/1", None), ("4/1", None)]), 7);
        assert_eq!(look(30, &[("4/1", None)]), 10, "it was not there when it was looked first");
        assert_eq!(look(40, &[]), 40);
        assert_eq!(look(50, &[("5/1", None)]), 40);
        assert_eq!(look(60, &[("prepared 9", None)]), 40, "it may be the one that is gone");
        assert_eq!(look(70, &[("prepared 9", None), ("6/1", None)]), 40);
        let mut fresh = Transactions::default();
        let first = fresh.begun(at(10), vec![("3/1".to_owned(), None)], at(3));
        assert_eq!(first.micros(), 3, "it may have begun whenever");
    }

    #[test]
    fn each_number_is_asked_about_once_while_it_does_not_run() {
        let horizon = |oldest_running, next| Horizon { oldest_running, next };
        assert_eq!(candidates(horizon(7, 7), None), (None, vec![]));
        assert_eq!(candidates(horizon(5, 9), None), (None, vec![5..=8]));
        let before = unfinished(20, &[5, 9, 10]);
        assert_eq!(candidates(horizon(9, 30), Some(&before)), (None, vec![9..=10, 20..=29]));
        assert_eq!(candidates(horizon(1, 3), Some(&before)), (None, vec![1..=2]));
        let next = MOST_ASKED * 3;
        let begin = MOST_ASKED * 2;
        let expected = (Some(5..=begin - 1), vec![begin..=next - 1]);
        assert_eq!(candidates(horizon(5, next), None), expected);
    }

    #[test]
    fn numbers_of_rows_come_round() {
        let epoch = 1u64 << 32;
        assert_eq!(
            condition(&unfinished(epoch + 4, &[epoch - 2, epoch + 1]), epoch + 9),
            "(xmin::text::bigint - 4294967294 & 4294967295) < 2147483648 AND \
             ((xmin::text::bigint - 4294967294 & 4294967295) >= 6 OR \
             (xmin::text::bigint - 4294967294 & 4294967295) BETWEEN 0 AND 0 OR \
             (xmin::text::bigint - 4294967294 & 4294967295) BETWEEN 3 AND 3)"
        );
        assert_eq!(condition(&unfinished(9, &[]), 3), "TRUE");
    }
}
