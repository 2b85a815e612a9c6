//! Readers that do not read, and what others notice of them.

use super::*;

/// A source that never ends, relayed to a reader that never reads. Both peers are returned to be kept open.
async fn stuck(body: usize) -> (TcpStream, std::thread::JoinHandle<()>) {
    let (source, feeder) = pair_with_std().await;
    let (sink, reader) = pair_with_std().await;
    tokio::task::spawn_local(async move { relay(&source, &sink).await });
    let feeding = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || {
            let piece = pattern(64 << 10);
            for _ in 0..body / piece.len() {
                if { &feeder }.write_all(&piece).is_err() {
                    return;
                }
            }
        });
    (reader, feeding.expect("a thread"))
}
