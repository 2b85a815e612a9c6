//! Numbers and addresses as text. Every request has some of them, and `fmt` takes
//! more than a thousand instructions for an address.

use std::io::Write;
use std::net::IpAddr;

/// Appends a number in decimal digits.
pub fn push_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends an address as its `Display` has it.
pub fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                push_decimal(octet.into(), out);
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_display_writes() {
        let mut out = Vec::new();
        for number in [0, 9, 10, 65_535, u64::MAX] {
            out.clear();
            push_decimal(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
        for address in [
            "0.0.0.0",
            "127.0.0.1",
            "255.10.9.100",
            "::1",
            "2001:db8::ff",
        ] {
            out.clear();
            push_address(address.parse().expect("an address"), &mut out);
            assert_eq!(out, address.as_bytes());
        }
    }
}
