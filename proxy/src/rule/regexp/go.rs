//! Go's syntax written in that of the `regex` crate.
//!
//! The two differ in: Perl classes and `\b`, which are ASCII in Go; `{` that begins no repetition, a letter in Go;
//! operators within classes (`&&`, `--`, nesting), which Go does not have; octal escapes, `\Q..\E` and `\C`, which
//! only Go has; flags `x`, `u` and `R`, which Go does not have.

use super::RegexpError;

/// The largest count of a repetition in Go.
const REPEAT_MAX: u32 = 1_000;

/// The same expression in the crate's syntax. What neither of the two takes may be left to the crate to refuse.
pub(super) fn translate(text: &str) -> Result<String, RegexpError> {
    let mut translator = Translator {
        text,
        at: 0,
        out: String::with_capacity(text.len() + 16),
    };
    translator.run()?;
    Ok(translator.out)
}

struct Translator<'a> {
    text: &'a str,
    at: usize,
    out: String,
}

/// What an escape stands for.
enum Escape {
    Char(char),
    /// In the crate's syntax; a class may hold it.
    Class(String),
    /// In the crate's syntax; not for classes.
    Assertion(&'static str),
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), RegexpError> {
        // Whether the last thing was a repetition: Go takes no second one.
        let mut repeated = false;
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            let repetition = match c {
                '*' | '+' | '?' => Some(1),
                '{' => self.counted()?,
                _ => None,
            };
            if let Some(length) = repetition {
                self.repetition(length, repeated)?;
                repeated = true;
                continue;
            }
            repeated = false;
            match c {
                '\\' if self.rest().starts_with("\\Q") => self.quoted(),
                '\\' => match self.escape()? {
                    Escape::Char(c) => self.put(c),
                    Escape::Class(class) => self.out.push_str(&class),
                    Escape::Assertion(assertion) => self.out.push_str(assertion),
                },
                '[' => self.class()?,
                '(' => self.group()?,
                '{' => {
                    self.out.push_str("\\{");
                    self.at += 1;
                }
                other => {
                    self.out.push(other);
                    self.at += other.len_utf8();
                }
            }
            debug_assert!(self.at > start);
        }
        Ok(())
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// A character as itself, whatever it means elsewhere.
    fn put(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.out.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
        }
    }

    fn repetition(&mut self, length: usize, repeated: bool) -> Result<(), RegexpError> {
        if repeated {
            let found = format!("a repetition of a repetition before {:?}", self.rest());
            return Err(RegexpError::new(
                found,
                "put the inner one into parentheses",
            ));
        }
        self.out.push_str(&self.rest()[..length]);
        self.at += length;
        if self.rest().starts_with('?') {
            self.out.push('?');
            self.at += 1;
        }
        Ok(())
    }

    /// The length of `{n}`, `{n,}` or `{n,m}`; `None` where `{` is only itself.
    fn counted(&self) -> Result<Option<usize>, RegexpError> {
        let Some((inner, _)) = self.rest()[1..].split_once('}') else {
            return Ok(None);
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u32>().unwrap_or(u32::MAX))
        };
        let (least, most) = match inner.split_once(',') {
            None => (number(inner), number(inner)),
            Some((least, "")) => (number(least), number(least)),
            Some((least, most)) => (number(least), number(most)),
        };
        let (Some(least), Some(most)) = (least, most) else {
            return Ok(None);
        };
        if most < least || most > REPEAT_MAX {
            let found = format!("the repetition {{{inner}}}");
            return Err(RegexpError::new(
                found,
                "write at most 1000, the lower number first",
            ));
        }
        Ok(Some(inner.len() + 2))
    }

    /// `\Q...\E`: everything between is itself.
    fn quoted(&mut self) {
        let rest = &self.rest()[2..];
        let (inner, length) = match rest.find("\\E") {
            Some(end) => (&rest[..end], end + 4),
            None => (rest, rest.len() + 2),
        };
        inner.chars().for_each(|c| self.put(c));
        self.at += length;
    }

    fn escape(&mut self) -> Result<Escape, RegexpError> {
        let start = self.at;
        self.take();
        let Some(c) = self.take() else {
            return Err(RegexpError::new("a backslash at the end", "write \\\\"));
        };
        Ok(match c {
            'd' => Escape::Class("[0-9]".into()),
            'D' => Escape::Class("[^0-9]".into()),
            'w' => Escape::Class("[0-9A-Za-z_]".into()),
            'W' => Escape::Class("[^0-9A-Za-z_]".into()),
            's' => Escape::Class("[\\t\\n\\f\\r ]".into()),
            'S' => Escape::Class("[^\\t\\n\\f\\r ]".into()),
            'p' | 'P' => Escape::Class(self.property(c)?),
            'A' => Escape::Assertion("\\A"),
            'z' => Escape::Assertion("\\z"),
            'b' => Escape::Assertion("(?-u:\\b)"),
            'B' => Escape::Assertion("(?-u:\\B)"),
            'C' => Escape::Assertion("(?s-u:.)"),
            'a' => Escape::Char('\x07'),
            'f' => Escape::Char('\x0c'),
            't' => Escape::Char('\t'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            'v' => Escape::Char('\x0b'),
            'x' => Escape::Char(self.hexadecimal(start)?),
            '0'..='7' => Escape::Char(self.octal(c)?),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Escape::Char(c),
            _ => return Err(self.unknown_escape(start)),
        })
    }

    fn unknown_escape(&self, start: usize) -> RegexpError {
        let found = format!("the escape {:?}", &self.text[start..self.at]);
        RegexpError::new(found, "RE2 has no such escape; write \\\\ for a backslash")
    }

    fn hexadecimal(&mut self, start: usize) -> Result<char, RegexpError> {
        let rest = self.rest();
        let (digits, length) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((digits, _)) => (digits, digits.len() + 2),
            None => (rest.get(..2).unwrap_or_default(), 2),
        };
        let valid = (1..=6).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| valid);
        let c = value.and_then(char::from_u32);
        let c = c.ok_or_else(|| self.unknown_escape(start))?;
        self.at += length;
        Ok(c)
    }

    /// `\0`, `\012`: one octal digit alone, other than 0, would be a reference back.
    fn octal(&mut self, first: char) -> Result<char, RegexpError> {
        let is_octal = |c: char| ('0'..='7').contains(&c);
        if first != '0' && !self.rest().starts_with(is_octal) {
            let found = format!("the backreference \"\\{first}\"");
            return Err(RegexpError::new(found, "RE2 has no backreferences"));
        }
        let mut value = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            let Some(digit) = self.rest().chars().next().and_then(|c| c.to_digit(8)) else {
                break;
            };
            value = value * 8 + digit;
            self.at += 1;
        }
        // Three octal digits stay far below the surrogates.
        Ok(char::from_u32(value).unwrap_or_default())
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`.
    fn property(&mut self, p: char) -> Result<String, RegexpError> {
        let incomplete =
            || RegexpError::new("a Unicode class without its name", "write \\p{Greek}");
        let rest = self.rest();
        let (name, length) = match rest.strip_prefix('{') {
            Some(rest) => {
                let (name, _) = rest.split_once('}').ok_or_else(incomplete)?;
                (name, name.len() + 2)
            }
            None => {
                let c = rest.chars().next().ok_or_else(incomplete)?;
                (&rest[..c.len_utf8()], c.len_utf8())
            }
        };
        self.at += length;
        let (negated, name) = match name.strip_prefix('^') {
            Some(name) => (p == 'p', name),
            None => (p == 'P', name),
        };
        Ok(format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }))
    }

    fn group(&mut self) -> Result<(), RegexpError> {
        let rest = self.rest();
        let Some(special) = rest.strip_prefix("(?") else {
            self.out.push('(');
            self.at += 1;
            return Ok(());
        };
        for (prefix, what) in [
            ("=", "lookahead"),
            ("!", "lookahead"),
            ("<=", "lookbehind"),
            ("<!", "lookbehind"),
        ] {
            if special.starts_with(prefix) {
                let found = format!("{what} \"(?{prefix}\"");
                let remedy = "RE2 has none: write two matchers joined by && or && !";
                return Err(RegexpError::new(found, remedy));
            }
        }
        let wrong = || {
            let start: String = rest.chars().take(4).collect();
            RegexpError::new(
                format!("the group {start:?}"),
                "RE2 has (...), (?:...), (?P<name>...) and the flags i, m, s, U",
            )
        };
        if special.starts_with("P<") || special.starts_with('<') {
            let (head, _) = rest.split_once('>').ok_or_else(wrong)?;
            let name = &head[head.find('<').unwrap_or_default() + 1..];
            self.out.push_str(&format!("(?P<{name}>"));
            self.at += head.len() + 1;
            return Ok(());
        }
        let end = special.find([':', ')']).ok_or_else(wrong)?;
        let flags = &special[..end];
        let known = flags.chars().all(|flag| "imsU-".contains(flag));
        let bare = flags.is_empty() && special[end..].starts_with(')');
        if !known || bare || flags.ends_with('-') {
            return Err(wrong());
        }
        let length = 2 + end + 1;
        self.out.push_str(&rest[..length]);
        self.at += length;
        Ok(())
    }

    /// `[...]`, item by item.
    fn class(&mut self) -> Result<(), RegexpError> {
        let unclosed = || RegexpError::new("a class without its closing ]", "close it with ]");
        self.out.push('[');
        self.at += 1;
        if self.rest().starts_with('^') {
            self.out.push('^');
            self.at += 1;
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return Err(unclosed());
            }
            if rest.starts_with(']') && !first {
                self.out.push(']');
                self.at += 1;
                return Ok(());
            }
            first = false;
            if rest.starts_with("[:") && rest.contains(":]") {
                self.posix()?;
                continue;
            }
            let Some(low) = self.class_char()? else {
                continue;
            };
            self.put(low);
            let after = self.rest().strip_prefix('-');
            if after.is_some_and(|after| !after.is_empty() && !after.starts_with(']')) {
                self.at += 1;
                let start = self.at;
                let high = self.class_char()?.filter(|high| *high >= low);
                let Some(high) = high else {
                    let found = format!("the range {low}-{}", &self.text[start..self.at]);
                    return Err(RegexpError::new(found, "write the lower end first"));
                };
                self.out.push('-');
                self.put(high);
            }
        }
    }

    /// One character of a class; `None` where it was a class of its own, which is written.
    fn class_char(&mut self) -> Result<Option<char>, RegexpError> {
        let start = self.at;
        if !self.rest().starts_with('\\') {
            return Ok(self.take());
        }
        match self.escape()? {
            Escape::Char(c) => Ok(Some(c)),
            Escape::Class(class) => {
                self.out.push_str(&class);
                Ok(None)
            }
            Escape::Assertion(_) => Err(self.unknown_escape(start)),
        }
    }

    /// `[:alpha:]`
    fn posix(&mut self) -> Result<(), RegexpError> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        let rest = self.rest();
        let length = rest.find(":]").map_or(rest.len(), |end| end + 2);
        let written = &rest[..length];
        let name = written.trim_matches(['[', ']', ':']);
        let name = name.strip_prefix('^').unwrap_or(name);
        if !NAMES.contains(&name) {
            let found = format!("the class {written:?}");
            return Err(RegexpError::new(found, "write one such as [:alpha:]"));
        }
        self.out.push_str(written);
        self.at += length;
        Ok(())
    }
}
