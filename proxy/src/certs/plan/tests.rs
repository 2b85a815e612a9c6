//! What is asked for, kept and left, at which moment.

use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400;
/// A moment in 2026.
const NOW: i64 = 1_780_000_000;

fn wanted(resolver: &str, names: &[&str]) -> Wanted {
    Wanted {
        resolver: resolver.into(),
        names: boxed(names),
        alone: false,
        router: "r@file".into(),
    }
}

fn boxed(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

struct Certificate {
    key: Key,
    names: Vec<Box<str>>,
    /// Days from now.
    life: (i64, i64),
    window: Option<Window>,
}

fn certificate(key: &str, names: &[&str], life: (i64, i64)) -> Certificate {
    Certificate {
        key: key.to_owned(),
        names: boxed(names),
        life,
        window: None,
    }
}

impl Certificate {
    fn have(&self) -> Have<'_> {
        Have {
            key: &self.key,
            resolver: "le",
            names: &self.names,
            not_before: NOW + self.life.0 * DAY,
            not_after: NOW + self.life.1 * DAY,
            window: self.window,
        }
    }
}

fn planned(wanted: &[Wanted], have: &[Certificate], now: i64) -> Plan {
    let have: Vec<Have<'_>> = have.iter().map(Certificate::have).collect();
    plan(wanted, &have, |_| false, &Troubled::new(), now)
}

fn orders(plan: &Plan) -> Vec<String> {
    plan.orders
        .iter()
        .map(|order| order.names.join(" "))
        .collect()
}

#[test]
fn all_names_of_a_resolver_become_few_certificates_in_one_order() {
    let all = [
        wanted("le", &["www.b.example", "b.example"]),
        wanted("le", &["x.a.example", "a.example"]),
        wanted("le", &["*.a.example"]),
        wanted("other", &["x.a.example"]),
        wanted("le", &["y.x.a.example"]),
    ];
    let expected = [
        "a.example *.a.example y.x.a.example b.example www.b.example",
        "x.a.example",
    ];
    assert_eq!(orders(&planned(&all, &[], NOW)), expected);
    let mut reversed = all.to_vec();
    reversed.reverse();
    assert_eq!(planned(&reversed, &[], NOW), planned(&all, &[], NOW));
}

#[test]
fn ten_thousand_certificates_are_planned_at_once() {
    let names: Vec<String> = (0..10_000)
        .map(|index| format!("n{index}.example"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let keys: Vec<String> = (0..names.len())
        .map(|index| format!("{index:08x}"))
        .collect();
    let there = keys.iter().zip(&names);
    let there: Vec<Certificate> = there
        .map(|(key, name)| certificate(key, &[*name], (-10, 80)))
        .collect();
    let start = std::time::Instant::now();
    let plan = planned(&[wanted("le", &names)], &there, NOW);
    assert_eq!(
        (plan.kept.len(), plan.orders.len(), plan.unused.len()),
        (10_000, 0, 0)
    );
    // In a build that is not optimized, on a machine that is shared; what is not linear takes hours.
    assert!(
        start.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn where_one_name_is_taken_each_has_a_certificate_and_is_renewed_by_its_own() {
    let mut wanted = wanted("le", &["a.x.ts.net", "b.x.ts.net"]);
    wanted.alone = true;
    let wanted = [wanted];
    let fresh = plan(&wanted, &[], |_| false, &Troubled::new(), NOW);
    let names: Vec<&[Box<str>]> = fresh.orders.iter().map(|order| &*order.names).collect();
    assert_eq!(names, [boxed(&["a.x.ts.net"]), boxed(&["b.x.ts.net"])]);
    let due = [
        certificate("k1", &["b.x.ts.net"], (-80, 10)),
        certificate("k2", &["a.x.ts.net"], (-80, 10)),
    ];
    let have: Vec<Have<'_>> = due.iter().map(|one| one.have()).collect();
    let renewed = plan(&wanted, &have, |_| false, &Troubled::new(), NOW);
    let replaced: Vec<_> = renewed
        .orders
        .iter()
        .map(|order| (&*order.names[0], order.replaces.as_deref()))
        .collect();
    assert_eq!(
        replaced,
        [("a.x.ts.net", Some("k2")), ("b.x.ts.net", Some("k1"))]
    );
}

#[test]
fn more_names_than_a_certificate_takes_go_into_several() {
    let names: Vec<String> = (0..CERTIFICATE_NAMES_MAX + 1)
        .map(|index| format!("n{index:03}.example"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = planned(&[wanted("le", &names)], &[], NOW);
    let lengths: Vec<usize> = plan.orders.iter().map(|order| order.names.len()).collect();
    assert_eq!(lengths, [CERTIFICATE_NAMES_MAX, 1]);
}

#[test]
fn what_is_there_serves_and_only_the_rest_is_asked_for() {
    let have = [
        certificate("aa", &["*.a.example", "a.example"], (-10, 80)),
        certificate("bb", &["old.example"], (-10, 80)),
    ];
    let plan = planned(
        &[wanted("le", &["x.a.example", "a.example", "b.example"])],
        &have,
        NOW,
    );
    assert_eq!(orders(&plan), ["b.example"]);
    assert_eq!(plan.kept.keys().collect::<Vec<_>>(), ["aa"]);
    assert_eq!(plan.unused, BTreeSet::from(["bb".to_owned()]));
}

#[test]
fn a_name_served_from_a_file_is_not_asked_for() {
    let plan = plan(
        &[wanted("le", &["a.example", "b.example"])],
        &[],
        |name| name == "a.example",
        &Troubled::new(),
        NOW,
    );
    assert_eq!(orders(&plan), ["b.example"]);
}

#[test]
fn a_troubled_name_is_asked_for_alone() {
    let troubled = Troubled::from([("le".into(), "b.example".into())]);
    let all = [wanted("le", &["a.example", "b.example", "c.example"])];
    assert_eq!(
        orders(&plan(&all, &[], |_| false, &troubled, NOW)),
        ["a.example c.example", "b.example"]
    );
}

#[test]
fn a_renewal_takes_in_what_was_obtained_apart() {
    let have = [
        certificate("aa", &["a.example"], (-70, 20)),
        certificate("bb", &["b.example"], (-65, 25)),
        certificate("cc", &["c.example"], (-10, 80)),
    ];
    let plan = planned(
        &[wanted(
            "le",
            &["a.example", "b.example", "c.example", "d.example"],
        )],
        &have,
        NOW,
    );
    assert_eq!(orders(&plan), ["a.example b.example d.example"]);
    assert!(plan.orders[0].replaces.is_some());
    assert!(plan.unused.is_empty());
}

#[test]
fn renewal_is_due_at_a_third_of_life_or_thirty_days_and_never_later_than_expiry() {
    for (life, days_before) in [((-60, 30), 30), ((0, 6), 2), ((0, 365), 30), ((0, 1), 0)] {
        let certificate = certificate("00", &["a.example"], life);
        let at = renew_at(&certificate.have());
        let before = certificate.have().not_after - at;
        assert_eq!(before / DAY, days_before, "{life:?}");
        let all = [wanted("le", &["a.example"])];
        assert_eq!(
            planned(&all, std::slice::from_ref(&certificate), at - 1).orders,
            []
        );
        for late in [
            at,
            certificate.have().not_after,
            certificate.have().not_after + 1000 * DAY,
        ] {
            assert_eq!(
                orders(&planned(&all, std::slice::from_ref(&certificate), late)),
                ["a.example"]
            );
        }
    }
}

#[test]
fn the_authoritys_window_comes_first_and_spreads() {
    let window = Window {
        start: NOW,
        end: NOW + DAY,
        ask_again: NOW,
    };
    let at = |key: &str| {
        let mut certificate = certificate(key, &["a.example"], (-10, 80));
        certificate.window = Some(window);
        renew_at(&certificate.have())
    };
    let (one, two) = (at("00001000"), at("00004000"));
    assert!(one != two && (NOW..NOW + DAY).contains(&one) && (NOW..NOW + DAY).contains(&two));
    let mut past = certificate("00001000", &["a.example"], (-10, 80));
    past.window = Some(Window {
        start: NOW - 9 * DAY,
        end: NOW - 8 * DAY,
        ask_again: NOW,
    });
    assert_eq!(
        orders(&planned(&[wanted("le", &["a.example"])], &[past], NOW)),
        ["a.example"],
        "revoked: at once"
    );
}

#[test]
fn a_clock_that_jumps_asks_for_nothing_twice() {
    let all = [wanted("le", &["a.example"])];
    let certificate = certificate("00", &["a.example"], (0, 90));
    // Back to before it was made: it is there, so nothing is asked for.
    assert_eq!(planned(&all, &[certificate], NOW - 1000 * DAY).orders, []);
}

fn name() -> impl Strategy<Value = String> {
    (
        prop::bool::weighted(0.3),
        prop::collection::vec("[ab]", 1..4),
    )
        .prop_map(|(wildcard, labels)| {
            format!(
                "{}{}.example",
                if wildcard { "*." } else { "" },
                labels.join(".")
            )
        })
}

proptest! {
    /// Whatever is wanted and there: every name is served afterwards, nothing is asked for twice, and what is asked for
    /// does not depend on the order in which routers or certificates come.
    #[test]
    fn every_name_is_covered_once_and_the_order_of_things_does_not_matter(
        mut names in prop::collection::vec(name(), 1..12),
        mut there in prop::collection::vec((prop::collection::vec(name(), 1..4), -100i64..100), 0..5),
    ) {
        let make = |names: &[String], there: &[(Vec<String>, i64)]| {
            let have: Vec<Certificate> = there.iter().map(|(names, until)| {
                let refs: Vec<&str> = names.iter().map(String::as_str).collect();
                certificate(&format!("{:08x}{}", until + 100, names.join(" ")), &refs, (until - 90, *until))
            }).collect();
            let all: Vec<Wanted> = names.iter().map(|name| wanted("le", &[name])).collect();
            (planned(&all, &have, NOW), have)
        };
        let (plan, have) = make(&names, &there);
        for name in &names {
            let ordered = plan.orders.iter().flat_map(|order| &order.names).filter(|own| covers(own, name)).count();
            let kept = have.iter().any(|have| plan.kept.get(&have.key).is_some_and(|at| *at > NOW)
                && have.names.iter().any(|own| covers(own, name)));
            prop_assert!(kept || ordered >= 1, "{name} in {plan:?}");
        }
        let mut asked: Vec<&Box<str>> = plan.orders.iter().flat_map(|order| &order.names).collect();
        let count = asked.len();
        asked.sort();
        asked.dedup();
        prop_assert_eq!(asked.len(), count);
        names.reverse();
        there.reverse();
        prop_assert_eq!(make(&names, &there).0, plan);
    }
}
