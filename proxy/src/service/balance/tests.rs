//! Shares are exactly proportional over a cycle, for one worker, for all together, and after a change of weights.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::sticky::{Cookie, Sticky};
use super::super::{
    Hindrance, HttpTransport, LoadBalancer, Protocol, Registry, Scheme, ServersTransport,
    TcpTransport, TransportId, WeightedService,
};
use super::*;

mod tried;

#[derive(Default)]
struct Fixture {
    registry: Registry,
}

impl Fixture {
    fn service(&mut self, name: &str, weights: &[(&str, u32)]) -> Arc<Service> {
        let name: Arc<str> = name.into();
        let servers = weights
            .iter()
            .map(|(server, weight)| self.server(&name, server, *weight))
            .collect();
        let kind = ServiceKind::LoadBalancer(LoadBalancer {
            servers,
            pass_host_header: true,
            on_failure: crate::service::OnFailure::default(),
        });
        let id = self.registry.service(Protocol::Http, &name).unwrap();
        Arc::new(Service::new(id, name, kind))
    }

    /// A server whose name begins with `~` is a backup.
    fn server(&mut self, service: &Arc<str>, name: &str, weight: u32) -> Arc<Server> {
        let name: Arc<str> = name.into();
        let name_is_backup = name.starts_with('~');
        let (id, lease) = self
            .registry
            .server(Protocol::Http, service, &name)
            .unwrap();
        let addresses = Box::new([([127, 0, 0, 1], 80).into()]);
        Arc::new(Server {
            id,
            authority: name.clone(),
            name,
            scheme: Scheme::Http,
            tls: None,
            transport: Arc::new(ServersTransport {
                id: TransportId(0),
                name: "default@internal".into(),
                dial_timeout: None,
                tls_handshake: None,
                http: HttpTransport::default(),
                tcp: TcpTransport::default(),
            }),
            base_path: Arc::default(),
            unresolved: None,
            addresses,
            weight,
            backup: name_is_backup,
            cap: None,
            users: Arc::default(),
            written: Arc::default(),
            lease,
        })
    }

    fn weighted(&mut self, name: &str, services: &[(&Arc<Service>, u32)]) -> Arc<Service> {
        let entry = |(service, weight): &(&Arc<Service>, u32)| WeightedService {
            service: Arc::clone(service),
            weight: *weight,
            written: Arc::default(),
        };
        let kind = ServiceKind::Weighted(services.iter().map(entry).collect());
        let name: Arc<str> = name.into();
        let id = self.registry.service(Protocol::Http, &name).unwrap();
        Arc::new(Service::new(id, name, kind))
    }
}

fn picks(balancer: &mut Balancer, service: &Service, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| balancer.pick(service).unwrap().server.name.to_string())
        .collect()
}

fn shares(picks: impl IntoIterator<Item = String>) -> HashMap<String, usize> {
    let mut shares = HashMap::new();
    picks
        .into_iter()
        .for_each(|name| *shares.entry(name).or_default() += 1);
    shares
}

#[test]
fn picks_are_spread_out() {
    let service = Fixture::default().service("s", &[("a", 3), ("b", 1)]);
    assert_eq!(
        picks(&mut Balancer::new(0, 1, Readiness::default()), &service, 8).concat(),
        "aabaaaba"
    );
}

#[test]
fn workers_together_keep_the_weights_from_the_first_request() {
    let service = Fixture::default().service("s", &[("a", 3), ("b", 1)]);
    for workers in [4, 8, 16] {
        let first = (0..workers).flat_map(|worker| {
            picks(
                &mut Balancer::new(worker, workers, Readiness::default()),
                &service,
                1,
            )
        });
        let expected = [
            ("a".to_owned(), workers * 3 / 4),
            ("b".to_owned(), workers / 4),
        ];
        assert_eq!(shares(first), HashMap::from(expected), "{workers} workers");
    }
}

#[test]
fn nested_services_multiply() {
    let mut fixture = Fixture::default();
    let left = fixture.service("left", &[("a", 1), ("b", 1)]);
    let right = fixture.service("right", &[("c", 1)]);
    let both = fixture.weighted("both", &[(&left, 2), (&right, 1)]);
    let shares = shares(picks(
        &mut Balancer::new(0, 1, Readiness::default()),
        &both,
        60,
    ));
    assert_eq!(
        shares,
        HashMap::from([("a", 20), ("b", 20), ("c", 20)].map(|(n, c)| (n.to_owned(), c)))
    );
}

#[test]
fn an_empty_service_has_no_server() {
    let service = Fixture::default().service("s", &[]);
    assert!(
        Balancer::new(0, 1, Readiness::default())
            .pick(&service)
            .is_none()
    );
}

#[test]
fn a_reload_without_a_change_goes_on_where_it_was() {
    let mut fixture = Fixture::default();
    let mut balancer = Balancer::new(0, 1, Readiness::default());
    let before = fixture.service("s", &[("a", 3), ("b", 1)]);
    assert_eq!(picks(&mut balancer, &before, 2).concat(), "aa");
    let after = fixture.service("s", &[("a", 3), ("b", 1)]);
    assert_eq!((before.id, before.shape), (after.id, after.shape));
    assert_eq!(picks(&mut balancer, &after, 2).concat(), "ba");
}

#[test]
fn a_slot_used_again_starts_anew() {
    let mut fixture = Fixture::default();
    let mut balancer = Balancer::new(0, 1, Readiness::default());
    picks(
        &mut balancer,
        &fixture.service("old", &[("a", 3), ("b", 1)]),
        2,
    );
    fixture.registry.collect();
    let other = fixture.service("new", &[("c", 1), ("d", 1)]);
    assert_eq!(other.id.slot(), 0);
    assert_eq!(picks(&mut balancer, &other, 2).concat(), "cd");
}

/// A balancer and the table that it looks at.
fn watching(fixture: &Fixture) -> (Balancer, Readiness) {
    let readiness = fixture.registry.readiness().clone();
    (Balancer::new(0, 1, readiness.clone()), readiness)
}

impl Fixture {
    fn watched(&mut self, name: &str, weights: &[(&str, u32)]) -> Arc<Service> {
        let service = Arc::into_inner(self.service(name, weights)).unwrap();
        Arc::new(service.watching(true))
    }
}

fn id(service: &Service, index: usize) -> ServerId {
    match &service.kind {
        ServiceKind::LoadBalancer(balancer) => balancer.servers[index].id,
        ServiceKind::Weighted(_) | ServiceKind::Failover(_) => panic!("not a load balancer"),
    }
}

#[test]
fn a_server_that_is_down_gets_nothing_and_the_others_keep_their_weights() {
    let mut fixture = Fixture::default();
    let service = fixture.watched("s", &[("a", 3), ("b", 1), ("c", 4)]);
    let (mut balancer, readiness) = watching(&fixture);
    picks(&mut balancer, &service, 5);
    readiness.set(id(&service, 2), Hindrance::Down, true);
    let now = shares(picks(&mut balancer, &service, 400));
    assert_eq!(now, HashMap::from([("a".into(), 300), ("b".into(), 100)]));
    readiness.set(id(&service, 2), Hindrance::Down, false);
    let again = shares(picks(&mut balancer, &service, 800));
    assert!(again["c"].abs_diff(400) <= 8, "{again:?}");
}

#[test]
fn what_is_best_is_tried_and_what_is_out_never() {
    let mut fixture = Fixture::default();
    let service = fixture.watched("s", &[("a", 1), ("b", 1)]);
    let (mut balancer, readiness) = watching(&fixture);
    let mut now = |hindrances: &[(usize, Hindrance)]| {
        for index in 0..2 {
            for each in [Hindrance::Down, Hindrance::Drained, Hindrance::Maintenance] {
                readiness.set(
                    id(&service, index),
                    each,
                    hindrances.contains(&(index, each)),
                );
            }
        }
        let picked = balancer.pick(&service);
        picked.map(|picked| picked.server.name.to_string())
    };
    use Hindrance::{Down, Drained, Maintenance};
    assert_eq!(now(&[(0, Down)]).as_deref(), Some("b"));
    assert_eq!(now(&[(0, Down), (1, Drained)]).as_deref(), Some("b"));
    assert_eq!(now(&[(0, Down), (1, Maintenance)]).as_deref(), Some("a"));
    assert!(now(&[(0, Down), (1, Down)]).is_some(), "all are tried");
    assert_eq!(now(&[(0, Maintenance), (1, Maintenance)]), None);
}

#[test]
fn a_service_whose_servers_are_down_is_left_out() {
    let mut fixture = Fixture::default();
    let left = fixture.watched("left", &[("a", 1)]);
    let right = fixture.service("right", &[("b", 1)]);
    let both = fixture.weighted("both", &[(&left, 9), (&right, 1)]);
    let both = Arc::into_inner(both).unwrap();
    let watched = both.kind.is_watched();
    let both = both.watching(watched);
    let (mut balancer, readiness) = watching(&fixture);
    readiness.set(id(&left, 0), Hindrance::Down, true);
    assert_eq!(picks(&mut balancer, &both, 3).concat(), "bbb");
    readiness.set(id(&left, 0), Hindrance::Down, false);
    let shares = shares(picks(&mut balancer, &both, 100));
    assert!(shares["a"].abs_diff(90) <= 2, "{shares:?}");
}

#[test]
fn backups_serve_while_no_other_can() {
    let mut fixture = Fixture::default();
    let service = fixture.watched("s", &[("a", 1), ("~b", 1), ("~c", 1)]);
    let (mut balancer, readiness) = watching(&fixture);
    assert_eq!(picks(&mut balancer, &service, 3).concat(), "aaa");
    readiness.set(id(&service, 0), Hindrance::Drained, true);
    let now = shares(picks(&mut balancer, &service, 4));
    assert_eq!(now, HashMap::from([("~b".into(), 2), ("~c".into(), 2)]));
    readiness.set(id(&service, 1), Hindrance::Down, true);
    readiness.set(id(&service, 2), Hindrance::Maintenance, true);
    assert_eq!(picks(&mut balancer, &service, 2).concat(), "aa", "drained");
    // To others the service is as good as one whose first servers are there.
    readiness.set(id(&service, 1), Hindrance::Down, false);
    let other = fixture.service("o", &[("o", 1)]);
    let both = fixture.weighted("both", &[(&service, 1), (&other, 1)]);
    let now = shares(picks(
        &mut balancer,
        &Arc::into_inner(both).unwrap().watching(true),
        4,
    ));
    assert_eq!(now, HashMap::from([("~b".into(), 2), ("o".into(), 2)]));
}

impl Fixture {
    fn failover(&mut self, name: &str, services: [&Arc<Service>; 2]) -> Service {
        let kind = ServiceKind::Failover(services.map(Arc::clone).into());
        let name: Arc<str> = name.into();
        let id = self.registry.service(Protocol::Http, &name).unwrap();
        let watched = kind.is_watched();
        Service::new(id, name, kind).watching(watched)
    }
}

#[test]
fn a_fallback_serves_while_the_service_cannot() {
    let mut fixture = Fixture::default();
    let main = fixture.watched("main", &[("a", 1), ("b", 1)]);
    let other = fixture.service("other", &[("f", 1)]);
    let service = fixture.failover("s", [&main, &other]);
    let (mut balancer, readiness) = watching(&fixture);
    assert_eq!(picks(&mut balancer, &service, 4).concat(), "abab");
    readiness.set(id(&main, 0), Hindrance::Down, true);
    assert_eq!(picks(&mut balancer, &service, 2).concat(), "bb");
    readiness.set(id(&main, 1), Hindrance::Maintenance, true);
    assert_eq!(picks(&mut balancer, &service, 2).concat(), "ff");
    balancer.suspect(id(&other, 0), Instant::now());
    assert_eq!(
        picks(&mut balancer, &service, 2).concat(),
        "aa",
        "all are tried"
    );
    readiness.set(id(&main, 0), Hindrance::Down, false);
    assert_eq!(picks(&mut balancer, &service, 2).concat(), "aa");
}

#[test]
fn failover_of_weighted_services_and_in_them() {
    let mut fixture = Fixture::default();
    let (a, b) = (
        fixture.watched("a", &[("a", 1)]),
        fixture.watched("b", &[("b", 1)]),
    );
    let (c, d) = (
        fixture.watched("c", &[("c", 1)]),
        fixture.watched("d", &[("d", 1)]),
    );
    let weighted = Arc::into_inner(fixture.weighted("w", &[(&a, 1), (&b, 1)])).unwrap();
    let inner = Arc::new(fixture.failover("f", [&Arc::new(weighted.watching(true)), &c]));
    let outer = Arc::into_inner(fixture.weighted("o", &[(&inner, 2), (&d, 2)])).unwrap();
    let outer = outer.watching(true);
    let (mut balancer, readiness) = watching(&fixture);
    let mut share = || shares(picks(&mut balancer, &outer, 8));
    let of = |shares: &[(&str, usize)]| -> HashMap<String, usize> {
        shares
            .iter()
            .map(|(name, share)| ((*name).to_owned(), *share))
            .collect()
    };
    assert_eq!(share(), of(&[("a", 2), ("b", 2), ("d", 4)]));
    readiness.set(id(&a, 0), Hindrance::Down, true);
    assert_eq!(share(), of(&[("b", 4), ("d", 4)]));
    readiness.set(id(&b, 0), Hindrance::Down, true);
    assert_eq!(share(), of(&[("c", 4), ("d", 4)]));
    readiness.set(id(&c, 0), Hindrance::Down, true);
    assert_eq!(share(), of(&[("d", 8)]));
}

#[test]
fn an_unwatched_service_does_not_look() {
    let mut fixture = Fixture::default();
    let service = fixture.service("s", &[("a", 1), ("b", 1)]);
    let (mut balancer, readiness) = watching(&fixture);
    readiness.set(id(&service, 0), Hindrance::Down, true);
    assert_eq!(picks(&mut balancer, &service, 2).concat(), "ab");
}

#[test]
fn a_suspect_is_avoided_until_it_is_forgiven() {
    let mut fixture = Fixture::default();
    let service = fixture.service("s", &[("a", 1), ("b", 1)]);
    let (mut balancer, _) = watching(&fixture);
    let now = Instant::now();
    balancer.suspect(id(&service, 0), now);
    assert_eq!(picks(&mut balancer, &service, 3).concat(), "bbb");
    balancer.suspect(id(&service, 1), now);
    assert_eq!(
        shares(picks(&mut balancer, &service, 4)).len(),
        2,
        "all are tried"
    );
    balancer.forgive(now);
    assert!(balancer.suspects.is_empty());
}

/// A cookie, as a client keeps it.
#[derive(Default)]
struct Kept(Option<String>);

impl CookieJar for Kept {
    fn sent(&self, _name: &str) -> Option<&str> {
        self.0.as_deref()
    }

    fn set(&mut self, field: &str) {
        let value = field.split(['=', ';']).nth(1);
        self.0 = value.map(str::to_owned);
    }
}

#[test]
fn a_drained_server_keeps_its_users_and_a_dead_one_does_not() {
    let mut fixture = Fixture::default();
    let service = Arc::into_inner(fixture.watched("s", &[("a", 1), ("b", 1)])).unwrap();
    let sticky = Sticky::new(&Cookie::default(), "s@file", ["a", "b"].into_iter());
    let service = service.sticking(Some(sticky));
    let (mut balancer, readiness) = watching(&fixture);
    let mut jar = Kept::default();
    let mut visit = |jar: &mut Kept| {
        balancer
            .pick_for(&service, jar, &Tried::default())
            .unwrap()
            .server
            .name
            .to_string()
    };
    assert_eq!(visit(&mut jar), "a");
    readiness.set(id(&service, 0), Hindrance::Drained, true);
    assert_eq!(
        (visit(&mut jar), visit(&mut Kept::default())),
        ("a".into(), "b".into())
    );
    readiness.set(id(&service, 0), Hindrance::Down, true);
    assert_eq!(visit(&mut jar), "b");
    readiness.set(id(&service, 0), Hindrance::Down, false);
    readiness.set(id(&service, 0), Hindrance::Drained, false);
    assert_eq!(visit(&mut jar), "b", "it stays where it went");
    readiness.set(id(&service, 1), Hindrance::Maintenance, true);
    assert_eq!(visit(&mut jar), "a");
}

#[test]
fn who_came_to_a_backup_goes_back_when_others_can_serve_again() {
    let mut fixture = Fixture::default();
    let service = Arc::into_inner(fixture.watched("s", &[("a", 1), ("~b", 1), ("~c", 1)])).unwrap();
    let sticky = Sticky::new(&Cookie::default(), "s@file", ["a", "~b", "~c"].into_iter());
    let service = service.sticking(Some(sticky));
    let (mut balancer, readiness) = watching(&fixture);
    let mut jar = Kept::default();
    let mut visit = || {
        &*balancer
            .pick_for(&service, &mut jar, &Tried::default())
            .unwrap()
            .server
            .name
    };
    readiness.set(id(&service, 0), Hindrance::Drained, true);
    let backup = visit();
    assert!((0..4).all(|_| visit() == backup), "while backups serve");
    readiness.set(id(&service, 0), Hindrance::Drained, false);
    assert_eq!([backup, visit()], ["~b", "a"]);
    assert_eq!(visit(), "a", "its cookie says so now");
}

#[test]
fn a_drained_service_keeps_its_users_beside_its_fallback() {
    let mut fixture = Fixture::default();
    let main = Arc::into_inner(fixture.watched("main", &[("a", 1)])).unwrap();
    let sticky = Sticky::new(&Cookie::default(), "main@file", ["a"].into_iter());
    let main = Arc::new(main.sticking(Some(sticky)));
    let other = fixture.service("other", &[("f", 1)]);
    let service = fixture.failover("s", [&main, &other]);
    let (mut balancer, readiness) = watching(&fixture);
    let mut visit = |jar: &mut Kept| {
        let picked = balancer.pick_for(&service, jar, &Tried::default()).unwrap();
        picked.server.name.to_string()
    };
    let mut jar = Kept::default();
    assert_eq!(visit(&mut jar), "a");
    readiness.set(id(&main, 0), Hindrance::Drained, true);
    assert_eq!(
        (visit(&mut jar), visit(&mut Kept::default())),
        ("a".into(), "f".into())
    );
    readiness.set(id(&main, 0), Hindrance::Down, true);
    assert_eq!(visit(&mut jar), "f");
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(1..40u32, 1..7)
}

fn named(weights: &[u32]) -> Vec<(&'static str, u32)> {
    ["a", "b", "c", "d", "e", "f", "g"]
        .into_iter()
        .zip(weights.iter().copied())
        .collect()
}

proptest! {
    #[test]
    fn shares_are_exact_over_a_cycle(weights in weights(), worker in 0..8usize) {
        let weights = named(&weights);
        let service = Fixture::default().service("s", &weights);
        let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let shares = shares(picks(&mut Balancer::new(worker, 8, Readiness::default()), &service, total as usize));
        for (name, weight) in weights {
            prop_assert_eq!(shares[name], weight as usize);
        }
    }

    /// Whatever servers go and come, those that are in share by their weights.
    #[test]
    fn those_that_are_in_keep_their_weights(weights in weights(), outs in proptest::collection::vec(any::<u8>(), 1..6)) {
        let mut fixture = Fixture::default();
        let weights = named(&weights);
        let service = fixture.watched("s", &weights);
        let (mut balancer, readiness) = watching(&fixture);
        for out in outs {
            let is_out = |index: usize| out >> index & 1 == 1;
            (0..weights.len()).for_each(|index| {
                readiness.set(id(&service, index), Hindrance::Down, is_out(index));
            });
            let all = (0..weights.len()).all(is_out);
            let total: u32 = (0..weights.len()).filter(|i| all || !is_out(*i)).map(|i| weights[i].1).sum();
            let before: i64 = balancer.positions.iter().flatten().flat_map(|p| &p.children).map(|c| c.credit).sum();
            prop_assert_eq!(before, 0);
            let shares = shares(picks(&mut balancer, &service, 10 * total as usize));
            for (index, (name, weight)) in weights.iter().enumerate() {
                let share = shares.get(*name).copied().unwrap_or(0) as i64;
                let due = if all || !is_out(index) { 10 * i64::from(*weight) } else { 0 };
                // What credits left over from before are worth: less than two cycles of a child.
                prop_assert!((share - due).abs() <= 2 * i64::from(*weight) + 2, "{name}: {share} of {due}");
            }
        }
    }

    #[test]
    fn a_change_of_weights_carries_over(before in weights(), after in weights(), done in 0..50usize) {
        let mut fixture = Fixture::default();
        let mut balancer = Balancer::new(0, 1, Readiness::default());
        picks(&mut balancer, &fixture.service("s", &named(&before)), done);
        let after = named(&after);
        let service = fixture.service("s", &after);
        let total: u32 = after.iter().map(|(_, weight)| weight).sum();
        let shares = shares(picks(&mut balancer, &service, 10 * total as usize));
        for (name, weight) in after {
            let share = shares.get(name).copied().unwrap_or(0) as i64;
            prop_assert!((share - 10 * i64::from(weight)).abs() <= 2, "{name}: {share} of 10 x {weight}");
        }
        let credits: i64 = balancer.positions.iter().flatten().flat_map(|p| &p.children).map(|c| c.credit).sum();
        prop_assert_eq!(credits, 0);
    }
}

/// What is one too many is picked as if nothing were known of it.
#[test]
fn so_many_servers_are_suspected_and_no_more() {
    let names: Vec<String> = (0..=SUSPECTS_MAX).map(|at| format!("s{at}")).collect();
    let weights: Vec<(&str, u32)> = names.iter().map(|name| (&**name, 1)).collect();
    let mut fixture = Fixture::default();
    let service = fixture.service("s", &weights);
    let ServiceKind::LoadBalancer(balancer) = &service.kind else {
        panic!("a load balancer");
    };
    let (mut worker, until) = (
        Balancer::new(0, 1, Readiness::default()),
        Instant::now() + std::time::Duration::from_secs(60),
    );
    for server in &balancer.servers {
        worker.suspect(server.id, until);
    }
    let last = &names[SUSPECTS_MAX];
    assert_eq!(picks(&mut worker, &service, 3), [&**last; 3]);
    worker.forgive(until);
    assert_eq!(
        shares(picks(&mut worker, &service, names.len())).len(),
        names.len()
    );
}
