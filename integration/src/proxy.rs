//! Decides what lies between a client and a broker: a way that is slow, silent or broken on
//! command.
//!
//! A proxy on loopback needs no rights, and does what a packet filter cannot: it counts, cuts in
//! the middle of a frame, and speaks in a broker's place.
