//! The `logspine-operator` binary.

fn main() {}
