//! PROXY headers: no more is asked for than is needed, what follows a header changes nothing, and its length is
//! bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::limits::PROXY_HEADER_BYTES_MAX;
use weir::proxy_protocol::{Parsed, parse};

fuzz_target!(|input: &[u8]| {
    match parse(input) {
        Ok(Parsed::Header { length, .. }) => {
            assert!(length <= input.len() && length <= PROXY_HEADER_BYTES_MAX);
            assert_eq!(parse(&input[..length]), parse(input));
            let part = parse(&input[..length - 1]);
            assert!(matches!(part, Ok(Parsed::NeedMore { .. })), "{part:?}");
        }
        Ok(Parsed::NeedMore { .. }) => assert!(input.len() < PROXY_HEADER_BYTES_MAX),
        Ok(Parsed::Absent) | Err(_) => {}
    }
});
