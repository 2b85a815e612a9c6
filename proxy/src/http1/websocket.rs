//! As much of RFC 6455 as a relay needs: the key's answer, where frames end, and a goodbye. Frames are never changed,
//! and their payload is never looked at.

use aws_lc_rs::digest;

/// Said to both sides when weir stops: "going away" (RFC 6455 section 7.4.1).
const GOING_AWAY: [u8; 2] = 1001u16.to_be_bytes();
/// The final frame of a close (sections 5.2 and 5.5.1).
const CLOSE: u8 = 0x88;
const OPCODE_CLOSE: u8 = 0x8;
const MASKED: u8 = 0x80;

/// A `Sec-WebSocket-Key` (section 4.1): base64 of 16 bytes that nobody has to guess.
pub fn key(random: [u64; 2]) -> String {
    let [first, second] = random.map(u64::to_be_bytes);
    data_encoding::BASE64.encode(&[first, second].concat())
}

/// The value of `Sec-WebSocket-Accept` for a client's key (section 4.2.2): base64 of a SHA-1, which here protects
/// nothing, it shows that the server has understood.
pub fn accept(key: &[u8]) -> [u8; 28] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = context.finish();
    let mut padded = [0; 21];
    padded[..20].copy_from_slice(hash.as_ref());
    let mut text = [b'='; 28];
    for (three, four) in padded.chunks(3).zip(text.chunks_mut(4)) {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for (place, digit) in four.iter_mut().enumerate() {
            let value = bits >> (18 - 6 * place) & 63;
            *digit =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[value as usize];
        }
    }
    text[27] = b'=';
    text
}

/// A Close frame that says weir goes away. Towards a server it is masked (section 5.3), with an unpredictable `mask`.
pub fn going_away(mask: Option<[u8; 4]>) -> Vec<u8> {
    let length = GOING_AWAY.len() as u8;
    match mask {
        None => [&[CLOSE, length], &GOING_AWAY[..]].concat(),
        Some(mask) => {
            let masked = [GOING_AWAY[0] ^ mask[0], GOING_AWAY[1] ^ mask[1]];
            [&[CLOSE, MASKED | length], &mask[..], &masked[..]].concat()
        }
    }
}

/// Finds out where the frames of one direction end.
#[derive(Clone, Debug, Default)]
pub struct FrameWalk {
    /// The header so far, while it is not whole.
    header: [u8; 14],
    have: usize,
    /// Payload to come of the frame that has begun.
    payload: u64,
    closed: bool,
}

impl FrameWalk {
    /// Walks over the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len() as u64);
                self.payload -= skipped;
                bytes = &bytes[skipped as usize..];
                continue;
            }
            self.header[self.have] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            if self.have == self.header_length() {
                self.closed |= self.header[0] & 0xf == OPCODE_CLOSE;
                self.payload = self.payload_length();
                self.have = 0;
            }
        }
    }

    /// Whether another frame may begin here: all so far are whole, and none was a Close, after which nothing may come.
    pub fn may_begin(&self) -> bool {
        self.have == 0 && self.payload == 0 && !self.closed
    }

    fn header_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let extended = match self.header[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & MASKED != 0 { 4 } else { 0 };
        2 + extended + mask
    }

    fn payload_length(&self) -> u64 {
        let wide = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        match self.header[1] & !MASKED {
            126 => wide(&self.header[2..4]),
            127 => wide(&self.header[2..10]),
            short => u64::from(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_of_the_rfc_s_example() {
        assert_eq!(
            accept(b"dGhlIHNhbXBsZSBub25jZQ=="),
            *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    /// Header and length of a frame with so much payload.
    fn frame(opcode: u8, payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match payload {
            0..126 => frame.push(mask | payload as u8),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + payload + if masked { 4 } else { 0 }, 0x88);
        frame
    }

    #[test]
    fn frames_end_where_they_end_however_they_are_cut() {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            for masked in [false, true] {
                let bytes = [frame(2, payload, masked), frame(9, 3, masked)].concat();
                let first = bytes.len() - frame(9, 3, masked).len();
                for step in [1, 7, bytes.len()] {
                    let mut walk = FrameWalk::default();
                    let mut walked = 0;
                    for piece in bytes.chunks(step) {
                        walk.feed(piece);
                        walked += piece.len();
                        let expected = walked == first || walked == bytes.len();
                        assert_eq!(walk.may_begin(), expected, "{payload} {masked} {walked}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_goodbye_is_a_close_frame_and_nothing_follows_it() {
        for mask in [None, Some([1, 2, 3, 4])] {
            let bytes = going_away(mask);
            let mut walk = FrameWalk::default();
            walk.feed(&bytes);
            assert!(!walk.may_begin() && walk.have == 0 && walk.payload == 0);
            let code: Vec<u8> = match mask {
                None => bytes[2..].to_vec(),
                Some(mask) => bytes[6..].iter().zip(mask).map(|(a, b)| a ^ b).collect(),
            };
            assert_eq!(code, 1001u16.to_be_bytes());
        }
    }
}
