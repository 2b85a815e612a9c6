//! The resolver `tailscale` against a service on a socket that does what tailscaled's does.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::shown;
use crate::support::weir::Setup;
use crate::support::{DEADLINE, eventually_within, free_port};

const NAME: &str = "edge.tail1234.ts.net";

/// As tailscaled: one name, key before certificate, the same until it would not be valid for long enough. `lives` are
/// days, of one certificate after the other.
fn tailscaled(path: &Path, lives: Vec<i64>, wrong: &Arc<Mutex<Vec<String>>>) {
    let listener = UnixListener::bind(path).expect("a socket");
    let wrong = Arc::clone(wrong);
    std::thread::spawn(move || {
        let mut lives = lives.into_iter();
        let mut kept: Option<(i64, String)> = None;
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let line = lines.next().unwrap_or_default();
            let fields: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let mut hosts = fields
                .iter()
                .filter(|line| line.to_ascii_lowercase().starts_with("host:"));
            let host = hosts.next().map(|line| line[5..].trim());
            if host != Some("local-tailscaled.sock") {
                wrong
                    .lock()
                    .expect("nobody panics with it")
                    .push(format!("{host:?}"));
            }
            let target = line
                .strip_prefix("GET ")
                .and_then(|line| line.strip_suffix(" HTTP/1.1"))
                .unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let (mut kind, mut least) = ("", 0);
            for part in query.split('&') {
                match part.split_once('=') {
                    Some(("type", value)) => kind = value,
                    Some(("min_validity", value)) => {
                        least = value
                            .strip_suffix('s')
                            .and_then(|value| value.parse().ok())
                            .expect("a duration");
                    }
                    _ => wrong
                        .lock()
                        .expect("nobody panics with it")
                        .push(line.clone()),
                }
            }
            let (status, body) = match path.strip_prefix("/localapi/v0/cert/") {
                Some(NAME) if kind == "pair" => {
                    if kept.as_ref().is_none_or(|(life, _)| life * 86_400 <= least) {
                        kept = lives.next().map(|life| (life, pair(life))).or(kept);
                    }
                    (200, kept.as_ref().expect("one").1.clone())
                }
                Some(other) => (
                    500,
                    format!("invalid domain {other:?}; must be one of [{NAME:?}]\n"),
                ),
                None => (404, "404 page not found\n".to_owned()),
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            // Whoever asked may have gone.
            let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
        }
    });
}

/// A key and a certificate of so many days.
fn pair(days: i64) -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new([NAME.to_owned()]).expect("a name");
    let now = std::time::SystemTime::now();
    let day = std::time::Duration::from_secs(86_400);
    params.not_before = (now - day * 60).into();
    params.not_after = (now + day * u32::try_from(days).expect("days")).into();
    let subject = format!("of {days} days");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, subject);
    let certificate = params.self_signed(&key).expect("signed");
    format!("{}{}", key.serialize_pem(), certificate.pem())
}

fn setup(address: SocketAddr, socket: &str) -> Setup {
    let setup = Setup::new(&format!(
        "entryPoints:\n  secure: {{address: \"{address}\"}}\nproviders: {{file: {{directory: \"{{dir}}/rules\"}}}}\nruntimeDir: \
         \"{{dir}}/run\"\nworkers: 1\ncertificatesResolvers:\n  ts:\n    tailscale: {{socket: \"{socket}\"}}\n    deploy: \
         {{directory: \"{{dir}}/pem\"}}\n"
    ));
    let router = |name: &str, host: &str| {
        format!("    {name}: {{rule: \"Host(`{host}`)\", service: s, tls: {{certResolver: ts}}}}\n")
    };
    let rules = format!(
        "http:\n  routers:\n{}{}{}  services:\n    s: {{loadBalancer: {{servers: [{{url: \"http://127.0.0.1:9\"}}]}}}}\n",
        router("own", NAME),
        router("other", "other.tail1234.ts.net"),
        router("outside", "www.example"),
    );
    setup.rules("a.yml", &rules)
}

#[test]
fn a_certificate_comes_from_tailscaled_and_is_renewed_before_it_ends() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let socket = directory.path().join("tailscaled.sock");
    let wrong = Arc::new(Mutex::new(Vec::new()));
    // The first has less than a third of its life left.
    tailscaled(&socket, vec![10, 80], &wrong);
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let weir = setup(address, &socket.display().to_string())
        .start()
        .listening(address);
    eventually_within(DEADLINE, "the renewed certificate is shown", || {
        shown(address, NAME).contains("of 80 days").then_some(())
    });
    weir.logged("tailscaled: 500 Internal Server Error: invalid domain");
    weir.logged("www.example, which ts cannot prove");
    eventually_within(DEADLINE, "and deployed", || {
        let pem = std::fs::read_to_string(weir.setup().path(&format!("pem/{NAME}.pem"))).ok()?;
        pem.contains("PRIVATE KEY").then_some(())
    });
    let wrong = wrong.lock().expect("nobody panics with it");
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_tailscaled_that_is_away_is_waited_for() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let socket = directory.path().join("tailscaled.sock");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let weir = setup(address, &socket.display().to_string())
        .start()
        .listening(address);
    weir.logged("is tailscaled running?");
    tailscaled(&socket, vec![80], &Arc::default());
    eventually_within(DEADLINE, "the certificate is shown", || {
        shown(address, NAME).contains("of 80 days").then_some(())
    });
}
