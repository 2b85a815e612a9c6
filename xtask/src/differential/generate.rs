//! A case: one to four requests on one connection, as they should be or with what attackers do to them.

use std::fmt;
use std::fmt::Write as _;

use super::Seen;

mod mutate;

/// What goes out on one connection.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it comes from.
    pub seed: u64,
    /// All bytes.
    pub bytes: Vec<u8>,
    /// They are sent in two pieces, parted here.
    cut: usize,
    /// What a server must see, if nothing is wrong with it.
    expected: Option<Vec<String>>,
}

/// Random numbers that follow from a seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

const METHODS: &[&str] = &[
    "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "PROPFIND",
];
const FIELDS: &[&str] = &[
    "Accept: */*",
    "User-Agent: differential/1.0",
    "Cookie: a=b; c=d",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "X-Empty:",
    "X-Spaces:  \t padded \t ",
    "TE: trailers",
    "Connection: keep-alive",
    "Connection: X-Long",
    "Keep-Alive: timeout=5",
    "X-High: caf\u{e9}",
];

impl Case {
    /// The case of a seed; the same in every run.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..=dice.below(4) {
            expected.push(request(&mut dice, &mut bytes));
        }
        let wrong = !dice.one_in(5);
        if wrong {
            for _ in 0..=dice.below(3) {
                mutate::once(&mut dice, &mut bytes);
            }
        }
        Self {
            seed,
            cut: if dice.one_in(4) {
                dice.below(bytes.len() + 1)
            } else {
                0
            },
            bytes,
            expected: (!wrong).then_some(expected),
        }
    }

    /// These very bytes, in one piece; nothing is known of them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            seed: 0,
            bytes: bytes.to_vec(),
            cut: 0,
            expected: None,
        }
    }

    /// What is sent at once each.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (first, second) = self.bytes.split_at(self.cut);
        [first, second]
            .into_iter()
            .filter(|piece| !piece.is_empty())
    }

    /// What weir has made of it, where it is known and something else.
    pub(super) fn misread(&self, seen: &[Seen]) -> Option<String> {
        let expected = self.expected.as_ref()?;
        let seen: Vec<&str> = seen.iter().map(|one| &*one.summary).collect();
        (seen != *expected).then(|| format!("{self}: weir forwarded {seen:?}, not {expected:?}"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "seed {}: \"{}\"", self.seed, self.bytes.escape_ascii())
    }
}

/// Appends a request, and says what a server sees of it.
fn request(dice: &mut Dice, out: &mut Vec<u8>) -> String {
    let method = dice.of(METHODS);
    let target = format!("/{:x}?q={:x}", dice.below(1 << 16), dice.below(1 << 8));
    let absolute = dice.one_in(10);
    let form = if absolute { "http://a.example" } else { "" };
    let mut head = format!("{method} {form}{target} HTTP/1.1\r\nHost: a.example\r\n");
    for _ in 0..dice.below(4) {
        let _ = write!(head, "{}\r\n", dice.of(FIELDS));
    }
    let body = body(dice, &mut head);
    let length = body.length;
    head.push_str("\r\n");
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(&body.bytes);
    format!("{method} {target} {length}")
}

struct Body {
    bytes: Vec<u8>,
    length: usize,
}

/// Looks like requests, for whoever takes it for one.
fn payload(dice: &mut Dice, length: usize) -> Vec<u8> {
    let text = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n0\r\n\r\n5\r\n";
    let start = dice.below(text.len());
    text.iter()
        .copied()
        .cycle()
        .skip(start)
        .take(length)
        .collect()
}

fn body(dice: &mut Dice, head: &mut String) -> Body {
    match dice.below(3) {
        0 => Body {
            bytes: Vec::new(),
            length: 0,
        },
        1 => {
            let length = dice.below(200);
            if dice.one_in(8) {
                head.push_str("Expect: 100-continue\r\n");
            }
            let _ = write!(head, "Content-Length: {length}\r\n");
            Body {
                bytes: payload(dice, length),
                length,
            }
        }
        _ => chunked(dice, head),
    }
}

fn chunked(dice: &mut Dice, head: &mut String) -> Body {
    head.push_str("Transfer-Encoding: chunked\r\n");
    let (mut bytes, mut length) = (Vec::new(), 0);
    for _ in 0..dice.below(4) {
        let size = 1 + dice.below(60);
        length += size;
        bytes.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        bytes.extend_from_slice(&payload(dice, size));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n");
    if dice.one_in(4) {
        bytes.extend_from_slice(b"X-Trailer: t\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    Body { bytes, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_case() {
        let twice = [7, 7].map(|seed| Case::from_seed(seed).bytes);
        assert_eq!(twice[0], twice[1]);
        assert_ne!(twice[0], Case::from_seed(8).bytes);
    }

    #[test]
    fn some_cases_are_right_and_most_are_wrong() {
        let right = (0..1000).filter(|seed| Case::from_seed(*seed).expected.is_some());
        assert!((100..300).contains(&right.count()));
    }
}
