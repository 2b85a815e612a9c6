//! Much data, through small rings, both ways, intact.

use std::rc::Rc;

use super::*;

const MUCH: usize = 32 << 20;

/// Sends to and reads from `stream` at the same time; returns what came back.
fn echo_client(stream: TcpStream, bytes: Vec<u8>) -> std::thread::JoinHandle<bool> {
    std::thread::spawn(move || {
        let reader = stream.try_clone().expect("cloned");
        let expected = bytes.clone();
        let reading = std::thread::spawn(move || read_to_end(&reader) == expected);
        write_all(&stream, &bytes);
        stream.shutdown(std::net::Shutdown::Write).expect("shut");
        reading.join().expect("no panic")
    })
}

#[test]
fn an_echo_of_much_is_intact() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        let client = echo_client(peer, pattern(MUCH));
        relay(&stream, &stream).await.expect("relayed");
        assert!(joined(client).await);
        drop(stream);
        eventually("all is back", || {
            usage()
                == Usage {
                    free_buffers: 16,
                    copied_bytes: 0,
                    operations: 0,
                }
        })
        .await;
    });
}

#[test]
fn many_relays_share_two_buffers() {
    worker_with(
        Config {
            buffers: 2,
            buffer_size: 4096,
            ..Config::default()
        },
        || async {
            let mut clients = Vec::new();
            for _ in 0..8 {
                let (stream, peer) = pair_with_std().await;
                clients.push(echo_client(peer, pattern(1 << 20)));
                tokio::task::spawn_local(async move { relay(&stream, &stream).await });
            }
            for client in clients {
                assert!(joined(client).await);
            }
            eventually("all is back", || {
                usage()
                    == Usage {
                        free_buffers: 2,
                        copied_bytes: 0,
                        operations: 0,
                    }
            })
            .await;
        },
    );
}

#[test]
fn a_relay_between_two_is_intact_both_ways() {
    worker_with(Config::default(), || async {
        let (front, client) = pair_with_std().await;
        let (back, server) = pair_with_std().await;
        let echo = std::thread::spawn(move || {
            let mut writer = server.try_clone().expect("cloned");
            std::io::copy(&mut { &server }, &mut writer).expect("echoed");
            server.shutdown(std::net::Shutdown::Write).expect("shut");
        });
        let client = echo_client(client, pattern(MUCH));
        let (front, back) = (Rc::new(front), Rc::new(back));
        let (up, down) = tokio::join!(relay(&front, &back), relay(&back, &front));
        up.expect("up");
        down.expect("down");
        assert!(joined(client).await);
        joined(echo).await;
    });
}

#[test]
fn more_chunks_than_one_send_gathers_arrive_in_order() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        let bytes = pattern(1000);
        let mut queue: ChunkQueue = bytes.chunks(7).map(<[u8]>::to_vec).collect();
        stream.send(&mut queue, None).await.expect("sent");
        assert!(queue.is_empty());
        drop(stream);
        assert_eq!(read_beside(&peer).await, bytes);
    });
}
