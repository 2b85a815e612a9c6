//! TLS handshakes with servers that are checked: milliseconds of computing each, on a thread of their own at low
//! priority, which begins with the first of them. The control thread waits for their sockets.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{Connect, TlsConnector};

use crate::sys;

/// That thread. Clones are one and the same; it ends with the last of them.
#[derive(Clone, Debug, Default)]
pub struct Handshakes(Arc<OnceLock<Option<Computing>>>);

#[derive(Debug)]
struct Computing {
    handle: Handle,
    #[expect(dead_code, reason = "the thread ends when it is dropped")]
    stop: oneshot::Sender<()>,
}

impl Computing {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            sys::lower_priority();
            // The sender says nothing; it is dropped.
            let _ = runtime.block_on(stopped);
        };
        thread::Builder::new()
            .name("handshakes".to_owned())
            .spawn(run)?;
        Ok(Self { handle, stop })
    }
}

impl Handshakes {
    /// Agrees on TLS with a server. Dropped before its end, it is given up.
    ///
    /// # Errors
    /// As [`TlsConnector::connect`].
    pub async fn connect(
        &self,
        config: ClientConfig,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connect: Connect<TcpStream> =
            TlsConnector::from(Arc::new(config)).connect(name, stream);
        let Some(computing) = self.0.get_or_init(|| Computing::start().ok()) else {
            // No thread can be had: slower for others, but as good.
            return connect.await;
        };
        let mut one = JoinSet::new();
        one.spawn_on(connect, &computing.handle);
        match one.join_next().await {
            Some(Ok(connected)) => connected,
            Some(Err(error)) => Err(io::Error::other(error)),
            None => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_another_threads_and_that_ends() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let computing = Computing::start().unwrap();
        let task = computing
            .handle
            .spawn(async { thread::current().name().map(str::to_owned) });
        let name = runtime.block_on(task).unwrap();
        assert_eq!(name.as_deref(), Some("handshakes"));
        let handle = computing.handle.clone();
        drop(computing);
        let never = handle.spawn(std::future::pending::<()>());
        assert!(runtime.block_on(never).unwrap_err().is_cancelled());
    }
}
