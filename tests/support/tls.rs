//! What tests of TLS share: clients that are told what to send, and key pairs.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::weir::Setup;

/// Runs a client to its end with this on its standard input.
pub fn run(command: &mut Command, input: &str) -> Output {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl and curl are installed");
    // Who has failed already reads no input.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a valid name");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A self-signed certificate for one name and its key, as PEM.
pub fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let certificate = named(name).self_signed(&key).expect("signed");
    (certificate.pem(), key.serialize_pem())
}

/// The same as `file.crt` and `file.key`.
pub fn write_pair(setup: &Setup, file: &str, name: &str) {
    let (certificate, key) = pair(name);
    setup.write(&format!("{file}.crt"), &certificate);
    setup.write(&format!("{file}.key"), &key);
}
