//! Clients that get back what they send: inside WebSockets and TCP tunnels.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use xtask::backend::pattern;

use super::PAUSE;
use super::clients::Crew;
use super::echo::KEY;

/// Messages on a connection.
const MESSAGES: usize = 64;
/// The longest of them; sizes below it are taken in turn.
const LONGEST: usize = 64 << 10;

/// A WebSocket: frames of all kinds of lengths, each awaited; every fourth connection is left without a goodbye.
pub fn websocket(crew: &Crew) -> io::Result<u64> {
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    let mut stream = BufReader::new(crew.connect(crew.site.plain, &request)?);
    let status = read_head(&mut stream)?;
    if !status.starts_with("HTTP/1.1 101") {
        return Err(io::Error::other(status.trim_end().to_owned()));
    }
    for number in 0..MESSAGES {
        exchange(&mut stream, &frame(0x82, number * LONGEST / MESSAGES))?;
        thread::sleep(PAUSE / 4);
    }
    if !crew.turn().is_multiple_of(4) {
        exchange(&mut stream, &frame(0x88, 2))?;
    }
    Ok(MESSAGES as u64)
}

/// A tunnel: two directions at once, then a half-close, after which the rest still comes.
pub fn tunnel(crew: &Crew) -> io::Result<u64> {
    let mut stream = crew.connect(crew.site.tunnel, "")?;
    let mut writer = stream.try_clone()?;
    let sent = bytes(MESSAGES * LONGEST);
    let sending = thread::spawn({
        let sent = sent.clone();
        move || {
            writer
                .write_all(&sent)
                .and_then(|()| writer.shutdown(Shutdown::Write))
        }
    });
    let mut received = Vec::with_capacity(sent.len());
    let read = stream.read_to_end(&mut received);
    let written = sending.join().map_err(|_| io::ErrorKind::Other)?;
    read.and(written)?;
    same(&sent, &received).map(|()| 1)
}

fn exchange(stream: &mut BufReader<TcpStream>, frame: &[u8]) -> io::Result<()> {
    stream.get_mut().write_all(frame)?;
    let mut received = vec![0; frame.len()];
    stream.read_exact(&mut received)?;
    same(frame, &received)
}

fn same(sent: &[u8], received: &[u8]) -> io::Result<()> {
    match sent == received {
        true => Ok(()),
        false if received.len() < sent.len() => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Err(io::Error::other("what came back is something else")),
    }
}

/// A masked frame (RFC 6455 section 5.2); a mask of zeros leaves the payload as it is.
fn frame(first: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(bytes(length));
    frame
}

fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    pattern(0, &mut bytes);
    bytes
}

/// The status line; everything up to the empty line is read.
fn read_head(stream: &mut impl BufRead) -> io::Result<String> {
    let (mut status, mut line) = (String::new(), String::new());
    stream.read_line(&mut status)?;
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(status)
}
