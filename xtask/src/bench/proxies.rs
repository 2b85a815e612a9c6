//! The proxies that are measured, each with the same job: everything to one backend, in the clear and over TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use xtask::certificate::Certificate;
use xtask::daemon::{Daemon, free_address};

use super::{pinned, weir};
use crate::shell::{Outcome, cargo, find, repository, run as run_command, target};

/// How long one may take to start.
const START: Duration = Duration::from_secs(20);

/// The hard limit under which many idle connections are held.
pub const DESCRIPTORS: u64 = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Weir,
    Nginx,
    Haproxy,
    /// The relay on weir's driver.
    Relay,
    /// The relay on tokio-uring.
    TokioUring,
    /// The relay on tokio.
    Tokio,
}

/// A running proxy.
pub struct Proxy {
    kind: Kind,
    // Before its directory.
    daemon: Daemon,
    directory: tempfile::TempDir,
    pub plain: SocketAddr,
    pub secure: SocketAddr,
}

/// Where a proxy is and what it serves.
struct Place<'a> {
    directory: &'a Path,
    plain: SocketAddr,
    secure: SocketAddr,
    backend: SocketAddr,
    workers: usize,
}

/// A program that may have [`DESCRIPTORS`] open and no more.
fn limited(program: &Path) -> Command {
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}"))
        .arg(program);
    command
}

/// Builds the relays, with the versions that weir has of what both use.
pub fn build_relays() -> Outcome {
    let package = repository().join("bench/relay");
    fs::copy(repository().join("Cargo.lock"), package.join("Cargo.lock"))?;
    let mut command = cargo(&["build", "--release", "--quiet", "--target-dir"]);
    run_command(command.arg(target()).current_dir(package))
}

impl Kind {
    /// The same relay, on three drivers.
    pub const RELAYS: [Self; 3] = [Self::Relay, Self::TokioUring, Self::Tokio];

    pub fn installed() -> impl Iterator<Item = Self> {
        let all = [Self::Weir, Self::Nginx, Self::Haproxy];
        all.into_iter().filter(|kind| kind.program().is_some())
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Relay => "driver",
            Self::TokioUring => "tokio-uring",
            Self::Tokio => "tokio",
        }
    }

    fn program(self) -> Option<PathBuf> {
        match self {
            Self::Weir => Some(weir()),
            relay if Self::RELAYS.contains(&relay) => Some(target().join("release/bench-relay")),
            other => find(other.name()),
        }
    }
}

impl Proxy {
    /// Starts it with so many workers: one is pinned to CPU 0. Several are not (nginx and HAProxy have one), and may
    /// have [`DESCRIPTORS`] open.
    pub fn start(kind: Kind, backend: SocketAddr, workers: usize) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        Certificate::new("localhost")?.write(directory.path())?;
        let place = Place {
            directory: directory.path(),
            plain: free_address(),
            secure: free_address(),
            backend,
            workers,
        };
        let program = kind
            .program()
            .ok_or_else(|| format!("{} is not installed", kind.name()))?;
        let mut command = match workers {
            1 => pinned(0, &program),
            _ => limited(&program),
        };
        match kind {
            Kind::Weir => place.weir(&mut command)?,
            Kind::Nginx => place.nginx(&mut command)?,
            Kind::Haproxy => place.haproxy(&mut command)?,
            Kind::Relay => place.relay(&mut command, "weir"),
            Kind::TokioUring => place.relay(&mut command, "tokio-uring"),
            Kind::Tokio => place.relay(&mut command, "tokio"),
        }
        let (plain, secure) = (place.plain, place.secure);
        let mut daemon = Daemon::start(&mut command, None)?;
        daemon.listening(plain, START)?;
        if !Kind::RELAYS.contains(&kind) {
            daemon.listening(secure, START)?;
        }
        Ok(Self {
            kind,
            daemon,
            directory,
            plain,
            secure,
        })
    }

    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// `taskset` or `prlimit` has become the proxy itself.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// The certificate that it shows, as PEM.
    pub fn chain(&self) -> PathBuf {
        self.directory.path().join("chain.pem")
    }
}

impl Place<'_> {
    fn weir(&self, command: &mut Command) -> Outcome {
        let at = self.directory.display();
        let (plain, secure) = (self.plain, self.secure);
        let config = self.directory.join("weir.yml");
        fs::create_dir(self.directory.join("rules"))?;
        fs::write(
            &config,
            format!(
                "entryPoints:\n  web:\n    address: \"{plain}\"\n  websecure:\n    address: \"{secure}\"\n\
                 providers:\n  file:\n    directory: \"{at}/rules\"\nruntimeDir: \"{at}/run\"\nworkers: {}\n",
                self.workers
            ),
        )?;
        fs::write(
            self.directory.join("rules/rules.yml"),
            format!(
                "http:\n  routers:\n    plain:\n      rule: PathPrefix(`/`)\n      entryPoints: [web]\n\
                 \x20     service: a\n\
                 \x20   secure:\n      rule: PathPrefix(`/`)\n      entryPoints: [websecure]\n\
                 \x20     service: a\n      tls: {{}}\n\
                 \x20 serversTransports:\n    as-nginx:\n      maxIdleConnsPerHost: 512\n\
                 \x20 services:\n    a:\n      loadBalancer:\n        serversTransport: as-nginx\n        \
                 servers:\n          \
                 - url: http://{}\n\
                 tls:\n  certificates:\n    - certFile: \"{at}/chain.pem\"\n      keyFile: \"{at}/key.pem\"\n",
                self.backend
            ),
        )?;
        command
            .arg("--configFile")
            .arg(config)
            .env("WEIR_STATEDIR", self.directory.join("state"));
        Ok(())
    }

    fn nginx(&self, command: &mut Command) -> Outcome {
        let at = self.directory.display();
        let (plain, secure, backend) = (self.plain, self.secure, self.backend);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
            .collect();
        let config = self.directory.join("nginx.conf");
        // Bodies that nobody reads stay out of temporary files: they would be gigabytes.
        fs::write(
            &config,
            format!(
                "daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000; pid {at}/pid;\n\
                 error_log {at}/error.log crit; events {{ worker_connections 9000; }}\n\
                 http {{ access_log off; keepalive_requests 100000000; proxy_max_temp_file_size 0; {temporary}\n\
                 upstream backend {{ server {backend}; keepalive 512; keepalive_requests 100000000; }}\n\
                 server {{ listen {plain}; listen {secure} ssl; ssl_protocols TLSv1.3;\n\
                 ssl_certificate {at}/chain.pem; ssl_certificate_key {at}/key.pem; ssl_ecdh_curve X25519;\n\
                 ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n\
                 location / {{ proxy_pass http://backend; proxy_http_version 1.1;\n\
                 proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n"
            ),
        )?;
        command.arg("-p").arg(self.directory).arg("-c").arg(config);
        Ok(())
    }

    fn haproxy(&self, command: &mut Command) -> Outcome {
        let at = self.directory.display();
        let config = self.directory.join("haproxy.cfg");
        fs::write(
            &config,
            format!(
                "global\n  nbthread 1\n  maxconn 9000\n  ssl-default-bind-options ssl-min-ver TLSv1.3\n\
                 defaults\n  mode http\n  option forwardfor\n  http-reuse safe\n  timeout connect 10s\n  \
                 timeout client 120s\n  timeout server 120s\n\
                 frontend web\n  bind {}\n  bind {} ssl crt {at}/both.pem curves X25519 ciphersuites \
                 TLS_AES_128_GCM_SHA256\n  default_backend backend\n\
                 backend backend\n  server one {}\n",
                self.plain, self.secure, self.backend
            ),
        )?;
        command.arg("-db").arg("-f").arg(config);
        Ok(())
    }

    fn relay(&self, command: &mut Command, runtime: &str) {
        let addresses = [self.plain, self.backend].map(|address| address.to_string());
        command.arg(runtime).args(addresses);
    }
}
