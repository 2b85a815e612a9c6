//! nginx as a server behind weir.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use tempfile::TempDir;
use xtask::daemon::Daemon;

use super::pki::Pair;
use crate::support::{DEADLINE, free_port};

/// Says whether nginx is installed; without it the caller returns and counts as skipped.
#[must_use]
pub fn require() -> bool {
    let found = Command::new("nginx").arg("-v").output().is_ok();
    if !found {
        println!("skipped: needs nginx (apt install nginx-light)");
    }
    found
}

/// A configuration that is being put together.
pub struct Nginx {
    dir: TempDir,
    servers: String,
    ports: Vec<u16>,
}

/// A running nginx; it ends when dropped.
pub struct Running {
    // First, so that it ends before its directory goes.
    _daemon: Daemon,
    _dir: TempDir,
}

impl Default for Nginx {
    fn default() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a scratch directory"),
            servers: String::new(),
            ports: Vec::new(),
        }
    }
}

impl Nginx {
    /// Writes a file for it and says where that is.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// A server in the clear, with more directives; its port.
    pub fn plain(&mut self, more: &str) -> u16 {
        self.server("", more)
    }

    /// A server over TLS with this certificate; its port.
    pub fn tls(&mut self, pair: &Pair, more: &str) -> u16 {
        self.secure("ssl", pair, more)
    }

    fn secure(&mut self, listen: &str, pair: &Pair, more: &str) -> u16 {
        let number = self.ports.len();
        let certificate = self.write(&format!("{number}.pem"), &pair.certificate);
        let key = self.write(&format!("{number}.key"), &pair.key);
        let pair = format!("ssl_certificate {certificate}; ssl_certificate_key {key};");
        self.server(listen, &format!("{pair} {more}"))
    }

    /// The same, which chooses HTTP/2 where it is offered.
    pub fn tls_http2(&mut self, pair: &Pair, more: &str) -> u16 {
        self.secure("ssl http2", pair, more)
    }

    /// A server whose `listen` has these parameters; its port.
    pub fn server(&mut self, listen: &str, more: &str) -> u16 {
        const SAYS: &str = "client=$ssl_client_s_dn sni=$ssl_server_name resumed=$ssl_session_reused \
                            proxied=$proxy_protocol_addr:$proxy_protocol_port host=$host";
        let port = free_port();
        writeln!(
            self.servers,
            "server {{ listen 127.0.0.1:{port} {listen}; {more} location / {{ return 200 \"{SAYS}\"; }} }}"
        )
        .expect("a string");
        self.ports.push(port);
        port
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let dir = self.dir.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {dir}/{kind}; "))
            .concat();
        let text = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log stderr;\nevents {{ worker_connections 2048; }}\n\
             http {{ access_log off; {temporary}\n{} }}\n",
            self.servers
        );
        let config = self.write("nginx.conf", &text);
        let prefix = self.dir.path().display().to_string();
        let mut command = Command::new("nginx");
        command.args(["-c", &config, "-p", &prefix, "-e", "stderr"]);
        let mut daemon = Daemon::start(&mut command, None).expect("nginx starts");
        for port in &self.ports {
            let listening = daemon.listening(([127, 0, 0, 1], *port).into(), DEADLINE);
            listening.unwrap_or_else(|error| panic!("{error}"));
        }
        Running {
            _daemon: daemon,
            _dir: self.dir,
        }
    }
}
