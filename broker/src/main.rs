//! The `logspine` binary.

fn main() {}
