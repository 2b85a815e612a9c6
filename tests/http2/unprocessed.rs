//! Requests that a server says it has done nothing with (RFC 9113 sections 6.8 and 8.7): they are sent once more,
//! whatever their method, as long as all of what was read of their body is still there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::Bytes;
use http::Request;
use weir::limits::{RETRIES_KEPT, UPSTREAM_REPEAT_BYTES};

use super::before;
use super::client::{begin, connect, finish, run, send};
use super::frames::*;
use crate::support::DEADLINE;
use crate::support::client::Connection;

/// How the server says that it has not acted on a stream.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// GOAWAY whose last stream is before this one, then the end.
    GoAway,
    /// RST_STREAM with REFUSED_STREAM; the connection goes on.
    Stream,
}

/// A server that refuses its first stream once it has got so many bytes of its body, and echoes the others.
struct Server {
    address: SocketAddr,
    /// Says that the refusal has gone out.
    refused: Receiver<()>,
}

impl Server {
    fn start(refusal: Refusal, after: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let (say, refused) = channel();
        thread::spawn(move || {
            let mut first = Some((refusal, after, say));
            while let Ok((socket, _)) = listener.accept() {
                // weir may open a connection that it then does not need.
                let _ = serve(socket, &mut first);
            }
        });
        Self { address, refused }
    }

    fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }
}

type First = Option<(Refusal, usize, Sender<()>)>;

fn serve(mut socket: TcpStream, first: &mut First) -> std::io::Result<()> {
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.read_exact(&mut [0; PREFACE.len()])?;
    socket.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    let mut body = Vec::new();
    loop {
        let (kind, flags, stream, payload) = read(&mut socket)?;
        match kind {
            SETTINGS if flags & ACK == 0 => socket.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => socket.write_all(&frame(PING, ACK, 0, &payload))?,
            HEADERS => body.clear(),
            DATA => body.extend_from_slice(&payload),
            _ => {}
        }
        if stream == 0 || !matches!(kind, HEADERS | DATA) {
            continue;
        }
        if let Some((refusal, _, say)) = first.take_if(|(_, after, _)| body.len() >= *after) {
            refuse(&mut socket, refusal, stream)?;
            let _ = say.send(());
            if matches!(refusal, Refusal::GoAway) {
                // What has been sent meanwhile is read: a reset would overtake the GOAWAY.
                let _ = std::io::copy(&mut socket, &mut std::io::sink());
                return Ok(());
            }
        } else if flags & END_STREAM != 0 {
            let length = body.len().to_string();
            let head = block(&[(":status", "200"), ("content-length", &length)]);
            socket.write_all(&frame(HEADERS, END_HEADERS, stream, &head))?;
            for piece in body.chunks(16 << 10) {
                socket.write_all(&frame(DATA, 0, stream, piece))?;
            }
            socket.write_all(&frame(DATA, END_STREAM, stream, &[]))?;
        }
    }
}

fn refuse(socket: &mut TcpStream, refusal: Refusal, stream: u32) -> std::io::Result<()> {
    match refusal {
        Refusal::GoAway => {
            socket.write_all(&frame(GOAWAY, 0, 0, &[0; 8]))?;
            socket.shutdown(std::net::Shutdown::Write)
        }
        Refusal::Stream => {
            let code = REFUSED_STREAM.to_be_bytes();
            socket.write_all(&frame(RST_STREAM, 0, stream, &code))
        }
    }
}

fn read(socket: &mut TcpStream) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut header = [0; 9];
    socket.read_exact(&mut header)?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let mut payload = vec![0; length as usize];
    socket.read_exact(&mut payload)?;
    let stream = header[5..].try_into().expect("four bytes");
    Ok((header[3], header[4], u32::from_be_bytes(stream), payload))
}

/// A server that refuses every stream; how many it has got.
fn refusing_all(refusal: Refusal) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let got = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&got);
    let each = move |mut socket: TcpStream| -> std::io::Result<()> {
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.read_exact(&mut [0; PREFACE.len()])?;
        socket.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        loop {
            let (kind, flags, stream, payload) = read(&mut socket)?;
            match kind {
                SETTINGS if flags & ACK == 0 => socket.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
                PING if flags & ACK == 0 => socket.write_all(&frame(PING, ACK, 0, &payload))?,
                HEADERS => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    refuse(&mut socket, refusal, stream)?;
                }
                _ => {}
            }
        }
    };
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let each = each.clone();
            thread::spawn(move || each(socket));
        }
    });
    (address, got)
}

#[test]
fn a_server_that_refuses_everything_does_not_get_it_all_twice() {
    for refusal in BOTH {
        let (server, got) = refusing_all(refusal);
        let (_weir, address) = before(&format!("h2c://{server}"), "");
        const REQUESTS: usize = 6_000;
        let clients = (0..4).map(|_| {
            thread::spawn(move || {
                for _ in 0..REQUESTS / 4 {
                    assert_eq!(Connection::open(address).get("a", "/").status, 502);
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .for_each(|client| client.join().expect("answers"));
        // A fifth of them, what the workers had kept, and ten a second.
        let got = got.load(Ordering::SeqCst);
        let most = REQUESTS + REQUESTS / 5 + 2 * RETRIES_KEPT as usize + 1_000;
        assert!((REQUESTS..most).contains(&got), "{refusal:?}: {got}");
    }
}

const BOTH: [Refusal; 2] = [Refusal::GoAway, Refusal::Stream];

#[test]
fn a_post_is_sent_again_with_its_body_up_to_the_limit() {
    for refusal in BOTH {
        let most = UPSTREAM_REPEAT_BYTES;
        for (length, expected) in [(0, 200), (5, 200), (most, 200), (most + 1, 502)] {
            // The server has read all of it when it refuses.
            let server = Server::start(refusal, length);
            let (_weir, address) = before(&server.url(), "");
            let body: Vec<u8> = (0..length).map(|index| (index / 7) as u8).collect();
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            let mut client = Connection::open(address);
            client.send([head.as_bytes(), &body].concat());
            let response = client.response();
            assert_eq!(response.status, expected, "{refusal:?}, {length} bytes");
            assert!(expected != 200 || response.body == body);
        }
    }
}

#[test]
fn what_comes_after_the_refusal_follows_what_came_before() {
    for refusal in BOTH {
        let server = Server::start(refusal, 5);
        let (_weir, address) = before(&server.url(), "");
        let mut client = Connection::open(address);
        client.send(
            "PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        );
        server.refused.recv_timeout(DEADLINE).expect("refused");
        client.send("7\r\n second\r\n0\r\n\r\n");
        let response = client.response();
        assert_eq!(
            (response.status, response.text()),
            (200, "first second".into()),
            "{refusal:?}"
        );
    }
}

#[test]
fn the_same_for_an_http2_client() {
    for refusal in BOTH {
        let server = Server::start(refusal, 5);
        let (_weir, address) = before(&server.url(), "");
        run(async {
            let client = connect(address).await;
            let post = Request::post("http://a.example/").body(());
            let (response, mut stream) = begin(&client, post.expect("a request"), false).await;
            send(&mut stream, Bytes::from_static(b"hello"), true).await;
            let answer = finish(response).await.expect("a response");
            assert_eq!((answer.status, answer.text()), (200, "hello".into()));
        });
    }
}
