//! What the commands need from the machine, and how to get it: one line for each thing done, nothing for a thing that
//! is there. As root on Debian or Ubuntu it installs by itself, otherwise it names the exact commands and stops.

use std::fs;
use std::process::Command;

use crate::ebpf;
use crate::shell::{Outcome, find, is_root, output, program, repository, run, target};

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
    /// The servers that weir is compared with.
    Peers,
    /// The certificate authority and the name server of the end-to-end tests.
    Servers,
    /// The public WebSocket suite, in a Python environment of its own; where that cannot be, its test is skipped.
    WebSocketSuite,
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
];

const BPF_FILE_SYSTEM: &str = "/sys/fs/bpf";

/// `cargo xtask setup`: everything any command needs.
pub fn everything() -> Outcome {
    ensure(&[
        Need::Compiler,
        Need::RustComponents,
        Need::Clients,
        Need::WebSocketSuite,
    ])?;
    if is_root() {
        ensure(&[Need::Namespaces, Need::Servers, Need::BpfFileSystem])?;
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
            Need::WebSocketSuite => websocket_suite(),
            Need::BpfFileSystem => mount_bpf()?,
        }
    }
    install(&packages)
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

/// Versions and checksums are those of the requirements; complete once its last file is there.
fn websocket_suite() {
    let (directory, requirements) = (
        target().join("websocket-suite"),
        "tests/websocket_suite/requirements.txt",
    );
    let done = directory.join(requirements.replace('/', "-"));
    let current = fs::read(repository().join(requirements)).ok();
    if current.is_some() && fs::read(&done).ok() == current {
        return;
    }
    println!("setup: the WebSocket suite, in {}", directory.display());
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
        println!("setup: no WebSocket suite, its test will be skipped: {error}");
    }
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
