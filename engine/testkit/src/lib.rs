//! What tests of plugins are built from: data of every shape, the suites each plugin must pass, and
//! comparison with what Java answered. For tests only: everything here panics on what is wrong.

pub mod arbitrary;
