//! Many certificates, and many handshakes while they are renewed.

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::{Authority, HTTP, ISSUED, require_servers, shown};
use crate::support::tls::trusting;
use crate::support::weir::Setup;
use crate::support::{DEADLINE, eventually_within, free_port, number};

/// Of full handshakes only.
fn client() -> Arc<ClientConfig> {
    let mut config = trusting(&[]);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// One handshake; the certificate that was shown.
fn handshake(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
) -> Result<Vec<u8>, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut session =
        ClientConnection::new(Arc::clone(config), name).map_err(|error| told(&error))?;
    let mut stream = TcpStream::connect(address).map_err(|error| told(&error))?;
    stream
        .set_read_timeout(Some(DEADLINE))
        .map_err(|error| told(&error))?;
    while session.is_handshaking() {
        session
            .complete_io(&mut stream)
            .map_err(|error| told(&error))?;
    }
    let chain = session.peer_certificates().ok_or("no certificate")?;
    Ok(chain[0].to_vec())
}

#[test]
fn no_handshake_fails_while_certificates_are_renewed() {
    if !require_servers() {
        return;
    }
    const CLIENTS: u64 = 4;
    let all = number("WEIR_TEST_HANDSHAKES", 2_000);
    let authority = Authority::start();
    let weir = authority.start_weir(authority.setup(HTTP, &["a.example"]));
    authority.issues(&weir, "a.example");
    let (config, left) = (client(), AtomicU64::new(all));
    let (seen, failed) = (Mutex::new(HashSet::new()), Mutex::new(Vec::new()));
    let file = weir.setup().config_file();
    std::thread::scope(|scope| {
        let shake = || {
            let one_less = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok()
            {
                match handshake(&config, authority.tls, "a.example") {
                    Ok(shown) => seen.lock().expect("no panic").extend([shown]),
                    Err(error) => failed.lock().expect("no panic").push(error),
                }
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(shake)).collect();
        while clients.iter().any(|client| !client.is_finished()) {
            let before = handshake(&config, authority.tls, "a.example");
            weir.setup()
                .run(&["certs", "renew", "a.example", "--configFile", &file]);
            // One that is asked for while another is under way is that one.
            eventually_within(ISSUED, "a renewal", || {
                let now = handshake(&config, authority.tls, "a.example");
                (now.is_ok() && now != before).then_some(())
            });
        }
    });
    let (seen, failed) = (
        seen.into_inner().expect("no panic"),
        failed.into_inner().expect("no panic"),
    );
    println!(
        "{all} handshakes, {} certificates, {} failures",
        seen.len(),
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    assert!(seen.len() > 1);
}

/// In the store, as it is documented.
fn keep(setup: &Setup, name: &str, key: &rcgen::KeyPair) {
    let params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = params.self_signed(key).expect("signed").pem();
    let record = serde_json::json!({"resolver": "le", "names": [name], "certificate": certificate, "key": key.serialize_pem()});
    let body = record.to_string();
    let hash = |bytes: &[u8]| HEXLOWER.encode(digest(&SHA256, bytes).as_ref());
    let file = &hash(format!("le\n{name}").as_bytes())[..32];
    let text = format!("weir-kept 1 {}\n{body}", hash(body.as_bytes()));
    fs::write(setup.path(&format!("state/certificates/{file}.json")), text).expect("written");
}

#[test]
fn ten_thousand_certificates_are_served_soon_after_the_start_in_little_memory() {
    let all = number("WEIR_TEST_CERTIFICATES", 10_000);
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup::new(&format!(
        "entryPoints:\n  secure: {{address: \"{address}\"}}\nproviders: {{file: {{directory: \"{{dir}}/rules\"}}}}\nruntimeDir: \
         \"{{dir}}/run\"\nworkers: 1\ncertificatesResolvers:\n  le: {{acme: {{caServer: \"https://127.0.0.1:9/\", tlsChallenge: \
         {{}}}}}}\n"
    ));
    fs::create_dir_all(setup.path("state/certificates")).expect("made");
    let key = rcgen::KeyPair::generate().expect("a key");
    let names: Vec<String> = (0..all).map(|index| format!("n{index}.example")).collect();
    names.iter().for_each(|name| keep(&setup, name, &key));
    let rules = format!(
        "http:\n  routers:\n    r: {{rule: \"HostRegexp(`.`)\", service: s, tls: {{certResolver: le, domains: [{{main: n0.example, \
         sans: [{}]}}]}}}}\n  services:\n    s: {{loadBalancer: {{servers: [{{url: \"http://127.0.0.1:9\"}}]}}}}\n",
        names[1..].join(", ")
    );
    let start = Instant::now();
    // A build that is not optimised takes most of ten seconds where it is alone.
    let weir = setup.rules("a.yml", &rules).start();
    let weir = weir.listening_within(Duration::from_secs(90), address);
    let started = start.elapsed();
    for index in [0, all / 2, all - 1] {
        let name = format!("n{index}.example");
        assert!(
            shown(address, &name).contains(&format!("DNS:{name}\n")),
            "{name}"
        );
    }
    // The planner has looked at all of them.
    weir.logged("no certificates:");
    let resident = weir.most_resident();
    println!(
        "{all} certificates: {started:?} to the first connection, {} MiB at most",
        resident >> 20
    );
    // A build that is not optimized is slower, not larger.
    let most = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 2 });
    assert!(started < most, "{started:?}");
    assert!(resident < 100_000_000, "{resident}");
}
