//! On weir's driver: receives into ring buffers, which are sent where they are.

use std::io;
use std::net::SocketAddr;

use weir::net::{Listener, ListenerOptions, Stream};
use weir::uring::{self, ChunkQueue};

use crate::BACKLOG;

/// As many pieces as one send of weir's takes.
const GATHERED: usize = 16;

pub fn serve(listen: SocketAddr, server: SocketAddr) -> io::Result<()> {
    uring::run(&uring::Config::default(), || async move {
        let options = ListenerOptions {
            reuse_port: false,
            v6_only: false,
            backlog: BACKLOG,
        };
        let listener = Listener::bind(listen, &options)?;
        loop {
            let client = listener.accept().await?;
            tokio::task::spawn_local(relay(client, server));
        }
    })?
}

async fn relay(client: Stream, server: SocketAddr) -> io::Result<()> {
    let server = Stream::connect(server, None).await?;
    tokio::try_join!(copy(&client, &server), copy(&server, &client))?;
    Ok(())
}

async fn copy(from: &Stream, to: &Stream) -> io::Result<()> {
    let mut queue = ChunkQueue::new();
    while let Some(chunk) = from.recv().await? {
        queue.push(chunk);
        while queue.len() < GATHERED
            && let Some(chunk) = from.try_recv()
        {
            queue.push(chunk);
        }
        to.send(&mut queue, Some(from)).await?;
    }
    to.shutdown_write()
}
