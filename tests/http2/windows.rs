//! Receive windows that are set: a client may send as much as they say, and not one byte more.

use std::net::TcpListener;
use std::time::Duration;

use super::before;
use super::frames::*;

/// The least that either key takes, with which a connection begins.
const WINDOW: u32 = 65_535;

/// What the client may send on its connection and its only stream.
struct Credit {
    connection: u32,
    stream: u32,
}

impl Credit {
    /// Sends all that it may.
    fn spend(&mut self, raw: &mut Raw) {
        loop {
            let length = self.connection.min(self.stream).min(16_384);
            if length == 0 {
                return;
            }
            assert!(raw.send(frame(DATA, 0, 1, &vec![b'x'; length as usize])));
            self.connection -= length;
            self.stream -= length;
        }
    }

    fn widen(&mut self, update: &Frame) {
        let more: [u8; 4] = update.payload[..].try_into().expect("a number");
        let window = match update.stream {
            0 => &mut self.connection,
            _ => &mut self.stream,
        };
        *window += u32::from_be_bytes(more);
    }
}

#[test]
fn a_window_that_is_set_holds_to_the_byte() {
    // Takes connections and reads nothing.
    let server = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let settings = format!(
        "    limits: {{http2: {{connectionWindowBytes: {WINDOW}, streamWindowBytes: {WINDOW}}}}}\n"
    );
    let url = format!("http://{}", server.local_addr().expect("an address"));
    let (_weir, address) = before(&url, &settings);
    let mut raw = Raw::open(address);
    raw.greet();
    raw.patience(Duration::from_secs(2));
    assert!(raw.send(frame(HEADERS, END_HEADERS, 1, &request("POST", &[]))));
    let mut credit = Credit {
        connection: WINDOW,
        stream: WINDOW,
    };
    credit.spend(&mut raw);
    // Until the way to the server is full.
    while let Some(update) = raw.read_until(|frame| frame.kind == WINDOW_UPDATE) {
        credit.widen(&update);
        credit.spend(&mut raw);
    }
    assert!(raw.silent, "all of it was allowed");
    assert!(raw.send(frame(PING, 0, 0, &[0; 8])));
    let answer = raw.read().map(|frame| (frame.kind, frame.flags));
    assert_eq!(answer, Some((PING, ACK)));
    assert!(raw.send(frame(DATA, 0, 1, b"x")));
    let end = raw.read_until(|frame| frame.kind == GOAWAY || frame.kind == RST_STREAM);
    assert_eq!(end.map(|frame| frame.code()), Some(FLOW_CONTROL_ERROR));
}
