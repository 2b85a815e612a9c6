//! The task of one connection: moves its frames, and asks a server that is silent whether it is still there.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tracing::debug;

use crate::limits;
use crate::transport::{Duplex, Transport};
use crate::uring;

pub(super) struct Driver {
    pub transport: Rc<Transport>,
    /// When something was received last.
    pub heard: Rc<Cell<Instant>>,
    /// To be told when the connection takes no more requests.
    pub ended: Rc<Cell<bool>>,
    /// `readIdleTimeout`
    pub read_idle: Option<Duration>,
    /// `pingTimeout`
    pub pong_within: Duration,
}

impl Driver {
    /// Runs until the connection has ended, or its server is taken for gone. `opened` is told once it takes requests.
    pub async fn run(self, mut frames: Connection<Duplex, Bytes>, opened: watch::Sender<bool>) {
        let pings = frames.ping_pong();
        let outcome = {
            let mut watch = pin!(self.watch(pings, opened));
            tokio::select! {
                biased;
                outcome = &mut frames => Some(outcome),
                () = &mut watch => None,
            }
        };
        self.ended.set(true);
        let server = self.transport.peer_addr();
        match outcome {
            Some(Ok(())) => {}
            Some(Err(error)) => debug!(%server, "HTTP/2 with a server ends: {error}"),
            None => {
                debug!(%server, "HTTP/2 with a server ends: a PING was not answered");
                self.transport.abort();
                return;
            }
        }
        drop(frames);
        let deadline = uring::now() + limits::LINGER;
        self.transport.set_deadline(Some(deadline));
        self.transport.close().await;
    }

    /// Resolves when the server is to be taken for gone, as it leaves a PING unanswered.
    async fn watch(&self, pings: Option<PingPong>, opened: watch::Sender<bool>) {
        let Some(mut pings) = pings else {
            return pending().await;
        };
        // Its answer comes after the server's SETTINGS, which say how many streams there may be.
        let greeting = pings.ping(Ping::opaque());
        match timeout(self.pong_within, greeting).await {
            Ok(Ok(_)) => drop(opened.send(true)),
            Err(_) if self.read_idle.is_some() => return,
            _ => return pending().await,
        }
        drop(opened);
        let Some(read_idle) = self.read_idle else {
            return pending().await;
        };
        loop {
            let heard = self.heard.get();
            sleep_until((heard + read_idle).into()).await;
            if self.heard.get() != heard {
                continue;
            }
            match timeout(self.pong_within, pings.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                Err(_) => return,
                // The connection is ending.
                Ok(Err(_)) => return pending().await,
            }
        }
    }
}
