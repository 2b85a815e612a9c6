//! Request heads: whole and in pieces the outcome is the same, httparse agrees on where an accepted head ends, and what
//! is written from it is accepted again and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::{Method, RequestHead, ResponseHead};
use weir::http1::{
    ConnectionField, HeadLimits, Request, RequestParser, ResponseParser, encode_request,
};

fuzz_target!(|input: &[u8]| {
    let mut head = RequestHead::default();
    let whole = RequestParser::new(HeadLimits::default()).parse(input, &mut head);
    let mut parser = RequestParser::new(HeadLimits::default());
    let mut in_pieces = Ok(None);
    for end in (0..input.len())
        .step_by(input.len() / 16 + 1)
        .chain([input.len()])
    {
        in_pieces = parser.parse(&input[..end], &mut RequestHead::default());
        if !matches!(in_pieces, Ok(None)) {
            break;
        }
    }
    match (whole, in_pieces) {
        (Ok(whole), Ok(in_pieces)) => assert_eq!(whole, in_pieces),
        (whole, in_pieces) => assert_eq!(whole.is_err(), in_pieces.is_err()),
    }
    if let Ok(Some(request)) = whole {
        agrees_with_httparse(input, request.consumed);
        survives_rewriting(&head, request);
    }
    let mut response = ResponseHead::default();
    let _ = ResponseParser::new(HeadLimits::default()).parse(input, &Method::Get, &mut response);
});

fn agrees_with_httparse(input: &[u8], consumed: usize) {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    match httparse::Request::new(&mut fields).parse(input) {
        Ok(end) => assert_eq!(end, httparse::Status::Complete(consumed)),
        // It knows no minor version above 1, which RFC 9110 section 2.5 treats as 1.
        Err(error) => assert_eq!(error, httparse::Error::Version),
    }
}

fn survives_rewriting(head: &RequestHead, request: Request) {
    if head.authority().is_empty() {
        return;
    }
    let mut wire = Vec::new();
    encode_request(
        head,
        None,
        request.body.announce(),
        ConnectionField::Omit,
        &mut wire,
    );
    let limits = HeadLimits {
        bytes: wire.len() + 1,
        request_line: wire.len(),
        ..HeadLimits::default()
    };
    let limits = HeadLimits {
        fields: limits.fields + 3,
        ..limits
    };
    let mut again = RequestHead::default();
    let parsed = RequestParser::new(limits).parse(&wire, &mut again);
    let parsed = parsed
        .expect("what weir writes is valid")
        .expect("and whole");
    assert_eq!(parsed.consumed, wire.len());
    assert_eq!(parsed.body, request.body);
    assert_eq!(
        (again.path(), again.query(), again.authority()),
        (head.path(), head.query(), head.authority())
    );
    assert_eq!(again.headers.len(), head.headers.len());
}
