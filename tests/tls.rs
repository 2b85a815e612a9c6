//! TLS at the real binary, by openssl, curl and rustls: the right certificate, what is agreed, and clients that stall.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use xtask::backend::{Backend, pattern_sha256, sha256};

use crate::support::client::Connection;
use crate::support::tls::{run, write_pair};
use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, eventually, free_port};

/// weir with certificates for `a.example` and `*.b.example`, everything routed to one server.
struct Edge {
    weir: Weir,
    address: SocketAddr,
    _server: Backend,
}

impl Edge {
    fn start() -> Self {
        Self::under("")
    }

    /// With more settings of the entry point, indented by four.
    fn under(settings: &str) -> Self {
        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a server");
        let setup = Setup::new(&format!(
            "entryPoints:\n  secure:\n    address: \"{address}\"\n{settings}providers:\n  file:\n    \
             directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
        ));
        write_pair(&setup, "a", "a.example");
        write_pair(&setup, "b", "*.b.example");
        let rules = format!(
            "http:\n  routers:\n    all:\n      rule: \"PathPrefix(`/`)\"\n      service: a\n      tls: {{}}\n  \
             services:\n    a:\n      loadBalancer:\n        servers:\n          - url: \"http://{}\"\n",
            server.address()
        );
        let setup = setup
            .rules("rules.yml", &rules)
            .rules("tls.yml", &certificates(&["a", "b"]));
        Self {
            weir: setup.start().listening(address),
            address,
            _server: server,
        }
    }

    /// What `openssl s_client` says about a connection with these arguments; it sends `input`.
    fn openssl(&self, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect", &self.address.to_string()])
            .args(arguments);
        let output = run(&mut command, input);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// The common name of the certificate shown to a client with these arguments.
    fn shown(&self, arguments: &[&str]) -> String {
        let said = self.openssl(arguments, "");
        let subject = said.lines().find_map(|line| line.strip_prefix("subject="));
        let name = subject.and_then(|subject| subject.split_once("CN"));
        let Some((_, name)) = name else {
            panic!("no subject in {said}")
        };
        name.trim_start_matches([' ', '=']).to_owned()
    }

    fn curl(&self, arguments: &[&str], path: &str) -> Output {
        let port = self.address.port();
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--resolve",
                &format!("a.example:{port}:127.0.0.1"),
            ])
            .arg("--cacert")
            .arg(self.weir.setup().path("a.crt"))
            .args(arguments)
            .arg(format!("https://a.example:{port}{path}"));
        let output = run(&mut command, "");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// A rustls client that trusts `a.example`'s certificate.
    fn rustls(&self) -> ClientConnection {
        let pem = fs::read(self.weir.setup().path("a.crt")).expect("the certificate");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&pem).expect("PEM"))
            .expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("a.example").expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("a client")
    }
}

fn certificates(files: &[&str]) -> String {
    let pair = |file: &&str| {
        format!("    - certFile: \"{{dir}}/{file}.crt\"\n      keyFile: \"{{dir}}/{file}.key\"\n")
    };
    format!(
        "tls:\n  certificates:\n{}",
        files.iter().map(pair).collect::<String>()
    )
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

#[test]
fn the_name_chooses_the_certificate() {
    let edge = Edge::start();
    for (arguments, name) in [
        (&["-servername", "a.example"][..], "a.example"),
        (&["-servername", "A.Example"], "a.example"),
        (&["-servername", "x.b.example"], "*.b.example"),
        (&["-servername", "x.y.b.example"], "WEIR DEFAULT CERT"),
        (&["-servername", "b.example"], "WEIR DEFAULT CERT"),
        (&["-servername", "elsewhere.example"], "WEIR DEFAULT CERT"),
        (&["-noservername"], "WEIR DEFAULT CERT"),
        (&["-servername", "a.example", "-tls1_2"], "a.example"),
    ] {
        assert_eq!(edge.shown(arguments), name, "{arguments:?}");
    }
}

#[test]
fn a_new_certificate_counts_from_the_next_handshake_and_a_missing_one_costs_only_itself() {
    let edge = Edge::start();
    let setup = edge.weir.setup();
    write_pair(setup, "c", "c.example");
    setup.write("rules/tls.yml", &certificates(&["a", "missing", "c"]));
    eventually("the new certificate", || {
        (edge.shown(&["-servername", "c.example"]) == "c.example").then_some(())
    });
    assert_eq!(edge.shown(&["-servername", "a.example"]), "a.example");
    assert_eq!(
        edge.shown(&["-servername", "x.b.example"]),
        "WEIR DEFAULT CERT"
    );
    edge.weir.logged("missing.crt");
}

#[test]
fn versions_and_protocols() {
    let edge = Edge::start();
    for version in ["-tls1_2", "-tls1_3"] {
        let said = edge.openssl(
            &[version, "-alpn", "h2,http/1.1", "-servername", "a.example"],
            "",
        );
        assert!(said.contains("ALPN protocol: h2"), "{said}");
        let said = edge.openssl(&[version, "-alpn", "http/1.1"], "");
        assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
        let said = edge.openssl(&[version, "-alpn", "h9"], "");
        assert!(said.contains("no application protocol"), "{said}");
        let said = edge.openssl(&[version, "-ign_eof", "-quiet"], GET);
        assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
    }
    let said = edge.openssl(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "");
    assert!(said.contains("alert handshake failure"), "{said}");
}

#[test]
fn sessions_are_resumed_even_after_a_reload() {
    let edge = Edge::start();
    let setup = edge.weir.setup();
    for version in ["-tls1_2", "-tls1_3"] {
        let file = setup.path("session").display().to_string();
        let common = ["-servername", "a.example", version, "-ign_eof"];
        let said = edge.openssl(&[&common[..], &["-sess_out", &file]].concat(), GET);
        assert!(said.contains("New, TLS"), "{said}");
        let name = format!("{}.example", &version[1..]);
        write_pair(setup, "new", &name);
        setup.write("rules/tls.yml", &certificates(&["a", "new"]));
        eventually("the reload", || {
            (edge.shown(&["-servername", &name]) == name).then_some(())
        });
        let said = edge.openssl(&[&common[..], &["-sess_in", &file]].concat(), GET);
        assert!(said.contains("Reused, TLS"), "{said}");
    }
}

#[test]
fn twenty_megabytes_arrive_whole_in_both_directions() {
    const LENGTH: usize = 20_000_000;
    let edge = Edge::start();
    for path in ["/bytes", "/chunked"] {
        let output = edge.curl(&[], &format!("{path}/{LENGTH}"));
        assert_eq!(
            sha256(&output.stdout),
            pattern_sha256(LENGTH as u64),
            "{path}"
        );
    }
    let mut body = vec![0; LENGTH];
    xtask::backend::pattern(0, &mut body);
    let file = edge.weir.setup().path("upload");
    fs::write(&file, &body).expect("written");
    let output = edge.curl(
        &["--data-binary", &format!("@{}", file.display())],
        "/upload",
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains(&sha256(&body)));
}

/// Sends one byte at a time, each in a packet of its own.
struct Dribble(TcpStream);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_handshake_and_request_may_come_byte_by_byte() {
    let edge = Edge::start();
    let socket = TcpStream::connect(edge.address).expect("weir accepts");
    socket.set_nodelay(true).expect("an option");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let (mut client, mut socket) = (edge.rustls(), Dribble(socket));
    let mut stream = rustls::Stream::new(&mut client, &mut socket);
    stream.write_all(GET.as_bytes()).expect("a handshake");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("weir says that it closes");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn a_client_that_asks_for_new_keys_gets_its_response() {
    let edge = Edge::start();
    let mut socket = TcpStream::connect(edge.address).expect("weir accepts");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut client = edge.rustls();
    let mut body = vec![0; 5_000_000];
    {
        let mut stream = rustls::Stream::new(&mut client, &mut socket);
        stream
            .write_all(b"GET /bytes/5000000 HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .expect("a handshake");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
    }
    for part in body.chunks_mut(500_000) {
        client.refresh_traffic_keys().expect("TLS 1.3");
        rustls::Stream::new(&mut client, &mut socket)
            .read_exact(part)
            .expect("the body goes on");
    }
    assert_eq!(sha256(&body), pattern_sha256(5_000_000));
}

#[test]
fn what_is_not_tls_gets_an_alert_or_plain_http() {
    let edge = Edge::start();
    assert_eq!(
        Connection::open(edge.address).get("a.example", "/").status,
        404,
        "no router without TLS"
    );
    let mut connection = Connection::open(edge.address);
    connection.send(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00");
    let alert = connection.rest();
    assert_eq!(alert.first(), Some(&21), "{alert:?}");
}

/// Clients that open a connection and say nothing, or only the beginning of a handshake, are closed and leave nothing.
#[test]
fn clients_that_stall_in_the_handshake_are_closed_in_time() {
    const CLIENTS: usize = 300;
    let edge = Edge::start();
    edge.curl(&[], "/");
    let before = edge.weir.descriptors();
    let mut hello = Vec::new();
    edge.rustls().write_tls(&mut hello).expect("a vector");
    let stalled: Vec<TcpStream> = (0..CLIENTS)
        .map(|index| {
            let mut socket = TcpStream::connect(edge.address).expect("weir accepts");
            socket
                .write_all(&hello[..hello.len() * (index % 3) / 4])
                .expect("sent");
            socket
                .set_read_timeout(Some(Duration::from_secs(30)))
                .expect("a timeout");
            socket
        })
        .collect();
    for mut socket in stalled {
        // An alert may come first; a reset is an end too.
        if let Err(error) = socket.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        }
    }
    eventually("every descriptor is back", || {
        (edge.weir.descriptors() <= before + 1).then_some(())
    });
    edge.curl(&[], "/");
}

/// Reading its ClientHello began the time anew.
#[test]
fn a_handshake_takes_as_long_as_it_may_from_its_first_byte_on() {
    const PATIENCE: Duration = Duration::from_secs(3);
    let edge = Edge::under("    limits:\n      tlsHandshakeTimeout: 3s\n");
    let begun = || {
        let mut hello = Vec::new();
        let mut session = edge.rustls();
        session.write_tls(&mut hello).expect("a vector");
        let mut socket = TcpStream::connect(edge.address).expect("weir accepts");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let rest = hello.split_off(hello.len() / 2);
        socket.write_all(&hello).expect("sent");
        (session, socket, rest)
    };
    let ((_, mut late, rest_of_late), (mut session, mut in_time, rest)) = (begun(), begun());
    let begin = Instant::now();
    std::thread::sleep(PATIENCE / 2);
    late.write_all(&rest_of_late).expect("sent");
    in_time.write_all(&rest).expect("sent");
    session.complete_io(&mut in_time).expect("a handshake");
    // It is answered, and answers nothing.
    let _ = late.read_to_end(&mut Vec::new());
    let time = begin.elapsed();
    let most = PATIENCE * 3 / 2;
    assert!(
        (PATIENCE - Duration::from_millis(100)..most).contains(&time),
        "{time:?}"
    );
}
