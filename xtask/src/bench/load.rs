//! The load side: weir's own driver (proxy/examples/load.rs), or wrk with the same backend.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xtask::daemon::Daemon;

use super::pinned;
use crate::shell::{Outcome, output, target};

/// What wrk's OpenSSL is told: to offer what the project's own load side offers.
const OPENSSL: &str = "openssl_conf = main\n[main]\nssl_conf = modules\n[modules]\nsystem_default = tls\n\
    [tls]\nCiphersuites = TLS_AES_128_GCM_SHA256\nGroups = X25519\nMinProtocol = TLSv1.3\n";
/// How long a backend may take to start.
const START: Duration = Duration::from_secs(10);

/// What the clients do.
pub struct Load {
    pub connections: usize,
    pub bytes: usize,
    pub tls: bool,
    /// A new connection for each request.
    pub handshakes: bool,
    /// Those go on with a session of an earlier one.
    pub resumed: bool,
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    Own,
    Wrk,
}

/// What came of one run.
#[derive(Debug, Default)]
pub struct Measured {
    pub requests: u64,
    pub errors: u64,
    pub seconds: f64,
    /// Microseconds.
    pub p50: f64,
    /// Microseconds.
    pub p99: f64,
    /// Microseconds.
    pub max: f64,
    /// What the proxy used meanwhile.
    pub processor: Duration,
    /// Which part of the time that was: well below 1, something else was the limit.
    pub proxy_busy: f64,
    /// Which part of the time the proxy's processor was busy, with whatever.
    pub cpu_busy: f64,
}

impl Load {
    pub const fn new(connections: usize, bytes: usize) -> Self {
        Self {
            connections,
            bytes,
            tls: false,
            handshakes: false,
            resumed: false,
        }
    }

    pub const fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    pub const fn handshakes(self) -> Self {
        Self {
            handshakes: true,
            ..self
        }
    }

    pub const fn resumed(self) -> Self {
        Self {
            resumed: true,
            ..self
        }
    }
}

impl Driver {
    /// The backend, where the driver does not bring one itself.
    pub fn backend(self, address: SocketAddr) -> Outcome<Option<Daemon>> {
        match self {
            Self::Own => Ok(None),
            Self::Wrk => standing_backend(address).map(Some),
        }
    }

    pub fn drive(
        self,
        load: &Load,
        to: SocketAddr,
        backend: SocketAddr,
        chain: &Path,
        seconds: u32,
    ) -> Outcome<Measured> {
        match self {
            Self::Own => own(load, to, backend, chain, seconds),
            Self::Wrk => wrk(load, to, seconds),
        }
    }
}

/// The load side as a backend alone, on CPU 1.
pub fn standing_backend(address: SocketAddr) -> Outcome<Daemon> {
    let mut command = pinned(1, &load_binary());
    command.args(["--listen", &address.to_string()]);
    let mut daemon = Daemon::start(&mut command, None)?;
    daemon.listening(address, START)?;
    Ok(daemon)
}

pub fn load_binary() -> PathBuf {
    target().join("release/examples/load")
}

fn own(
    load: &Load,
    to: SocketAddr,
    backend: SocketAddr,
    chain: &Path,
    seconds: u32,
) -> Outcome<Measured> {
    let mut command = pinned(1, &load_binary());
    command
        .args(["--listen", &backend.to_string(), "--to", &to.to_string()])
        .args(["--connections", &load.connections.to_string()])
        .args(["--bytes", &load.bytes.to_string()])
        .args(["--seconds", &seconds.to_string()]);
    if load.tls {
        command.arg("--tls").arg(chain);
    }
    if load.handshakes {
        command.arg("--handshakes");
    }
    if load.resumed {
        command.arg("--resume");
    }
    let text = output(&mut command)?;
    let total = text.lines().find_map(|line| line.strip_prefix("total: "));
    let measured = total.and_then(figures);
    let mut measured = measured.ok_or_else(|| format!("the load side says {text:?}"))?;
    measured.seconds = f64::from(seconds);
    if load.resumed {
        all_resumed(
            &text,
            measured.requests.saturating_sub(load.connections as u64),
        )?;
    }
    Ok(measured)
}

/// Of the handshakes that may go on with a session: the first of each connection does not.
fn all_resumed(text: &str, of: u64) -> Outcome {
    let line = text.lines().find_map(|line| line.strip_prefix("resumed "));
    let resumed: u64 = line.and_then(|number| number.parse().ok()).unwrap_or(0);
    if resumed * 100 < of * 98 {
        return Err(format!("only {resumed} of {of} handshakes were resumed").into());
    }
    Ok(())
}

/// `requests 5 errors 0 p50 1 p99 2 max 3`.
pub fn figures(line: &str) -> Option<Measured> {
    let words: Vec<&str> = line.split(' ').collect();
    let figure = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse::<f64>().ok()
    };
    Some(Measured {
        requests: figure("requests")? as u64,
        errors: figure("errors")? as u64,
        p50: figure("p50")?,
        p99: figure("p99")?,
        max: figure("max")?,
        ..Measured::default()
    })
}

fn wrk(load: &Load, to: SocketAddr, seconds: u32) -> Outcome<Measured> {
    let directory = tempfile::tempdir()?;
    let settings = directory.path().join("openssl.cnf");
    fs::write(&settings, OPENSSL)?;
    let mut command = pinned(1, Path::new("wrk"));
    command.env("OPENSSL_CONF", settings);
    let scheme = if load.tls { "https" } else { "http" };
    command
        .args(["-t1", "--latency", &format!("-c{}", load.connections)])
        .args([
            format!("-d{seconds}s"),
            "-H".to_owned(),
            "Host: localhost".to_owned(),
        ]);
    if load.handshakes {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(format!("{scheme}://{to}/bytes/{}", load.bytes));
    let text = output(&mut command)?;
    wrk_figures(&text).ok_or_else(|| format!("wrk says {text:?}").into())
}

fn wrk_figures(text: &str) -> Option<Measured> {
    let after = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next())
    };
    // `  1234 requests in 2.00s, 1.5MB read`
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    let mut words = line.split_whitespace();
    let requests = words.next()?.parse().ok()?;
    let seconds = words.nth(2)?.trim_end_matches(',');
    // `Socket errors: connect 0, read 5, write 0, timeout 0`
    let errors = after("Socket errors:").map_or(0, |_| {
        let line = text.lines().find(|line| line.contains("Socket errors:"));
        let numbers = line.into_iter().flat_map(|line| line.split([' ', ',']));
        numbers.filter_map(|word| word.parse::<u64>().ok()).sum()
    });
    Some(Measured {
        requests,
        errors,
        seconds: micros(seconds)? / 1e6,
        p50: after("50%").and_then(micros)?,
        p99: after("99%").and_then(micros)?,
        ..Measured::default()
    })
}

/// `636.00us`, `1.25ms`, `2.00s`, `1.00m`.
fn micros(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 6e7)];
    units.iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * factor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_prints() {
        let text = "Running 2s test @ http://127.0.0.1:8080/bytes/1024\n  1 threads and 64 connections\n  \
            Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.10ms    2.00ms  30.00ms   95.00%\n  \
            Latency Distribution\n     50%  636.00us\n     75%    1.00ms\n     90%    2.00ms\n     99%    1.25ms\n  \
            12345 requests in 2.01s, 13.50MB read\n  Socket errors: connect 0, read 3, write 0, timeout 1\n\
            Requests/sec:   6141.00\n";
        let measured = wrk_figures(text).expect("figures");
        assert_eq!((measured.requests, measured.errors), (12345, 4));
        assert_eq!((measured.p50, measured.p99), (636.0, 1250.0));
        assert!((measured.seconds - 2.01).abs() < 1e-9);
    }

    #[test]
    fn reads_what_the_own_driver_prints() {
        let measured = figures("requests 5 errors 1 p50 10 p99 20 max 30").expect("figures");
        assert_eq!((measured.requests, measured.errors), (5, 1));
        assert_eq!(
            (measured.p50, measured.p99, measured.max),
            (10.0, 20.0, 30.0)
        );
    }
}
