//! Further tries of one request.

use super::*;

#[test]
fn what_a_request_was_tried_with_is_not_tried_again_and_the_dead_come_last() {
    let mut fixture = Fixture::default();
    let service = fixture.watched("s", &[("a", 1), ("b", 1), ("c", 1)]);
    let (mut balancer, readiness) = watching(&fixture);
    (0..3).for_each(|index| {
        readiness.set(id(&service, index), Hindrance::Down, true);
    });
    let mut pick = |tried: &Tried, suspect: Option<usize>| {
        let now = Instant::now();
        suspect
            .into_iter()
            .for_each(|index| balancer.suspect(id(&service, index), now));
        let picked = balancer.pick_for(&service, &mut NoCookies, tried).unwrap();
        (picked.server.id, picked.rank)
    };
    let mut tried = Tried::default();
    let mut seen = Vec::new();
    while !tried.is_over() {
        let (server, rank) = pick(&tried, None);
        assert!(!seen.contains(&server) && rank == Rank::Down);
        seen.push(server);
        tried.add(server);
    }
    assert_eq!(pick(&tried, None).1, Rank::Tried, "there is no other");
    // Two of them have just failed: everybody goes to the third.
    let third = id(&service, 2);
    pick(&Tried::default(), Some(0));
    pick(&Tried::default(), Some(1));
    assert!((0..4).all(|_| pick(&Tried::default(), None) == (third, Rank::Down)));
    assert_eq!(
        pick(&Tried::default(), Some(2)).1,
        Rank::Dead,
        "all are tried"
    );
}

#[test]
fn a_service_that_a_request_has_failed_in_is_left_for_another() {
    let mut fixture = Fixture::default();
    let left = fixture.service("left", &[("a", 1)]);
    let right = fixture.service("right", &[("b", 1)]);
    let both = fixture.weighted("both", &[(&left, 9), (&right, 1)]);
    let (mut balancer, _) = watching(&fixture);
    let mut tried = Tried::default();
    tried.add(id(&left, 0));
    for _ in 0..4 {
        let picked = balancer.pick_for(&both, &mut NoCookies, &tried).unwrap();
        assert_eq!(&*picked.server.name, "b");
    }
}
