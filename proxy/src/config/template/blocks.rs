//! Whether every block ends and every end has its block. The crate's parser takes a missing `{{end}}` for one at the
//! end of the file, and stops reading at one too many: a rule file would lose its second half without a word.

use super::ACTION;

/// A block that does not end, or an end of none.
pub(super) struct Unbalanced {
    /// Where it is.
    pub(super) offset: usize,
    /// What it is.
    pub(super) found: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

/// Looks at the keyword of each action of a text that the crate's lexer has taken.
pub(super) fn check(text: &str) -> Result<(), Unbalanced> {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(ACTION).map(|found| at + found) {
        let inside = &text[offset + ACTION.len()..];
        match keyword(inside) {
            "if" | "range" | "with" | "define" | "block" => open.push(offset),
            "end" => {
                let surplus = Unbalanced {
                    offset,
                    found: "an end of no block",
                    remedy: "remove it",
                };
                open.pop().ok_or(surplus)?;
            }
            "else" if open.is_empty() => {
                return Err(Unbalanced {
                    offset,
                    found: "an else of no block",
                    remedy: "remove it",
                });
            }
            _ => {}
        }
        at = text.len() - inside.len() + length(inside);
    }
    match open.pop() {
        None => Ok(()),
        Some(offset) => Err(Unbalanced {
            offset,
            found: "a block without its end",
            remedy: "add {{end}}",
        }),
    }
}

fn keyword(inside: &str) -> &str {
    let inside = inside.strip_prefix('-').unwrap_or(inside).trim_start();
    let end = inside
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(inside.len());
    &inside[..end]
}

/// How long an action is with its end, comments and texts in it passed over.
fn length(inside: &str) -> usize {
    let mut rest = inside;
    let start = inside.strip_prefix('-').unwrap_or(inside).trim_start();
    if start.starts_with("/*") {
        rest = start.split_once("*/").map_or("", |(_, rest)| rest);
    }
    loop {
        let Some(next) = rest.find(['"', '`', '\'', '}']) else {
            return inside.len();
        };
        let (quote, after) = (rest.as_bytes()[next], &rest[next + 1..]);
        rest = match quote {
            b'}' if after.starts_with('}') => return inside.len() - after.len() + 1,
            b'}' => after,
            b'`' => after.split_once('`').map_or("", |(_, rest)| rest),
            _ => quoted_end(after, char::from(quote)),
        };
    }
}

/// What follows a text in which `\` escapes.
fn quoted_end(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return &text[index + 1..],
            _ => {}
        }
    }
    ""
}
