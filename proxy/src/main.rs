//! The `weir` binary: arguments in, exit code out.

fn main() {}
