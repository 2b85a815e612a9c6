//! A stop under load: with another process on the same addresses no client notices.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use xtask::backend::Backend;

use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, eventually, free_port};

fn start(address: SocketAddr, server: &Backend) -> Weir {
    let setup = Setup::new(&format!(
        "entryPoints:\n  web:\n    address: \"{address}\"\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
         runtimeDir: \"{{dir}}/run\"\nworkers: 2\n"
    ));
    let rules = format!(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: a\n  services:\n    a:\n      \
         loadBalancer:\n        servers:\n          - url: http://{}\n",
        server.address()
    );
    let weir = setup.rules("rules.yml", &rules).start();
    // Another process may listen on the address already: that somebody accepts says nothing of this one.
    weir.logged("weir serves");
    weir
}

/// One request on the connection: whether the next may follow, or what went wrong.
fn request(stream: &mut TcpStream) -> Result<bool, String> {
    stream
        .write_all(b"GET /bytes/100 HTTP/1.1\r\nHost: a\r\n\r\n")
        .map_err(|error| format!("sending: {error}"))?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream
            .read(&mut piece)
            .map_err(|error| format!("receiving: {error}"))?;
        answer.extend_from_slice(&piece[..read]);
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        match head {
            Some(end) if answer.len() == end + 4 + 100 => {
                let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
                if !head.starts_with("http/1.1 200") {
                    return Err(head);
                }
                return Ok(!head.contains("connection: close"));
            }
            _ if read == 0 => return Err(format!("cut after {} bytes", answer.len())),
            _ => {}
        }
    }
}

#[test]
fn a_process_that_stops_beside_another_fails_no_request() {
    let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a backend");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (first, _second) = (start(address, &server), start(address, &server));
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|index| {
                let (over, served) = (&over, &served);
                // Half of them keep their connections for as long as they may.
                scope.spawn(move || load(address, index % 2 == 0, over, served))
            })
            .collect();
        let more = |than: usize| {
            eventually("requests are served", || {
                (served.load(Ordering::Relaxed) > than).then_some(())
            });
        };
        more(500);
        first.signal(Signal::SIGTERM);
        let (status, _) = first.wait();
        assert!(status.success(), "{status}");
        more(served.load(Ordering::Relaxed) + 500);
        over.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client ends"))
            .collect()
    });
    assert_eq!(failures, Vec::<String>::new());
}

fn load(address: SocketAddr, keep: bool, over: &AtomicBool, served: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let mut stream = match TcpStream::connect(address) {
            Ok(stream) => stream,
            Err(error) => {
                failures.push(format!("connecting: {error}"));
                continue;
            }
        };
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        loop {
            match request(&mut stream) {
                Ok(more) => {
                    served.fetch_add(1, Ordering::Relaxed);
                    if !(more && keep) || over.load(Ordering::Relaxed) {
                        break;
                    }
                }
                Err(error) => {
                    failures.push(error);
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    failures
}
