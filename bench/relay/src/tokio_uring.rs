//! On tokio-uring 0.5 as it is: one read at a time into memory of each direction.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

use crate::BUFFER;

pub fn serve(listen: SocketAddr, server: SocketAddr) -> io::Result<()> {
    tokio_uring::start(async move {
        let listener = TcpListener::bind(listen)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio_uring::spawn(relay(client, server));
        }
    })
}

async fn relay(client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client, server) = (Rc::new(client), Rc::new(server));
    tokio::try_join!(copy(&client, &server), copy(&server, &client))?;
    Ok(())
}

async fn copy(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (read, filled) = from.read(buffer).await;
        let read = read?;
        if read == 0 {
            return to.shutdown(Shutdown::Write);
        }
        let (written, slice) = to.write_all(filled.slice(..read)).await;
        written?;
        buffer = slice.into_inner();
    }
}
