//! Steered routers compiled to longest-prefix match: what the XDP program looks up and its user-space twin.
//!
//! Owns the one table both planes read; it never sees YAML, a socket or a BPF map. Invariants:
//! - priority decides, never prefix length: [`SteeredTable::lookup`] gives what evaluating the ordered rules for that
//!   address would give;
//! - the table is immutable and shared by every worker and the control thread;
//! - addresses are normalised before they get here: an IPv4-mapped IPv6 address is asked as IPv4.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::limits::STEERED_PREFIXES_MAX;
use crate::service::pool::Pool;

/// The rule of a steered router: nothing but the packet's source address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceExpr {
    /// Every source: HostSNI(`*`).
    Any,
    /// A source within the prefix: ClientIP. A prefix of IPv4-mapped IPv6 addresses means the IPv4 prefix.
    Prefix(IpNet),
    /// `!`
    Not(Box<SourceExpr>),
    /// `&&`; every source when empty.
    And(Vec<SourceExpr>),
    /// `||`; no source when empty.
    Or(Vec<SourceExpr>),
}

/// One steered router of an entry point.
#[derive(Clone, Debug)]
pub struct SteeredRule {
    /// The router's name, as in the configuration.
    pub router: Arc<str>,
    /// For status output; the order of the rules is what decides.
    pub priority: i64,
    /// Which sources it catches.
    pub expr: SourceExpr,
    /// Where they go.
    pub pool: Arc<Pool>,
}

/// The rules mention more prefixes than the XDP program's tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPrefixes {
    /// Distinct prefixes in the rules, both families together.
    pub found: usize,
}

impl std::fmt::Display for TooManyPrefixes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = self.found;
        write!(
            f,
            "the steered rules of one entry point mention {found} distinct prefixes, at most {STEERED_PREFIXES_MAX} fit"
        )
    }
}

impl std::error::Error for TooManyPrefixes {}

/// The steered rules of one entry point. Empty without steered routers.
#[derive(Clone, Debug, Default)]
pub struct SteeredTable {
    rules: Vec<SteeredRule>,
    /// Index into `rules`, or `None` where a wider prefix has a winner and this one has not.
    winners: PrefixMap<Option<u32>>,
}

impl SteeredTable {
    /// Compiles rules in precedence order (the first that matches wins). Each distinct prefix mentioned is asked once:
    /// between a prefix and those inside it every rule has one answer.
    pub fn compile(rules: Vec<SteeredRule>) -> Result<Self, TooManyPrefixes> {
        let mut prefixes = BTreeSet::from([V4_ALL, V6_ALL].map(widest_first));
        for rule in &rules {
            rule.expr.each_prefix(&mut |prefix| {
                prefixes.insert(widest_first(prefix));
            });
        }
        if prefixes.len() > STEERED_PREFIXES_MAX {
            return Err(TooManyPrefixes {
                found: prefixes.len(),
            });
        }
        let matchers: Vec<Matcher> = rules.iter().map(|rule| Matcher::new(&rule.expr)).collect();
        let mut winners = PrefixMap::default();
        for (_, prefix) in prefixes {
            let winner = matchers
                .iter()
                .position(|matcher| matcher.covers(prefix))
                .map(|index| index as u32);
            if winners.lookup(prefix).copied().flatten() != winner {
                winners.insert(prefix, winner);
            }
        }
        Ok(Self { rules, winners })
    }

    /// The rule that catches this source, by longest prefix. The caller passes an IPv4-mapped address as IPv4.
    pub fn lookup(&self, source: IpAddr) -> Option<&SteeredRule> {
        let winner = *self.winners.lookup(IpNet::from(source))?;
        self.rules.get(winner? as usize)
    }

    /// What the XDP program's tries hold: each prefix with its winner; `None` is a hole in a steered prefix. Widest
    /// prefixes first; no prefix twice.
    pub fn entries(&self) -> impl Iterator<Item = (IpNet, Option<&SteeredRule>)> {
        self.winners.iter().map(|(prefix, winner)| {
            (
                prefix,
                winner.and_then(|index| self.rules.get(index as usize)),
            )
        })
    }

    /// The rules in precedence order.
    pub fn rules(&self) -> &[SteeredRule] {
        &self.rules
    }

    /// No steered router on this entry point.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl SourceExpr {
    /// Whether this expression catches the source: the definition that [`SteeredTable`] is compiled from.
    pub fn matches(&self, source: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(prefix) => unmapped(*prefix).contains(&source),
            Self::Not(inner) => !inner.matches(source),
            Self::And(all) => all.iter().all(|inner| inner.matches(source)),
            Self::Or(any) => any.iter().any(|inner| inner.matches(source)),
        }
    }

    /// How many prefixes it mentions, one mentioned twice counted twice.
    pub fn prefixes(&self) -> usize {
        let mut count = 0;
        self.each_prefix(&mut |_| count += 1);
        count
    }

    fn each_prefix(&self, visit: &mut dyn FnMut(IpNet)) {
        match self {
            Self::Any => {}
            Self::Prefix(prefix) => visit(unmapped(*prefix)),
            Self::Not(inner) => inner.each_prefix(visit),
            Self::And(inner) | Self::Or(inner) => {
                inner.iter().for_each(|inner| inner.each_prefix(visit))
            }
        }
    }
}

/// A [`SourceExpr`] whose alternatives are sets, so that a rule of many prefixes does not compare each with each.
enum Matcher {
    Any,
    Within(PrefixMap<()>),
    Not(Box<Matcher>),
    And(Vec<Matcher>),
    Or(Vec<Matcher>),
}

impl Matcher {
    fn new(expr: &SourceExpr) -> Self {
        match expr {
            SourceExpr::Any => Self::Any,
            SourceExpr::Prefix(_) => Self::any_of(std::slice::from_ref(expr)),
            SourceExpr::Not(inner) => Self::Not(Box::new(Self::new(inner))),
            SourceExpr::And(all) => Self::And(all.iter().map(Self::new).collect()),
            SourceExpr::Or(any) => Self::any_of(any),
        }
    }

    fn any_of(alternatives: &[SourceExpr]) -> Self {
        let mut within = PrefixMap::default();
        let mut others = Vec::new();
        for alternative in alternatives {
            match alternative {
                SourceExpr::Prefix(prefix) => within.insert(unmapped(*prefix), ()),
                other => others.push(Self::new(other)),
            }
        }
        others.push(Self::Within(within));
        Self::Or(others)
    }

    /// Whether it catches the addresses of `prefix` that lie in no narrower prefix of the rules. There a mentioned
    /// prefix that contains `prefix` holds, and any other does not.
    fn covers(&self, prefix: IpNet) -> bool {
        match self {
            Self::Any => true,
            Self::Within(set) => set.lookup(prefix).is_some(),
            Self::Not(inner) => !inner.covers(prefix),
            Self::And(all) => all.iter().all(|inner| inner.covers(prefix)),
            Self::Or(any) => any.iter().any(|inner| inner.covers(prefix)),
        }
    }
}

/// Prefix to value, asked for the longest prefix that contains the question. One hash table per length in use: an
/// address is looked up once per accepted connection, so a few probes are cheaper than the code of a trie.
#[derive(Clone, Debug)]
struct PrefixMap<V> {
    v4: Vec<(u8, HashMap<u128, V>)>,
    v6: Vec<(u8, HashMap<u128, V>)>,
}

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }
}

impl<V> PrefixMap<V> {
    fn insert(&mut self, prefix: IpNet, value: V) {
        let lengths = if prefix.addr().is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        };
        let length = prefix.prefix_len();
        let slot = match lengths.binary_search_by_key(&length, |(length, _)| *length) {
            Ok(slot) => slot,
            Err(slot) => {
                lengths.insert(slot, (length, HashMap::new()));
                slot
            }
        };
        lengths[slot].1.insert(masked(prefix, length), value);
    }

    /// The value of the longest prefix that contains the whole of `question`.
    fn lookup(&self, question: IpNet) -> Option<&V> {
        let lengths = if question.addr().is_ipv4() {
            &self.v4
        } else {
            &self.v6
        };
        let wide_enough = lengths
            .iter()
            .rev()
            .skip_while(|(length, _)| *length > question.prefix_len());
        wide_enough
            .into_iter()
            .find_map(|(length, table)| table.get(&masked(question, *length)))
    }

    /// Every prefix, widest first, IPv4 before IPv6.
    fn iter(&self) -> impl Iterator<Item = (IpNet, &V)> {
        let v4 = self.v4.iter().flat_map(|(length, table)| {
            table
                .iter()
                .map(|(bits, value)| (prefix_v4(*bits, *length), value))
        });
        let v6 = self.v6.iter().flat_map(|(length, table)| {
            table
                .iter()
                .map(|(bits, value)| (prefix_v6(*bits, *length), value))
        });
        v4.chain(v6)
    }
}

const V4_ALL: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
const V6_ALL: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));

/// A sort key: a prefix is compiled after every prefix that contains it.
fn widest_first(prefix: IpNet) -> (u8, IpNet) {
    (prefix.prefix_len(), prefix.trunc())
}

/// The first `length` bits of the prefix's address, the rest zero.
fn masked(prefix: IpNet, length: u8) -> u128 {
    let (bits, width) = match prefix.addr() {
        IpAddr::V4(addr) => (u128::from(addr.to_bits()), 32),
        IpAddr::V6(addr) => (addr.to_bits(), 128),
    };
    let host_bits = width - u32::from(length);
    bits.checked_shr(host_bits)
        .and_then(|kept| kept.checked_shl(host_bits))
        .unwrap_or(0)
}

fn prefix_v4(bits: u128, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(
        Ipv4Addr::from_bits(bits as u32),
        length,
    ))
}

fn prefix_v6(bits: u128, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length))
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`; anything else is itself, host bits cleared.
fn unmapped(prefix: IpNet) -> IpNet {
    match (prefix.trunc().addr(), prefix.prefix_len()) {
        (IpAddr::V6(addr), length @ 96..=128) if addr.to_ipv4_mapped().is_some() => {
            prefix_v4(addr.to_bits() & u128::from(u32::MAX), length - 96)
        }
        _ => prefix.trunc(),
    }
}

#[cfg(test)]
mod tests;
