//! `cargo xtask`: one door for everything done with this repository. Each command first makes sure that it has what it
//! needs (see `setup`), so that on a fresh machine every one of them can be the first.

mod bench;
mod check;
mod compare;
mod demo;

mod ebpf;
mod interrupt;
mod setup;
mod shell;
mod soak;
mod suite;
mod tidy;

use std::env;
use std::process::ExitCode;

use shell::Outcome;

struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Outcome,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "setup",
        arguments: "",
        about: "Install what the other commands need, or print the commands that would",
        run: |arguments| none(arguments).and_then(|()| setup::everything()),
    },
    Command {
        name: "build-ebpf",
        arguments: "",
        about: "Build the XDP object, which the next cargo build embeds",
        run: |arguments| none(arguments).and_then(|()| ebpf::build_or_explain()),
    },
    Command {
        name: "demo",
        arguments: "[--keep]",
        about: "Run the main job on real traffic and show where each request landed",
        run: demo::demo,
    },
    Command {
        name: "serve",
        arguments: "NAME ADDRESS...",
        about: "Be a server of the demo, in a process that can be killed",
        run: demo::serve,
    },
    Command {
        name: "test",
        arguments: "[NAME]",
        about: "Run every test, or those whose name contains NAME, and count what was skipped and why",
        run: suite::run,
    },
    Command {
        name: "bench",
        arguments: "[--rounds N] [--seconds N] [--wrk] [--no-build] [SCENARIO] | abuse [--debug] [SHAPE]",
        about: "Measure weir beside nginx and HAProxy, and the least relay: processor time per request, memory",
        run: bench::run,
    },
    Command {
        name: "differential",
        arguments: "[--cases N] [--seed N] [--release]",
        about: "Compare what weir forwards of malformed requests with what real servers read",
        run: compare::run,
    },
    Command {
        name: "soak",
        arguments: "[--minutes N] [--release] [--weir PATH]",
        about: "Mixed load with reloads and dying servers: memory must stay flat, descriptors return",
        run: soak::run,
    },
    Command {
        name: "check",
        arguments: "",
        about: "Everything a change must pass: formatting, lints, tests, documentation, tidiness",
        run: |arguments| none(arguments).and_then(|()| check::run_all()),
    },
    Command {
        name: "tidy",
        arguments: "",
        about: "Only the repository's own rules: layers, file sizes, unsafe, words",
        run: |arguments| none(arguments).and_then(|()| tidy::run()),
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let name = arguments.first().map_or("", String::as_str);
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        usage();
        return if name == "help" {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    };
    match (command.run)(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage() {
    eprintln!("usage: cargo xtask <command>\n");
    for Command {
        name,
        arguments,
        about,
        ..
    } in COMMANDS
    {
        eprintln!("  {:<20} {about}", format!("{name} {arguments}"));
    }
}

fn none(arguments: &[String]) -> Outcome {
    match arguments.first() {
        None => Ok(()),
        Some(first) => {
            Err(format!("unexpected argument {first:?}; this command takes none").into())
        }
    }
}
