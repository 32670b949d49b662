//! Sources move from Java Connect to Millrace and back with their offset file: each goes on where
//! the other has stopped.

use millrace_integration::client::Client;
use millrace_integration::connect::Program;
use millrace_integration::site::{PATIENCE, Site, file_source};
use millrace_integration::{topic, wait_until};

/// Lines for a program to copy, and what begins the line after them.
struct Stage {
    program: Program,
    lines: Vec<String>,
    /// Waits for its end, which the next program sees.
    unfinished: &'static str,
}

/// Whole lines of several endings. Java counts characters and skips bytes, so it has only ASCII to
/// read; what others have read before it may be any text.
fn stages(client: Client) -> Vec<Stage> {
    let numbered = |name: &str, count| (0..count).map(|i| format!("{name} line {i}\n")).collect();
    let texts = ["\u{e9}t\u{e9}\r\n", "\u{20ac} \u{1f600} \u{4e2d}\u{6587}\n", "\n", "a\rb\n"];
    let texts = texts.map(str::to_owned).to_vec();
    let (java, millrace) = (Program::Java, Program::Millrace(client));
    let stage = |program, lines, unfinished| Stage { program, lines, unfinished };
    vec![
        stage(java, numbered("first", 2_500), "half a "),
        stage(millrace, numbered("second", 2_500), "another half "),
        stage(millrace, texts, ""),
        stage(java, ["x\r\n", "y\r\n", "\n", "z\n"].map(str::to_owned).to_vec(), "and "),
        stage(millrace, numbered("fifth", 3), ""),
        stage(java, numbered("last", 10), ""),
    ]
}

/// The lines of a text, as `FileStreamSource` cuts them.
fn lines_of(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let ending = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + ending..];
    }
    assert_eq!(rest, "", "the last line is complete");
    lines
}

#[test]
fn an_offset_file_goes_to_and_fro() {
    Client::all().into_iter().for_each(an_offset_file_goes_to_and_from);
}

fn an_offset_file_goes_to_and_from(client: Client) {
    let site = Site::kafka(client);
    let bootstrap = site.backend.bootstrap();
    let mut sources = [("handover-a", "a.txt"), ("handover-b", "b.txt")].map(|(name, file)| {
        topic::create_topic(&bootstrap, name, 1);
        (name, file, String::new())
    });
    for stage in stages(client) {
        for (name, file, written) in &mut sources {
            // The same lines say in each topic from which file they are.
            let lines: String = stage.lines.iter().map(|line| format!("{name} {line}")).collect();
            site.append(file, &lines);
            site.append(file, stage.unfinished);
            *written += &lines;
        }
        let connectors = sources.each_ref().map(|(name, file, _)| file_source(name, file, name));
        let connect = site.start_as(stage.program, &[], &connectors);
        for (name, _, written) in &sources {
            let count = lines_of(written).len() as i64;
            wait_until(&format!("{count} records in {name}"), PATIENCE, || {
                (topic::count(&bootstrap, name) >= count).then_some(())
            });
        }
        connect.stop();
        sources.iter_mut().for_each(|(_, _, written)| *written += stage.unfinished);
    }
    for (name, _, written) in &sources {
        let records = topic::contents(&bootstrap, name);
        let values =
            records.iter().map(|r| std::str::from_utf8(r.value.as_ref().unwrap()).unwrap());
        assert!(values.eq(lines_of(written)), "each line once and in order in {name}");
    }
}

/// A cut file is no empty file: a worker that begins anew would send all lines again.
#[test]
fn a_damaged_offset_file_ends_the_start() {
    let site = Site::embedded();
    site.write("a.txt", "1\n2\n");
    let source = [file_source("handover-c", "a.txt", "handover-c")];
    let connect = site.start(&[], &source);
    site.wait_for_position(4);
    connect.stop();
    let whole = std::fs::read(site.path("connect.offsets")).unwrap();
    for (file, damage) in [
        (&whole[..whole.len() - 1], "the file ends too early at byte"),
        (&[&whole, &b"x"[..]].concat(), "bytes after the end of the map at byte"),
        (&whole[20..], "not a file of Java-serialised objects at byte 0"),
    ] {
        site.write("connect.offsets", file);
        let (code, log) = site.refused(&[], &source);
        assert_eq!(code, Some(2), "{log}");
        for part in ["connect.offsets", damage, "remedy"] {
            assert!(log.contains(part), "{part} is missing:\n{log}");
        }
        assert_eq!(std::fs::read(site.path("connect.offsets")).unwrap(), file, "left as it is");
    }
    site.write("connect.offsets", whole);
    site.append("a.txt", "3\n");
    let connect = site.start(&[], &source);
    site.wait_for_position(6);
    connect.stop();
    assert_eq!(site.backend.contents("handover-c").len(), 3);
}
