//! The crash drill: numbered lines flow from a file through a log to a file while the worker is
//! killed again and again at random moments.
//!
//! What must hold, kill by kill:
//! - a restarted source goes on exactly at the offset it had committed, so the topic repeats at
//!   most what was written since then, and never has a gap;
//! - a restarted sink goes on exactly at the offset its group had committed, which is never ahead
//!   of its file; so the file repeats at most what was written since then;
//! - order stays.
//!
//! `MILLRACE_DRILL_KILLS`, `MILLRACE_DRILL_LINES` and `MILLRACE_DRILL_SEED` make other drills.

use millrace_integration::connect::{Connect, Properties};
use millrace_integration::site::{PATIENCE, Site, file_sink, file_source, with};
use millrace_integration::wait_until;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant, SystemTime};

/// Bytes of a line, its end included.
const WIDTH: usize = 48;
const TOPIC: &str = "drill";
const SINK: &str = "drill-sink";
/// `offset.flush.interval.ms` of the drill.
const COMMITS: &str = "200";
/// Lines of a round come in so many parts.
const PARTS: usize = 20;

on_all_backends! { nothing_is_lost_when_the_worker_is_killed }

fn nothing_is_lost_when_the_worker_is_killed(site: &Site) {
    let lines = from_environment("MILLRACE_DRILL_LINES").unwrap_or(150_000) as usize;
    let kills = from_environment("MILLRACE_DRILL_KILLS").unwrap_or(8) as usize;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = from_environment("MILLRACE_DRILL_SEED").unwrap_or(now);
    println!("MILLRACE_DRILL_SEED={seed}");
    let start = Instant::now();
    let mut drill = Drill::new(site, lines, Random(seed));
    for round in 1..=kills {
        drill.round(lines * round / (kills + 1));
    }
    drill.finish();
    let report = drill.check();
    let report = format!(
        "crash drill on {}: seed {seed}, {kills} kills, {lines} lines, {report}, {:.1} s\n",
        site.backend.name(),
        start.elapsed().as_secs_f64()
    );
    // Past the test runner, which shows only what failed.
    let _ = std::io::stderr().write_all(report.as_bytes());
}

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

struct Drill<'a> {
    site: &'a Site,
    lines: usize,
    /// Lines that the source's file has so far.
    written: usize,
    random: Random,
    /// The longest life of a worker.
    life: Duration,
    kills: Vec<Kill>,
    /// What the sink's file held when it was last looked at.
    seen: Vec<u8>,
}

/// What a killed worker left behind.
struct Kill {
    /// Lines before the source's committed offset.
    source: usize,
    /// The sink group's committed offset.
    sink: usize,
    /// Length of the sink's file.
    file: usize,
}

impl<'a> Drill<'a> {
    fn new(site: &'a Site, lines: usize, random: Random) -> Self {
        // On a broker the killed consumer's session has to run out first.
        let life = if site.backend.name() == "kafka" { 5000 } else { 2000 };
        let life = Duration::from_millis(life);
        site.write("in.txt", "");
        site.write("out.txt", "");
        Self { site, lines, written: 0, random, life, kills: Vec::new(), seen: Vec::new() }
    }

    fn connectors() -> [Properties; 2] {
        let source = file_source("drill-source", "in.txt", TOPIC);
        let sink = file_sink(SINK, "out.txt", TOPIC);
        let session = [
            ("consumer.override.session.timeout.ms", "2000"),
            ("consumer.override.heartbeat.interval.ms", "300"),
        ];
        [source, with(sink, &session)]
    }

    fn begin(&self) -> Connect {
        self.site.begin(&[("offset.flush.interval.ms", COMMITS)], &Self::connectors())
    }

    /// Writes on up to line `end`, in parts, while a worker lives for a random time.
    fn round(&mut self, end: usize) {
        let mut worker = self.begin();
        let born = Instant::now();
        let life = self.life.mul_f64(self.random.fraction());
        let begin = self.written;
        for part in 1..=PARTS {
            self.write_up_to(begin + (end - begin) * part / PARTS);
            let due = life.mul_f64(part as f64 / PARTS as f64);
            wait_until("the time to write on", PATIENCE, || {
                assert!(worker.process().exited().is_none(), "{}", worker.process().log());
                (born.elapsed() >= due).then_some(())
            });
        }
        worker.process().kill();
        self.note_kill();
    }

    fn write_up_to(&mut self, end: usize) {
        let lines: String = (self.written..end).map(line).collect();
        self.site.append("in.txt", lines);
        self.written = end;
    }

    fn note_kill(&mut self) {
        let position = self.site.stored_position().unwrap_or(0) as usize;
        assert_eq!(position % WIDTH, 0, "a committed offset lies between lines");
        let sink = self.site.backend.committed(&format!("connect-{SINK}"), TOPIC);
        self.look();
        self.kills.push(Kill {
            source: position / WIDTH,
            sink: sink.unwrap_or(0) as usize,
            file: self.seen.len(),
        });
    }

    /// Reads what the sink's file has got.
    fn look(&mut self) {
        let mut file = File::open(self.site.path("out.txt")).unwrap();
        file.seek(SeekFrom::Start(self.seen.len() as u64)).unwrap();
        file.read_to_end(&mut self.seen).unwrap();
    }

    /// The rest flows undisturbed, and the worker stops as an operator stops it.
    fn finish(&mut self) {
        let mut worker = self.begin();
        worker.wait_for_rest();
        self.write_up_to(self.lines);
        let last = line(self.lines - 1);
        wait_until("the last line", 2 * PATIENCE, || {
            require_running(&mut worker);
            self.look();
            self.seen.ends_with(last.as_bytes()).then_some(())
        });
        assert!(worker.stop().success());
        assert_eq!(self.site.stored_position(), Some((self.lines * WIDTH) as u64));
        self.note_kill();
    }

    /// Compares topic and file with what must be, and reports figures.
    fn check(&self) -> String {
        let records = self.site.backend.contents(TOPIC);
        let topic: Vec<Vec<u8>> = records.into_iter().map(|r| r.value.unwrap()).collect();
        let in_topic = self.check_topic(&topic);
        let (in_file, torn) = self.check_file(&topic);
        let most = |figures: &[usize]| figures.iter().copied().max().unwrap_or(0);
        format!(
            "0 lost, order kept; repeated in the topic {} (the same as uncommitted at the kills; \
             at most {} a kill), in the file {} (likewise; at most {}), lines torn by a kill {torn}",
            in_topic.iter().sum::<usize>(),
            most(&in_topic),
            in_file.iter().sum::<usize>(),
            most(&in_file),
        )
    }

    /// The topic counts up, and at a kill goes back to what was committed. Gives how far back.
    fn check_topic(&self, topic: &[Vec<u8>]) -> Vec<usize> {
        let mut restarts = self.kills.iter().map(|kill| kill.source);
        let mut next = 0;
        let mut repeated = Vec::new();
        for (offset, value) in topic.iter().enumerate() {
            let found = number(value);
            if found != next {
                assert!(found < next, "lines {next} to {found} are lost before offset {offset}");
                assert!(
                    restarts.any(|committed| committed == found),
                    "offset {offset} goes back from line {next} to {found}, which was committed \
                     at no kill"
                );
                repeated.push(next - found);
            }
            next = found + 1;
        }
        assert_eq!(next, self.lines, "the topic ends early");
        repeated
    }

    /// Between two kills the file has the topic's records from the committed offset on. Gives how
    /// far the file was ahead of the commit at each kill, and how many lines a kill tore.
    fn check_file(&self, topic: &[Vec<u8>]) -> (Vec<usize>, usize) {
        let (mut position, mut offset, mut torn) = (0, 0, 0);
        let mut repeated = Vec::new();
        for kill in &self.kills {
            let round = &self.seen[position..kill.file];
            // The next worker gives a torn line its end.
            let round = match torn_before(&self.seen, position) {
                true => round.strip_prefix(b"\n").unwrap_or(round),
                false => round,
            };
            let mut lines = round.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                let expected = topic.get(offset).map_or(&b""[..], Vec::as_slice);
                if lines.peek().is_none() {
                    assert!(expected.starts_with(line), "a torn line is the start of the next");
                    torn += usize::from(!line.is_empty());
                    break;
                }
                assert_eq!(text(line), text(expected), "offset {offset}, kill at {}", kill.file);
                offset += 1;
            }
            assert!(kill.sink <= offset, "the group committed what was not written");
            repeated.push(offset - kill.sink);
            (position, offset) = (kill.file, kill.sink);
        }
        assert_eq!(offset, topic.len(), "a clean stop commits everything");
        (repeated, torn)
    }
}

/// A task that failed would be waited for in vain.
fn require_running(worker: &mut Connect) {
    assert!(worker.process().exited().is_none(), "{}", worker.process().log());
    for connector in ["drill-source", SINK] {
        let path = format!("/connectors/{connector}/status");
        let status = worker.rest("GET", &path, None).body;
        let trace = status.pointer("/tasks/0/trace");
        assert!(trace.is_none(), "{connector}: {}", trace.unwrap());
    }
}

fn torn_before(file: &[u8], position: usize) -> bool {
    position > 0 && file[position - 1] != b'\n'
}

fn line(number: usize) -> String {
    format!("{number:010} {:.<1$}\n", "", WIDTH - 12)
}

fn number(value: &[u8]) -> usize {
    text(value)[..10].parse().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// SplitMix64: the same moments for the same seed.
struct Random(u64);

impl Random {
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }
}
