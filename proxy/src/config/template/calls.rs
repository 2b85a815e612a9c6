//! The functions that a template calls, looked up before it runs: also a branch that is not taken must be right, and Go
//! refuses an unknown one when it parses.

use std::sync::Arc;

use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, PipeNode, Pos};

use super::functions;
use crate::config::node::quoted;
use crate::config::walker::nearest_of;
use crate::config::{Origin, Problem, Source};

/// Those of Go itself that weir has no version of its own of.
const BUILT_IN: [&str; 6] = ["and", "call", "index", "len", "not", "or"];

/// A function that does not exist.
pub(super) struct Unknown {
    name: String,
    pos: Pos,
}

impl Unknown {
    pub(super) fn problem(&self, file: &Arc<Source>, text: &str) -> Problem {
        let known = || functions::names().chain(BUILT_IN);
        let remedy = match nearest_of(&self.name, known()) {
            Some(name) => format!("did you mean {name}?"),
            None => "use one of Go's, or of sprig's that docs/CONFIGURATION.md names".to_owned(),
        };
        let origin = Origin::of_offset(file, text, self.pos.offset);
        Problem::error(origin, format!("the function {}", quoted(&self.name))).remedy(remedy)
    }
}

/// Whether all functions exist.
pub(super) fn check(list: &ListNode) -> Result<(), Unknown> {
    list.nodes.iter().try_for_each(|node| match node {
        Node::Text(_) | Node::Break(_) | Node::Continue(_) | Node::Define(_) => Ok(()),
        Node::List(list) => check(list),
        Node::Action(action) => pipe(&action.pipe),
        Node::If(part) | Node::With(part) | Node::Range(part) => branch(part),
        Node::Template(call) => call.pipe.as_ref().map_or(Ok(()), pipe),
    })
}

fn branch(branch: &BranchNode) -> Result<(), Unknown> {
    pipe(&branch.pipe)?;
    check(&branch.body)?;
    branch.else_body.as_ref().map_or(Ok(()), check)
}

fn pipe(pipe: &PipeNode) -> Result<(), Unknown> {
    let arguments = pipe
        .commands
        .iter()
        .flat_map(|CommandNode { args, .. }| args);
    arguments.into_iter().try_for_each(expression)
}

fn expression(expression_of: &Expr) -> Result<(), Unknown> {
    match expression_of {
        Expr::Identifier(pos, name) => {
            let known = BUILT_IN.contains(&name.as_str())
                || functions::names().any(|known| known == name.as_str());
            if known {
                Ok(())
            } else {
                Err(Unknown {
                    name: name.to_string(),
                    pos: *pos,
                })
            }
        }
        Expr::Pipe(_, inner) => pipe(inner),
        Expr::Chain(_, inner, _) => expression(inner),
        Expr::Dot(_)
        | Expr::Field(..)
        | Expr::Variable(..)
        | Expr::String(..)
        | Expr::Number(..)
        | Expr::Bool(..)
        | Expr::Nil(_) => Ok(()),
    }
}
