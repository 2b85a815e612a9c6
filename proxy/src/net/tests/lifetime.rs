//! Deadlines, cancellation, closing, and what they leave behind: nothing.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::Poll;

use super::*;
use crate::uring::Chunk;

/// Polls once.
async fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}

/// Whether the peer of `stream` has let go of it: its end is read, whatever was left in between.
fn closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("set");
    let mut rest = [0; 65536];
    loop {
        match { stream }.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn receive_past_the_deadline_fails_and_its_descriptor_returns() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        stream.set_deadline(Some(Instant::now() + Duration::from_millis(20)));
        let error = stream.recv().await.expect_err("nothing was sent");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        eventually("the receive is cancelled", || usage().operations == 0).await;
        drop(stream);
        eventually("the descriptor is closed", || closed(&peer)).await;
    });
}

#[test]
fn a_later_deadline_makes_a_stream_usable_again() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        stream.set_deadline(Some(Instant::now()));
        assert!(stream.recv().await.is_err());
        stream.set_deadline(Some(Instant::now() + Duration::from_secs(60)));
        write_all(&peer, b"late");
        assert_eq!(
            &*stream.recv().await.expect("received").expect("not the end"),
            b"late"
        );
        stream
            .send(
                &mut ChunkQueue::from_iter([Chunk::from(b"408".as_slice())]),
                None,
            )
            .await
            .expect("sent");
        drop(stream);
        assert_eq!(read_beside(&peer).await, b"408");
    });
}

#[test]
fn send_past_the_deadline_fails_for_good() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        stream.set_deadline(Some(Instant::now() + Duration::from_millis(20)));
        let mut queue = ChunkQueue::from_iter([vec![7; 64 << 20]]);
        let error = stream
            .send(&mut queue, None)
            .await
            .expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        stream.set_deadline(None);
        let error = stream
            .send(&mut queue, None)
            .await
            .expect_err("a hole would be left");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(stream.is_spent());
        drop(stream);
        eventually("the descriptor is closed", || closed(&peer)).await;
    });
}

#[test]
fn connect_past_the_deadline_fails() {
    worker(|| async {
        // A full backlog drops further SYNs.
        let full = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        let address = full.local_addr().expect("an address");
        socket2::SockRef::from(&full)
            .listen(0)
            .expect("a backlog of none");
        let _first = TcpStream::connect(address).expect("the one that fits");
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        let error = Stream::connect(address, deadline)
            .await
            .err()
            .expect("no answer");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        eventually("the connect is cancelled", || usage().operations == 0).await;
    });
}

#[test]
fn refused_connect_says_so() {
    worker(|| async {
        let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("bound")
            .local_addr()
            .expect("an address");
        let error = Stream::connect(gone, None).await.err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn dropped_receive_loses_nothing() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        {
            let mut receive = Box::pin(stream.recv());
            assert!(once(&mut receive).await.is_pending());
        }
        write_all(&peer, b"kept");
        assert_eq!(
            &*stream.recv().await.expect("received").expect("not the end"),
            b"kept"
        );
    });
}

#[test]
fn dropping_a_send_in_the_middle_returns_its_leases() {
    worker(|| async {
        let (source, feeder) = pair_with_std().await;
        let (sink, peer) = pair_with_std().await;
        // Nobody reads the sink: fill it up to the brim first.
        sink.set_deadline(Some(Instant::now() + Duration::from_millis(50)));
        sink.send(&mut ChunkQueue::from_iter([vec![7; 64 << 20]]), None)
            .await
            .expect_err("full");
        drop(sink);
        let (sink, _reads_nothing) = pair_with_std().await;
        socket2::SockRef::from(&std::os::fd::AsFd::as_fd(&peer))
            .set_recv_buffer_size(4096)
            .expect("set");
        write_all(&feeder, &pattern(8192));
        let mut queue = ChunkQueue::new();
        while queue.bytes() < 8192 {
            queue.push(source.recv().await.expect("received").expect("not the end"));
        }
        assert!(queue.has_lease() && usage().free_buffers < 16);
        {
            let mut send = Box::pin(sink.send(&mut queue, Some(&source)));
            assert!(once(&mut send).await.is_pending());
        }
        let error = sink
            .send(&mut ChunkQueue::from_iter([b"x".to_vec()]), None)
            .await
            .expect_err("abandoned");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        drop((source, sink, queue));
        eventually("all is back", || {
            usage().free_buffers == 16 && usage().operations == 0
        })
        .await;
    });
}

#[test]
fn reset_is_an_error_and_not_an_end() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        socket2::SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .expect("set");
        drop(peer);
        let error = stream.recv().await.expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(
            stream.recv().await.expect_err("still").kind(),
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn half_closed_still_receives() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        stream
            .send(&mut ChunkQueue::from_iter([b"question".to_vec()]), None)
            .await
            .expect("sent");
        stream.shutdown_write().expect("shut");
        assert_eq!(read_beside(&peer).await, b"question");
        write_all(&peer, b"answer");
        drop(peer);
        expect(&stream, b"answer").await;
    });
}

#[test]
fn a_pooled_connection_tells_that_it_is_spent() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        assert!(
            !stream.is_spent() && !stream.is_spent(),
            "idle, first looked at, then armed"
        );
        drop(peer);
        eventually("the end is seen", || stream.is_spent()).await;

        let (stream, peer) = pair_with_std().await;
        assert!(!stream.is_spent());
        write_all(&peer, b"unasked");
        eventually("the bytes are seen", || stream.is_spent()).await;

        let (stream, peer) = pair_with_std().await;
        write_all(&peer, b"unasked");
        eventually("also if nothing was armed", || stream.is_spent()).await;
    });
}

#[test]
fn unread_bytes_come_again_first() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        write_all(&peer, b"head and body");
        let mut chunk = stream.recv().await.expect("received").expect("not the end");
        let head = chunk.split_to(5);
        stream.unread(chunk);
        assert_eq!(&*head, b"head ");
        assert_eq!(
            &*stream.recv().await.expect("received").expect("not the end"),
            b"and body"
        );
    });
}

#[test]
fn a_worker_ends_with_everything_in_flight() {
    let peers = worker(|| async {
        let mut peers = Vec::new();
        for _ in 0..8 {
            let (stream, peer) = pair_with_std().await;
            peers.push(peer);
            tokio::task::spawn_local(async move {
                let mut queue = ChunkQueue::from_iter([vec![7; 64 << 20]]);
                let (_, received) = tokio::join!(stream.send(&mut queue, None), stream.recv());
                received
            });
        }
        let (listener, _) = listener();
        tokio::task::spawn_local(async move { listener.accept().await.map(drop) });
        tokio::task::yield_now().await;
        peers
    });
    assert!(uring::usage().is_none());
    for peer in peers {
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .expect("set");
        let mut rest = Vec::new();
        let _ = { &peer }.read_to_end(&mut rest);
        assert!(closed(&peer));
    }
}

#[test]
fn a_thousand_clients_that_say_nothing_are_let_go() {
    worker(|| async {
        let (listener, address) = listener();
        let mut clients = Vec::new();
        for _ in 0..1000 {
            clients.push(TcpStream::connect(address).expect("connected"));
            let stream = listener.accept().await.expect("accepted");
            stream.set_deadline(Some(Instant::now() + Duration::from_millis(200)));
            tokio::task::spawn_local(async move { stream.recv().await.map(drop) });
        }
        eventually("all receives are cancelled", || usage().operations == 1).await;
        for client in &clients {
            eventually("its descriptor is closed", || closed(client)).await;
        }
    });
}

#[test]
fn a_reset_is_noticed_by_whoever_does_not_receive() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        write_all(&peer, b"ahead");
        let chunk = stream.recv().await.expect("received");
        assert_eq!(chunk.as_deref(), Some(b"ahead".as_slice()));
        let soon = Duration::from_millis(50);
        let ended = tokio::time::timeout(soon, stream.ended()).await;
        assert!(ended.is_err(), "nothing has happened");
        socket2::SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .expect("set");
        let ((), ()) = tokio::join!(stream.ended(), async { drop(peer) });
        assert!(stream.recv().await.is_err());
    });
}

#[test]
fn a_half_close_is_no_end() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        peer.shutdown(std::net::Shutdown::Write).expect("shut down");
        assert!(stream.recv().await.expect("the end").is_none());
        let soon = Duration::from_millis(50);
        let ended = tokio::time::timeout(soon, stream.ended()).await;
        assert!(ended.is_err());
    });
}

#[test]
fn an_aborted_connection_is_reset() {
    worker(|| async {
        let (stream, mut peer) = pair_with_std().await;
        stream.abort();
        drop(stream);
        let read = joined(std::thread::spawn(move || peer.read(&mut [0]))).await;
        let error = read.expect_err("no clean end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// A stream that sends to a peer with little room on the way, in segments small enough for a window that opens slowly.
async fn narrow_pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let options = socket2::SockRef::from(&listener);
    options.set_recv_buffer_size(64 << 10).expect("set");
    options.set_tcp_mss(1460).expect("set");
    let address = listener.local_addr().expect("an address");
    let stream = Stream::connect(address, None).await.expect("connected");
    stream
        .with_socket(|socket| socket.set_send_buffer_size(64 << 10))
        .expect("set");
    (stream, listener.accept().expect("accepted").0)
}

#[test]
fn a_slow_but_steady_reader_has_not_stalled() {
    worker(|| async {
        let (stream, mut peer) = narrow_pair().await;
        let body = pattern(1 << 20);
        let expected = body.clone();
        let reading = std::thread::spawn(move || {
            let (mut read, mut piece) = (Vec::new(), [0; 16 << 10]);
            while read.len() < expected.len() {
                peer.read_exact(&mut piece).expect("read");
                read.extend_from_slice(&piece);
                std::thread::sleep(Duration::from_millis(40));
            }
            read == expected
        });
        // In one send, which takes more than twice as long as nothing may move.
        stream.set_stall(Duration::from_secs(1));
        let mut queue = ChunkQueue::from_iter([body]);
        stream.send(&mut queue, None).await.expect("no stall");
        assert!(joined(reading).await);
    });
}

#[test]
fn a_reader_that_stops_has_stalled() {
    worker(|| async {
        let (stream, _peer) = narrow_pair().await;
        stream.set_stall(Duration::from_millis(200));
        let mut queue = ChunkQueue::from_iter([pattern(1 << 20)]);
        let error = stream
            .send(&mut queue, None)
            .await
            .expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}
