//! Building the XDP object. rustup ships no `core` for `bpfel-unknown-none`, so it takes one of two toolchains:
//!
//! 1. **nightly**: rustup's nightly with rust-src (`core` is built along) and a `bpf-linker` on PATH;
//! 2. **Debian**: Debian's rustc with its prebuilt `core` for BPF, and a bpf-linker built once against its LLVM and
//!    cached under target/.
//!
//! The first that the host offers is taken. The object is built in a target directory of its own, because compiler and
//! flags differ from those of the rest; cargo decides there what is stale.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup;
use crate::shell::{
    Outcome, cargo, find, is_root, output, path_with, program, repository, run, target,
};

/// The binaries of the ebpf crate, each with the file it becomes under target/xdp.
const OBJECTS: &[(&str, &str)] = &[
    ("weir", "weir.o"),
    ("weir-bench", "weir-bench.o"),
    ("weir-pass", "weir-pass.o"),
];

const DEBIAN_PACKAGES: &[&str] = &[
    "rustc-web",
    "libstd-rust-web-dev-bpf",
    "rust-web-llvm",
    "llvm-22-dev",
];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LLVM: &str = "/usr/lib/llvm-22";

/// A way to compile for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// rustup's nightly with rust-src.
    Nightly,
    /// Debian's rustc with a prebuilt `core`.
    Debian,
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nightly => "eBPF by rustup's nightly with rust-src",
            Self::Debian => "eBPF by Debian's rustc-web",
        })
    }
}

/// `cargo xtask build-ebpf`: builds the objects and says by which route.
pub fn build_or_explain() -> Outcome {
    let route = toolchain()?;
    build(route)?;
    println!("build-ebpf: {} ({route})", target().join("xdp").display());
    Ok(())
}

/// Builds the objects if there is or can be a toolchain for them. Without one, a user who is not root goes on without:
/// XDP would be refused to them anyway, and the proxy then steers in user space.
pub fn build_if_possible() -> Outcome {
    match toolchain() {
        Ok(route) => build(route),
        Err(failure) if !is_root() => {
            println!("build-ebpf: left out, steering is in user space: {failure}");
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// The toolchain to use, installed first if that can be done without asking.
pub fn toolchain() -> Outcome<Route> {
    if nightly_has_core() && find("bpf-linker").is_some() {
        return Ok(Route::Nightly);
    }
    if !debian_has_core() && is_root() && debian_offers_packages() {
        setup::install(DEBIAN_PACKAGES)?;
    }
    if !debian_has_core() {
        return Err(instructions().into());
    }
    debian_bpf_linker()?;
    Ok(Route::Debian)
}

fn build(route: Route) -> Outcome {
    let mut command = match route {
        Route::Nightly => {
            let mut command = program(
                "rustup",
                &["run", "nightly", "cargo", "build", "-Zbuild-std=core"],
            );
            command.env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
            command
        }
        Route::Debian => {
            let mut command = cargo(&["build"]);
            // aya-ebpf needs unstable features, and this compiler is a stable one.
            command
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1");
            command.env("PATH", path_with(&linker_root().join("bin")));
            command
        }
    };
    let directory = target().join("ebpf");
    let options = "--quiet --locked --release --target bpfel-unknown-none --target-dir";
    command
        .args(options.split(' '))
        .arg(&directory)
        .current_dir(repository().join("ebpf"));
    // Any of these would replace or undo what ebpf/.cargo/config.toml says.
    for inherited in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
    ] {
        command.env_remove(inherited);
    }
    run(&mut command)?;
    let built = directory.join("bpfel-unknown-none/release");
    install_objects(&built)
}

/// Copies what differs: an untouched file keeps the proxy from being rebuilt.
fn install_objects(built: &Path) -> Outcome {
    let directory = target().join("xdp");
    fs::create_dir_all(&directory)?;
    for (binary, object) in OBJECTS {
        let built = built.join(binary);
        let new = fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
        let place = directory.join(object);
        if fs::read(&place).ok().as_ref() != Some(&new) {
            fs::write(place, new)?;
        }
    }
    Ok(())
}

fn nightly_has_core() -> bool {
    let sysroot = output(&mut program(
        "rustup",
        &["run", "nightly", "rustc", "--print", "sysroot"],
    ));
    let source =
        |root: String| PathBuf::from(root.trim()).join("lib/rustlib/src/rust/library/core");
    sysroot.is_ok_and(|root| source(root).is_dir())
}

fn debian_has_core() -> bool {
    let libraries = ["--print", "target-libdir", "--target", "bpfel-unknown-none"];
    let directory = output(Command::new(DEBIAN_RUSTC).args(libraries));
    directory.is_ok_and(|directory| PathBuf::from(directory.trim()).is_dir())
        && PathBuf::from(DEBIAN_LLVM).join("include").is_dir()
}

fn debian_offers_packages() -> bool {
    let known = || output(&mut program("apt-cache", &["show", DEBIAN_PACKAGES[1]])).is_ok();
    // The package lists of a fresh machine may be empty.
    known() || (output(&mut program("apt-get", &["-q", "update"])).is_ok() && known())
}

fn linker_root() -> PathBuf {
    target().join("bpf-linker")
}

/// Builds bpf-linker against Debian's LLVM, once. Cargo does so in a temporary directory and puts only the result here,
/// at once: runs beside each other, or killed half-way, leave nothing that is broken.
fn debian_bpf_linker() -> Outcome {
    let root = linker_root();
    if root.join("bin/bpf-linker").is_file() {
        return Ok(());
    }
    println!("setup: building bpf-linker, once (about a minute)");
    let options = "--quiet --locked --no-default-features --features llvm-22 --version 0.13.0";
    let mut install = cargo(&["install", "bpf-linker"]);
    install.args(options.split(' ')).arg("--root").arg(&root);
    install
        .env("LLVM_PREFIX", DEBIAN_LLVM)
        .env_remove("CARGO_TARGET_DIR");
    run(&mut install)
}

fn instructions() -> String {
    format!(
        "no toolchain that can compile for BPF. One of these provides it:
  with rustup (and bpf-linker from its releases, see https://github.com/aya-rs/bpf-linker):
    rustup toolchain install nightly --profile minimal --component rust-src
    cargo binstall bpf-linker
  on Debian 12 and later:
    sudo apt-get update
    sudo apt-get install -y --no-install-recommends {}",
        DEBIAN_PACKAGES.join(" ")
    )
}
