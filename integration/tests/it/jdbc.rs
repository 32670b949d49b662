//! JDBC connectors through a whole worker on Kafka: rows that are committed late arrive, and offsets are Confluent's.

mod late;
