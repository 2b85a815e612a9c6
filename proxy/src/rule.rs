//! The rule language: Traefik's, a subset of Go expressions over matcher calls.
//!
//! Owns: text to a checked tree ([`Rule`]), and what each matcher means. Never: sockets, YAML, or which router wins
//! (that is [`crate::router`]). Invariants: a [`Rule`] that exists is well formed, its arguments are of their matcher's
//! type (an `IpNet`, a host pattern), and `!` stands only on leaves (De Morgan is applied while building).
//!
//! Grammar: `&&` binds tighter than `||`, `!` tighter than both, parentheses, and calls such as ``Host(`a.example`)``
//! whose arguments are Go string literals: raw between backticks, or double-quoted with escapes.
//! Source: <https://doc.traefik.io/traefik/reference/routing-configuration/http/routing/rules-and-priority/>.

mod arguments;
pub mod host;
pub mod http;
mod nearest;
mod query;
pub mod regexp;
pub mod syntax;
pub mod tcp;
mod view;

use std::sync::Arc;

pub use self::arguments::{NETWORK_ALLOWED, network};
pub use self::http::HttpMatcher;
pub use self::nearest::nearest_of;
pub use self::regexp::Regexp;
use self::syntax::Expression;
pub use self::syntax::{Call, RuleError};
pub use self::tcp::{ConnectionView, TcpMatcher};
pub use self::view::RequestView;

/// A rule of an HTTP router.
pub type HttpRule = Rule<HttpMatcher>;
/// A rule of a TCP router.
pub type TcpRule = Rule<TcpMatcher>;

/// What a rule can ask about one connection or request.
pub trait Matcher: Sized {
    /// The matcher a call such as ``Host(`a.example`)`` names, with its arguments checked.
    fn from_call(call: &Call) -> Result<Self, RuleError>;
}

/// A checked rule: its text as written and its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<M> {
    text: Arc<str>,
    tree: Tree<M>,
}

/// A rule without negated groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree<M> {
    /// True where the matcher is.
    Is(M),
    /// True where the matcher is not.
    Not(M),
    /// `&&` over two or more.
    All(Vec<Tree<M>>),
    /// `||` over two or more.
    Any(Vec<Tree<M>>),
}

impl<M: Matcher> Rule<M> {
    /// Parses and checks `text`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let tree = build(&syntax::parse(text)?, false)?;
        Ok(Self {
            text: text.into(),
            tree,
        })
    }
}

impl<M> Rule<M> {
    /// The rule as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The checked tree.
    pub fn tree(&self) -> &Tree<M> {
        &self.tree
    }

    /// Whether the rule holds, asking `test` for each matcher, left to right and no further than needed.
    pub fn holds(&self, test: impl Fn(&M) -> bool) -> bool {
        self.tree.holds(&test)
    }
}

/// The tree of an expression, or of its negation: De Morgan pushes `!` down to the matchers.
fn build<M: Matcher>(expression: &Expression, negated: bool) -> Result<Tree<M>, RuleError> {
    let parts = |parts: &[Expression]| {
        parts
            .iter()
            .map(|part| build(part, negated))
            .collect::<Result<Vec<Tree<M>>, _>>()
    };
    Ok(match (expression, negated) {
        (Expression::Call(call), false) => Tree::Is(M::from_call(call)?),
        (Expression::Call(call), true) => Tree::Not(M::from_call(call)?),
        (Expression::Not(inner), _) => return build(inner, !negated),
        (Expression::And(all), false) | (Expression::Or(all), true) => Tree::All(parts(all)?),
        (Expression::Or(any), false) | (Expression::And(any), true) => Tree::Any(parts(any)?),
    })
}

impl<M> Tree<M> {
    /// Whether `test` is true of a matcher, negated or not.
    pub fn any_leaf(&self, test: &impl Fn(&M) -> bool) -> bool {
        match self {
            Tree::Is(matcher) | Tree::Not(matcher) => test(matcher),
            Tree::All(parts) | Tree::Any(parts) => parts.iter().any(|part| part.any_leaf(test)),
        }
    }

    fn holds(&self, test: &impl Fn(&M) -> bool) -> bool {
        match self {
            Tree::Is(matcher) => test(matcher),
            Tree::Not(matcher) => !test(matcher),
            Tree::All(parts) => parts.iter().all(|part| part.holds(test)),
            Tree::Any(parts) => parts.iter().any(|part| part.holds(test)),
        }
    }
}

#[cfg(test)]
mod tests;
