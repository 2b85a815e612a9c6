//! DNS-01 against all servers of a zone, of which one has the records later than the others.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use xtask::netns::Namespace;

use super::{Authority, require_servers};
use crate::support::require_root;

/// How often the second server says that there is no record.
const LATE: usize = 2;

/// The second server of the zone: as the first, but for records that it has not yet.
fn late(first: SocketAddr, asked: &Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.2:53").expect("port 53");
    let asked = Arc::clone(asked);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut bytes) {
            let Ok(question) = Message::from_vec(&bytes[..length]) else {
                continue;
            };
            let is_text = question
                .queries
                .iter()
                .any(|query| query.query_type() == RecordType::TXT);
            let answer = match is_text && asked.fetch_add(1, Ordering::Relaxed) < LATE {
                // The question as an answer: nothing is there.
                true => {
                    bytes[2] |= 0x80;
                    bytes[..length].to_vec()
                }
                false => {
                    let upstream = UdpSocket::bind("127.0.0.1:0").expect("a socket");
                    upstream
                        .set_read_timeout(Some(Duration::from_secs(5)))
                        .expect("a timeout");
                    upstream.send_to(&bytes[..length], first).expect("sent");
                    let Ok(length) = upstream.recv(&mut bytes) else {
                        continue;
                    };
                    bytes[..length].to_vec()
                }
            };
            // Whoever asked may have gone.
            let _ = socket.send_to(&answer, client);
        }
    });
}

#[test]
fn all_servers_of_a_zone_are_waited_for() {
    if !require_servers() || !require_root("network namespaces, port 53") {
        return;
    }
    let namespace = Namespace::create("zone").expect("a namespace");
    namespace.within(|| {
        let names = SocketAddr::from(([127, 0, 0, 1], 53));
        let authority = Authority::with("pebble", "", names, "@ NS ns2\nns2 A 127.0.0.2\n");
        let asked = Arc::default();
        late(names, &asked);
        let challenge = "dnsChallenge: {provider: rfc2136, resolvers: [\"127.0.0.1:53\"]}";
        let weir = authority.start_weir(authority.setup(challenge, &["*.example"]));
        authority.issues(&weir, "x.example");
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked > LATE, "the second server was asked {asked} times");
        assert_eq!(authority.issued(), 1);
    });
}
