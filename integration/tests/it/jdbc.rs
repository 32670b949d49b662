//! JDBC connectors through a whole worker on Kafka: rows that are committed late arrive, and
//! offsets are Confluent's.

mod late;
mod offsets;
mod round_trip;

use millrace_integration::site::Site;

/// The ids of a topic's records, in order: of rows as JSON without schemas, whose first column is
/// `id`.
fn ids(site: &Site, topic: &str) -> Vec<i64> {
    let id = |value: &[u8]| {
        let text = std::str::from_utf8(value).unwrap();
        let rest = text.strip_prefix("{\"id\":").unwrap();
        rest.split_once([',', '}']).unwrap().0.parse().unwrap()
    };
    let records = site.backend.contents(topic);
    records.iter().map(|record| id(record.value.as_deref().unwrap())).collect()
}
