//! Tables that misbehave while they are read: the task fails with the table's name and a way out,
//! and goes on from where it was.

use super::{parquet_files, postgres, rows_in, start, wait_for_rows};
use millrace_integration::site::{Site, wait_for_task};

#[track_caller]
fn tells(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in:\n{message}");
    }
}

#[test]
fn a_table_dropped_while_it_is_read() {
    let (site, server) = (Site::embedded(), postgres());
    server.sql("create table gone (id serial primary key, a text)");
    server.sql("insert into gone (a) select 'x' from generate_series(1, 100)");
    let connect = start(&site, &server, "gone", &[]);
    wait_for_rows(&site, &connect, "gone", 100);
    server.sql("drop table gone");
    let trace = wait_for_task(&connect, "gone-source", "FAILED");
    tells(&trace, &["gone"]);
    wait_for_task(&connect, "gone-lake", "RUNNING");
}

#[test]
fn a_null_in_the_incrementing_column() {
    let (site, server) = (Site::embedded(), postgres());
    server.sql("create table holes (id bigint unique, a text)");
    server.sql("insert into holes values (1, 'a'), (null, 'b'), (3, 'c')");
    let connect = start(&site, &server, "holes", &[("validate.non.null", "false")]);
    // A row without an id is in no order: Confluent's query leaves it out.
    wait_for_rows(&site, &connect, "holes", 2);
    wait_for_task(&connect, "holes-source", "RUNNING");
    assert!(connect.stop().success());

    let site = Site::embedded();
    let converters = [("key.converter", super::JSON), ("value.converter", super::JSON)];
    let [source, _] = super::connectors(&site, &server, "holes", &[]);
    let connect = site.start(&converters, &[source]);
    let trace = wait_for_task(&connect, "holes-source", "FAILED");
    tells(&trace, &["holes", "id", "validate.non.null"]);
}

#[test]
fn a_number_too_big_for_its_type() {
    let (site, server) = (Site::embedded(), postgres());
    server.sql("create table big (id serial primary key, n numeric(10,2))");
    server.sql("insert into big (n) values (1), (2)");
    let connect = start(&site, &server, "big", &[]);
    wait_for_rows(&site, &connect, "big", 2);
    server.sql("insert into big (n) values ('NaN')");
    let trace = wait_for_task(&connect, "big-source", "FAILED");
    tells(&trace, &["big", "column: n", "NaN"]);
    server.sql("update big set n = 3 where n = 'NaN'");
    let answer = connect.rest("POST", "/connectors/big-source/tasks/0/restart", None);
    assert_eq!(answer.status, 204, "{answer:?}");
    wait_for_task(&connect, "big-source", "RUNNING");
    wait_for_rows(&site, &connect, "big", 3);
}

/// A server that goes away and comes back: nobody has to do anything.
#[test]
fn a_database_that_ends_its_connections() {
    let (site, server) = (Site::embedded(), postgres());
    server.sql("create table cut (id serial primary key, a text)");
    server.sql("insert into cut (a) select 'x' from generate_series(1, 100)");
    let more = [("connection.backoff.ms", "200")];
    let connect = start(&site, &server, "cut", &more);
    wait_for_rows(&site, &connect, "cut", 100);
    server.sql(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity \
         where pid <> pg_backend_pid() and datname = 'millrace'",
    );
    server.sql("insert into cut (a) select 'y' from generate_series(1, 100)");
    wait_for_rows(&site, &connect, "cut", 200);
    let rows: usize = parquet_files(&site, "cut").iter().map(rows_in).sum();
    assert_eq!(rows, 200);
}
