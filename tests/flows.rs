//! Much data and many slow peers, in memory that does not grow. Small by default; `WEIR_FLOW_BYTES` and
//! `WEIR_SLOW_CLIENTS` make the tests as large as one likes.

mod crowds;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::Request;
use xtask::backend::{Backend, pattern, pattern_sha256};

use crate::http2::client::{begin, connect, get, read as read_answer, run_within, send};
use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, free_port, number};

/// What a flow may cost the process, in KiB.
const GROWTH: u64 = 40 << 10;
/// Bytes sent at once.
const PIECE: usize = 256 << 10;

/// A number from the environment.
/// Bytes in each direction.
fn flow() -> u64 {
    number("WEIR_FLOW_BYTES", 64 << 20)
}

/// weir with an entry point for HTTP and one for a TCP router, both before `server`. `more` goes into the former.
fn edge(server: &Backend, more: &str) -> (Weir, SocketAddr, SocketAddr) {
    let [web, tcp] =
        [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{web}\"\n{more}  tcp:\n    address: \"{tcp}\"\nproviders:\n  file:\n    \
         directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all: {{rule: PathPrefix(`/`), entryPoints: [web], service: a}}\n  services:\n    a: \
         {{loadBalancer: {{servers: [{{url: 'http://{0}'}}]}}}}\ntcp:\n  routers:\n    all: {{rule: HostSNI(`*`), \
         entryPoints: [tcp], service: a}}\n  services:\n    a: {{loadBalancer: {{servers: [{{address: '{0}'}}]}}}}\n",
        server.address()
    );
    let weir = setup.rules("rules.yml", &rules).start().listening(web);
    (weir, web, tcp)
}

/// Runs a flow, and says and bounds what it cost.
fn measured(name: &str, weir: &Weir, flow: impl FnOnce()) {
    let before = weir.resident() >> 10;
    flow();
    let after = weir.resident() >> 10;
    let most = weir.most_resident() >> 10;
    println!(
        "cost: {name}, {} MiB up and down: {before} KiB resident before, {after} after, {most} at most",
        self::flow() >> 20
    );
    assert!(
        most < before + GROWTH,
        "{name}: {before} KiB before, {most} at most"
    );
}

fn open(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("weir accepts");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    socket.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    socket
}

fn hexadecimal(hash: Context) -> String {
    let digest = hash.finish();
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A download and an upload in HTTP/1.1 on one connection.
fn there_and_back(address: SocketAddr, bytes: u64) {
    let mut socket = BufReader::new(open(address));
    let request = format!("GET /bytes/{bytes} HTTP/1.1\r\nHost: a\r\n\r\n");
    socket
        .get_mut()
        .write_all(request.as_bytes())
        .expect("sent");
    assert!(head(&mut socket).starts_with("HTTP/1.1 200"));
    let (mut hash, mut piece, mut left) = (Context::new(&SHA256), vec![0; PIECE], bytes);
    while left > 0 {
        let most = left.min(PIECE as u64) as usize;
        let got = socket.read(&mut piece[..most]).expect("not cut");
        assert!(got > 0, "{left} bytes are missing");
        hash.update(&piece[..got]);
        left -= got as u64;
    }
    let expected = pattern_sha256(bytes);
    assert_eq!(hexadecimal(hash), expected);
    let request = format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
    socket
        .get_mut()
        .write_all(request.as_bytes())
        .expect("sent");
    for (offset, size) in pieces(bytes) {
        pattern(offset, &mut piece[..size]);
        socket.get_mut().write_all(&piece[..size]).expect("not cut");
    }
    assert!(head(&mut socket).starts_with("HTTP/1.1 200"));
    let mut answer = String::new();
    socket.read_line(&mut answer).expect("an answer");
    assert!(answer.contains(&expected), "{answer}");
}

/// Offsets and lengths.
fn pieces(bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..bytes.div_ceil(PIECE as u64)).map(move |index| {
        let offset = index * PIECE as u64;
        (offset, (bytes - offset).min(PIECE as u64) as usize)
    })
}

fn head(socket: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(socket.read_line(&mut head).expect("a head") > 0, "{head}");
    }
    head
}

#[test]
fn much_in_http1_takes_no_memory() {
    let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a server");
    let (weir, web, _) = edge(&server, "");
    there_and_back(web, 1 << 20);
    measured("HTTP/1.1", &weir, || there_and_back(web, flow()));
}

#[test]
fn much_through_a_tcp_router_takes_no_memory() {
    let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a server");
    let (weir, _, tcp) = edge(&server, "");
    there_and_back(tcp, 1 << 20);
    measured("TCP", &weir, || there_and_back(tcp, flow()));
}

#[test]
fn much_in_http2_takes_no_memory() {
    let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a server");
    let (weir, web, _) = edge(&server, "");
    http2_there_and_back(web, 1 << 20);
    measured("HTTP/2", &weir, || http2_there_and_back(web, flow()));
}

fn http2_there_and_back(address: SocketAddr, bytes: u64) {
    // The slowest of them moves more than 10 MB/s.
    let patience = DEADLINE + std::time::Duration::from_secs(bytes / 10_000_000);
    run_within(patience, async {
        let client = connect(address).await;
        let request = get(&format!("http://a.example/bytes/{bytes}"));
        let (response, _) = begin(&client, request, true).await;
        let mut body = response.await.expect("a head").into_body();
        let (mut hash, mut got) = (Context::new(&SHA256), 0);
        while let Some(data) = body.data().await {
            let data = data.expect("not cut");
            body.flow_control()
                .release_capacity(data.len())
                .expect("an open stream");
            hash.update(&data);
            got += data.len() as u64;
        }
        let expected = pattern_sha256(bytes);
        assert_eq!((got, &hexadecimal(hash)), (bytes, &expected));
        let upload = Request::post("http://a.example/upload").body(());
        let (response, mut stream) = begin(&client, upload.expect("a request"), false).await;
        for (offset, size) in pieces(bytes) {
            let mut piece = vec![0; size];
            pattern(offset, &mut piece);
            let last = offset + size as u64 == bytes;
            send(&mut stream, Bytes::from(piece), last).await;
        }
        let answer = read_answer(response.await.expect("a head")).await;
        let answer = answer.expect("an answer").text();
        assert!(answer.contains(&expected), "{answer}");
    });
}
