//! The tokens of a rule, with Go's string literals.
//! Source: <https://go.dev/ref/spec#String_literals>.

use std::fmt;
use std::str::Chars;

use super::RuleError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    And,
    Or,
    Not,
    Open,
    Close,
    Comma,
    Name(&'a str),
    Literal(String),
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::And => out.write_str("&&"),
            Token::Or => out.write_str("||"),
            Token::Not => out.write_str("!"),
            Token::Open => out.write_str("("),
            Token::Close => out.write_str(")"),
            Token::Comma => out.write_str(","),
            Token::Name(name) => out.write_str(name),
            Token::Literal(text) => write!(out, "the string {text:?}"),
            Token::End => out.write_str("the end of the rule"),
        }
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    ahead: Option<(Token<'a>, usize)>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            ahead: None,
        }
    }

    /// The next token and its offset.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, usize), RuleError> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.scan(),
        }
    }

    /// Takes the next token if it is this one.
    pub(super) fn take(&mut self, token: &Token<'_>) -> Result<bool, RuleError> {
        let next = self.next()?;
        let found = next.0 == *token;
        if !found {
            self.ahead = Some(next);
        }
        Ok(found)
    }

    fn scan(&mut self) -> Result<(Token<'a>, usize), RuleError> {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        self.at = self.text.len() - self.rest().trim_start_matches(blank).len();
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok((Token::End, start));
        };
        let (token, length) = match first {
            '!' => (Token::Not, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '&' if rest.starts_with("&&") => (Token::And, 2),
            '|' if rest.starts_with("||") => (Token::Or, 2),
            '`' => raw(rest, start)?,
            '"' => interpreted(rest, start)?,
            c if c.is_ascii_alphabetic() || c == '_' => name(rest),
            c => return Err(stray(c, start)),
        };
        self.at += length;
        Ok((token, start))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

fn name(rest: &str) -> (Token<'_>, usize) {
    let length = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    (Token::Name(&rest[..length]), length)
}

fn stray(c: char, offset: usize) -> RuleError {
    let error = |remedy: &str| {
        RuleError::new(offset, format!("{c:?}"), "matchers, &&, ||, !, ( and )").remedy(remedy)
    };
    match c {
        '&' => error("write && for \"and\""),
        '|' => error("write || for \"or\""),
        '\'' => error("put strings between ` or \""),
        _ => error(""),
    }
}

/// `` `...` ``: everything between is taken as it is, save carriage returns.
fn raw(rest: &str, offset: usize) -> Result<(Token<'_>, usize), RuleError> {
    let end = rest[1..].find('`').ok_or_else(|| unclosed(offset, '`'))?;
    let text = rest[1..=end].replace('\r', "");
    Ok((Token::Literal(text), end + 2))
}

/// `"..."` with escapes, on one line.
fn interpreted(rest: &str, offset: usize) -> Result<(Token<'_>, usize), RuleError> {
    let mut bytes = Vec::new();
    let mut chars = rest[1..].chars();
    loop {
        let at = rest.len() - chars.as_str().len();
        match chars.next() {
            None | Some('\n') => return Err(unclosed(offset, '"')),
            Some('"') => {
                let text = String::from_utf8(bytes)
                    .map_err(|_| RuleError::new(offset, "escapes that are not UTF-8", "text"))?;
                return Ok((Token::Literal(text), at + 1));
            }
            Some('\\') => escape(&mut chars, &mut bytes).ok_or_else(|| {
                RuleError::new(
                    offset + at,
                    "an escape Go does not have",
                    r#"\\, \", \n, \xHH, \uHHHH"#,
                )
                .remedy("or put the string between backticks, where \\ is an ordinary character")
            })?,
            Some(c) => push(c, &mut bytes),
        }
    }
}

fn unclosed(offset: usize, quote: char) -> RuleError {
    RuleError::new(offset, format!("a string without its closing {quote}"), "")
        .remedy(format!("close it with {quote}"))
}

/// The escape after a backslash, as bytes. `None` where Go has no such escape.
fn escape(chars: &mut Chars<'_>, bytes: &mut Vec<u8>) -> Option<()> {
    let simple = |byte: u8, bytes: &mut Vec<u8>| bytes.push(byte);
    match chars.next()? {
        'a' => simple(0x07, bytes),
        'b' => simple(0x08, bytes),
        'f' => simple(0x0c, bytes),
        'n' => simple(b'\n', bytes),
        'r' => simple(b'\r', bytes),
        't' => simple(b'\t', bytes),
        'v' => simple(0x0b, bytes),
        '\\' => simple(b'\\', bytes),
        '"' => simple(b'"', bytes),
        'x' => bytes.push(u8::try_from(digits(chars, 2, 16)?).ok()?),
        'u' => push(char::from_u32(digits(chars, 4, 16)?)?, bytes),
        'U' => push(char::from_u32(digits(chars, 8, 16)?)?, bytes),
        first @ '0'..='7' => {
            let high = first.to_digit(8)? * 64;
            bytes.push(u8::try_from(high + digits(chars, 2, 8)?).ok()?);
        }
        _ => return None,
    }
    Some(())
}

fn digits(chars: &mut Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    let digit = |value: u32, c: char| value.checked_mul(radix)?.checked_add(c.to_digit(radix)?);
    (0..count).try_fold(0, |value, _| digit(value, chars.next()?))
}

fn push(c: char, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}
