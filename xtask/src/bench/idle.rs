//! What 8,000 idle keep-alive connections cost, on two workers.

use std::io;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use xtask::backend::Backend;
use xtask::certificate;
use xtask::crowd::Crowd;
use xtask::process;

use super::proxies::{DESCRIPTORS, Kind, Proxy};
use crate::shell::Outcome;

const CROWD: usize = 8000;
/// With how many the memory is compared.
const FEW: usize = 16;
/// How long all of them do nothing before each is asked once more.
const IDLE: Duration = Duration::from_secs(60);

/// What one may cost weir at most, in KiB: in the clear, over TLS.
const MOST: [f64; 2] = [4.0, 20.0];

/// Fails where weir needs more than [`MOST`].
pub fn run() -> Outcome {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(io::Error::from)?;
    println!(
        "\nidle ({CROWD} connections that did a request each, on 2 workers; nginx and HAProxy have one; hard limit of \
         {DESCRIPTORS} descriptors)\n\
         {:10} {:6} {:>16} {:>26}",
        "", "", "KiB each", "kernel KiB each, both ends"
    );
    for kind in Kind::installed() {
        for tls in [false, true] {
            one(kind, tls)?;
        }
    }
    Ok(())
}

fn one(kind: Kind, tls: bool) -> Outcome {
    let server = Backend::plain("a", ([127, 0, 0, 1], 0))?;
    let workers = if kind == Kind::Weir { 2 } else { 1 };
    let proxy = Proxy::start(kind, server.address(), workers)?;
    let client = match tls {
        true => Some(certificate::client(&std::fs::read_to_string(
            proxy.chain(),
        )?)?),
        false => None,
    };
    let to = if tls { proxy.secure } else { proxy.plain };
    let mut crowd = Crowd::new(to, client.map(|client| (client, "localhost".to_owned())));
    crowd.grow_to(FEW)?;
    let before = (process::resident(proxy.pid())?, process::kernel_memory()?);
    crowd.grow_to(CROWD)?;
    let after = (process::resident(proxy.pid())?, process::kernel_memory()?);
    let each =
        |before: u64, after: u64| after.saturating_sub(before) as f64 / CROWD as f64 / 1024.0;
    let resident = each(before.0, after.0);
    println!(
        "{:10} {:6} {:16.2} {:26.2}",
        kind.name(),
        if tls { "TLS" } else { "plain" },
        resident,
        each(before.1, after.1),
    );
    if kind == Kind::Weir {
        thread::sleep(IDLE);
        crowd.ask_all()?;
        println!("{:10} {:6} all {CROWD} served again after {IDLE:?}", "", "");
        let log = proxy.log();
        log.lines()
            .filter(|line| line.contains("weir serves"))
            .for_each(|line| println!("{:10} {line}", ""));
        let most = MOST[usize::from(tls)];
        if resident > most {
            return Err(format!("{resident:.2} KiB each are more than {most}").into());
        }
    }
    Ok(())
}
