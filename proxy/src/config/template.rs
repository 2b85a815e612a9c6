//! Go templates in rule files: text in, expanded text and where each of its lines came from out.
//!
//! Owns: Go's `text/template` (crate `gotmpl`) with Traefik's functions (sprig's, `normalize`, `split`; data is
//! `false`), its bounds, and positions, which the crate does not tell while it executes: a *mark* is put before every
//! node of the parsed template, which the writer takes out again. So it always knows the place, counts steps and can
//! stop. Invariants: steps, loop rounds, the size of the output and the work of functions are bounded by `limits`;
//! nothing but the environment is read.

use std::fmt;
use std::sync::Arc;

use gotmpl::parse::{BranchNode, ListNode, Node as Part, TextNode};
use gotmpl::{Template, TemplateError, Value};

use self::functions::Budget;
use super::node::{Node, Value as NodeValue};
use super::{Origin, Problem, Source};
use crate::limits::{TEMPLATE_OUTPUT_BYTES_MAX, TEMPLATE_ROUNDS_MAX, TEMPLATE_STEPS_MAX};

mod blocks;
mod calls;
mod functions;

/// How an action begins; a text without it is no template.
const ACTION: &str = "{{";
/// The name of the text around all definitions. None of a file's own has it.
const MAIN: &str = "\u{0}main";
/// What a mark begins with; no YAML or TOML has it.
const MARK: char = '\u{0}';

/// An expanded template.
#[derive(Debug)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// For each of its lines, from 1, the line of the template.
    lines: Vec<u32>,
}

/// Whether the text has an action at all.
pub fn is_template(text: &str) -> bool {
    text.contains(ACTION)
}

/// Expands the template; a problem names the place of the action that failed.
pub fn expand(file: &Arc<Source>, text: &str) -> Result<Expanded, Problem> {
    if let Some(offset) = text.find(MARK) {
        let origin = Origin::of_offset(file, text, offset);
        return Err(Problem::error(origin, "a NUL character").remedy("remove it"));
    }
    let budget = Arc::new(Budget::new());
    let parsed = Template::new(MAIN)
        .funcs(functions::all(&budget))
        .max_range_iters(TEMPLATE_ROUNDS_MAX)
        .parse(text)
        .map_err(|error| syntax(file, &error))?;
    blocks::check(text).map_err(|unbalanced| {
        let origin = Origin::of_offset(file, text, unbalanced.offset);
        Problem::error(origin, unbalanced.found).remedy(unbalanced.remedy)
    })?;
    let names: Vec<String> = parsed.templates().into_iter().map(str::to_owned).collect();
    let mut template = parsed;
    for name in &names {
        let Some(list) = template.lookup(name).cloned() else {
            continue;
        };
        calls::check(&list).map_err(|unknown| unknown.problem(file, text))?;
        template = template.add_parse_tree(name, marked(text, list));
    }
    let mut writer = Writer::new(text);
    if names.iter().any(|name| name == MAIN) {
        template
            .execute_template_fmt(&mut writer, MAIN, &Value::Bool(false))
            .map_err(|error| failure(file, &writer, &error))?;
    }
    Ok(writer.finish())
}

impl Expanded {
    /// Says where of the template a place in the text came from.
    pub fn trace(&self, origin: &mut Origin) {
        let line = usize::try_from(origin.line).unwrap_or_default();
        origin.template_line = line
            .checked_sub(1)
            .and_then(|line| self.lines.get(line))
            .copied()
            .unwrap_or(0);
    }

    /// The same for every node of the tree that the text was read into.
    pub fn trace_all(&self, node: &mut Node) {
        self.trace(&mut node.origin);
        match &mut node.value {
            NodeValue::Null | NodeValue::Scalar(_) => {}
            NodeValue::List(items) => items.iter_mut().for_each(|item| self.trace_all(item)),
            NodeValue::Map(entries) => {
                for entry in entries {
                    self.trace(&mut entry.origin);
                    self.trace_all(&mut entry.node);
                }
            }
        }
    }
}

/// The template with a mark before every node.
fn marked(text: &str, list: ListNode) -> ListNode {
    let mut nodes = Vec::with_capacity(2 * list.nodes.len());
    for node in list.nodes {
        let (pos, verbatim) = match &node {
            Part::Text(part) => (part.pos, true),
            Part::Action(part) => (part.pos, false),
            Part::If(part) | Part::With(part) | Part::Range(part) => (part.pos, false),
            Part::Template(part) => (part.pos, false),
            Part::List(part) => (part.pos, false),
            Part::Define(part) => (part.pos, false),
            Part::Break(pos) | Part::Continue(pos) => (*pos, false),
        };
        let offset = match &node {
            Part::Text(part) => text_start(text, pos.offset, &part.text),
            _ => pos.offset,
        };
        let kind = if verbatim { 'v' } else { 'a' };
        let mark = format!("{MARK}{kind}{offset}");
        nodes.push(Part::Text(TextNode {
            pos,
            text: mark.into(),
        }));
        nodes.push(match node {
            Part::If(branch) => Part::If(marked_branch(text, branch)),
            Part::With(branch) => Part::With(marked_branch(text, branch)),
            Part::Range(branch) => Part::Range(marked_branch(text, branch)),
            Part::List(list) => Part::List(marked(text, list)),
            other => other,
        });
    }
    ListNode {
        pos: list.pos,
        nodes,
    }
}

fn marked_branch(text: &str, branch: BranchNode) -> BranchNode {
    BranchNode {
        body: marked(text, branch.body),
        else_body: branch.else_body.map(|list| marked(text, list)),
        ..branch
    }
}

/// Where a text really begins: `-}}` before it takes blanks away without moving its place.
fn text_start(text: &str, offset: usize, part: &str) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    if rest.starts_with(part) {
        return offset;
    }
    offset + (rest.len() - rest.trim_start().len())
}

/// Takes the output apart from the marks in it.
struct Writer<'t> {
    template: &'t str,
    text: String,
    /// For each line that has begun, the offset in the template of its first character.
    starts: Vec<usize>,
    /// A line has ended, and nothing has come after it.
    fresh: bool,
    offset: usize,
    verbatim: bool,
    steps: usize,
    exceeded: Option<&'static str>,
}

impl<'t> Writer<'t> {
    fn new(template: &'t str) -> Self {
        Self {
            template,
            text: String::new(),
            starts: Vec::new(),
            fresh: true,
            offset: 0,
            verbatim: false,
            steps: 0,
            exceeded: None,
        }
    }

    fn mark(&mut self, mark: &str) -> fmt::Result {
        let (kind, offset) = mark.split_at_checked(1).unwrap_or_default();
        self.verbatim = kind == "v";
        self.offset = offset.parse().unwrap_or(self.offset);
        self.steps += 1;
        if self.steps > TEMPLATE_STEPS_MAX {
            return self.stop("too many steps");
        }
        Ok(())
    }

    fn stop(&mut self, reason: &'static str) -> fmt::Result {
        self.exceeded = Some(reason);
        Err(fmt::Error)
    }

    fn finish(self) -> Expanded {
        let ends: Vec<usize> = self
            .template
            .match_indices('\n')
            .map(|(end, _)| end)
            .collect();
        let line = |start: &usize| {
            let line = 1 + ends.partition_point(|end| end < start);
            u32::try_from(line).unwrap_or(u32::MAX)
        };
        Expanded {
            lines: self.starts.iter().map(line).collect(),
            text: self.text,
        }
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if let Some(mark) = piece.strip_prefix(MARK) {
            return self.mark(mark);
        }
        if self.text.len() + piece.len() > TEMPLATE_OUTPUT_BYTES_MAX {
            return self.stop("a longer output");
        }
        let mut at = 0;
        for line in piece.split_inclusive('\n') {
            if self.fresh {
                self.starts
                    .push(self.offset + if self.verbatim { at } else { 0 });
            }
            // What of a line an action writes is more often wrong than the blanks around it.
            if let (false, false, Some(start)) = (self.fresh, self.verbatim, self.starts.last_mut())
            {
                *start = self.offset;
            }
            self.fresh = line.ends_with('\n');
            at += line.len();
        }
        self.text.push_str(piece);
        Ok(())
    }
}

fn syntax(file: &Arc<Source>, error: &TemplateError) -> Problem {
    let (origin, message) = match error {
        TemplateError::Parse {
            line, col, message, ..
        }
        | TemplateError::Lex {
            line, col, message, ..
        } => (Origin::at(file, *line, *col), message.clone()),
        other => (Origin::whole(file), other.to_string()),
    };
    Problem::error(
        origin,
        format!("what is no Go template: {}", one_line(&message)),
    )
    .remedy("correct the action at or just before this place")
}

fn failure(file: &Arc<Source>, writer: &Writer<'_>, error: &TemplateError) -> Problem {
    let origin = Origin::of_offset(file, writer.template, writer.offset);
    let (found, allowed) = match (error, writer.exceeded) {
        (TemplateError::Write, Some(reason)) => (
            format!("a template with {reason}"),
            format!(
                "at most {TEMPLATE_STEPS_MAX} steps and {TEMPLATE_OUTPUT_BYTES_MAX} bytes of output"
            ),
        ),
        (TemplateError::RangeIterLimit, _) => (
            "a template with more rounds of range".to_owned(),
            format!("at most {TEMPLATE_ROUNDS_MAX} in one file"),
        ),
        (TemplateError::RecursionLimit, _) => (
            "templates that call each other without end, or too deeply".to_owned(),
            "at most 200 levels".to_owned(),
        ),
        (error, _) => (
            format!("an action that fails: {}", one_line(&error.to_string())),
            String::new(),
        ),
    };
    Problem::error(origin, found)
        .allowed(allowed)
        .remedy("correct the action here")
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
