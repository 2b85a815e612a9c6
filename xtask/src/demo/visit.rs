//! One party's requests, and the judgement on where they landed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use xtask::backend::Answer;
use xtask::daemon::within;

use super::proxy::{Counters, Proxy};
use super::stage::Stage;
use crate::shell::{Outcome, output};

/// Where requests must land, and how.
pub(super) enum Expected {
    /// On one of these nodes, each client address always on the same one, TLS untouched.
    Steered(&'static [&'static str]),
    /// Exactly so many on each node, TLS terminated by the proxy.
    Terminated(Vec<(String, usize)>),
}

/// Requests of one party to the proxy.
pub(super) struct Visit {
    pub(super) who: &'static str,
    /// The addresses it comes from.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) entry: SocketAddr,
    /// Connections from each address.
    connections: usize,
    /// Requests on each connection.
    requests: usize,
    expected: Expected,
}

/// What became of a visit.
pub(super) struct Report<'a> {
    visit: &'a Visit,
    answers: Vec<(IpAddr, Landing)>,
    before: Counters,
    after: Counters,
}

/// Where one request landed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Landing {
    node: String,
    plane: Plane,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plane {
    /// The server saw an address that only XDP sends from.
    Xdp,
    /// The server did TLS itself, with the proxy as its peer.
    UserSpace,
    /// The proxy did TLS and told the server for whom.
    Terminated,
}

impl Plane {
    fn name(self) -> &'static str {
        match self {
            Self::Xdp => "layer 4, XDP",
            Self::UserSpace => "layer 4, user space",
            Self::Terminated => "TLS and HTTP by the proxy",
        }
    }
}

impl Visit {
    /// The head of the table.
    pub(super) fn header() -> String {
        row([
            "who",
            "from",
            "requests",
            "landed on",
            "by",
            "XDP: packets (connections), before -> after",
        ])
    }

    /// `load` is connections from each address, and requests on each connection.
    pub(super) fn new(
        who: &'static str,
        addresses: Vec<IpAddr>,
        entry: SocketAddr,
        (connections, requests): (usize, usize),
        expected: Expected,
    ) -> Self {
        Self {
            who,
            addresses,
            entry,
            connections,
            requests,
            expected,
        }
    }

    /// Sends the requests.
    pub(super) fn make<'a>(&'a self, stage: &Stage, proxy: &Proxy<'_>) -> Outcome<Report<'a>> {
        let before = proxy.counters()?;
        let mut answers = Vec::new();
        for address in &self.addresses {
            for _ in 0..self.connections {
                for answer in self.connect(stage, *address)? {
                    answers.push((*address, Landing::of(answer, stage)));
                }
            }
        }
        Ok(Report {
            visit: self,
            answers,
            before,
            after: proxy.counters()?,
        })
    }

    /// One curl, which keeps its connection for all its requests.
    fn connect(&self, stage: &Stage, from: IpAddr) -> Outcome<Vec<Answer>> {
        let mut curl = Command::new("curl");
        curl.args(["-sSk", "--max-time", "5", "--interface", &from.to_string()]);
        curl.args(vec![format!("https://{}/", self.entry); self.requests]);
        let bodies = within(stage.home(self.who), || output(&mut curl))?;
        let answer = |body: &str| {
            Answer::parse(body.as_bytes())
                .ok_or_else(|| format!("not an answer of a server of the demo: {body}").into())
        };
        bodies.lines().map(answer).collect()
    }
}

fn row([who, from, requests, landed, plane, counters]: [&str; 6]) -> String {
    format!("{who:<8} {from:<17} {requests:>8}  {landed:<32} {plane:<26} {counters}")
}

impl Landing {
    fn of(answer: Answer, stage: &Stage) -> Self {
        let plane = match answer.forwarded_for {
            Some(_) => Plane::Terminated,
            None if stage.is_snat(answer.peer.ip()) => Plane::Xdp,
            None => Plane::UserSpace,
        };
        Self {
            node: answer.node,
            plane,
        }
    }
}

impl Report<'_> {
    /// One line of the table.
    pub(super) fn line(&self) -> String {
        let Self {
            visit,
            answers,
            before,
            after,
        } = self;
        let from = match visit.addresses[..] {
            [only] => only.to_string(),
            _ => format!("{} (+{})", visit.addresses[0], visit.addresses.len() - 1),
        };
        let landed: Vec<String> = self
            .nodes()
            .iter()
            .map(|(node, times)| format!("{node} {times}"))
            .collect();
        let mut planes: Vec<Plane> = answers.iter().map(|(_, landing)| landing.plane).collect();
        planes.sort_unstable();
        planes.dedup();
        let planes: Vec<&str> = planes.into_iter().map(Plane::name).collect();
        let counters = format!(
            "{} ({}) -> {} ({})",
            before.packets, before.flows, after.packets, after.flows
        );
        let (requests, landed, planes) = (
            answers.len().to_string(),
            landed.join(", "),
            planes.join(", "),
        );
        row([visit.who, &from, &requests, &landed, &planes, &counters])
    }

    /// What is not as expected; `steering` is how the proxy says it steers.
    pub(super) fn complaints(&self, steering: &str) -> Vec<String> {
        let who = self.visit.who;
        let mut wrong = match &self.visit.expected {
            Expected::Steered(nodes) => self.steered(nodes, steering),
            Expected::Terminated(nodes) => self.terminated(nodes),
        };
        let (wanted, got) = (
            self.visit.addresses.len() * self.visit.connections * self.visit.requests,
            self.answers.len(),
        );
        if wanted != got {
            wrong.push(format!("{got} answers to {wanted} requests"));
        }
        wrong
            .into_iter()
            .map(|what| format!("{who} ({}): {what}", self.visit.entry))
            .collect()
    }

    fn steered(&self, nodes: &[&str], steering: &str) -> Vec<String> {
        let plane = if steering.starts_with("XDP") {
            Plane::Xdp
        } else {
            Plane::UserSpace
        };
        let mut wrong = self.not_by(plane);
        let mut homes: BTreeMap<IpAddr, &str> = BTreeMap::new();
        for (address, landing) in &self.answers {
            let home = *homes.entry(*address).or_insert(&landing.node);
            if home != landing.node || !nodes.contains(&home) {
                wrong.push(format!(
                    "{address} landed on {} and on {home}, expected one of {nodes:?}",
                    landing.node
                ));
            }
        }
        let connections = (self.visit.addresses.len() * self.visit.connections) as u64;
        let flows = self.after.flows - self.before.flows;
        if plane == Plane::Xdp && flows != connections {
            wrong.push(format!(
                "XDP counts {flows} new flows for {connections} connections"
            ));
        }
        wrong
    }

    fn terminated(&self, nodes: &[(String, usize)]) -> Vec<String> {
        let mut wrong = self.not_by(Plane::Terminated);
        if self.after.flows != self.before.flows {
            wrong.push("XDP steered some of its connections".to_owned());
        }
        let landed = self.nodes();
        if !landed
            .iter()
            .eq(nodes.iter().map(|(node, times)| (node, times)))
        {
            wrong.push(format!("landed on {landed:?}, expected {nodes:?}"));
        }
        wrong
    }

    fn not_by(&self, plane: Plane) -> Vec<String> {
        let others = self
            .answers
            .iter()
            .filter(|(_, landing)| landing.plane != plane);
        let what = |landing: &Landing| {
            format!(
                "{} served by {:?}, expected {plane:?}",
                landing.node, landing.plane
            )
        };
        others.map(|(_, landing)| what(landing)).collect()
    }

    fn nodes(&self) -> BTreeMap<String, usize> {
        let mut nodes = BTreeMap::new();
        for (_, landing) in &self.answers {
            *nodes.entry(landing.node.clone()).or_default() += 1;
        }
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// The complaints about one address whose requests, one for each node given, were served by `plane`.
    fn complaints(expected: Expected, nodes: &[&str], plane: Plane, flows: u64) -> Vec<String> {
        let visit = Visit::new(
            "guest",
            vec![HERE],
            SocketAddr::new(HERE, 443),
            (2, 1),
            expected,
        );
        let landing = |node: &&str| {
            (
                HERE,
                Landing {
                    node: (*node).to_owned(),
                    plane,
                },
            )
        };
        let report = Report {
            visit: &visit,
            answers: nodes.iter().map(landing).collect(),
            before: Counters {
                packets: 10,
                flows: 1,
            },
            after: Counters {
                packets: 30,
                flows: 1 + flows,
            },
        };
        report.complaints("XDP (native)")
    }

    #[test]
    fn steered_means_one_node_by_xdp() {
        let staging = || Expected::Steered(&["staging", "other"]);
        assert_eq!(
            complaints(staging(), &["staging", "staging"], Plane::Xdp, 2),
            [""; 0]
        );
        for wrong in [
            complaints(staging(), &["staging", "other"], Plane::Xdp, 2),
            complaints(staging(), &["elsewhere", "elsewhere"], Plane::Xdp, 2),
            complaints(staging(), &["staging", "staging"], Plane::UserSpace, 2),
            complaints(staging(), &["staging", "staging"], Plane::Xdp, 0),
            complaints(staging(), &["staging"], Plane::Xdp, 2),
        ] {
            assert!(!wrong.is_empty());
        }
    }

    #[test]
    fn terminated_means_exactly_so_many_on_each() {
        let one_each = || Expected::Terminated(vec![("a".to_owned(), 1), ("b".to_owned(), 1)]);
        assert_eq!(
            complaints(one_each(), &["a", "b"], Plane::Terminated, 0),
            [""; 0]
        );
        for wrong in [
            complaints(one_each(), &["a", "a"], Plane::Terminated, 0),
            complaints(one_each(), &["a", "b"], Plane::UserSpace, 0),
            complaints(one_each(), &["a", "b"], Plane::Terminated, 1),
        ] {
            assert!(!wrong.is_empty());
        }
    }
}
