//! What stands behind the head node's nginx: events that wait to be told, and WebSockets. Run it inside the namespace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Where nginx finds it.
pub const ADDRESS: &str = "127.0.0.6:8080";

/// Serves from now on; each word of the sender lets one event go.
pub fn serve() -> Sender<()> {
    let listener = TcpListener::bind(ADDRESS).expect("a socket");
    let (sender, receiver) = channel();
    let receiver = Arc::new(Mutex::new(receiver));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let receiver = Arc::clone(&receiver);
            // What a peer does wrong ends its own connection.
            thread::spawn(move || drop(answer(stream, &receiver)));
        }
    });
    sender
}

fn answer(mut stream: TcpStream, events: &Mutex<Receiver<()>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let head = head(&mut reader);
    let field = |name: &str| {
        let mut lines = head.lines();
        let line = lines.find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_start_matches(':').trim().to_owned())
            .unwrap_or_default()
    };
    if head.starts_with("GET /ws ") {
        let seen = format!("{} {}", field("Host"), field("X-Forwarded-Proto"));
        write!(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Seen: {seen}\r\n\r\n"
        )?;
        return std::io::copy(&mut reader, &mut stream).map(drop);
    }
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
    )?;
    let events = events.lock().unwrap_or_else(PoisonError::into_inner);
    for (number, ()) in (1..).zip(events.iter()) {
        // One write: an event in pieces would be flushed in pieces.
        stream.write_all(format!("data: {number}\n\n").as_bytes())?;
    }
    Ok(())
}

/// Reads one head.
pub fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    // Not a byte more: what follows is another's.
    let mut reader = BufReader::with_capacity(1, stream);
    while !head.ends_with(b"\r\n\r\n") {
        assert!(
            reader.read_until(b'\n', &mut head).expect("a head") > 0,
            "no end of a head"
        );
    }
    String::from_utf8_lossy(&head).into_owned()
}
