//! One weir with an origin of its own: cases go through it one after the other, each on a fresh connection, so that
//! what the origin has recorded meanwhile is what became of the case.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Seen;
use super::generate::Case;
use super::origin::Origin;
use crate::daemon::{Daemon, free_address};

/// A case has its answers after this, or something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running weir in front of a recording origin.
pub struct Lane {
    // First: it ends before its directory goes.
    _weir: Daemon,
    _directory: tempfile::TempDir,
    origin: Origin,
    address: SocketAddr,
}

impl Lane {
    pub fn start(binary: &Path) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let origin = Origin::start()?;
        let address = free_address();
        let at = directory.path().display().to_string();
        fs::create_dir(directory.path().join("rules"))?;
        let config = directory.path().join("weir.yml");
        fs::write(
            &config,
            format!(
                "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{at}/rules\"\n\
                 runtimeDir: \"{at}/run\"\nworkers: 1\nlog:\n  level: ERROR\n"
            ),
        )?;
        fs::write(
            directory.path().join("rules/rules.yml"),
            format!(
                "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: a\n  services:\n    a:\n\
                 \x20     loadBalancer:\n        servers:\n          - url: http://{}\n",
                origin.address
            ),
        )?;
        let mut command = Command::new(binary);
        command.arg("--configFile").arg(&config);
        command.env("WEIR_STATEDIR", directory.path().join("state"));
        let mut weir = Daemon::start(&mut command, None)?;
        weir.listening(address, PATIENCE)?;
        Ok(Self {
            _weir: weir,
            _directory: directory,
            origin,
            address,
        })
    }

    /// Sends a case and the end of it; gives back what the origin has seen once weir has closed the connection.
    ///
    /// # Errors
    /// weir forwarded what is ambiguous, or did not come to an end.
    pub fn send(&self, case: &Case) -> io::Result<Vec<Seen>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // weir may close before it has been sent everything: that is an answer too.
        let mut sent = Ok(());
        for piece in case.pieces() {
            sent = sent.and_then(|()| stream.write_all(piece));
        }
        if sent.is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answers = Vec::new();
        let read = stream.read_to_end(&mut answers);
        if let Err(error) = read
            && error.kind() == io::ErrorKind::WouldBlock
        {
            return Err(io::Error::other("the connection does not end"));
        }
        let recorded = self.origin.take();
        if let Some(text) = recorded.ambiguous.first() {
            return Err(io::Error::other(format!("forwarded: {text}")));
        }
        let named = |seen| Seen {
            seed: case.seed,
            ..seen
        };
        Ok(recorded.requests.into_iter().map(named).collect())
    }
}
