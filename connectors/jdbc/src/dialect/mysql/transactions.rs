//! Asks InnoDB which transactions are not over, and when the oldest of them began.

use std::time::{Duration, SystemTime};

use millrace_api::Result;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use crate::dialect::judge::{Doing, judge};
use crate::gaps::Horizon;
use crate::position::Moment;
use crate::unfinished::Unfinished;

/// The error of a user without the right PROCESS.
const NO_RIGHT: u16 = 1227;
/// The server shows a list that is younger than this again, for as long as somebody looks at it.
const REPEATED: Duration = Duration::from_millis(110);
/// Others may look at it all the time, and each look keeps it from becoming new.
const LOOKS: usize = 3;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// The lowest and the highest number of those that write.
    writers: Option<(u64, u64)>,
    /// None began before.
    since: Moment,
    /// Whether the list was an old one, again and again.
    is_stale: bool,
}

impl Look {
    pub(super) fn horizon(self) -> Horizon {
        if self.is_stale {
            // Nothing is over, as far as can be told.
            return Horizon { oldest_running: 0, next: u64::MAX };
        }
        Horizon {
            oldest_running: self.writers.map_or(u64::MAX, |(first, _)| first),
            next: self.writers.map_or(0, |(_, last)| last + 1),
        }
    }

    pub(super) fn unfinished(self) -> Unfinished {
        let running = self.writers.map(|(first, last)| first..=last);
        Unfinished::new(self.horizon().next, running.into_iter().collect(), self.since)
    }
}

/// Looks at the transactions that run; `before` is what was seen last. None: this user may not.
pub(super) async fn look(
    session: &mut MySqlConnection,
    before: Option<Look>,
) -> Result<Option<Look>> {
    for times in 0..LOOKS {
        if times > 0 {
            tokio::time::sleep(REPEATED).await;
        }
        match glance(session).await {
            Ok(Some(look)) => return Ok(Some(look)),
            Ok(None) => {}
            Err(sqlx::Error::Database(error)) if number(&*error) == Some(NO_RIGHT) => {
                let end = sqlx::raw_sql("ROLLBACK").execute(session).await;
                return end.map(|_| None).map_err(|e| judge(e, Doing::Listing));
            }
            Err(error) => return Err(judge(error, Doing::Listing)),
        }
    }
    // What has begun since began later.
    Ok(Some(Look { is_stale: true, ..before.unwrap_or_default() }))
}

fn number(error: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

/// One look at the list. None where it is an old one: in a new one this very statement runs, in a
/// transaction of its own.
async fn glance(session: &mut MySqlConnection) -> Result<Option<Look>, sqlx::Error> {
    /// Those that only read have no number, or one from here on.
    const READERS: u64 = 1 << 48;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mark = format!("millrace {}", now.as_nanos());
    let id = "CAST(trx_id AS UNSIGNED)";
    let writes = format!("{id} > 0 AND {id} < {READERS}");
    let writer = format!("CASE WHEN {writes} THEN {id} END");
    // A statement has its time before it has locked or written anything. Beginnings are in the
    // zone of the server's machine.
    let will_write = "trx_query NOT REGEXP '^[[:space:](]*(select|show|with)'";
    let age = "timestampdiff(SECOND, trx_started, \
               convert_tz(utc_timestamp(), '+00:00', 'SYSTEM'))";
    let sql = format!(
        "SELECT CAST(coalesce(max(trx_mysql_thread_id = connection_id() \
                AND locate('{mark}', trx_query) > 0), 0) AS SIGNED), \
             CAST(min({writer}) AS SIGNED), CAST(max({writer}) AS SIGNED), \
             CAST(unix_timestamp() - coalesce(max(CASE WHEN ({writes}) OR {will_write} \
                THEN {age} END), 0) AS SIGNED) \
         FROM information_schema.innodb_trx"
    );
    sqlx::raw_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT").execute(&mut *session).await?;
    let row = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut *session).await?;
    sqlx::raw_sql("COMMIT").execute(&mut *session).await?;
    if row.try_get::<i64, _>(0)? == 0 {
        return Ok(None);
    }
    let id = |at| row.try_get::<Option<i64>, _>(at).map(|id| id.map(i64::cast_unsigned));
    let since = row.try_get::<i64, _>(3)?.saturating_mul(1000);
    Ok(Some(Look {
        writers: id(1)?.zip(id(2)?),
        since: Moment::from_millis(since),
        is_stale: false,
    }))
}
