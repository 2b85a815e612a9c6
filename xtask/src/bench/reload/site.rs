//! weir with 10,000 routers in 2,000 files, and the servers that are really there.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use xtask::backend::Backend;
use xtask::daemon::{Daemon, free_address};
use xtask::process;

use super::super::weir;
use crate::shell::Outcome;

/// Rule files.
const FILES: usize = 2_000;
/// Routers in each.
const ROUTERS: usize = 5;
/// How often weir asks [`Probed`].
pub const INTERVAL: Duration = Duration::from_millis(20);
/// How long a start may take.
const START: Duration = Duration::from_secs(30);
/// The key of RFC 6455's example and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The site, running.
pub struct Site {
    // Before its directory.
    daemon: Daemon,
    directory: tempfile::TempDir,
    pub plain: SocketAddr,
    pub probed: Probed,
    _server: Backend,
    version: usize,
}

impl Site {
    pub fn start() -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        let at = directory.path().display().to_string();
        let (plain, server) = (
            free_address(),
            Backend::plain("a", (Ipv4Addr::LOCALHOST, 0))?,
        );
        let (probed, tunnels) = (Probed::start()?, websockets()?);
        fs::create_dir(directory.path().join("rules"))?;
        fs::write(
            directory.path().join("weir.yml"),
            format!(
                "entryPoints:\n  web:\n    address: \"{plain}\"\nproviders:\n  file:\n    directory: \"{at}/rules\"\n    \
                 watch: false\nruntimeDir: \"{at}/run\"\nstateDir: \"{at}/state\"\nworkers: 1\nlog:\n  level: WARN\n"
            ),
        )?;
        let (probe, server_at) = (probed.address, server.address());
        write(
            directory.path(),
            "main",
            &format!(
                "http:\n  routers:\n    main: {{rule: \"!HostRegexp(`site`)\", service: main}}\n    \
                 tunnels: {{rule: \"Host(`tunnels`)\", priority: 100, service: tunnels}}\n  services:\n    \
                 main: {{loadBalancer: {{servers: [{{url: \"http://{server_at}\"}}]}}}}\n    \
                 tunnels: {{loadBalancer: {{servers: [{{url: \"http://{tunnels}\"}}]}}}}\n    \
                 probed: {{loadBalancer: {{healthCheck: {{path: /, interval: {}ms}}, servers: [{{url: \"http://{probe}\"}}]}}}}\n",
                INTERVAL.as_millis()
            ),
        )?;
        for file in 0..FILES {
            write(directory.path(), &format!("app-{file}"), &rules(file, 0))?;
        }
        let mut command = Command::new(weir());
        command
            .arg("--configFile")
            .arg(directory.path().join("weir.yml"));
        let mut daemon = Daemon::start(&mut command, None)?;
        daemon.listening(plain, START)?;
        Ok(Self {
            daemon,
            directory,
            plain,
            probed,
            _server: server,
            version: 0,
        })
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// What weir with these arguments says.
    pub fn weir(&self, arguments: &[&str]) -> Outcome<Output> {
        let mut command = Command::new(weir());
        command
            .args(arguments)
            .arg("--configFile")
            .arg(self.directory.path().join("weir.yml"));
        Ok(command.output()?)
    }

    /// Changes a file and has all of them read again; how long that took.
    pub fn reload(&mut self) -> Outcome<Duration> {
        self.version += 1;
        let file = self.version % FILES;
        write(
            self.directory.path(),
            &format!("app-{file}"),
            &rules(file, self.version),
        )?;
        let begun = Instant::now();
        let output = self.weir(&["reload"])?;
        match output.status.success() {
            true => Ok(begun.elapsed()),
            false => Err(format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
            .into()),
        }
    }

    /// Loads of rules that are in memory.
    pub fn held(&self) -> Outcome<u64> {
        let output = self.weir(&["status", "--json"])?;
        let status: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        Ok(status["loads_held"].as_u64().unwrap_or_default())
    }

    pub fn resident(&self) -> Outcome<u64> {
        Ok(process::resident(self.pid())?)
    }

    pub fn rules_directory(&self) -> String {
        self.directory.path().join("rules").display().to_string()
    }

    /// A WebSocket through weir.
    pub fn websocket(&self) -> Outcome<TcpStream> {
        let mut stream = TcpStream::connect(self.plain)?;
        stream.set_read_timeout(Some(START))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: tunnels\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )?;
        let head = head(&mut BufReader::with_capacity(1, &stream))?;
        match head.contains(" 101 ") {
            true => Ok(stream),
            false => Err(head.into()),
        }
    }
}

/// Ping, and the same comes back.
pub fn echoes(stream: &mut TcpStream) -> Outcome {
    let mut back = [0; 4];
    stream.write_all(b"ping")?;
    stream.read_exact(&mut back)?;
    match &back == b"ping" {
        true => Ok(()),
        false => Err("something else came back".into()),
    }
}

/// A server that notes when it is asked.
pub struct Probed {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Probed {
    fn start() -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let probed = Self {
            address: listener.local_addr()?,
            asked: Arc::clone(&asked),
        };
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                asked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Instant::now());
                // A probe that has gone is nobody's loss.
                let _ = head(&mut BufReader::new(&stream));
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        });
        Ok(probed)
    }

    /// The longest time between two probes since the last question, beyond the interval.
    pub fn latest(&self) -> Duration {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let gaps = asked.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default().saturating_sub(INTERVAL)
    }
}

/// Where a server is that takes every upgrade and echoes what comes.
fn websockets() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                head(&mut reader)?;
                write!(
                    &stream,
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
                )?;
                std::io::copy(&mut reader, &mut &stream)
            });
        }
    });
    Ok(address)
}

fn head(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    Ok(head)
}

fn rules(file: usize, version: usize) -> String {
    let mut text = "http:\n  routers:\n".to_owned();
    for router in 0..ROUTERS {
        text += &format!(
            "    app-{file}-{router}:\n      rule: Host(`app-{file}-{router}.site.example.org`) && PathPrefix(`/v{version}`)\n      \
             service: app-{file}\n      entryPoints: [web]\n"
        );
    }
    let (high, low) = (file / 250, file % 250 + 1);
    text + &format!(
        "  services:\n    app-{file}:\n      loadBalancer:\n        servers:\n          - url: http://192.0.{high}.{low}:8080\n"
    )
}

fn write(directory: &Path, name: &str, text: &str) -> Outcome {
    let draft = directory.join("draft");
    fs::write(&draft, text)?;
    Ok(fs::rename(
        draft,
        directory.join("rules").join(format!("{name}.yml")),
    )?)
}
