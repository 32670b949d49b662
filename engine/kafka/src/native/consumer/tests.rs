//! The consumer against brokers.
