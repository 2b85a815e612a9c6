//! Key pairs from files and inline, and what is said of each mistake.

use super::*;

/// A self-signed certificate and its key, as PEM.
fn pair(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("valid names");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[track_caller]
fn refuse(cert: &str, key: &str, parts: &[&str]) {
    let error = KeyPair::load(cert, key).expect_err("unusable").to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} in {error:?}");
    }
}

#[test]
fn inline_and_from_files() {
    let (cert, key) = pair(&["A.example", "*.b.example", "10.0.0.1", "::1"]);
    let inline = KeyPair::load(&cert, &key).expect("usable");
    assert_eq!(
        *inline.names(),
        ["a.example", "*.b.example", "10.0.0.1", "::1"].map(Box::from)
    );
    assert!(inline.not_after() > 1_700_000_000);

    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (cert, key) = (path("a.crt", &cert), path("a.key", &key));
    assert_eq!(
        KeyPair::load(&cert, &key).expect("usable").names(),
        inline.names()
    );
    refuse(
        &key,
        &key,
        &["certFile", "a.key", "no CERTIFICATE", "PRIVATE KEY", "give"],
    );
    refuse(
        &cert,
        &cert,
        &[
            "keyFile",
            "a.crt",
            "no PRIVATE KEY",
            "CERTIFICATE",
            "PKCS#8",
        ],
    );
}

#[test]
fn every_mistake_names_file_and_remedy() {
    let (cert, key) = pair(&["a.example"]);
    let (_, other_key) = pair(&["a.example"]);
    refuse(
        "/nowhere/a.crt",
        &key,
        &["certFile /nowhere/a.crt", "cannot be read", "give"],
    );
    refuse(
        &cert,
        "/nowhere/a.key",
        &["keyFile /nowhere/a.key", "cannot be read"],
    );
    refuse(
        &cert,
        &other_key,
        &[
            "certFile (given inline)",
            "keyFile (given inline)",
            "do not belong together",
        ],
    );
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    refuse(&cert, encrypted, &["keyFile", "encrypted", "openssl pkey"]);
    refuse(
        &cert,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        &["keyFile", "cannot be used"],
    );
    refuse(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &key,
        &["certFile", "cannot be read"],
    );
    refuse(
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        &key,
        &["certFile", "not valid PEM"],
    );
}

#[test]
fn the_common_name_counts_only_without_alternative_names() {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Old.example");
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("signed").pem();
    let pair = KeyPair::load(&cert, &key.serialize_pem()).expect("usable");
    assert_eq!(*pair.names(), ["old.example"].map(Box::from));
}

#[test]
fn a_key_without_its_first_line_is_not_shown() {
    let (cert, key) = pair(&["a.example"]);
    let lines: Vec<&str> = key.lines().filter(|line| !line.starts_with("--")).collect();
    for (between, secret) in [("\n", lines[0]), ("", lines[0])] {
        let error = KeyPair::load(&cert, &lines.join(between)).expect_err("no path");
        let error = error.to_string();
        assert!(!error.contains(secret), "{error}");
        assert!(error.contains("without the line -----BEGIN"), "{error}");
    }
}

#[test]
fn text_for_other_programs_is_the_certificates_and_the_key_alone() {
    let (cert, key) = pair(&["a.example"]);
    let (second, _) = pair(&["ca"]);
    let both = format!("Bag Attributes\n{key}{cert}comment\n{second}");
    let (_, pem) = KeyPair::load_with_pem(&both, &both).expect("usable");
    assert_eq!(pem.chain, format!("{cert}{second}").replace('\r', ""));
    assert_eq!(pem.key, key.replace('\r', ""));
    assert_eq!(format!("{pem:?}"), "Pem { .. }");
    let (again, same) = KeyPair::load_with_pem(&pem.chain, &pem.key).expect("usable");
    assert!(same == pem && again.names()[..] == ["a.example".into()]);
    // Keys keep their form.
    for (label, der) in [
        ("RSA PRIVATE KEY", PrivateKeyDer::Pkcs1(vec![7; 96].into())),
        ("EC PRIVATE KEY", PrivateKeyDer::Sec1(vec![7; 97].into())),
    ] {
        let text = Pem::new(&[], &der).key;
        let read = PrivateKeyDer::from_pem_slice(text.as_bytes()).expect("PEM");
        assert!(text.contains(label) && read == der, "{text}");
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
    }
}
