//! `cargo xtask`: one door for everything done with this repository.
fn main() {}
