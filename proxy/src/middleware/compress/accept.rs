//! Which coding a client prefers, as Traefik chooses among those it offers.

use super::{ACCEPT_ENCODING, Coding};
use crate::http::Headers;

/// What an element of `Accept-Encoding` names.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    Any,
    Coding(usize),
    Identity,
}

/// The coding for this request; `None` where it is to stay as it is. The highest weight wins, then `*`, then the order
/// of `offered`, then `identity`.
pub(super) fn coding(
    headers: &Headers,
    offered: &[Coding],
    default: Option<Coding>,
) -> Option<Coding> {
    let values = headers.get_all(ACCEPT_ENCODING);
    let elements = values.flat_map(|value| value.split(|byte| *byte == b','));
    let weighed = elements.filter_map(|element| weigh(element, offered));
    let rank = |named: Named| match named {
        Named::Any => 0,
        Named::Coding(index) => 1 + index,
        Named::Identity => usize::MAX,
    };
    // Of equals the first counts.
    let best = weighed.min_by(|(a, a_weight), (b, b_weight)| {
        b_weight.total_cmp(a_weight).then(rank(*a).cmp(&rank(*b)))
    });
    match best?.0 {
        Named::Any => default.or(offered.first().copied()),
        Named::Coding(index) => offered.get(index).copied(),
        Named::Identity => None,
    }
}

fn weigh(element: &[u8], offered: &[Coding]) -> Option<(Named, f64)> {
    let text: String = std::str::from_utf8(element)
        .ok()?
        .split_whitespace()
        .collect();
    let (name, parameter) = text.split_once(';').unwrap_or((&text, ""));
    let named = match name {
        "*" => Named::Any,
        "identity" => Named::Identity,
        name => {
            let coding = Coding::of(name.as_bytes())?;
            Named::Coding(offered.iter().position(|offered| *offered == coding)?)
        }
    };
    let weight = match parameter.strip_prefix("q=") {
        None => 1.0,
        Some(weight) => weight.parse::<f64>().unwrap_or(0.0),
    };
    (weight > 0.0).then_some((named, weight))
}
