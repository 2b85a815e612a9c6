//! `cargo xtask soak`: mixed load for a long time while rules are reloaded and servers die again and again. Memory
//! must stay flat after the warm-up, and descriptors must return.

mod clients;
mod echo;
mod echoed;
mod http2;
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use xtask::backend::Backend;
use xtask::certificate::Certificate;
use xtask::daemon::{free_address, poll};
use xtask::process;

use crate::setup::{self, Need};
use crate::shell::{Outcome, cargo, run as run_command, target};
use clients::Crew;
use echo::Echo;
use site::{Servers, Site};

/// Unless `--minutes` says another number.
const MINUTES: u64 = 30;
/// Lines of the table.
const LINES: u32 = 12;
/// Lines before memory is compared: everything has been used once by then.
const WARM_UP: usize = 4;
/// How much more memory there may be at the end than after the warm-up, in percent.
const GROWTH_PERCENT: u64 = 5;
/// How long the servers that die are there, and how long not.
const LIFE: Duration = Duration::from_secs(3);
/// Between two rounds of a client.
const PAUSE: Duration = Duration::from_millis(20);
/// Descriptors that may be left over: what the process opens for itself meanwhile.
const DESCRIPTORS_EXTRA: usize = 8;
/// How long descriptors may take to return: longer than an idle connection to a server is kept.
const RETURN: Duration = Duration::from_secs(120);

struct Options {
    time: Duration,
    /// Of weir, where it is not to be built.
    binary: Option<PathBuf>,
    release: bool,
}

/// What is compared at the end.
struct Found {
    /// Resident memory, the median within each line of the table.
    lines: Vec<u64>,
    descriptors: [usize; 2],
    /// Kinds of clients that never got what they wanted.
    idle: Vec<&'static str>,
    log: String,
}

/// Runs for `--minutes N`, with a release build if `--release` is given, or with the binary of `--weir PATH`.
pub fn run(arguments: &[String]) -> Outcome {
    let options = parse(arguments)?;
    if let Some(binary) = &options.binary {
        return soak(binary, options.time);
    }
    setup::ensure(&[Need::Compiler])?;
    let mut build = vec!["build", "--quiet", "-p", "weir", "--bin", "weir"];
    if options.release {
        build.push("--release");
    }
    run_command(&mut cargo(&build))?;
    let profile = if options.release { "release" } else { "debug" };
    soak(&target().join(profile).join("weir"), options.time)
}

fn parse(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        time: Duration::from_secs(60 * MINUTES),
        binary: None,
        release: false,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--release" => options.release = true,
            "--weir" => {
                options.binary = Some(words.next().ok_or("--weir takes a path")?.into());
            }
            "--minutes" => {
                let value = words.next().and_then(|value| value.parse::<u64>().ok());
                let value = value.filter(|value| *value > 0);
                options.time = Duration::from_secs(60 * value.ok_or("--minutes takes a number")?);
            }
            _ => return Err(format!("{word:?} is none of --minutes, --release, --weir").into()),
        }
    }
    Ok(options)
}

fn soak(binary: &Path, time: Duration) -> Outcome {
    let (steady, echo) = (
        Backend::plain("steady", site::any())?,
        Echo::start(free_address())?,
    );
    let servers = Servers {
        http: [steady.address(), free_address()],
        echo: [echo.address(), free_address()],
        http2: http2::serve()?,
    };
    let certificate = Certificate::new("localhost")?;
    let site = Site::start(binary, &certificate, servers)?;
    let before = process::descriptors(site.pid())?;
    let crew = Arc::new(Crew::new(site.addresses, certificate.client()?));
    let clients = crew.start();
    let lines = watch(&site, &crew, time)?;
    crew.stop();
    for client in clients {
        let _ = client.join();
    }
    println!("soak: requests and failures of each kind of client, and what failures said:");
    println!("{}", crew.summary());
    println!("soak: what weir counted: {}", site.failures()?);
    drop((steady, echo));
    let after = || process::descriptors(site.pid()).unwrap_or(usize::MAX);
    poll(RETURN, || {
        (after() <= before + DESCRIPTORS_EXTRA).then_some(())
    });
    println!("soak: descriptors {before} before, {} after:", after());
    println!("  {}", kinds(site.pid())?);
    judge(&Found {
        lines,
        descriptors: [before, after()],
        idle: crew.idle(),
        log: site.log(),
    })
}

/// Lets servers die, reloads rules, and writes a line now and then, for so long.
fn watch(site: &Site, crew: &Crew, time: Duration) -> Outcome<Vec<u64>> {
    println!("  minute   requests  failures   RSS MiB  descriptors  reloads");
    let (begun, pid) = (Instant::now(), site.pid());
    let (mut lines, mut sizes, mut reloads, mut dying) = (Vec::new(), Vec::new(), 0, None);
    while begun.elapsed() < time {
        dying = match dying {
            // Dropping them resets what they have open.
            Some(_) => None,
            None => Some((
                Backend::plain("dying", site.servers.http[1]).ok(),
                Echo::start(site.servers.echo[1]).ok(),
            )),
        };
        reloads += 1;
        site.reload(reloads)?;
        for _ in 0..LIFE.as_secs() {
            thread::sleep(Duration::from_secs(1));
            sizes.push(process::resident(pid)?);
        }
        if begun.elapsed() >= time * (lines.len() as u32 + 1) / LINES {
            sizes.sort_unstable();
            let resident = sizes[sizes.len() / 2];
            sizes.clear();
            lines.push(resident);
            println!(
                "{:8.1} {:10} {:9} {:9.1} {:12} {reloads:8}",
                begun.elapsed().as_secs_f64() / 60.0,
                crew.requests(),
                crew.failures(),
                resident as f64 / f64::from(1 << 20),
                process::descriptors(pid)?,
            );
        }
    }
    Ok(lines)
}

/// What its descriptors are, and how many of each.
fn kinds(pid: u32) -> Outcome<String> {
    let mut kinds = BTreeMap::<String, usize>::new();
    for target in process::descriptor_targets(pid)? {
        // `socket:[123]`
        let kind = target.split(":[").next().unwrap_or_default();
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    let texts = kinds.iter().map(|(kind, count)| format!("{count} {kind}"));
    Ok(texts.collect::<Vec<_>>().join(", "))
}

fn judge(found: &Found) -> Outcome {
    let (Some(warm), Some(last)) = (found.lines.get(WARM_UP - 1), found.lines.last()) else {
        return Err("it ended before the warm-up did".into());
    };
    println!(
        "soak: RSS {} KiB after the warm-up, {} KiB at the end ({:+.1} %)",
        warm >> 10,
        last >> 10,
        (*last as f64 / *warm as f64 - 1.0) * 100.0
    );
    if !found.idle.is_empty() {
        return Err(format!("not one success of {}", found.idle.join(", ")).into());
    }
    let [before, after] = found.descriptors;
    if after > before + DESCRIPTORS_EXTRA {
        return Err(format!("{after} descriptors are open, {before} were before").into());
    }
    if *last > warm + warm * GROWTH_PERCENT / 100 {
        return Err(format!("memory has grown by more than {GROWTH_PERCENT} %").into());
    }
    match found.log.contains("panicked") {
        true => Err(found.log.as_str().into()),
        false => Ok(()),
    }
}
