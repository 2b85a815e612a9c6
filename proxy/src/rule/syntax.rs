//! Text to an unchecked expression of calls. Knows no matcher by name.

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
    /// What may stand there.
    pub allowed: String,
    /// What to do about it; empty where `allowed` says it all.
    pub remedy: String,
}
