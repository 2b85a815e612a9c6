//! Text to an unchecked expression of calls. Knows no matcher by name.
//!
//! Invariants: recursion is bounded by [`RULE_DEPTH_MAX`], the text by [`RULE_BYTES_MAX`]; every error names a byte
//! offset that is a character boundary of the text.

use crate::limits::{RULE_BYTES_MAX, RULE_DEPTH_MAX};

use self::lexer::{Lexer, Token};

mod lexer;

/// An expression as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A matcher.
    Call(Call),
    /// `!`
    Not(Box<Expression>),
    /// `&&` over two or more.
    And(Vec<Expression>),
    /// `||` over two or more.
    Or(Vec<Expression>),
}

/// A matcher call as written: ``Name(`argument`, "argument")``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The name as written.
    pub name: String,
    /// The arguments, unquoted.
    pub arguments: Vec<Argument>,
    /// Byte offset of the name in the rule.
    pub offset: usize,
}

/// A string literal of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The text, unquoted.
    pub text: String,
    /// Byte offset of the opening quote in the rule.
    pub offset: usize,
}

/// What is wrong with a rule: the operator's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Byte offset in the rule.
    pub offset: usize,
    /// What stands there.
    pub found: String,
    /// What may stand there; empty where nothing may.
    pub allowed: String,
    /// What to do about it; empty where `allowed` says it all.
    pub remedy: String,
}

impl RuleError {
    /// `found` at `offset`, where only `allowed` is.
    pub fn new(offset: usize, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            offset,
            found: found.into(),
            allowed: allowed.into(),
            remedy: String::new(),
        }
    }

    /// The same, with what to do about it.
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: remedy.into(),
            ..self
        }
    }
}

/// The expression that `text` is.
pub fn parse(text: &str) -> Result<Expression, RuleError> {
    if text.len() > RULE_BYTES_MAX {
        let found = format!("a rule of {} bytes", text.len());
        return Err(
            RuleError::new(0, found, format!("at most {RULE_BYTES_MAX}"))
                .remedy("split it over several routers"),
        );
    }
    let mut parser = Parser {
        lexer: Lexer::new(text),
        depth: 0,
    };
    let expression = parser.any()?;
    match parser.lexer.next()? {
        (Token::End, _) => Ok(expression),
        (token, offset) => Err(unexpected(&token, offset, "&&, || or the end of the rule")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    depth: usize,
}

impl Parser<'_> {
    /// `all ('||' all)*`
    fn any(&mut self) -> Result<Expression, RuleError> {
        let first = self.all()?;
        let rest = self.rest(&Token::Or, Self::all)?;
        Ok(join(first, rest, Expression::Or))
    }

    /// `operand ('&&' operand)*`
    fn all(&mut self) -> Result<Expression, RuleError> {
        let first = self.operand()?;
        let rest = self.rest(&Token::And, Self::operand)?;
        Ok(join(first, rest, Expression::And))
    }

    fn rest(
        &mut self,
        operator: &Token,
        part: fn(&mut Self) -> Result<Expression, RuleError>,
    ) -> Result<Vec<Expression>, RuleError> {
        let mut parts = Vec::new();
        while self.lexer.take(operator)? {
            parts.push(part(self)?);
        }
        Ok(parts)
    }

    /// `'!' operand | '(' any ')' | call`
    fn operand(&mut self) -> Result<Expression, RuleError> {
        let (token, offset) = self.lexer.next()?;
        self.depth += 1;
        if self.depth > RULE_DEPTH_MAX {
            let allowed = format!("at most {RULE_DEPTH_MAX} ! and ( inside each other");
            return Err(RuleError::new(offset, "a deeper nesting", allowed));
        }
        let operand = match token {
            Token::Not => Expression::Not(Box::new(self.operand()?)),
            Token::Open => {
                let inner = self.any()?;
                self.close("&&, || or )")?;
                inner
            }
            Token::Name(name) => Expression::Call(self.call(name, offset)?),
            other => {
                return Err(unexpected(
                    &other,
                    offset,
                    "a matcher such as Host(`a.example`), ! or (",
                ));
            }
        };
        self.depth -= 1;
        Ok(operand)
    }

    /// `'(' [literal (',' literal)*] ')'`
    fn call(&mut self, name: &str, offset: usize) -> Result<Call, RuleError> {
        match self.lexer.next()? {
            (Token::Open, _) => {}
            (token, at) => return Err(unexpected(&token, at, &format!("( after {name}"))),
        }
        let mut call = Call {
            name: name.to_owned(),
            arguments: Vec::new(),
            offset,
        };
        if self.lexer.take(&Token::Close)? {
            return Ok(call);
        }
        loop {
            match self.lexer.next()? {
                (Token::Literal(text), offset) => call.arguments.push(Argument { text, offset }),
                (token, at) => return Err(unexpected(&token, at, "a string between ` or \"")),
            }
            if !self.lexer.take(&Token::Comma)? {
                self.close(", or )")?;
                return Ok(call);
            }
        }
    }

    fn close(&mut self, allowed: &str) -> Result<(), RuleError> {
        match self.lexer.next()? {
            (Token::Close, _) => Ok(()),
            (token, offset) => Err(unexpected(&token, offset, allowed)),
        }
    }
}

fn join(
    first: Expression,
    rest: Vec<Expression>,
    of: fn(Vec<Expression>) -> Expression,
) -> Expression {
    if rest.is_empty() {
        return first;
    }
    let mut parts = vec![first];
    parts.extend(rest);
    of(parts)
}

fn unexpected(token: &Token<'_>, offset: usize, allowed: &str) -> RuleError {
    RuleError::new(offset, token.to_string(), allowed)
}
