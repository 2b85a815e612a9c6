//! What attackers do to requests.

use super::Dice;

/// Put in where a field line may begin.
const LINES: &[&[u8]] = &[
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b" Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\tchunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: identity, chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: CHUNKED\r\n",
    b"Transfer-Encoding: \"chunked\"\r\n",
    b"Transfer-Encoding: chunked;q=1\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer-Encoding:\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Transfer-Encoding\x00: chunked\r\n",
    b"Transfer-Encoding: chunked\x00\r\n",
    b"X: y\nTransfer-Encoding: chunked\r\n",
    b"X: y\rTransfer-Encoding: chunked\r\n",
    b"X: y\x00\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 44\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 5, 6\r\n",
    b"Content-Length: 5 5\r\n",
    b"Content-Length: 005\r\n",
    b"Content-Length: 18446744073709551621\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: 5\r\n 6\r\n",
    b"Content-Length : 5\r\n",
    b"Content_Length: 5\r\n",
    b"Content-Length: \xef\xbc\x95\r\n",
    b"Connection: Content-Length\r\n",
    b"Connection: Transfer-Encoding, Host\r\n",
    b"Connection: close\r\n",
    b"Connection: close, keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: 200-ok\r\n",
    b"Trailer: Content-Length\r\n",
    b"Host: b.example\r\n",
    b"Host:\r\n",
    b"Host: a.example:80, b\r\n",
    b"Host: a.example/b\r\n",
    b"Host: a@b\r\n",
    b" folded\r\n",
    b"\tfolded\r\n",
    b": no name\r\n",
    b"no colon\r\n",
    b"na me: x\r\n",
    b"n\xffme: x\r\n",
    b"X-HTTP-Method-Override: DELETE\r\n",
    b"\r\n",
];

/// In place of the end of a line.
const ENDS: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"",
    b"\r\n\r\n",
    b"\0\r\n",
    b" \r\n",
    b"\x0b\r\n",
];

/// In place of a line that may give the size of a chunk.
const SIZES: &[&[u8]] = &[
    b"0x5",
    b"5 ",
    b" 5",
    b"+5",
    b"-5",
    b"5;a=b",
    b"5;a=\"\n\"",
    b"5;",
    b"5 ;a",
    b"00000000000000005",
    b"",
    b"FFFFFFFFFFFFFFFF",
    b"10000000000000005",
    b"5\t",
    b"5,5",
    b"g",
    b"0",
    b"00",
    b"0;a=b",
    b"1_0",
];

/// In place of a request line.
const STARTS: &[&[u8]] = &[
    b"get / HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET\t/ HTTP/1.1",
    b"GET / HTTP/1.1 ",
    b" GET / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"GET / HTTP/0.9",
    b"GET / HTTP/1.2",
    b"GET / HTTP/2.0",
    b"GET / http/1.1",
    b"GET / HTTP/1.10",
    b"GET /",
    b"GET / a HTTP/1.1",
    b"GET a HTTP/1.1",
    b"GET http://b.example/ HTTP/1.1",
    b"GET http://user@a.example/ HTTP/1.1",
    b"GET https://a.example HTTP/1.1",
    b"GET http:///x HTTP/1.1",
    b"GET //a/../b HTTP/1.1",
    b"GET /%2e%2e/%00 HTTP/1.1",
    b"GET /a#b HTTP/1.1",
    b"GET /\x7f HTTP/1.1",
    b"GET /caf\xc3\xa9 HTTP/1.1",
    b"GET /a\\b HTTP/1.1",
    b"GET /?<>\"{}|^` HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET * HTTP/1.1",
    b"CONNECT a.example:80 HTTP/1.1",
    b"TRACE / HTTP/1.1",
    b"POST / HTTP/1.0",
    b"G(T / HTTP/1.1",
    b"M-SEARCH / HTTP/1.1",
];

/// Changes something.
pub(super) fn once(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    match dice.below(9) {
        0..=2 => {
            if let Some((_, end)) = line(dice, bytes) {
                splice(bytes, end + 2, end + 2, dice.of(LINES));
            }
        }
        3 => {
            if let Some((_, end)) = line(dice, bytes) {
                splice(bytes, end, end + 2, dice.of(ENDS));
            }
        }
        4 => replace_line(dice, bytes, SIZES, |line| {
            line.len() <= 2 && !line.is_empty()
        }),
        5 => replace_line(dice, bytes, STARTS, |line| line.ends_with(b"HTTP/1.1")),
        6 => any_byte(dice, bytes),
        7 => {
            let (start, length) = (dice.below(bytes.len()), dice.below(40));
            let part = bytes[start..bytes.len().min(start + length)].to_vec();
            let at = dice.below(bytes.len());
            splice(bytes, at, at, &part);
        }
        _ => ends(dice, bytes),
    }
}

/// A flipped, doubled, missing or foreign byte.
fn any_byte(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len());
    match dice.below(4) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.insert(at, bytes[at]),
        2 => drop(bytes.remove(at)),
        _ => bytes.insert(at, dice.of(b"\0\r\n\t :;,0\"\x0b\x7f\x80\xff")),
    }
}

/// Something before the first request, or less than the last one.
fn ends(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if dice.one_in(2) {
        bytes.truncate(dice.below(bytes.len()));
    } else {
        splice(
            bytes,
            0,
            0,
            dice.of(&[b"\r\n".as_slice(), b"\n", b"\r\n\r\n", b" ", b"\0", b"\r"]),
        );
    }
}

fn splice(bytes: &mut Vec<u8>, start: usize, end: usize, with: &[u8]) {
    bytes.splice(start..end, with.iter().copied());
}

fn replace_line(
    dice: &mut Dice,
    bytes: &mut Vec<u8>,
    with: &[&[u8]],
    fits: impl Fn(&[u8]) -> bool,
) {
    // Lines that fit are found by chance; a case without one stays as it is.
    for _ in 0..16 {
        if let Some((start, end)) = line(dice, bytes)
            && fits(&bytes[start..end])
        {
            splice(bytes, start, end, dice.of(with));
            return;
        }
    }
}

/// Where a line begins and where its CR LF stands.
fn line(dice: &mut Dice, bytes: &[u8]) -> Option<(usize, usize)> {
    let from = dice.below(bytes.len());
    let find = |from: usize| bytes[from..].windows(2).position(|two| two == b"\r\n");
    let end = find(from).map(|at| from + at).or_else(|| find(0))?;
    let start = bytes[..end].iter().rposition(|byte| *byte == b'\n');
    Some((start.map_or(0, |at| at + 1), end))
}
