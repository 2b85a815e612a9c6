//! Just enough HTTP/1.1 to read a request: its head, and its body by Content-Length or chunks.

use std::io::{self, BufRead, ErrorKind};

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    /// Everything up to and including the empty line, as it arrived.
    pub(super) text: String,
}

impl Head {
    pub(super) fn method(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    pub(super) fn path(&self) -> &str {
        let target = self.text.split(' ').nth(1).unwrap_or("/");
        target.split('?').next().unwrap_or(target)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let fields = self
            .text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
    }

    /// Whether the connection ends after this request.
    pub(super) fn closes(&self) -> bool {
        let old = self
            .text
            .lines()
            .next()
            .is_some_and(|line| line.ends_with("HTTP/1.0"));
        old || self
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Reads the next head; `None` when the peer closed between two requests.
pub(super) fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut text = String::new();
    loop {
        let length = stream.read_line(&mut text)?;
        match (length, text.is_empty()) {
            (0, true) => return Ok(None),
            (0, false) => return Err(ErrorKind::UnexpectedEof.into()),
            _ if text.ends_with("\r\n\r\n") => return Ok(Some(Head { text })),
            _ => {}
        }
    }
}

/// Reads the body of the request to its end and shows every piece to `sink`.
pub(super) fn read_body(
    stream: &mut impl BufRead,
    head: &Head,
    mut sink: impl FnMut(&[u8]),
) -> io::Result<()> {
    let chunked = head
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    if !chunked {
        let length = head
            .header("content-length")
            .map_or(Ok(0), |value| number(value, 10))?;
        return read_exactly(stream, length, &mut sink);
    }
    loop {
        let length = number(line(stream)?.trim(), 16)?;
        if length == 0 {
            // Trailers, if any, up to the empty line.
            while !line(stream)?.trim().is_empty() {}
            return Ok(());
        }
        read_exactly(stream, length, &mut sink)?;
        line(stream)?;
    }
}

fn read_exactly(
    stream: &mut impl BufRead,
    mut rest: u64,
    sink: &mut impl FnMut(&[u8]),
) -> io::Result<()> {
    while rest > 0 {
        let available = stream.fill_buf()?;
        if available.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let take = available
            .len()
            .min(usize::try_from(rest).unwrap_or(usize::MAX));
        sink(&available[..take]);
        stream.consume(take);
        rest -= take as u64;
    }
    Ok(())
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

fn number(text: &str, radix: u32) -> io::Result<u64> {
    u64::from_str_radix(text, radix).map_err(|_| ErrorKind::InvalidData.into())
}
