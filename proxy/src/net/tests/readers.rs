//! Readers that do not read, and what others notice of them.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::*;
use crate::limits::{
    COPIED_BYTES, COPY_TURN_BYTES, COPY_TURNS_MAX, LEAN_RECEIVE_BYTES, RECEIVE_AHEAD_BYTES,
    RECEIVE_MANY_AFTER, RING_BUFFER_BYTES,
};
use crate::uring::Chunk;

const READERS: usize = 256;
const BODY: usize = 64 << 20;

/// A server with a worker of its own, as a worker must not share its thread with one: sends `body` to whoever connects,
/// until told to stop.
struct Origin {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Origin {
    fn start(body: Vec<u8>) -> Self {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            worker(|| async {
                let body = Bytes::from(body);
                let (listener, address) = listener();
                tell.send(address).expect("asked for");
                tokio::task::spawn_local(async move {
                    while let Ok(stream) = listener.accept().await {
                        let mut queue = ChunkQueue::from_iter([body.clone()]);
                        tokio::task::spawn_local(
                            async move { stream.send(&mut queue, None).await },
                        );
                    }
                });
                let _ = stopped.await;
            });
        });
        Self {
            address: told.recv().expect("bound"),
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.take();
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A stream whose peer reads nothing and whose pipe is full.
async fn stuffed() -> (Stream, TcpStream) {
    let (stream, peer) = pair_with_std().await;
    let piece = vec![0; 1 << 20];
    let push = || stream.with_socket(|socket| socket.send_with_flags(&piece, libc::MSG_DONTWAIT));
    // The peer's TCP goes on taking for a while, and makes room for more.
    let mut refused = 0;
    eventually("the pipe is full", || {
        refused = if push().is_ok() { 0 } else { refused + 1 };
        refused > 50
    })
    .await;
    (stream, peer)
}

/// Connects to `origin` and relays to a reader, which is returned and has not read anything.
async fn download(origin: SocketAddr) -> TcpStream {
    let source = Stream::connect(origin, None).await.expect("connected");
    let (sink, reader) = pair_with_std().await;
    tokio::task::spawn_local(async move { relay(&source, &sink).await });
    reader
}

/// Waits until nothing changes any more: every reader's pipe is full.
async fn settled() {
    let mut same = 0;
    let mut last = usage();
    eventually("all is quiet", || {
        same = if last == usage() { same + 1 } else { 0 };
        last = usage();
        same > 200 && last.copied_bytes > 0
    })
    .await;
}

/// Round trips of 1 KiB through this worker, from another thread; returns how long each took, sorted.
async fn round_trips(count: usize) -> Vec<Duration> {
    let (stream, client) = pair_with_std().await;
    tokio::task::spawn_local(async move { relay(&stream, &stream).await });
    let asking = std::thread::spawn(move || {
        let (question, mut answer) = ([7; 1024], [0; 1024]);
        let mut times: Vec<_> = (0..count)
            .map(|_| {
                let start = Instant::now();
                write_all(&client, &question);
                { &client }.read_exact(&mut answer).expect("answered");
                start.elapsed()
            })
            .collect();
        times.sort();
        times
    });
    joined(asking).await
}

/// The worst of a hundred and the median, for printing: no machine shared with others promises any.
fn show(what: &str, times: &[Duration]) {
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{what}: median {:?}, p99 {:?}, worst {:?}",
        at(50),
        at(99),
        at(100)
    );
}

#[test]
fn others_are_served_beside_readers_that_never_read() {
    let origin = Origin::start(vec![7; BODY]);
    worker_with(Config::default(), || async {
        show("alone", &round_trips(2000).await);
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(download(origin.address).await);
        }
        show("while they fill", &round_trips(2000).await);
        settled().await;
        assert_eq!(usage().free_buffers, Config::default().buffers);
        show("with 256 that never read", &round_trips(2000).await);
        let ring = usize::from(Config::default().buffers) * Config::default().buffer_size as usize;
        println!("copied out: {} KiB", usage().copied_bytes >> 10);
        let lean = READERS * LEAN_RECEIVE_BYTES;
        assert!(
            usage().copied_bytes <= COPIED_BYTES + ring + lean,
            "{:?}",
            usage()
        );
        drop(readers);
        eventually("nothing is left", || usage().copied_bytes == 0).await;
    });
}

#[test]
fn what_one_send_does_not_gather_is_copied_out_with_it() {
    let config = Config {
        buffers: 256,
        buffer_size: 512,
        ..Config::default()
    };
    worker_with(config, || async {
        let (sink, _reader) = stuffed().await;
        let (source, feeder) = pair_with_std().await;
        let mut queue = ChunkQueue::new();
        while queue.len() < 40 {
            write_all(&feeder, &[7; 512]);
            queue.push(source.recv().await.expect("received").expect("not the end"));
        }
        assert!(usage().free_buffers <= 216);
        tokio::task::spawn_local(async move { sink.send(&mut queue, Some(&source)).await });
        eventually("all are copied out", || {
            usage().free_buffers == 256 && usage().copied_bytes > 0
        })
        .await;
    });
}

#[test]
fn memory_for_stalled_readers_is_bounded() {
    let origin = Origin::start(vec![7; BODY]);
    let config = Config {
        copied_limit: 1 << 20,
        ..Config::default()
    };
    worker_with(config.clone(), || async {
        let mut readers = Vec::new();
        let mut most = 0;
        for _ in 0..READERS {
            readers.push(download(origin.address).await);
            most = most.max(usage().copied_bytes);
        }
        show("others", &round_trips(500).await);
        settled().await;
        assert_eq!(usage().free_buffers, config.buffers);
        most = most.max(usage().copied_bytes);
        println!("copied out: {} KiB", most >> 10);
        let ring = usize::from(config.buffers) * config.buffer_size as usize;
        assert!(
            most <= config.copied_limit + ring + READERS * 2 * LEAN_RECEIVE_BYTES,
            "{:?}",
            usage()
        );
    });
}

#[test]
fn a_reader_that_wakes_up_gets_everything() {
    let origin = Origin::start(pattern(BODY / 4));
    worker_with(Config::default(), || async {
        let reader = download(origin.address).await;
        eventually("it has stalled", || usage().copied_bytes > 0).await;
        let read = read_beside(&reader).await;
        assert!(read == pattern(BODY / 4));
        eventually("all is back", || {
            usage().copied_bytes == 0 && usage().free_buffers == 256
        })
        .await;
    });
}

#[test]
fn owned_bytes_that_nobody_takes_stop_their_source_too() {
    worker(|| async {
        let (source, _feeder) = pair_with_std().await;
        assert!(!source.is_spent(), "it receives ahead");
        let (sink, _reader) = stuffed().await;
        let sending = tokio::task::spawn_local(async move {
            let mut queue = ChunkQueue::from_iter([pattern(1 << 20)]);
            sink.send(&mut queue, Some(&source)).await
        });
        tokio::task::yield_now().await;
        eventually("only the send is left", || usage().operations == 1).await;
        assert!(!sending.is_finished());
        sending.abort();
    });
}

#[test]
fn leases_behind_the_first_chunks_leave_the_ring_too() {
    worker(|| async {
        let (source, feeder) = pair_with_std().await;
        write_all(&feeder, &pattern(1024));
        let lease = source.recv().await.expect("received").expect("bytes");
        assert!(lease.is_lease());
        let (sink, _reader) = stuffed().await;
        let sending = tokio::task::spawn_local(async move {
            let owned = (0..crate::limits::SEND_CHUNKS).map(|_| Chunk::from(pattern(1 << 16)));
            let mut queue: ChunkQueue = owned.chain([lease]).collect();
            sink.send(&mut queue, Some(&source)).await
        });
        eventually("the lease is copied out", || usage().free_buffers == 16).await;
        sending.abort();
    });
}

#[test]
fn slow_readers_get_everything() {
    let origin = Origin::start(pattern(BODY / 4));
    worker(|| async {
        let reader = download(origin.address).await;
        let reading = std::thread::spawn(move || {
            let (mut read, mut piece) = (Vec::new(), vec![0; 1 << 20]);
            loop {
                match { &reader }.read(&mut piece).expect("read") {
                    0 => return read,
                    n => read.extend_from_slice(&piece[..n]),
                }
                // Longer than a stall every now and then: the source turns lean and recovers, many times.
                if read.len() % 7 == 0 {
                    std::thread::sleep(Duration::from_millis(15));
                }
            }
        });
        assert!(joined(reading).await == pattern(BODY / 4));
    });
}

#[test]
fn bytes_that_nobody_reads_leave_the_ring() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        write_all(&peer, &pattern(2048));
        let first = stream
            .recv()
            .await
            .expect("received")
            .expect("not the end")
            .into_owned();
        write_all(&peer, &pattern(64 << 10));
        eventually("some are received ahead", || {
            usage().free_buffers < 16 || usage().copied_bytes > 0
        })
        .await;
        eventually("and copied out", || {
            usage().free_buffers == 16 && usage().copied_bytes > 0
        })
        .await;
        let mut received = first.to_vec();
        while received.len() < 2048 + (64 << 10) {
            received
                .extend_from_slice(&stream.recv().await.expect("received").expect("not the end"));
        }
        assert_eq!(received[2048..], pattern(64 << 10));
    });
}

#[test]
fn a_connection_takes_no_more_than_its_share() {
    let config = Config {
        buffers: 64,
        buffer_size: 16 << 10,
        ..Config::default()
    };
    worker_with(config, || async {
        let (stream, peer) = pair_with_std().await;
        peer.set_nonblocking(true).expect("set");
        while { &peer }.write(&pattern(16 << 10)).is_ok() {}
        assert!(stream.is_spent(), "arms the receive");
        let mut least = 64;
        eventually("what it received is copied out", || {
            least = least.min(usage().free_buffers);
            usage().free_buffers == 64 && usage().copied_bytes > 0
        })
        .await;
        assert!(
            least >= 48 && usage().copied_bytes <= 64 / 4 * (16 << 10),
            "{least} {:?}",
            usage()
        );
    });
}

#[test]
fn a_connection_without_a_free_buffer_receives_all_the_same() {
    worker_with(
        Config {
            buffers: 1,
            buffer_size: 4096,
            ..Config::default()
        },
        || async {
            let (hoarder, feeder) = pair_with_std().await;
            write_all(&feeder, b"kept, against the rule");
            let kept = hoarder
                .recv()
                .await
                .expect("received")
                .expect("not the end");
            assert!(kept.is_lease() && usage().free_buffers == 0);
            let (stream, peer) = pair_with_std().await;
            let mut received = 0;
            while received < 100_000 {
                if received % 10_000 == 0 {
                    write_all(&peer, &pattern(10_000));
                }
                let chunk = stream.recv().await.expect("received").expect("not the end");
                assert!(!chunk.is_lease());
                received += chunk.len();
            }
            drop((stream, kept, hoarder));
            eventually("all is back", || {
                usage()
                    == Usage {
                        free_buffers: 1,
                        copied_bytes: 0,
                        operations: 0,
                    }
            })
            .await;
        },
    );
}

#[test]
fn a_reader_that_reads_no_further_has_so_much_received_ahead() {
    reads_no_further(1);
}

#[test]
fn so_it_has_on_a_connection_that_was_pooled_after_much_was_read() {
    reads_no_further(3);
}

/// After that many responses of just so many chunks that the next one is received by many.
fn reads_no_further(responses: usize) {
    worker_with(Config::default(), || async move {
        let (stream, mut feeder) = pair_with_std().await;
        for response in 1..=responses {
            assert!(!stream.is_spent(), "it receives ahead");
            let more = u32::from(response < responses);
            for _ in 1..RECEIVE_MANY_AFTER + more {
                feeder.write_all(b"read").expect("sent");
                stream.recv().await.expect("received").expect("a chunk");
            }
        }
        feeder.set_nonblocking(true).expect("set");
        let piece = vec![0; 1 << 20];
        let mut refused = 0;
        eventually("nothing more is taken", || {
            refused = if feeder.write(&piece).is_ok() {
                0
            } else {
                refused + 1
            };
            refused > 100
        })
        .await;
        let mut ahead = 0;
        while let Some(chunk) = stream.try_recv() {
            ahead += chunk.len();
        }
        let most = RECEIVE_AHEAD_BYTES + RING_BUFFER_BYTES as usize;
        assert!((RECEIVE_AHEAD_BYTES..most).contains(&ahead), "{ahead}");
    });
}

#[test]
fn copies_take_turns() {
    worker(|| async {
        let driver = uring::current().expect("a worker");
        drop(driver.copy_out(&vec![0; COPY_TURN_BYTES - 1]));
        let waits = async || futures_util::poll!(pin!(driver.copy_turn())).is_pending();
        assert!(!waits().await, "one byte less");
        drop(driver.copy_out(&[0]));
        assert!(waits().await, "a turn's share");
        driver.copy_turn().await;
        assert_eq!(driver.copied_in_turn(), 0, "the next turn");
    });
}

#[test]
fn a_copy_waits_for_so_many_turns_and_no_longer() {
    worker(|| async {
        let driver = uring::current().expect("a worker");
        let turns = Rc::new(Cell::new(0));
        let copies = |counted: Rc<Cell<u32>>| {
            let driver = Rc::clone(&driver);
            async move {
                loop {
                    drop(driver.copy_out(&vec![0; COPY_TURN_BYTES]));
                    counted.set(counted.get() + 1);
                    tokio::task::yield_now().await;
                }
            }
        };
        // Those that yield go on in the opposite order: one on each side is before the one that waits in every turn.
        tokio::task::spawn_local(copies(Rc::clone(&turns)));
        let waiting = Rc::clone(&driver);
        let waits = tokio::task::spawn_local(async move { waiting.copy_turn().await });
        tokio::task::spawn_local(copies(Rc::default()));
        let waited = tokio::time::timeout(Duration::from_secs(10), waits).await;
        waited.expect("it waits without end").expect("no panic");
        assert!(turns.get() >= COPY_TURNS_MAX, "{} turns", turns.get());
    });
}
