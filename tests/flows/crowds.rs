//! Slow readers and slow writers: what they cost others, and that they are never taken for stalled.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use xtask::backend::Backend;

use super::edge;
use crate::support::client::percentiles;
use crate::support::number;

/// What a slow reader asks for, and a slow writer announces: far more than it moves.
const BODY: u64 = 8 << 20;
/// What each of them moves in a second.
const PER_SECOND: usize = 15_000;
/// How often each of them moves something.
const ROUND: Duration = Duration::from_millis(200);
/// Requests that are timed beside them.
const REQUESTS: usize = 2_000;

/// One that reads or writes little at a time.
struct Slow {
    socket: TcpStream,
    writes: bool,
    /// When it moved last.
    moved: Instant,
    /// It was cut.
    cut: bool,
}

impl Slow {
    fn new(address: SocketAddr, writes: bool) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if !writes {
            // As on a network: small segments, and no megabytes of kernel memory in between.
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::TcpMaxSeg, &1400)
                .expect("small segments");
            socket
                .set_recv_buffer_size(32 << 10)
                .expect("a small window");
        }
        socket.connect(&address.into()).expect("weir accepts");
        let mut socket = TcpStream::from(socket);
        let request = match writes {
            true => format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n"),
            false => format!("GET /bytes/{BODY} HTTP/1.1\r\nHost: a\r\n\r\n"),
        };
        socket.write_all(request.as_bytes()).expect("sent");
        socket.set_nonblocking(true).expect("an option");
        Self {
            socket,
            writes,
            moved: Instant::now(),
            cut: false,
        }
    }

    /// What it may have moved since the last time.
    fn turn(&mut self) {
        let share = self.moved.elapsed().as_secs_f64() * PER_SECOND as f64;
        let mut piece = vec![0; (share as usize).min(PER_SECOND)];
        self.moved = Instant::now();
        let outcome = match self.writes {
            true => self.socket.write(&piece),
            false => self.socket.read(&mut piece),
        };
        self.cut |= match outcome {
            Ok(moved) => moved == 0 && !piece.is_empty(),
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
    }
}

/// Lets them all take turns until `ended`; how many were cut.
fn take_turns(crowd: &mut [Slow], ended: &AtomicBool) -> usize {
    while !ended.load(Ordering::Relaxed) {
        let begun = Instant::now();
        crowd.iter_mut().for_each(Slow::turn);
        thread::sleep(ROUND.saturating_sub(begun.elapsed()));
    }
    crowd.iter().filter(|one| one.cut).count()
}

#[test]
fn slow_readers_and_writers_beside_others() {
    let each = number("WEIR_SLOW_CLIENTS", 100) as usize;
    let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a server");
    let (weir, web, _) = edge(&server, "");
    let alone = percentiles(web, REQUESTS);
    let before = weir.resident() >> 10;
    let mut crowd: Vec<Slow> = (0..2 * each)
        .map(|at| Slow::new(web, at % 2 == 0))
        .collect();
    let ended = AtomicBool::new(false);
    let (beside, cut) = thread::scope(|scope| {
        let slow = scope.spawn(|| take_turns(&mut crowd, &ended));
        // While the kernel's buffers fill, and then with nothing but slow peers.
        percentiles(web, REQUESTS);
        let beside = percentiles(web, REQUESTS);
        ended.store(true, Ordering::Relaxed);
        (beside, slow.join().expect("no panic"))
    });
    println!(
        "cost: median and p99 of 1 KiB requests, alone: {alone:?}; beside {each} readers and {each} writers at 15 KB/s: \
         {beside:?}; KiB resident before: {before}, with them: {}",
        weir.resident() >> 10
    );
    assert_eq!(cut, 0, "of {} were cut", 2 * each);
}

/// On loopback the kernel tells of room once tens of kilobytes have been read, which takes such a reader some seconds;
/// hence a limit of six. The default is 120.
#[test]
fn fifteen_kilobytes_a_second_are_no_stall() {
    let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a server");
    let (weir, web, _) = edge(&server, "    limits: {bodyIdleTimeout: 6s}\n");
    let mut crowd: Vec<Slow> = (0..8).map(|at| Slow::new(web, at % 2 == 0)).collect();
    let ended = AtomicBool::new(false);
    let cut = thread::scope(|scope| {
        let slow = scope.spawn(|| take_turns(&mut crowd, &ended));
        thread::sleep(Duration::from_secs(20));
        ended.store(true, Ordering::Relaxed);
        slow.join().expect("no panic")
    });
    assert_eq!(cut, 0, "were cut: {}", weir.log());
    assert!(!weir.log().contains("client_stalled"), "{}", weir.log());
}
