//! What is asked of name servers, how often, and for how long. Servers here live on the same runtime, whose clock moves
//! only while nothing else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::{CNAME, TXT};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::query::{exchange, name};
use super::*;
use crate::limits::{DNS_ANSWER, DNS_PROPAGATION, DNS_TRIES};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A name server.
struct Server {
    address: std::net::SocketAddr,
    /// Questions that have come.
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// One that answers each question, by its number and name, with this after that time; `None`: not at all.
    async fn new(
        answer: impl Fn(usize, &str) -> Option<(Duration, Vec<RData>)> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (socket.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut question).await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let message = Message::from_vec(&question[..length]).unwrap();
                let of = message.queries[0].name().clone();
                let Some((time, data)) = answer(number, &of.to_string()) else {
                    continue;
                };
                sleep(time).await;
                let records = data
                    .into_iter()
                    .map(|data| Record::from_rdata(of.clone(), 60, data));
                let mut reply = message.into_response();
                reply.add_answers(records);
                socket
                    .send_to(&reply.to_vec().unwrap(), from)
                    .await
                    .unwrap();
            }
        });
        Self { address, asked }
    }

    async fn is_heard(&self) -> bool {
        let mut message = Message::query();
        message.add_query(Query::query(name("a.example").unwrap(), RecordType::TXT));
        exchange(self.address, &message).await.is_ok()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn record() -> TxtRecord {
    TxtRecord {
        proves: "a.example".to_owned(),
        name: "_acme-challenge.a.example".to_owned(),
        value: "proof".to_owned(),
        token: String::new(),
        authorization: String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_is_asked_so_often_and_no_more() {
    for (answered, heard) in [(DNS_TRIES, true), (DNS_TRIES + 1, false)] {
        let nth = move |number, _: &str| (number == answered).then(Default::default);
        let server = Server::new(nth).await;
        let begin = Instant::now();
        assert_eq!(server.is_heard().await, heard);
        let tries = u32::try_from(DNS_TRIES).unwrap();
        let waited = DNS_ANSWER * (tries - u32::from(heard));
        assert_eq!((server.asked(), begin.elapsed()), (DNS_TRIES, waited));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_in_time_or_is_asked_for_again() {
    for (time, asked) in [
        (DNS_ANSWER - MILLISECOND, 1),
        (DNS_ANSWER + MILLISECOND, DNS_TRIES),
    ] {
        let server = Server::new(move |_, _| Some((time, Vec::new()))).await;
        assert_eq!(
            (server.is_heard().await, server.asked()),
            (asked == 1, asked)
        );
    }
}

#[tokio::test]
async fn so_many_aliases_are_followed_and_no_more() {
    for aliases in [DNS_CNAMES_MAX, DNS_CNAMES_MAX + 1] {
        let server = Server::new(move |number, _| {
            let next = || name(&format!("alias{number}.example")).unwrap();
            let alias = (number <= aliases).then(|| RData::CNAME(CNAME(next())));
            Some((Duration::ZERO, alias.into_iter().collect()))
        });
        let resolver = Resolver::new(&[server.await.address]).unwrap();
        match target(&resolver, &record()).await {
            Ok(last) => assert_eq!(
                (last, aliases),
                ("alias8.example".to_owned(), DNS_CNAMES_MAX)
            ),
            Err(Failure::Names(said)) => {
                assert_eq!(aliases, DNS_CNAMES_MAX + 1);
                assert!(said[0].1.contains("more than 8 aliases"), "{said:?}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_seen_in_time_or_given_up() {
    for made in [DNS_PROPAGATION, DNS_PROPAGATION + MILLISECOND] {
        let begin = Instant::now();
        let server = Server::new(move |_, _| {
            let there = begin.elapsed() >= made;
            let text = there.then(|| RData::TXT(TXT::new(vec!["proof".to_owned()])));
            Some((Duration::ZERO, text.into_iter().collect()))
        });
        let resolver = Resolver::new(&[server.await.address]).unwrap();
        let challenge = DnsChallenge {
            provider: DnsProvider::Exec,
            resolvers: Vec::new(),
            delay: Duration::ZERO,
            check: DnsCheck::Resolvers { all: true },
            patience: DNS_PROPAGATION,
        };
        let seen = propagated(&challenge, &resolver, &[record()]).await;
        assert_eq!(seen.is_ok(), made == DNS_PROPAGATION, "{seen:?}");
        assert_eq!(begin.elapsed(), DNS_PROPAGATION);
    }
}
