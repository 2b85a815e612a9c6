//! Shares are exactly proportional over a cycle, for one worker, for all together, and after a change of weights.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::{
    HttpTransport, LoadBalancer, Protocol, Registry, Scheme, ServersTransport, TcpTransport,
    TransportId, WeightedService,
};
use super::*;

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
        });
        let id = self.registry.service(Protocol::Http, &name).unwrap();
        Arc::new(Service::new(id, name, kind))
    }

    fn server(&mut self, service: &Arc<str>, name: &str, weight: u32) -> Arc<Server> {
        let name: Arc<str> = name.into();
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
                http: HttpTransport::default(),
                tcp: TcpTransport::default(),
            }),
            base_path: Arc::default(),
            unresolved: None,
            addresses,
            weight,
            lease,
        })
    }

    fn weighted(&mut self, name: &str, services: &[(&Arc<Service>, u32)]) -> Arc<Service> {
        let entry = |(service, weight): &(&Arc<Service>, u32)| WeightedService {
            service: Arc::clone(service),
            weight: *weight,
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
        picks(&mut Balancer::new(0, 1), &service, 8).concat(),
        "aabaaaba"
    );
}

#[test]
fn workers_together_keep_the_weights_from_the_first_request() {
    let service = Fixture::default().service("s", &[("a", 3), ("b", 1)]);
    for workers in [4, 8, 16] {
        let first =
            (0..workers).flat_map(|worker| picks(&mut Balancer::new(worker, workers), &service, 1));
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
    let shares = shares(picks(&mut Balancer::new(0, 1), &both, 60));
    assert_eq!(
        shares,
        HashMap::from([("a", 20), ("b", 20), ("c", 20)].map(|(n, c)| (n.to_owned(), c)))
    );
}

#[test]
fn an_empty_service_has_no_server() {
    let service = Fixture::default().service("s", &[]);
    assert!(Balancer::new(0, 1).pick(&service).is_none());
}

#[test]
fn a_reload_without_a_change_goes_on_where_it_was() {
    let mut fixture = Fixture::default();
    let mut balancer = Balancer::new(0, 1);
    let before = fixture.service("s", &[("a", 3), ("b", 1)]);
    assert_eq!(picks(&mut balancer, &before, 2).concat(), "aa");
    let after = fixture.service("s", &[("a", 3), ("b", 1)]);
    assert_eq!((before.id, before.shape), (after.id, after.shape));
    assert_eq!(picks(&mut balancer, &after, 2).concat(), "ba");
}

#[test]
fn a_slot_used_again_starts_anew() {
    let mut fixture = Fixture::default();
    let mut balancer = Balancer::new(0, 1);
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
        let shares = shares(picks(&mut Balancer::new(worker, 8), &service, total as usize));
        for (name, weight) in weights {
            prop_assert_eq!(shares[name], weight as usize);
        }
    }

    #[test]
    fn a_change_of_weights_carries_over(before in weights(), after in weights(), done in 0..50usize) {
        let mut fixture = Fixture::default();
        let mut balancer = Balancer::new(0, 1);
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
