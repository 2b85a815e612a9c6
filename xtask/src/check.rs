//! `cargo xtask check`: what every change must pass, and the very command that CI runs. Cheap checks come first.

use crate::setup::{Need, ensure};
use crate::shell::{Outcome, cargo, run};
use crate::{ebpf, suite, tidy};

/// Runs every check and stops at the first that fails.
pub fn run_all() -> Outcome {
    ensure(&[Need::Compiler, Need::RustComponents])?;
    step("tidy", tidy::run)?;
    step("fmt", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("fmt of the eBPF program", || {
        run(&mut cargo(&[
            "fmt",
            "--manifest-path",
            "ebpf/Cargo.toml",
            "--check",
        ]))
    })?;
    step("build-ebpf", ebpf::build_if_possible)?;
    step("clippy", || {
        run(&mut cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    step("fuzz targets", || {
        let mut check = cargo(&[
            "check",
            "--quiet",
            "--manifest-path",
            "proxy/fuzz/Cargo.toml",
            "--target-dir",
            "target",
        ]);
        // That they compile: libFuzzer itself, which takes a C++ compiler, is not linked for that.
        run(check.env("CUSTOM_LIBFUZZER_PATH", "/nonexistent"))
    })?;
    step("test", || suite::run(&[]))?;
    step("doc", || {
        let mut doc = cargo(&[
            "doc",
            "--quiet",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ]);
        // Private items are documented too, so links to them lead somewhere.
        run(doc.env(
            "RUSTDOCFLAGS",
            "-D warnings -A rustdoc::private_intra_doc_links",
        ))
    })
}

fn step(name: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    println!("check: {name}");
    work().map_err(|failure| format!("{name}: {failure}").into())
}
