//! The functions of templates beyond Go's few: those of sprig that rule files use, and Traefik's `normalize` and
//! `split`. Also Go's own that write text, so that they keep to the budget.
//!
//! Source: <https://masterminds.github.io/sprig/>, Traefik's pkg/provider/file/file.go. Argument orders are theirs:
//! what is worked on comes last, for pipelines; in Traefik's `split` first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gotmpl::{FuncMap, Result, TemplateError, Value};

use crate::limits::TEMPLATE_WORK_BYTES_MAX;

mod lists;
mod numbers;
mod text;

/// What the functions of one template may still read and write, in bytes.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

/// A function: how many arguments it takes, and what it makes of them.
struct Function {
    name: &'static str,
    arguments: std::ops::RangeInclusive<usize>,
    call: fn(&[Value], &Budget) -> Result<Value>,
}

/// Any number of arguments from this on.
const MANY: usize = usize::MAX;

impl Budget {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(TEMPLATE_WORK_BYTES_MAX))
    }

    /// Takes so many bytes; called before they are written.
    fn take(&self, bytes: usize) -> Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(bytes) else {
            return Err(exec(format!(
                "functions work on more than {TEMPLATE_WORK_BYTES_MAX} bytes"
            )));
        };
        self.0.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// A list of so many items.
    fn take_items(&self, items: usize) -> Result<()> {
        self.take(items.saturating_mul(size_of::<Value>()))
    }
}

/// Text that grows within the budget.
struct Text<'b> {
    text: String,
    budget: &'b Budget,
}

impl<'b> Text<'b> {
    fn new(budget: &'b Budget) -> Self {
        Self {
            text: String::new(),
            budget,
        }
    }

    fn push(&mut self, piece: &str) -> Result<()> {
        self.budget.take(piece.len())?;
        self.text.push_str(piece);
        Ok(())
    }

    /// A value as Go prints it.
    fn display(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::String(text) => self.push(text),
            other => std::fmt::Write::write_fmt(self, format_args!("{other}")).map_err(|_| {
                exec(format!(
                    "functions work on more than {TEMPLATE_WORK_BYTES_MAX} bytes"
                ))
            }),
        }
    }

    fn value(self) -> Value {
        Value::String(self.text.into())
    }
}

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        self.push(piece).map_err(|_| std::fmt::Error)
    }
}

fn tables() -> impl Iterator<Item = &'static Function> {
    [text::FUNCTIONS, lists::FUNCTIONS, numbers::FUNCTIONS]
        .into_iter()
        .flatten()
}

/// The names of all.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    tables().map(|function| function.name)
}

/// All of them, on one budget.
pub(super) fn all(budget: &Arc<Budget>) -> FuncMap {
    let entry = |function: &'static Function| {
        let budget = Arc::clone(budget);
        let call = move |arguments: &[Value]| {
            if !function.arguments.contains(&arguments.len()) {
                let (least, got) = (*function.arguments.start(), arguments.len());
                return Err(TemplateError::ArgCount {
                    name: function.name.to_owned(),
                    expected: least,
                    got,
                });
            }
            let read: usize = arguments
                .iter()
                .map(|value| value.len().unwrap_or_default())
                .sum();
            budget.take(read)?;
            (function.call)(arguments, &budget)
        };
        (
            function.name.to_owned(),
            Arc::new(call) as gotmpl::ValueFunc,
        )
    };
    tables().map(entry).collect()
}

fn exec(message: impl Into<String>) -> TemplateError {
    TemplateError::Exec(message.into())
}

/// A value as text, as sprig's `strval`.
fn string(value: &Value, budget: &Budget) -> Result<String> {
    let mut text = Text::new(budget);
    text.display(value)?;
    Ok(text.text)
}

/// A value that must be text already, as Go's typed functions ask for.
fn str_of(value: &Value) -> Result<&str> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(exec(format!(
            "expected string; found {}",
            other.type_name()
        ))),
    }
}

/// A value as a whole number, as sprig's casts.
fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::Uint(number) => i64::try_from(*number).unwrap_or(i64::MAX),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "as Go's conversion, which cuts the fraction off"
        )]
        Value::Float(number) => *number as i64,
        Value::Bool(truth) => i64::from(*truth),
        Value::String(text) => text.trim().parse().unwrap_or_default(),
        _ => 0,
    }
}

/// A size or a count: negative ones are none.
fn count(value: &Value) -> usize {
    usize::try_from(integer(value)).unwrap_or_default()
}

fn list(value: &Value) -> Result<&[Value]> {
    match value {
        Value::List(items) => Ok(items),
        Value::Nil => Ok(&[]),
        other => Err(exec(format!("expected list; found {}", other.type_name()))),
    }
}

fn list_of(items: Vec<Value>, budget: &Budget) -> Result<Value> {
    budget.take_items(items.len())?;
    Ok(Value::List(items.into()))
}

fn text_of(text: impl Into<String>, budget: &Budget) -> Result<Value> {
    let text: String = text.into();
    budget.take(text.len())?;
    Ok(Value::String(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_work_on_as_much_as_they_may_and_no_more() {
        let budget = Budget::new();
        assert!(budget.take(TEMPLATE_WORK_BYTES_MAX + 1).is_err());
        assert!(budget.take(TEMPLATE_WORK_BYTES_MAX - 1).is_ok());
        assert!(budget.take(1).is_ok() && budget.take(1).is_err());
    }
}
