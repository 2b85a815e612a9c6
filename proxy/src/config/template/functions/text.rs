//! Functions on texts.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use data_encoding::{BASE64, HEXLOWER};
use gotmpl::{Result, Template, Value};

use super::{
    Budget, Function, MANY, Text, count, exec, integer, list, list_of, str_of, string, text_of,
};
use crate::rule::Regexp;

/// Widths and precisions of `printf`.
const FORMAT_WIDTH_MAX: usize = 1_024;
/// No verb writes more for one byte of its argument (`%q` of what cannot be printed, `%U`).
const VERB_GROWTH: usize = 12;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "b64dec",
        arguments: 1..=1,
        call: b64dec,
    },
    Function {
        name: "b64enc",
        arguments: 1..=1,
        call: |a, b| text_of(BASE64.encode(str_of(&a[0])?.as_bytes()), b),
    },
    Function {
        name: "cat",
        arguments: 0..=MANY,
        call: |a, b| joined(a.iter().filter(|v| !matches!(v, Value::Nil)), " ", b),
    },
    Function {
        name: "contains",
        arguments: 2..=2,
        call: |a, _| Ok(Value::Bool(str_of(&a[1])?.contains(str_of(&a[0])?))),
    },
    Function {
        name: "env",
        arguments: 1..=1,
        call: |a, b| text_of(variable(str_of(&a[0])?), b),
    },
    Function {
        name: "expandenv",
        arguments: 1..=1,
        call: expandenv,
    },
    Function {
        name: "hasPrefix",
        arguments: 2..=2,
        call: |a, _| Ok(Value::Bool(str_of(&a[1])?.starts_with(str_of(&a[0])?))),
    },
    Function {
        name: "hasSuffix",
        arguments: 2..=2,
        call: |a, _| Ok(Value::Bool(str_of(&a[1])?.ends_with(str_of(&a[0])?))),
    },
    Function {
        name: "html",
        arguments: 1..=MANY,
        call: |a, b| text_of(gotmpl::html_escape(&printed(a, b)?), b),
    },
    Function {
        name: "indent",
        arguments: 2..=2,
        call: |a, b| indented("", &a[0], str_of(&a[1])?, b),
    },
    Function {
        name: "join",
        arguments: 2..=2,
        call: |a, b| joined(list(&a[1])?.iter(), str_of(&a[0])?, b),
    },
    Function {
        name: "js",
        arguments: 1..=MANY,
        call: |a, b| text_of(gotmpl::js_escape(&printed(a, b)?), b),
    },
    Function {
        name: "lower",
        arguments: 1..=1,
        call: |a, b| text_of(str_of(&a[0])?.to_lowercase(), b),
    },
    Function {
        name: "nindent",
        arguments: 2..=2,
        call: |a, b| indented("\n", &a[0], str_of(&a[1])?, b),
    },
    Function {
        name: "normalize",
        arguments: 1..=1,
        call: |a, b| text_of(normalize(str_of(&a[0])?), b),
    },
    Function {
        name: "nospace",
        arguments: 1..=1,
        call: |a, b| text_of(str_of(&a[0])?.split_whitespace().collect::<String>(), b),
    },
    Function {
        name: "print",
        arguments: 0..=MANY,
        call: |a, b| text_of(printed(a, b)?, b),
    },
    Function {
        name: "printf",
        arguments: 1..=MANY,
        call: printf,
    },
    Function {
        name: "println",
        arguments: 0..=MANY,
        call: |a, b| Ok(Value::String((spaced(a, b)? + "\n").into())),
    },
    Function {
        name: "quote",
        arguments: 0..=MANY,
        call: |a, b| wrapped(a, |text| format!("{text:?}"), b),
    },
    Function {
        name: "regexMatch",
        arguments: 2..=2,
        call: |a, _| {
            Ok(Value::Bool(
                regexp(&a[0])?.is_match(str_of(&a[1])?.as_bytes()),
            ))
        },
    },
    Function {
        name: "repeat",
        arguments: 2..=2,
        call: repeat,
    },
    Function {
        name: "replace",
        arguments: 3..=3,
        call: |a, b| replace(str_of(&a[0])?, str_of(&a[1])?, str_of(&a[2])?, b),
    },
    Function {
        name: "sha1sum",
        arguments: 1..=1,
        call: |a, b| {
            text_of(
                HEXLOWER.encode(
                    digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, str_of(&a[0])?.as_bytes()).as_ref(),
                ),
                b,
            )
        },
    },
    Function {
        name: "sha256sum",
        arguments: 1..=1,
        call: |a, b| {
            text_of(
                HEXLOWER.encode(digest::digest(&SHA256, str_of(&a[0])?.as_bytes()).as_ref()),
                b,
            )
        },
    },
    Function {
        name: "split",
        arguments: 2..=2,
        call: |a, b| split(str_of(&a[0])?, str_of(&a[1])?, b),
    },
    Function {
        name: "splitList",
        arguments: 2..=2,
        call: |a, b| split(str_of(&a[1])?, str_of(&a[0])?, b),
    },
    Function {
        name: "squote",
        arguments: 0..=MANY,
        call: |a, b| wrapped(a, |text| format!("'{text}'"), b),
    },
    Function {
        name: "substr",
        arguments: 3..=3,
        call: substr,
    },
    Function {
        name: "title",
        arguments: 1..=1,
        call: |a, b| text_of(title(str_of(&a[0])?), b),
    },
    Function {
        name: "toString",
        arguments: 1..=1,
        call: |a, b| Ok(Value::String(string(&a[0], b)?.into())),
    },
    Function {
        name: "trim",
        arguments: 1..=1,
        call: |a, b| text_of(str_of(&a[0])?.trim(), b),
    },
    Function {
        name: "trimAll",
        arguments: 2..=2,
        call: |a, b| trimmed(&a[0], &a[1], b),
    },
    Function {
        name: "trimPrefix",
        arguments: 2..=2,
        call: |a, b| cut(&a[1], b, |text| text.strip_prefix(str_of(&a[0]).ok()?)),
    },
    Function {
        name: "trimSuffix",
        arguments: 2..=2,
        call: |a, b| cut(&a[1], b, |text| text.strip_suffix(str_of(&a[0]).ok()?)),
    },
    Function {
        name: "trunc",
        arguments: 2..=2,
        call: trunc,
    },
    Function {
        name: "untitle",
        arguments: 1..=1,
        call: |a, b| text_of(untitle(str_of(&a[0])?), b),
    },
    Function {
        name: "upper",
        arguments: 1..=1,
        call: |a, b| text_of(str_of(&a[0])?.to_uppercase(), b),
    },
    Function {
        name: "urlquery",
        arguments: 1..=MANY,
        call: |a, b| text_of(gotmpl::url_encode(&printed(a, b)?), b),
    },
];

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// `$NAME` and `${NAME}`, as Go's `os.ExpandEnv`.
fn expandenv(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let mut out = Text::new(budget);
    let mut rest = str_of(&arguments[0])?;
    while let Some((before, after)) = rest.split_once('$') {
        out.push(before)?;
        let (name, tail) = match after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
        {
            Some(braced) => braced,
            None => {
                let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                after.split_at(end.unwrap_or(after.len()))
            }
        };
        out.push(&variable(name))?;
        rest = tail;
    }
    out.push(rest)?;
    Ok(out.value())
}

fn b64dec(arguments: &[Value], budget: &Budget) -> Result<Value> {
    match BASE64.decode(str_of(&arguments[0])?.as_bytes()) {
        Ok(bytes) => text_of(String::from_utf8_lossy(&bytes), budget),
        Err(error) => text_of(error.to_string(), budget),
    }
}

fn joined<'v>(
    values: impl Iterator<Item = &'v Value>,
    separator: &str,
    budget: &Budget,
) -> Result<Value> {
    let mut out = Text::new(budget);
    for (position, value) in values.enumerate() {
        if position > 0 {
            out.push(separator)?;
        }
        out.display(value)?;
    }
    Ok(out.value())
}

/// Go's `Sprint`: a blank between two operands of which neither is a text.
fn printed(values: &[Value], budget: &Budget) -> Result<String> {
    let mut out = Text::new(budget);
    for (position, value) in values.iter().enumerate() {
        let both = position > 0 && !is_text(value) && !is_text(&values[position - 1]);
        out.push(if both { " " } else { "" })?;
        out.display(value)?;
    }
    Ok(out.text)
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_))
}

/// Go's `Sprintln` without the end of the line.
fn spaced(values: &[Value], budget: &Budget) -> Result<String> {
    let Value::String(text) = joined(values.iter(), " ", budget)? else {
        return Ok(String::new());
    };
    Ok(text.to_string())
}

/// The crate's, once it is sure that its result stays within the budget.
fn printf(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let format = str_of(&arguments[0])?;
    let mut numbers = format
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    if format.contains('*')
        || numbers.any(|digits| {
            digits
                .parse()
                .is_ok_and(|width: usize| width > FORMAT_WIDTH_MAX)
        })
    {
        return Err(exec(format!(
            "a width that is * or above {FORMAT_WIDTH_MAX} in printf"
        )));
    }
    let verbs = format.matches('%').count();
    let shown = printed(&arguments[1..], budget)?.len();
    budget.take(
        verbs
            .saturating_mul(FORMAT_WIDTH_MAX + shown.saturating_mul(VERB_GROWTH))
            .saturating_add(format.len()),
    )?;
    let operands: Vec<String> = (0..arguments.len())
        .map(|index| format!("(index . {index})"))
        .collect();
    let template =
        Template::new("printf").parse(&format!("{{{{printf {}}}}}", operands.join(" ")))?;
    let data = Value::List(arguments.to_vec().into());
    Ok(Value::String(template.execute_to_string(&data)?.into()))
}

fn indented(before: &str, width: &Value, text: &str, budget: &Budget) -> Result<Value> {
    let width = count(width);
    let lines = 1 + text.matches('\n').count();
    budget.take(width.saturating_mul(lines))?;
    let pad = " ".repeat(width);
    text_of(
        format!("{before}{pad}{}", text.replace('\n', &format!("\n{pad}"))),
        budget,
    )
}

/// Traefik's: everything but letters and digits becomes one `-`.
fn normalize(text: &str) -> String {
    let words = text.split(|c: char| !(c.is_alphabetic() || c.is_numeric()));
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

fn wrapped(values: &[Value], wrap: fn(&str) -> String, budget: &Budget) -> Result<Value> {
    let mut out = Vec::with_capacity(values.len());
    for value in values.iter().filter(|value| !matches!(value, Value::Nil)) {
        let text = string(value, budget)?;
        budget.take(VERB_GROWTH * text.len())?;
        out.push(wrap(&text));
    }
    text_of(out.join(" "), budget)
}

fn regexp(value: &Value) -> Result<Regexp> {
    Regexp::new(str_of(value)?)
        .map_err(|error| exec(format!("a regular expression with {}", error.found)))
}

fn repeat(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let (times, text) = (count(&arguments[0]), str_of(&arguments[1])?);
    budget.take(times.saturating_mul(text.len()))?;
    Ok(Value::String(text.repeat(times).into()))
}

fn replace(old: &str, new: &str, text: &str, budget: &Budget) -> Result<Value> {
    budget.take(new.len().saturating_mul(text.matches(old).count()))?;
    text_of(text.replace(old, new), budget)
}

fn split(text: &str, separator: &str, budget: &Budget) -> Result<Value> {
    let part = |part: &str| Value::String(part.into());
    let parts: Vec<Value> = match separator {
        "" => text.chars().map(|c| part(&c.to_string())).collect(),
        _ => text.split(separator).map(part).collect(),
    };
    list_of(parts, budget)
}

/// Counted in bytes, as sprig does, but never inside a character.
fn substr(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let (start, end, text) = (
        integer(&arguments[0]),
        integer(&arguments[1]),
        str_of(&arguments[2])?,
    );
    let from = usize::try_from(start).unwrap_or(0).min(text.len());
    let to = usize::try_from(end).map_or(text.len(), |end| end.clamp(from, text.len()));
    text_of(
        text.get(from..to)
            .ok_or_else(|| exec("a cut inside a character"))?,
        budget,
    )
}

fn trunc(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let (length, text) = (integer(&arguments[0]), str_of(&arguments[1])?);
    let size = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    let cut = match size < text.len() {
        false => Some(text),
        true if length < 0 => text.get(text.len() - size..),
        true => text.get(..size),
    };
    text_of(cut.ok_or_else(|| exec("a cut inside a character"))?, budget)
}

fn title(text: &str) -> String {
    cased(text, |first| first.to_uppercase().collect())
}

fn untitle(text: &str) -> String {
    cased(text, |first| first.to_lowercase().collect())
}

fn cased(text: &str, first: fn(char) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match inside || c.is_whitespace() {
            true => out.push(c),
            false => out.push_str(&first(c)),
        }
        inside = !c.is_whitespace();
    }
    out
}

fn trimmed(characters: &Value, text: &Value, budget: &Budget) -> Result<Value> {
    let set: Vec<char> = str_of(characters)?.chars().collect();
    text_of(str_of(text)?.trim_matches(&set[..]), budget)
}

fn cut<'v>(
    value: &'v Value,
    budget: &Budget,
    cut: impl FnOnce(&'v str) -> Option<&'v str>,
) -> Result<Value> {
    let text = str_of(value)?;
    text_of(cut(text).unwrap_or(text), budget)
}
