use proptest::prelude::*;

use super::*;
use crate::service::pool::{Pool, PoolTree};

fn table(rules: &[(&str, SourceExpr)]) -> SteeredTable {
    let pool = Arc::new(Pool::new("pool".into(), &PoolTree::Servers(vec![])).unwrap());
    let rules = rules.iter().map(|(router, expr)| SteeredRule {
        router: (*router).into(),
        priority: 0,
        expr: expr.clone(),
        pool: pool.clone(),
    });
    SteeredTable::compile(rules.collect()).unwrap()
}

fn winner<'t>(table: &'t SteeredTable, source: &str) -> Option<&'t str> {
    table
        .lookup(source.parse().unwrap())
        .map(|rule| &*rule.router)
}

fn prefix(text: &str) -> SourceExpr {
    SourceExpr::Prefix(text.parse().unwrap())
}

fn not(expr: SourceExpr) -> SourceExpr {
    SourceExpr::Not(Box::new(expr))
}

#[test]
fn priority_decides_and_not_prefix_length() {
    let table = table(&[
        ("wide", prefix("10.0.0.0/8")),
        ("narrow", prefix("10.1.0.0/16")),
    ]);
    assert_eq!(winner(&table, "10.1.2.3"), Some("wide"));
    assert_eq!(winner(&table, "11.1.2.3"), None);
    assert_eq!(
        table.entries().count(),
        1,
        "the narrow prefix has the winner of the wide one"
    );
}

#[test]
fn a_hole_in_a_prefix_is_an_entry_without_a_winner() {
    let all_but = SourceExpr::And(vec![prefix("10.0.0.0/8"), not(prefix("10.1.0.0/16"))]);
    let table = table(&[("all-but", all_but)]);
    assert_eq!(winner(&table, "10.1.2.3"), None);
    assert_eq!(winner(&table, "10.2.2.3"), Some("all-but"));
    let entries: Vec<_> = table
        .entries()
        .map(|(prefix, rule)| (prefix.to_string(), rule.is_some()))
        .collect();
    assert_eq!(
        entries,
        [
            ("10.0.0.0/8".to_owned(), true),
            ("10.1.0.0/16".to_owned(), false)
        ]
    );
}

#[test]
fn any_and_not_reach_both_families() {
    let table = table(&[
        ("not-ten", not(prefix("10.0.0.0/8"))),
        ("rest", SourceExpr::Any),
    ]);
    assert_eq!(winner(&table, "10.0.0.1"), Some("rest"));
    assert_eq!(winner(&table, "192.0.2.1"), Some("not-ten"));
    assert_eq!(winner(&table, "2001:db8::1"), Some("not-ten"));
}

#[test]
fn a_mapped_prefix_means_the_ipv4_prefix() {
    let table = table(&[
        ("mapped", prefix("::ffff:10.0.0.0/104")),
        ("v6", prefix("::/64")),
    ]);
    assert_eq!(winner(&table, "10.9.9.9"), Some("mapped"));
    assert_eq!(winner(&table, "::1"), Some("v6"));
}

#[test]
fn more_prefixes_than_the_tries_hold_are_refused() {
    let many = (0..STEERED_PREFIXES_MAX as u32)
        .map(|host| SourceExpr::Prefix(prefix_v4(u128::from(host), 32)));
    let rule = SteeredRule {
        router: "many".into(),
        priority: 0,
        expr: SourceExpr::Or(many.collect()),
        pool: Arc::new(Pool::new("pool".into(), &PoolTree::Servers(vec![])).unwrap()),
    };
    let refused = SteeredTable::compile(vec![rule]).unwrap_err();
    assert_eq!(refused.found, STEERED_PREFIXES_MAX + 2);
}

/// Few bits, so that random prefixes nest and random sources fall into them.
fn any_prefix() -> impl Strategy<Value = IpNet> {
    let v4 =
        (0u32..64, 0u8..=8).prop_map(|(bits, length)| prefix_v4(u128::from(bits) << 24, length));
    let v6 = (0u128..64, 0u8..=8).prop_map(|(bits, length)| prefix_v6(bits << 120, length));
    prop_oneof![v4, v6].prop_map(|prefix| prefix.trunc())
}

fn any_expr() -> impl Strategy<Value = SourceExpr> {
    let leaf =
        prop_oneof![1 => Just(SourceExpr::Any), 8 => any_prefix().prop_map(SourceExpr::Prefix)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(not),
            prop::collection::vec(inner.clone(), 0..4).prop_map(SourceExpr::And),
            prop::collection::vec(inner, 0..4).prop_map(SourceExpr::Or),
        ]
    })
}

fn any_source() -> impl Strategy<Value = IpAddr> {
    let v4 = (0u32..64, any::<u32>())
        .prop_map(|(top, low)| IpAddr::from(Ipv4Addr::from_bits(top << 24 | low >> 8)));
    let v6 = (0u128..64, any::<u64>())
        .prop_map(|(top, low)| IpAddr::from(Ipv6Addr::from_bits(top << 120 | u128::from(low))));
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn longest_prefix_match_is_the_ordered_list(
        exprs in prop::collection::vec(any_expr(), 0..6),
        sources in prop::collection::vec(any_source(), 64),
    ) {
        let names: Vec<String> = (0..exprs.len()).map(|index| index.to_string()).collect();
        let rules: Vec<_> = names.iter().map(String::as_str).zip(exprs.iter().cloned()).collect();
        let table = table(&rules);
        for source in sources {
            let listed = exprs.iter().position(|expr| expr.matches(source)).map(|index| index.to_string());
            prop_assert_eq!(table.lookup(source).map(|rule| rule.router.to_string()), listed);
            // The XDP program's view: longest match over the entries, and nothing else.
            let longest = table.entries().filter(|(prefix, _)| prefix.contains(&source)).last();
            let kernel = longest.and_then(|(_, rule)| rule).map(|rule| rule.router.to_string());
            prop_assert_eq!(kernel, exprs.iter().position(|expr| expr.matches(source)).map(|index| index.to_string()));
        }
    }
}
