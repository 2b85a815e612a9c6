//! What the commands need from the machine, and how to get it: one line for each thing done, nothing for a thing that
//! is there. As root on Debian or Ubuntu it installs by itself, otherwise it names the exact commands and stops.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use crate::ebpf;
use crate::shell::{Outcome, cargo, find, is_root, output, program, repository, run, target};

/// What commands and tests need besides, where only root can have or use it.
pub const AS_ROOT: &[Need] = &[
    Need::Namespaces,
    Need::Servers,
    Need::Peers,
    Need::BpfFileSystem,
];

/// Something a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A C compiler: aws-lc-sys builds its C and assembly with it, and every link goes through it. Nothing else is
    /// needed there: on Linux with glibc aws-lc-sys takes cmake, bindgen and perl only when told to.
    Compiler,
    /// rustfmt and clippy.
    RustComponents,
    /// The clients of the end-to-end tests and of the demo.
    Clients,
    /// The servers that weir is compared with, and what others load servers with.
    Peers,
    /// The certificate authority and the name server of the end-to-end tests.
    Servers,
    /// The public WebSocket suite and gRPC's most used implementation, each in a Python environment of its own; where
    /// that cannot be, its tests are skipped.
    Python,
    /// The public HTTP suites, as files; where they cannot be had, their tests are skipped.
    HttpSuites,
    /// iproute2 and ethtool, for namespaces and veth pairs; no use without root.
    Namespaces,
    /// A mounted BPF file system, in which maps and links are pinned; no use without root.
    BpfFileSystem,
}

/// A program on PATH and the Debian package that has it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const COMPILER: &[Tool] = &[Tool {
    program: "cc",
    package: "gcc",
}];
const CLIENTS: &[Tool] = &[
    Tool {
        program: "curl",
        package: "curl",
    },
    Tool {
        program: "openssl",
        package: "openssl",
    },
];
const SERVERS: &[Tool] = &[
    Tool {
        program: "pebble",
        package: "pebble",
    },
    Tool {
        program: "named",
        package: "bind9",
    },
];
const NAMESPACES: &[Tool] = &[
    Tool {
        program: "ip",
        package: "iproute2",
    },
    Tool {
        program: "ethtool",
        package: "ethtool",
    },
];

const PEERS: &[Tool] = &[
    Tool {
        program: "nginx",
        package: "nginx-light",
    },
    Tool {
        program: "haproxy",
        package: "haproxy",
    },
    Tool {
        program: "wrk",
        package: "wrk",
    },
    Tool {
        program: "h2load",
        package: "nghttp2-client",
    },
];

const BPF_FILE_SYSTEM: &str = "/sys/fs/bpf";

/// `cargo xtask setup`: everything any command needs.
pub fn everything() -> Outcome {
    ensure(&[
        Need::Compiler,
        Need::RustComponents,
        Need::Clients,
        Need::Python,
        Need::HttpSuites,
    ])?;
    if is_root() {
        ensure(AS_ROOT)?;
    } else {
        println!("setup: not root: no namespaces, no XDP; demo and tests steer in user space");
    }
    let route = ebpf::toolchain()?;
    println!("setup: everything is there ({route})");
    Ok(())
}

/// Makes sure of each need, in order.
pub fn ensure(needs: &[Need]) -> Outcome {
    let missing = |tools: &'static [Tool]| tools.iter().filter(|tool| find(tool.program).is_none());
    let mut packages: Vec<&str> = Vec::new();
    for need in needs {
        match need {
            Need::Compiler => packages.extend(missing(COMPILER).map(|tool| tool.package)),
            Need::Clients => packages.extend(missing(CLIENTS).map(|tool| tool.package)),
            Need::Servers => packages.extend(missing(SERVERS).map(|tool| tool.package)),
            Need::Namespaces => packages.extend(missing(NAMESPACES).map(|tool| tool.package)),
            Need::Peers => packages.extend(missing(PEERS).map(|tool| tool.package)),
            Need::RustComponents => rust_components()?,
            Need::Python => PYTHON.iter().for_each(python),
            Need::HttpSuites => http_suites(),
            Need::BpfFileSystem => mount_bpf()?,
        }
    }
    install(&packages)?;
    if needs.contains(&Need::Servers) {
        newer_pebble();
    }
    Ok(())
}

/// Installs Debian packages as root; names the command to anybody else.
pub fn install(packages: &[&str]) -> Outcome {
    if packages.is_empty() {
        return Ok(());
    }
    let wanted = packages.join(" ");
    if !is_root() || find("apt-get").is_none() {
        let install = format!("sudo apt-get install -y --no-install-recommends {wanted}");
        return Err(format!("missing: {wanted}. On Debian or Ubuntu run\n    {install}").into());
    }
    println!("setup: installing {wanted}");
    let _quiet = NoServices::declare();
    let apt = |arguments: &[&str]| {
        let mut command = program("apt-get", arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        // Its output is worth reading only when it fails, and then the failure carries it.
        output(&mut command).map(drop)
    };
    apt(&["-q", "update"])?;
    apt(&[
        &["-q", "install", "-y", "--no-install-recommends"],
        packages,
    ]
    .concat())
}

/// Debian's way to say that installing a server does not start it (policy-rc.d), until dropped; nothing where the
/// machine has a policy of its own.
struct NoServices(Option<&'static Path>);

impl NoServices {
    fn declare() -> Self {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(policy)
            .and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n"));
        Self(written.is_ok().then_some(policy))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        // It says no more than that servers are started by hand.
        let _ = self.0.map(fs::remove_file);
    }
}

/// Debian's pebble is too old for renewal information and profiles: the one of Debian unstable, which is one program
/// without dependencies, is unpacked beside the build. Its package is checked as apt checks any. Where it cannot be
/// had, its tests are skipped.
fn newer_pebble() {
    let directory = target().join("pebble");
    let there = directory.join("usr/bin/pebble");
    if there.is_file() || find("apt-get").is_none() {
        return;
    }
    println!(
        "setup: pebble of Debian unstable, in {}",
        directory.display()
    );
    if let Err(error) = unpack_from_unstable("pebble", &directory) {
        println!("setup: no newer pebble, its tests will be skipped: {error}");
    }
}

/// With lists and a cache of its own: the machine's apt never hears of that suite.
fn unpack_from_unstable(package: &str, directory: &Path) -> Outcome {
    let apt = target().join("apt");
    for part in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(part))?;
    }
    let sources = apt.join("sources.list");
    fs::write(
        &sources,
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n",
    )?;
    let options = [
        format!("Dir::State={}", apt.join("state").display()),
        "Dir::State::status=/var/lib/dpkg/status".to_owned(),
        format!("Dir::Cache={}", apt.join("cache").display()),
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        "Acquire::Languages=none".to_owned(),
    ];
    let apt_get = |arguments: &[&str]| {
        let mut command = program("apt-get", &["-q"]);
        for option in &options {
            command.args(["-o", option]);
        }
        command.args(arguments).current_dir(&apt);
        output(&mut command).map(drop)
    };
    apt_get(&["update"])?;
    apt_get(&["download", package])?;
    for file in fs::read_dir(&apt)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let (from, to) = (path.display().to_string(), directory.display().to_string());
            output(&mut program("dpkg-deb", &["-x", &from, &to]))?;
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// A Python environment: what for, its place in the target directory, its requirements.
struct Python {
    what: &'static str,
    directory: &'static str,
    requirements: &'static str,
}

const PYTHON: &[Python] = &[
    Python {
        what: "the WebSocket suite",
        directory: "websocket-suite",
        requirements: "tests/websocket_suite/requirements.txt",
    },
    Python {
        what: "grpcio",
        directory: "grpc",
        requirements: "tests/http2/grpc/requirements.txt",
    },
];

/// Versions and checksums are those of the requirements; complete once its last file is there.
fn python(wanted: &Python) {
    let (what, requirements) = (wanted.what, wanted.requirements);
    let directory = target().join(wanted.directory);
    let done = directory.join(requirements.replace('/', "-"));
    let current = fs::read(repository().join(requirements)).ok();
    if current.is_some() && fs::read(&done).ok() == current {
        return;
    }
    println!("setup: {what}, in {}", directory.display());
    let path = directory.display().to_string();
    let pip = format!("{path}/bin/pip");
    let install = [
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "-r",
        requirements,
    ];
    let installed = output(&mut program("python3", &["-m", "venv", &path]))
        .and_then(|_| output(&mut program(&pip, &install)))
        .and_then(|_| Ok(fs::write(done, current.unwrap_or_default())?));
    if let Err(error) = installed {
        println!("setup: no {what}, its tests will be skipped: {error}");
    }
}

/// The crate that ships http2jp/hpack-test-case; cargo checks what it downloads.
const HPACK_STORIES: &str = "[package]\nname = \"suites\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
                             [lib]\npath = \"/dev/null\"\n\n[dependencies]\nhttlib-hpack = \"=0.1.3\"\n\n\
                             [workspace]\n";

/// What is to be unpacked is in the requirements and in [`HPACK_STORIES`]; complete once the copy of both is there.
fn http_suites() {
    let directory = target().join("http-suites");
    let requirements = repository().join("tests/http_suites/requirements.txt");
    let wanted = fs::read_to_string(&requirements).map(|text| text + HPACK_STORIES);
    let Ok(wanted) = wanted else { return };
    let complete = directory.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|have| have == wanted) {
        return;
    }
    println!("setup: the HTTP suites, in {}", directory.display());
    let got = messages(&directory, &requirements)
        .and_then(|()| stories(&directory))
        .and_then(|()| Ok(fs::write(complete, wanted)?));
    if let Err(error) = got {
        println!("setup: no HTTP suites, their tests will be skipped: {error}");
    }
}

/// Source distributions, which have the tests that wheels leave out.
fn messages(directory: &Path, requirements: &Path) -> Outcome {
    let (path, requirements) = (
        directory.display().to_string(),
        requirements.display().to_string(),
    );
    let python = format!("{path}/python");
    output(&mut program("python3", &["-m", "venv", &python]))?;
    let download = [
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary=gunicorn,aiohttp",
        "--require-hashes",
        "-d",
        &path,
        "-r",
        &requirements,
    ];
    output(&mut program(&format!("{python}/bin/pip"), &download))?;
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".tar.gz") {
            output(program("tar", &["-xzf", &name, "-C", "."]).current_dir(directory))?;
        }
    }
    Ok(())
}

fn stories(directory: &Path) -> Outcome {
    fs::write(directory.join("Cargo.toml"), HPACK_STORIES)?;
    let mut vendor = cargo(&["vendor", "--quiet", "vendor"]);
    output(vendor.current_dir(directory)).map(drop)
}

fn rust_components() -> Outcome {
    for (component, check) in [("rustfmt", "cargo-fmt"), ("clippy", "cargo-clippy")] {
        if output(Command::new(check).arg("--version")).is_ok() {
            continue;
        }
        if find("rustup").is_none() {
            return Err(
                format!("{component} is missing: install it as you installed rustc").into(),
            );
        }
        println!("setup: rustup component add {component}");
        run(&mut program("rustup", &["component", "add", component]))?;
    }
    Ok(())
}

fn mount_bpf() -> Outcome {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if has_bpf_mount(&mounts) {
        return Ok(());
    }
    println!("setup: mount -t bpf bpf {BPF_FILE_SYSTEM}");
    run(&mut program(
        "mount",
        &["-t", "bpf", "bpf", BPF_FILE_SYSTEM],
    ))
}

/// Whether a line of /proc/self/mounts (device, place, type, ...) is the BPF file system at its usual place.
fn has_bpf_mount(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(BPF_FILE_SYSTEM) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bpf_file_system_among_mounts() {
        let others =
            "sysfs /sys sysfs rw 0 0\nnone /mnt bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\n";
        assert!(!has_bpf_mount(others));
        assert!(has_bpf_mount(&format!(
            "{others}bpf /sys/fs/bpf bpf rw,nosuid 0 0\n"
        )));
    }

    #[test]
    fn a_machine_that_builds_this_test_has_a_compiler() {
        ensure(&[Need::Compiler]).expect("cc was there to link this test");
    }
}
