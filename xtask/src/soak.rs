//! `cargo xtask soak`: mixed load for a long time while rules are reloaded and a server dies again and again. Memory
//! must stay flat after the warm-up, and descriptors must return.

mod clients;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use xtask::backend::Backend;
use xtask::certificate::Certificate;
use xtask::daemon::{Daemon, poll};
use xtask::process;

use crate::setup::{self, Need};
use crate::shell::{Outcome, cargo, run as run_command, target};
use clients::Crew;

/// Unless `--minutes` says another number.
const MINUTES: u64 = 30;
/// Lines of the table.
const LINES: u32 = 12;
/// Lines before memory is compared: everything has been used once by then.
const WARM_UP: usize = 4;
/// How much more memory there may be at the end than after the warm-up, in percent.
const GROWTH_PERCENT: u64 = 5;
/// How long the server that dies is there, and how long not.
const LIFE: Duration = Duration::from_secs(3);
/// Descriptors that may be left over: what the process opens for itself meanwhile.
const DESCRIPTORS_EXTRA: usize = 8;
/// How long descriptors may take to return.
const RETURN: Duration = Duration::from_secs(120);

struct Site {
    // Before its directory.
    weir: Daemon,
    directory: tempfile::TempDir,
    servers: [SocketAddr; 2],
    plain: SocketAddr,
    secure: SocketAddr,
}

/// Runs for `--minutes N`, with a release build if `--release` is given.
pub fn run(arguments: &[String]) -> Outcome {
    let (minutes, release) = parse(arguments)?;
    setup::ensure(&[Need::Compiler, Need::Clients])?;
    let mut build = vec!["build", "--quiet", "-p", "weir", "--bin", "weir"];
    if release {
        build.push("--release");
    }
    run_command(&mut cargo(&build))?;
    let profile = if release { "release" } else { "debug" };
    soak(
        &target().join(profile).join("weir"),
        Duration::from_secs(60 * minutes),
    )
}

fn parse(arguments: &[String]) -> Outcome<(u64, bool)> {
    let (mut minutes, mut release) = (MINUTES, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--release" => release = true,
            "--minutes" => {
                let value = words.next().and_then(|value| value.parse().ok());
                let value = value.filter(|value| *value > 0);
                minutes = value.ok_or("--minutes takes a number")?;
            }
            _ => return Err(format!("{word:?} is none of --minutes, --release").into()),
        }
    }
    Ok((minutes, release))
}

fn soak(binary: &Path, time: Duration) -> Outcome {
    let steady = Backend::plain("steady", (Ipv4Addr::LOCALHOST, 0))?;
    let dying = free_address()?;
    let certificate = Certificate::new("localhost")?;
    let site = Site::start(binary, &certificate, [steady.address(), dying])?;
    let pid = site.weir.pid();
    let descriptors = process::descriptors(pid)?;
    let crew = Arc::new(Crew::new(site.plain, site.secure, certificate.client()?));
    let clients = crew.start();
    let begun = Instant::now();
    println!("  minute   requests  failures   RSS MiB  descriptors  reloads");
    let (mut lines, mut reloads, mut server) = (Vec::new(), 0, None);
    while begun.elapsed() < time {
        server = match server {
            // Dropping it resets what it has open.
            Some(_) => None,
            None => Backend::plain("dying", dying).ok(),
        };
        reloads += 1;
        site.rules(reloads)?;
        thread::sleep(LIFE.min(time / LINES));
        if begun.elapsed() >= time * (lines.len() as u32 + 1) / LINES {
            let resident = process::resident(pid)?;
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
    crew.stop();
    for client in clients {
        let _ = client.join();
    }
    drop((server, steady));
    let returned =
        || process::descriptors(pid).is_ok_and(|now| now <= descriptors + DESCRIPTORS_EXTRA);
    let back = poll(RETURN, || returned().then_some(())).is_some();
    println!(
        "soak: descriptors {descriptors} before, {} after",
        process::descriptors(pid)?
    );
    println!("soak: {}", crew.summary());
    judge(&lines, back, &site)
}

fn judge(lines: &[u64], back: bool, site: &Site) -> Outcome {
    let (Some(warm), Some(last)) = (lines.get(WARM_UP - 1), lines.last()) else {
        return Err("it ended before the warm-up did".into());
    };
    println!(
        "soak: RSS {} KiB after the warm-up, {} KiB at the end",
        warm >> 10,
        last >> 10
    );
    if !back {
        return Err("descriptors have not returned".into());
    }
    if *last > warm + warm * GROWTH_PERCENT / 100 {
        return Err(format!("memory has grown by more than {GROWTH_PERCENT} %").into());
    }
    match site.weir.log().contains("panicked") {
        true => Err(site.weir.log().into()),
        false => Ok(()),
    }
}

impl Site {
    fn start(binary: &Path, certificate: &Certificate, servers: [SocketAddr; 2]) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        certificate.write(directory.path())?;
        let (plain, secure) = (free_address()?, free_address()?);
        let at = directory.path().display().to_string();
        let config = directory.path().join("weir.yml");
        fs::create_dir(directory.path().join("rules"))?;
        fs::write(
            &config,
            format!(
                "entryPoints:\n  web:\n    address: \"{plain}\"\n  websecure:\n    address: \"{secure}\"\n\
                 providers:\n  file:\n    directory: \"{at}/rules\"\nruntimeDir: \"{at}/run\"\nworkers: 2\n\
                 log:\n  level: ERROR\n"
            ),
        )?;
        write_rules(directory.path(), servers, 0)?;
        let mut command = Command::new(binary);
        command.arg("--configFile").arg(&config);
        command.env("WEIR_STATEDIR", directory.path().join("state"));
        let mut weir = Daemon::start(&mut command, None)?;
        weir.listening(plain, Duration::from_secs(20))?;
        Ok(Self {
            weir,
            directory,
            servers,
            plain,
            secure,
        })
    }

    /// Changes the rules so that they are loaded anew.
    fn rules(&self, version: usize) -> Outcome {
        write_rules(self.directory.path(), self.servers, version)
    }
}

fn write_rules(directory: &Path, servers: [SocketAddr; 2], version: usize) -> Outcome {
    let at = directory.display();
    let tls = format!(
        "tls:\n  certificates:\n    - certFile: \"{at}/chain.pem\"\n      keyFile: \"{at}/key.pem\"\n"
    );
    let router = |name: &str, rest: &str| {
        format!(
            "    {name}:\n      rule: PathPrefix(`/`) || Path(`/{version}`)\n      service: both\n{rest}"
        )
    };
    let text = format!(
        "http:\n  routers:\n{}{}  services:\n    both:\n      loadBalancer:\n        servers:\n\
         \x20         - url: http://{}\n          - url: http://{}\n{tls}",
        router("plain", "      entryPoints: [web]\n"),
        router("secure", "      entryPoints: [websecure]\n      tls: {}\n"),
        servers[0],
        servers[1]
    );
    let draft = directory.join("draft");
    fs::write(&draft, text)?;
    fs::rename(draft, directory.join("rules/rules.yml"))?;
    Ok(())
}

fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
