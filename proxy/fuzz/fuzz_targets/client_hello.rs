//! ClientHellos: whole and in pieces the same is read and nothing is lost; and where rustls takes one, so does weir,
//! and both read the same out of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;
use weir::limits::TLS_HANDSHAKE_BYTES_MAX;
use weir::tls::{ClientHello, HelloError, HelloReader};

fuzz_target!(|input: &[u8]| {
    let (whole, _) = read([input].into_iter());
    let (pieces, received) = read(input.chunks(input.len() / 16 + 1));
    assert!(input.starts_with(&received));
    assert!(received.len() <= TLS_HANDSHAKE_BYTES_MAX + input.len());
    // The error may be told earlier in pieces, and no more: what is read is the same.
    assert_eq!(whole.clone().ok().flatten(), pieces.ok().flatten());
    if let Some((name, protocols)) = by_rustls(input) {
        let hello = whole.expect("rustls takes it").expect("rustls has all of it");
        assert_eq!(hello.server_name(), name);
        assert!(hello.protocols().eq(protocols.iter().map(Vec::as_slice)));
    }
});

fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Result<Option<ClientHello>, HelloError>, Vec<u8>) {
    let mut reader = HelloReader::default();
    for piece in pieces {
        match reader.feed(piece) {
            Ok(None) => {}
            done => return (done, reader.into_received()),
        }
    }
    (Ok(None), reader.into_received())
}

/// What rustls reads: the name, lower case and without its last dot, and the protocols.
fn by_rustls(mut input: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
    let mut acceptor = Acceptor::default();
    while !input.is_empty() {
        acceptor.read_tls(&mut input).ok()?;
        let Some(accepted) = acceptor.accept().ok()? else {
            continue;
        };
        let hello = accepted.client_hello();
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let protocols = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec);
        let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
        return Some((name, protocols.collect()));
    }
    None
}
