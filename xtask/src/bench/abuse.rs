//! What an innocent client notices of the eleven shapes of HTTP/2 abuse: its p99 alone, beside the attacker at the same
//! rate against a listener that discards, and beside the attack on weir itself.
//!
//! weir and the listener have CPU 0, one at a time; attacker, innocent and backend (`proxy/examples/load.rs`, which
//! costs least) have CPU 1, each a process of its own. An attacker whose connection is cut opens the next one at once.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use xtask::daemon::{Daemon, free_address};

use super::load::standing_backend;
use super::{median, pinned, sorted};
use crate::shell::{Outcome, cargo, output, run as run_command, target};

/// How long the innocent client is measured each time, for what weir stops at once.
const SECONDS: u64 = 8;
/// Requests of the innocent client in a second.
const INNOCENT_RATE: u32 = 500;
/// How long weir may take to start.
const START: Duration = Duration::from_secs(20);

/// A shape of abuse.
struct Shape {
    name: &'static str,
    /// What weir calls it in its log.
    logged: &'static str,
    /// Before the first frame: settings of the client.
    settings: &'static [u8],
    /// The bytes of one step; on a connection they are counted from 0.
    step: fn(u32) -> Vec<u8>,
    /// Steps a second.
    rate: u32,
    /// Whether each step is a connection of its own, that is left open.
    connections: bool,
    seconds: u64,
}

const fn flood(name: &'static str, step: fn(u32) -> Vec<u8>) -> Shape {
    Shape {
        name,
        logged: name,
        settings: &[],
        step,
        rate: 20_000,
        connections: false,
        seconds: SECONDS,
    }
}

const SHAPES: &[Shape] = &[
    flood("rapid_reset", |count| {
        let reset = frame(3, 0, stream(count), &8u32.to_be_bytes());
        [get(count, 5, "/"), reset].concat()
    }),
    flood("made_you_reset", |count| {
        let widen = frame(8, 0, stream(count), &0x7fff_ffff_u32.to_be_bytes());
        [get(count, 4, "/"), widen].concat()
    }),
    flood("continuation", |count| match count {
        0 => get(0, 1, "/"),
        _ => frame(9, 0, 1, &block(&[("x", "y")])),
    }),
    flood("empty_continuation", |count| match count {
        0 => get(0, 1, "/"),
        _ => frame(9, 0, 1, &[]),
    }),
    flood("settings", |_| frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])),
    flood("ping", |_| frame(6, 0, 0, &[0; 8])),
    flood("priority", |count| {
        frame(2, 0, stream(count), &[0, 0, 0, 0, 9])
    }),
    flood("empty_data", |count| match count {
        0 => get(0, 4, "/"),
        _ => frame(0, 0, 1, &[]),
    }),
    Shape {
        rate: 500,
        ..flood("header_bomb", |count| frame(1, 5, stream(count), &bomb()))
    },
    Shape {
        logged: "unfinished_frame",
        connections: true,
        rate: 50,
        seconds: 15,
        ..flood("half_header_block", |_| get(0, 1, "/"))
    },
    Shape {
        connections: true,
        settings: &[0, 4, 0, 0, 0, 0],
        rate: 10,
        seconds: 40,
        // More than weir takes ahead for a stream, and little enough that the backend, which has the innocent's CPU, is
        // not what is measured.
        ..flood("zero_window", |_| {
            (0..20)
                .flat_map(|count| get(count, 5, "/bytes/100000"))
                .collect()
        })
    },
];

/// `[--debug] [SHAPE...]`, or one of the processes that it starts.
pub fn run(arguments: &[String]) -> Outcome {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--debug", ref shapes @ ..] => measure(true, shapes),
        ["attacker", shape, to, seconds] => attack(named(shape)?, address(to)?, number(seconds)?),
        ["innocent", to, seconds] => ask(address(to)?, number(seconds)?),
        ["discarder", at] => discard(address(at)?),
        ref shapes => measure(false, shapes),
    }
}

/// All shapes, or those named.
fn measure(debug: bool, wanted: &[&str]) -> Outcome {
    wanted.iter().try_for_each(|name| named(name).map(drop))?;
    let profile: &[&str] = if debug { &[] } else { &["--release"] };
    let build = ["build", "--quiet", "-p", "weir", "--bin", "weir"];
    run_command(&mut cargo(&[&build, profile].concat()))?;
    super::build_load()?;
    let kind = if debug { "debug" } else { "release" };
    let backend = free_address();
    let _standing = standing_backend(backend)?;
    let weir = Weir::start(&target().join(kind).join("weir"), backend)?;
    let discarder = free_address();
    let mut listener = Daemon::start(&mut own(0, &["discarder", &discarder.to_string()])?, None)?;
    listener.listening(discarder, START)?;
    println!(
        "cargo xtask bench abuse ({kind} build; the innocent client does {INNOCENT_RATE} requests a second)\n\
         {:18} {:>8} {:>7} {:>12} {:>8} {:>12} {:>12} {:>8}",
        "p99 us", "steps/s", "cut", "after steps", "alone", "beside disc.", "beside weir", "errors"
    );
    let wants = |shape: &&Shape| wanted.is_empty() || wanted.contains(&shape.name);
    for shape in SHAPES.iter().filter(wants) {
        let alone = innocent(weir.address, SECONDS)?;
        let (beside, _) = besides(shape, discarder, &weir)?;
        let (attacked, attacker) = besides(shape, weir.address, &weir)?;
        let figure = |name: &str| figure(&attacker, name).unwrap_or(f64::NAN);
        println!(
            "{:18} {:8.0} {:7} {:12} {:8.0} {:12.0} {:12.0} {:8.0}",
            shape.name,
            figure("rate"),
            figure("cut"),
            figure("after"),
            alone.p99,
            beside.p99,
            attacked.p99,
            alone.errors + beside.errors + attacked.errors,
        );
        let told = format!("shape=\"{}\"", shape.logged);
        if !weir.daemon.log().contains(&told) {
            println!("{:18} was not stopped by that name: {told}", "");
        }
    }
    Ok(())
}

/// The innocent client's figures beside an attacker, and what that says.
fn besides(shape: &Shape, to: SocketAddr, weir: &Weir) -> Outcome<(Innocent, String)> {
    let seconds = shape.seconds.to_string();
    let mut command = own(1, &["attacker", shape.name, &to.to_string(), &seconds])?;
    let attacker = thread::spawn(move || output(&mut command));
    // The first second is the attacker's to get going.
    thread::sleep(Duration::from_secs(1));
    let innocent = innocent(weir.address, shape.seconds - 2)?;
    let said = attacker.join().map_err(|_| "the attacker's thread")??;
    Ok((innocent, said))
}

struct Innocent {
    p99: f64,
    errors: f64,
}

fn innocent(to: SocketAddr, seconds: u64) -> Outcome<Innocent> {
    let text = output(&mut own(
        1,
        &["innocent", &to.to_string(), &seconds.to_string()],
    )?)?;
    let figure = |name| figure(&text, name).ok_or_else(|| format!("the client says {text:?}"));
    Ok(Innocent {
        p99: figure("p99")?,
        errors: figure("errors")?,
    })
}

/// The number after a word.
fn figure(text: &str, name: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == name)?;
    words.next()?.parse().ok()
}

/// This program as another process.
fn own(cpu: usize, arguments: &[&str]) -> Outcome<Command> {
    let mut command = pinned(cpu, &env::current_exe()?);
    command.args(["bench", "abuse"]).args(arguments);
    Ok(command)
}

/// weir with one entry point and one worker.
struct Weir {
    // Before its directory.
    daemon: Daemon,
    _directory: tempfile::TempDir,
    address: SocketAddr,
}

impl Weir {
    fn start(binary: &Path, server: SocketAddr) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        let (at, address) = (directory.path().display().to_string(), free_address());
        let config: PathBuf = directory.path().join("weir.yml");
        std::fs::create_dir(directory.path().join("rules"))?;
        std::fs::write(
            &config,
            format!(
                "entryPoints: {{web: {{address: '{address}'}}}}\nproviders: {{file: {{directory: '{at}/rules'}}}}\n\
                 runtimeDir: '{at}/run'\nworkers: 1\nlog: {{level: INFO}}\n"
            ),
        )?;
        std::fs::write(
            directory.path().join("rules/rules.yml"),
            format!(
                "http:\n  routers: {{all: {{rule: PathPrefix(`/`), service: a}}}}\n  services: {{a: {{loadBalancer: \
                 {{servers: [{{url: 'http://{server}'}}]}}}}}}\n"
            ),
        )?;
        let mut command = pinned(0, binary);
        command.arg("--configFile").arg(&config);
        command.env("WEIR_STATEDIR", directory.path().join("state"));
        let mut daemon = Daemon::start(&mut command, None)?;
        daemon.listening(address, START)?;
        Ok(Self {
            daemon,
            _directory: directory,
            address,
        })
    }
}

/// The innocent client: one connection, requests of 1 KiB at a steady rate.
fn ask(to: SocketAddr, seconds: u64) -> Outcome {
    let (begun, mut times, mut errors) = (Instant::now(), Vec::new(), 0);
    let mut connection = connect(to).ok();
    let mut answer = vec![0; 64 << 10];
    for count in 0..seconds as u32 * INNOCENT_RATE {
        let due = begun + Duration::from_secs(1) * count / INNOCENT_RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let start = Instant::now();
        let outcome = match &mut connection {
            Some(socket) => request(socket, &mut answer),
            None => Err(ErrorKind::NotConnected.into()),
        };
        if outcome.is_err() {
            errors += 1;
            connection = connect(to).ok();
            continue;
        }
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let times = sorted(times.into_iter());
    if times.is_empty() {
        return Err("no request was answered".into());
    }
    let p99 = times[times.len() * 99 / 100];
    println!(
        "requests {} errors {errors} p50 {:.0} p99 {p99:.0}",
        times.len(),
        median(&times)
    );
    Ok(())
}

fn request(socket: &mut TcpStream, answer: &mut [u8]) -> std::io::Result<()> {
    socket.write_all(b"GET /bytes/1024 HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut got = 0;
    loop {
        let more = socket.read(&mut answer[got..])?;
        got += more;
        let end = answer[..got]
            .windows(4)
            .position(|part| part == b"\r\n\r\n");
        match end {
            Some(end) if got >= end + 4 + 1024 => return Ok(()),
            _ if more == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
    }
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    Ok(socket)
}

/// Reads whatever comes and throws it away.
fn discard(at: SocketAddr) -> Outcome {
    for stream in TcpListener::bind(at)?.incoming() {
        let mut stream = stream?;
        thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    }
    Ok(())
}

/// One connection of the attacker.
struct Victim {
    socket: TcpStream,
    steps: u32,
    closed: bool,
}

impl Victim {
    fn open(shape: &Shape, to: SocketAddr) -> std::io::Result<Self> {
        let mut socket = connect(to)?;
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        socket.write_all(&frame(4, 0, 0, shape.settings))?;
        socket.write_all(&frame(4, 1, 0, &[]))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            steps: 0,
            closed: false,
        })
    }

    /// Takes what has come, and looks whether that was the end.
    fn listen(&mut self) {
        let mut piece = [0; 64 << 10];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => break self.closed = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => break self.closed = true,
            }
        }
    }

    /// Sends as much of it as is taken; a step in two halves would be another attack.
    fn send(&mut self, bytes: &[u8], steps: u32) {
        let mut left = bytes;
        while !left.is_empty() && !self.closed {
            match self.socket.write(left) {
                Ok(sent) => left = &left[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                    self.listen();
                }
                Err(_) => self.closed = true,
            }
        }
        self.steps += steps;
    }
}

/// Sends steps at the shape's rate, in the clear. Says how many, how often it was cut, and after how many steps.
fn attack(shape: &Shape, to: SocketAddr, seconds: u64) -> Outcome {
    let begun = Instant::now();
    let (mut done, mut after) = (0u32, Vec::new());
    let mut victims: Vec<Victim> = Vec::new();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let due = (begun.elapsed().as_secs_f64() * f64::from(shape.rate)) as u32;
        let mut batch = due.saturating_sub(done).min(shape.rate / 100 + 1);
        done += batch;
        while batch > 0 {
            if victims.is_empty() || shape.connections {
                victims.extend(Victim::open(shape, to));
            }
            let Some(victim) = victims.last_mut() else {
                break;
            };
            let steps = if shape.connections { 1 } else { batch };
            let first = victim.steps;
            let bytes: Vec<u8> = (first..first + steps).flat_map(shape.step).collect();
            victim.send(&bytes, steps);
            batch -= steps;
        }
        for victim in &mut victims {
            victim.listen();
        }
        victims.retain(|victim| {
            if victim.closed {
                after.push(f64::from(victim.steps));
            }
            !victim.closed
        });
        thread::sleep(Duration::from_millis(1));
    }
    let cut = after.len();
    let after = sorted(after.into_iter());
    let after = if cut > 0 { median(&after) } else { f64::NAN };
    println!("rate {} cut {cut} after {after}", done / seconds as u32);
    Ok(())
}

fn named(name: &str) -> Outcome<&'static Shape> {
    let found = SHAPES.iter().find(|shape| shape.name == name);
    let names = || SHAPES.iter().map(|shape| shape.name).collect::<Vec<_>>();
    found.ok_or_else(|| format!("{name:?} is none of --debug, {}", names().join(", ")).into())
}

fn address(text: &str) -> Outcome<SocketAddr> {
    text.parse()
        .map_err(|_| format!("{text:?} is no address").into())
}

fn number(text: &str) -> Outcome<u64> {
    text.parse()
        .map_err(|_| format!("{text:?} is no number").into())
}

fn stream(count: u32) -> u32 {
    2 * count + 1
}

fn get(count: u32, flags: u8, path: &str) -> Vec<u8> {
    frame(1, flags, stream(count), &request_block(path))
}

fn request_block(path: &str) -> Vec<u8> {
    block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.example"),
    ])
}

/// One field of 4,000 bytes in the table, then 12,000 references to it.
fn bomb() -> Vec<u8> {
    let mut bomb = request_block("/");
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4_000]);
    bomb.extend([0xbe; 12_000]);
    bomb
}

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Literals that nobody indexes, shorter than 127 bytes (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(text.len() as u8);
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}
