//! Operations beside tasks that do not let go of the worker.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::*;
use crate::uring::{Completion, Owner, current};

#[derive(Default)]
struct Nop {
    done: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Owner for Nop {
    fn complete(self: Rc<Self>, _: Completion) {
        self.done.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

async fn nop() {
    let nop = Rc::new(Nop::default());
    current().expect("in a worker").nop(Rc::<Nop>::clone(&nop));
    poll_fn(|cx| match nop.done.get() {
        true => Poll::Ready(()),
        false => {
            nop.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        }
    })
    .await;
}

/// How many operations end, and how long the slowest takes, while `busy` runs for half a second.
async fn beside(what: &str, busy: impl Future<Output = ()> + 'static) {
    let busy = tokio::task::spawn_local(busy);
    let (stream, echo) = pair_with_std().await;
    let echoing = std::thread::spawn(move || std::io::copy(&mut { &echo }, &mut { &echo }));
    let (mut count, mut worst_nop, mut worst_echo) = (0_u32, Duration::ZERO, Duration::ZERO);
    while !busy.is_finished() {
        let start = Instant::now();
        nop().await;
        worst_nop = worst_nop.max(start.elapsed());
        let start = Instant::now();
        stream
            .send(&mut ChunkQueue::from_iter([vec![1; 100]]), None)
            .await
            .expect("sent");
        let mut left = 100;
        while left > 0 {
            left -= stream
                .recv()
                .await
                .expect("received")
                .expect("not the end")
                .len();
        }
        worst_echo = worst_echo.max(start.elapsed());
        count += 1;
    }
    println!(
        "beside {what}: {count} rounds, slowest no-op {worst_nop:?}, slowest echo {worst_echo:?}"
    );
    assert!(
        count > 20,
        "operations waited for a task that does not let go: {count} rounds in half a second"
    );
    drop(stream);
    joined(echoing).await.expect("echoed");
}

const LONG: Duration = Duration::from_millis(500);

#[test]
fn operations_go_on_beside_a_task_that_yields_forever() {
    worker(|| async {
        beside("yield_now", async {
            let start = Instant::now();
            while start.elapsed() < LONG {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

#[test]
fn operations_go_on_beside_a_task_that_wakes_itself() {
    worker(|| async {
        beside("self-wake", async {
            let start = Instant::now();
            poll_fn(|cx| match start.elapsed() < LONG {
                true => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                false => Poll::Ready(()),
            })
            .await;
        })
        .await;
    });
}

#[test]
fn a_stream_that_always_has_something_spends_its_budget() {
    worker(|| async {
        let (stream, peer) = pair_with_std().await;
        write_all(&peer, b"again and again");
        let others = Rc::new(Cell::new(0));
        let counted = Rc::clone(&others);
        tokio::task::spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        for _ in 0..10_000 {
            let chunk = stream.recv().await.expect("received").expect("not the end");
            stream.unread(chunk);
        }
        assert!(others.get() > 10, "another task ran {} times", others.get());
    });
}

#[test]
fn more_operations_than_the_queue_holds_all_end() {
    worker(|| async {
        let count = 3 * crate::limits::RING_SUBMISSIONS + 7;
        let all: Vec<_> = (0..count)
            .map(|_| tokio::task::spawn_local(nop()))
            .collect();
        for one in all {
            one.await.expect("ended");
        }
        assert_eq!(usage().operations, 0);
    });
}

struct Broken;

impl Owner for Broken {
    fn complete(self: Rc<Self>, _: Completion) {
        panic!("on purpose");
    }
}

#[test]
fn a_panic_in_the_ring_task_ends_the_worker() {
    let ended = std::panic::catch_unwind(|| {
        worker(|| async {
            nop().await;
            current().expect("in a worker").nop(Rc::new(Broken));
            std::future::pending::<()>().await;
        })
    });
    assert!(ended.is_err() && uring::usage().is_none());
}

#[test]
fn a_panic_ends_the_worker_and_what_it_had_in_flight() {
    let ended = std::panic::catch_unwind(|| {
        worker(|| async {
            let (stream, _peer) = pair_with_std().await;
            let _receiving = tokio::task::spawn_local(async move { stream.recv().await.map(drop) });
            nop().await;
            assert!(usage().operations > 0);
            panic!("on purpose");
        })
    });
    assert!(ended.is_err() && uring::usage().is_none());
}
