//! `ipAllowList`: only clients of certain networks pass.

use std::net::IpAddr;
use std::ops::ControlFlow;

use ipnet::IpNet;

use super::{Answer, Behaviour, Request, Settings};
use crate::http::{Headers, Status, name};
use crate::rule::network;

/// Its settings.
#[derive(Debug)]
pub struct IpAllowList {
    ranges: Vec<IpNet>,
    strategy: Strategy,
    reject: Status,
}

/// Whose address counts. All but the first believe `X-Forwarded-For`, of which only what trusted peers sent is left.
#[derive(Debug)]
enum Strategy {
    Remote,
    /// The n-th from the right, an IPv6 address cut to its subnet.
    Depth(usize, Option<u8>),
    /// The first from the right that is in none of these.
    Excluding(Vec<IpNet>),
}

const RANGES: &str = "a list of IP addresses or CIDRs such as 10.0.0.0/8";

impl Behaviour for IpAllowList {
    const KEYS: &'static [&'static str] = &["sourceRange", "ipStrategy", "rejectStatusCode"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let ranges = networks(settings, "sourceRange");
        if ranges.as_ref().is_some_and(Vec::is_empty) {
            settings.wrong("sourceRange", RANGES);
            return None;
        }
        let mut strategy = Some(Strategy::Remote);
        settings.below(
            "ipStrategy",
            &["depth", "excludedIPs", "ipv6Subnet"],
            &mut |below| {
                strategy = read_strategy(below);
            },
        );
        let status = settings
            .integer("rejectStatusCode", 0..=599)
            .filter(|code| *code != 0);
        let reject = match status.map(|code| Status::new(code as u16)) {
            None => Status::FORBIDDEN,
            Some(Some(status)) if !status.reason().is_empty() && !status.is_informational() => {
                status
            }
            Some(_) => {
                settings.wrong("rejectStatusCode", "a status such as 403");
                return None;
            }
        };
        Some(Self {
            ranges: ranges?,
            strategy: strategy?,
            reject,
        })
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        let address = self.strategy.address(request);
        if address.is_some_and(|address| within(&self.ranges, address)) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(Answer::status(self.reject))
    }
}

fn read_strategy(settings: &mut dyn Settings) -> Option<Strategy> {
    let depth = settings.integer("depth", 0..=1_000).unwrap_or(0);
    let excluded = networks(settings, "excludedIPs")?;
    let subnet = settings
        .integer("ipv6Subnet", 1..=128)
        .map(|length| length as u8);
    Some(match (depth, excluded.is_empty()) {
        (1.., _) => Strategy::Depth(depth as usize, subnet),
        (_, false) => Strategy::Excluding(excluded),
        _ => Strategy::Remote,
    })
}

fn networks(settings: &mut dyn Settings, key: &'static str) -> Option<Vec<IpNet>> {
    let written = settings.texts(key);
    let parsed: Option<Vec<IpNet>> = written
        .iter()
        .map(|text| network(text.trim()).ok())
        .collect();
    if parsed.is_none() {
        settings.wrong(key, RANGES);
    }
    parsed
}

fn within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

impl Strategy {
    fn address(&self, request: &Request<'_>) -> Option<IpAddr> {
        let headers = &request.head.headers;
        match self {
            Self::Remote => Some(request.client.to_canonical()),
            Self::Depth(depth, subnet) => {
                let text = forwarded(headers).nth(depth - 1)?;
                let address = parse(text)?;
                Some(subnet.map_or(address, |length| cut(address, length)))
            }
            Self::Excluding(excluded) => {
                let mut each = forwarded(headers).filter(|text| !text.is_empty());
                let first =
                    each.find(|text| !parse(text).is_some_and(|ip| within(excluded, ip)))?;
                parse(first)
            }
        }
    }
}

/// The entries of `X-Forwarded-For`, the latest first. Traefik looks at the first line alone, which the client wrote if
/// a proxy added one of its own.
fn forwarded(headers: &Headers) -> impl Iterator<Item = &str> {
    let lines: Vec<&[u8]> = headers.get_all(name::X_FORWARDED_FOR).collect();
    let texts = lines.into_iter().rev();
    let texts = texts.map(|line| std::str::from_utf8(line).unwrap_or_default());
    texts.flat_map(|text| text.rsplit(',').map(str::trim))
}

fn parse(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

fn cut(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V6(_) => {
            IpNet::new(address, length).map_or(address, |network| network.trunc().addr())
        }
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use crate::middleware::tests::{Sent, answered, complaints};

    fn status(settings: &[(&'static str, &'static str)], client: &str, forwarded: &str) -> String {
        let fields = [("X-Forwarded-For", forwarded)];
        let sent = Sent {
            client,
            fields: &fields,
            ..Sent::get("/")
        };
        answered("ipAllowList", settings, &sent).unwrap_or_else(|| "passes".to_owned())
    }

    #[test]
    fn clients_of_the_networks_pass() {
        let settings = [("sourceRange", "10.0.0.0/8,2001:db8::/32,192.0.2.7")];
        for (client, expected) in [
            ("10.1.2.3", "passes"),
            ("::ffff:10.1.2.3", "passes"),
            ("192.0.2.7", "passes"),
            ("192.0.2.8", "403"),
            ("2001:db8::1", "passes"),
            ("2001:db9::1", "403"),
        ] {
            assert_eq!(status(&settings, client, "10.0.0.1"), expected, "{client}");
        }
        let other = [("sourceRange", "10.0.0.1"), ("rejectStatusCode", "404")];
        assert_eq!(status(&other, "10.0.0.2", ""), "404");
    }

    #[test]
    fn strategies_choose_the_address() {
        let depth = |depth| [("sourceRange", "10.0.0.0/8"), ("ipStrategy.depth", depth)];
        let chain = "10.0.0.1, 192.0.2.1 , 192.0.2.2";
        assert_eq!(status(&depth("3"), "192.0.2.9", chain), "passes");
        assert_eq!(status(&depth("1"), "10.0.0.9", chain), "403");
        assert_eq!(status(&depth("4"), "10.0.0.9", chain), "403");
        assert_eq!(status(&depth("1"), "10.0.0.9", "nonsense"), "403");
        let excluding = [
            ("sourceRange", "10.0.0.0/8"),
            ("ipStrategy.excludedIPs", "192.0.2.0/24"),
        ];
        assert_eq!(status(&excluding, "192.0.2.9", chain), "passes");
        assert_eq!(status(&excluding, "10.0.0.9", "192.0.2.1"), "403");
        let subnet = [
            ("sourceRange", "2001:db8::"),
            ("ipStrategy.depth", "1"),
            ("ipStrategy.ipv6Subnet", "64"),
        ];
        assert_eq!(status(&subnet, "10.0.0.9", "2001:db8::abcd"), "passes");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for settings in [
            vec![],
            vec![("sourceRange", "10.0.0.0/33")],
            vec![("sourceRange", "10.0.0.1"), ("rejectStatusCode", "299")],
            vec![("sourceRange", "10.0.0.1"), ("ipStrategy.excludedIPs", "x")],
        ] {
            assert_eq!(
                complaints("ipAllowList", &settings).len(),
                1,
                "{settings:?}"
            );
        }
    }
}
