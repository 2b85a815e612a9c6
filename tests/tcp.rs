//! TCP routers at the real binary: who gets a connection, and that its bytes arrive whole, with TLS and without.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use xtask::backend::{Answer, Backend, pattern_sha256, sha256};

use crate::support::client::Connection;
use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, eventually, free_port};

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// One entry point with these rules; `a.crt` and `a.key` are a pair for `a.example`.
fn proxy(options: &str, rules: &str) -> (Weir, SocketAddr) {
    let address = loopback(free_port());
    let setup = Setup::new(&format!(
        "entryPoints:\n  mixed:\n    address: \"{address}\"\n{options}providers:\n  file:\n    directory: \
         \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\nlog:\n  level: DEBUG\n"
    ));
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("signed");
    setup.write("a.crt", &certificate.pem());
    setup.write("a.key", &key.serialize_pem());
    let tls = "tls: {certificates: [{certFile: \"{dir}/a.crt\", keyFile: \"{dir}/a.key\"}]}\n";
    let setup = setup.rules("rules.yml", rules).rules("tls.yml", tls);
    (setup.start().listening(address), address)
}

fn service(name: &str, address: SocketAddr) -> String {
    format!("    {name}: {{loadBalancer: {{servers: [{{address: \"{address}\"}}]}}}}\n")
}

/// A server that does this with each connection; its thread ends with the tests.
fn serve(conduct: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let conduct = Arc::new(conduct);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let conduct = Arc::clone(&conduct);
            thread::spawn(move || {
                stream.set_read_timeout(Some(DEADLINE))?;
                conduct(stream)
            });
        }
    });
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("weir accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

/// What `openssl s_client` says of a request for `/` with these arguments.
fn openssl(address: SocketAddr, arguments: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\nCLOSE\n";
    let _ = child.stdin.take().expect("piped").write_all(request);
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn a_server_may_speak_first() {
    let greeting = b"220 ftp.example ready\r\n";
    let server = serve(move |mut stream| {
        stream.write_all(greeting)?;
        let mut line = [0; 6];
        stream.read_exact(&mut line)?;
        stream.write_all(b"221 bye\r\n")
    });
    let rules = format!(
        "tcp:\n  routers:\n    ftp: {{rule: HostSNI(`*`), service: ftp}}\n  services:\n{}http:\n  routers:\n    \
         web: {{rule: PathPrefix(`/`), service: w}}\n  services:\n    w: {{loadBalancer: {{servers: [{{url: \
         'http://127.0.0.1:9'}}]}}}}\n",
        service("ftp", server)
    );
    let (_weir, address) = proxy("", &rules);
    // Nothing is sent before the greeting has come.
    let mut client = connect(address);
    let mut line = vec![0; greeting.len()];
    client.read_exact(&mut line).expect("a greeting");
    assert_eq!(line, greeting);
    client.write_all(b"QUIT\r\n").expect("sent");
    let mut rest = String::new();
    client.read_to_string(&mut rest).expect("an orderly end");
    assert_eq!(rest, "221 bye\r\n");
}

/// The rules of an entry point on which everything meets.
fn everything(plain: &Backend, passed: &Backend, web: &Backend) -> String {
    format!(
        "tcp:\n  routers:\n    passed: {{rule: HostSNI(`passed.example`), service: passed, tls: {{passthrough: true}}}}\n    \
         ended: {{rule: 'HostSNI(`a.example`) && ALPN(`raw`)', service: plain, tls: {{}}}}\n    \
         regexp: {{rule: 'HostSNIRegexp(`^r[0-9]+\\.example$`)', service: plain, tls: {{}}}}\n  services:\n{}{}\
         http:\n  routers:\n    web: {{rule: Host(`web.example`) || Host(`a.example`) && Path(`/x`), service: web, tls: {{}}}}\n    \
         clear: {{rule: PathPrefix(`/`), service: web}}\n  services:\n    web: {{loadBalancer: {{servers: [{{url: \
         'http://{}'}}]}}}}\n",
        service("plain", plain.address()),
        service("passed", passed.address()),
        web.address()
    )
}

#[test]
fn tcp_http_and_https_share_an_entry_point() {
    let plain = Backend::plain("plain", loopback(0)).expect("a server");
    let passed = Backend::tls("passed.example", loopback(0)).expect("a server");
    let web = Backend::plain("web", loopback(0)).expect("a server");
    let rules =
        everything(&plain, &passed, &web).replace("Host(`a.example`) && ", "Host(`b.example`) && ");
    let (_weir, address) = proxy("", &rules);
    for (arguments, expected) in [
        (
            &["-servername", "passed.example"][..],
            "\"node\":\"passed.example\"",
        ),
        (
            &["-servername", "PASSED.example"],
            "\"node\":\"passed.example\"",
        ),
        (
            &["-servername", "a.example", "-alpn", "raw"],
            "\"node\":\"plain\"",
        ),
        (&["-servername", "r17.example"], "\"node\":\"plain\""),
        (&["-servername", "web.example"], "404 page not found"),
        (&["-servername", "a.example"], "404 page not found"),
        (&["-noservername"], "404 page not found"),
    ] {
        let said = openssl(address, arguments);
        let said = said.replace("\": \"", "\":\"");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let answer = Connection::open(address).get("a.example", "/");
    let answer = Answer::parse(&answer.body).expect("an answer");
    assert_eq!(answer.node, "web");
}

/// A ClientHello with a post-quantum key share fills more than a segment; each byte may come alone.
#[test]
fn nothing_is_lost_of_a_client_hello_in_pieces() {
    let plain = Backend::plain("plain", loopback(0)).expect("a server");
    let passed = Backend::tls("passed.example", loopback(0)).expect("a server");
    let web = Backend::plain("web", loopback(0)).expect("a server");
    let (_weir, address) = proxy("", &everything(&plain, &passed, &web));
    let front = TcpListener::bind(loopback(0)).expect("a socket");
    let through = front.local_addr().expect("bound");
    let relay = thread::spawn(move || -> io::Result<()> {
        for size in [1, 700, 1_400] {
            let (client, _) = front.accept()?;
            let server = TcpStream::connect(address)?;
            server.set_nodelay(true)?;
            let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
            let up = thread::spawn(move || -> io::Result<()> {
                let mut buffer = [0; 16_384];
                loop {
                    match from.read(&mut buffer)? {
                        0 => return to.shutdown(Shutdown::Write),
                        read => {
                            for piece in buffer[..read].chunks(size) {
                                to.write_all(piece)?;
                                thread::yield_now();
                            }
                        }
                    }
                }
            });
            // A client that has what it wants may go before it has read the end.
            let _ = io::copy(&mut &server, &mut &client);
            let _ = client.shutdown(Shutdown::Write);
            let _ = up.join();
        }
        Ok(())
    });
    for (name, node) in [
        ("passed.example", "passed.example"),
        ("r1.example", "plain"),
        ("passed.example", "passed.example"),
    ] {
        let said = openssl(through, &["-servername", name]).replace("\": \"", "\":\"");
        assert!(
            said.contains(&format!("\"node\":\"{node}\"")),
            "{name}: {said}"
        );
    }
    relay.join().expect("no panic").expect("three connections");
}

#[test]
fn what_begins_like_tls_and_is_none_gets_an_alert() {
    let plain = Backend::plain("plain", loopback(0)).expect("a server");
    let passed = Backend::tls("passed.example", loopback(0)).expect("a server");
    let web = Backend::plain("web", loopback(0)).expect("a server");
    let (_weir, address) = proxy("", &everything(&plain, &passed, &web));
    for (sent, alert) in [
        (&b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"[..], 10),
        (b"\x16\x03\x01\x00\x00", 50),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", 22),
        (b"\x16\x02\x01\x00\x05\x01\x00\x00\x00", 50),
    ] {
        let mut client = connect(address);
        client.write_all(sent).expect("sent");
        let mut answer = Vec::new();
        // What is left unread makes the close a reset.
        let _ = client.read_to_end(&mut answer);
        assert_eq!(answer, [0x15, 3, 3, 0, 2, 2, alert], "{sent:?}");
    }
    let mut client = connect(address);
    client
        .write_all(b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10")
        .expect("sent");
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&0x15), "{answer:?}");
}

/// A rustls client of weir's certificate.
fn tls_client(weir: &Weir) -> rustls::ClientConnection {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    let pem = std::fs::read(weir.setup().path("a.crt")).expect("the certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).expect("PEM"))
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let name = ServerName::try_from("a.example").expect("a name");
    rustls::ClientConnection::new(Arc::new(config), name).expect("a client")
}

const ENDED: &str =
    "tcp:\n  routers:\n    ended: {rule: HostSNI(`a.example`), service: s, tls: {}}\n  services:\n";

/// The client's close_notify is the server's end of input, and the server's end the client's close_notify.
#[test]
fn a_half_close_is_kept_where_tls_ends() {
    let server = serve(|mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got)?;
        stream.write_all(format!("{} {}", got.len(), sha256(&got)).as_bytes())
    });
    let (weir, address) = proxy("", &format!("{ENDED}{}", service("s", server)));
    let (mut client, mut socket) = (tls_client(&weir), connect(address));
    let mut body = vec![0; 5_000_000];
    xtask::backend::pattern(0, &mut body);
    {
        let mut stream = rustls::Stream::new(&mut client, &mut socket);
        stream.write_all(&body).expect("sent");
        stream.conn.send_close_notify();
        stream.flush().expect("sent");
    }
    let mut answer = String::new();
    rustls::Stream::new(&mut client, &mut socket)
        .read_to_string(&mut answer)
        .expect("close_notify");
    assert_eq!(answer, format!("5000000 {}", pattern_sha256(5_000_000)));
    assert_eq!(client.alpn_protocol(), None);
}

#[test]
fn an_end_without_close_notify_is_an_end_for_the_server() {
    let (told, tell) = std::sync::mpsc::channel();
    let server = serve(move |mut stream| {
        let mut got = String::new();
        let read = stream.read_to_string(&mut got).map(|_| got);
        told.send(read.map_err(|error| error.to_string()))
            .map_err(io::Error::other)
    });
    let (weir, address) = proxy("", &format!("{ENDED}{}", service("s", server)));
    let (mut client, mut socket) = (tls_client(&weir), connect(address));
    rustls::Stream::new(&mut client, &mut socket)
        .write_all(b"<34>1 a line of syslog\n")
        .expect("sent");
    socket.shutdown(Shutdown::Write).expect("half-closed");
    let got = tell.recv_timeout(DEADLINE).expect("the server has ended");
    assert_eq!(got.as_deref(), Ok("<34>1 a line of syslog\n"));
}

#[test]
fn a_half_close_is_kept_for_as_long_as_the_other_side_goes_on() {
    let server = serve(|mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got)?;
        for piece in 0..5 {
            thread::sleep(Duration::from_millis(100));
            stream.write_all(format!("{piece} ").as_bytes())?;
        }
        Ok(())
    });
    let rules = format!(
        "tcp:\n  routers:\n    all: {{rule: HostSNI(`*`), service: s}}\n  services:\n{}",
        service("s", server)
    );
    let (_weir, address) = proxy("", &rules);
    let mut client = connect(address);
    client.write_all(b"all of it").expect("sent");
    client.shutdown(Shutdown::Write).expect("half-closed");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an orderly end");
    assert_eq!(answer, "0 1 2 3 4 ");
}

#[test]
fn a_silent_tunnel_ends_where_a_limit_says_so() {
    let server = serve(|mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).map(drop)
    });
    let rules = format!(
        "tcp:\n  routers:\n    all: {{rule: HostSNI(`*`), service: s}}\n  services:\n{}",
        service("s", server)
    );
    let (_weir, address) = proxy("    limits: {tunnelIdleTimeout: 1s}\n", &rules);
    let mut client = connect(address);
    let ended = client.read(&mut [0]);
    assert!(
        ended.as_ref().is_ok_and(|read| *read == 0)
            || ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    );
}

#[test]
fn weights_of_tcp_services_are_kept() {
    let (a, b) = (
        Backend::plain("a", loopback(0)).expect("a server"),
        Backend::plain("b", loopback(0)).expect("a server"),
    );
    let rules = format!(
        "tcp:\n  routers:\n    all: {{rule: HostSNI(`*`), service: both}}\n  services:\n    both: {{weighted: {{services: \
         [{{name: a, weight: 3}}, {{name: b}}]}}}}\n{}{}",
        service("a", a.address()),
        service("b", b.address())
    );
    let (_weir, address) = proxy("", &rules);
    let mut landed = [0, 0];
    for _ in 0..40 {
        let response = Connection::open(address).get("x", "/");
        let node = Answer::parse(&response.body).expect("an answer").node;
        landed[usize::from(node == "b")] += 1;
    }
    assert_eq!(landed, [30, 10]);
}

/// A real server behind passthrough: what it agrees on with the client is theirs alone.
#[test]
fn openssl_behind_passthrough() {
    let port = free_port();
    let rules = format!(
        "tcp:\n  routers:\n    all: {{rule: HostSNI(`*.example`), service: s, tls: {{passthrough: true}}}}\n  services:\n{}",
        service("s", loopback(port))
    );
    let (weir, address) = proxy("", &rules);
    let (cert, key) = (weir.setup().path("a.crt"), weir.setup().path("a.key"));
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-rev", "-alpn", "backwards"])
        .args(["-accept", &format!("127.0.0.1:{port}")])
        .arg("-cert")
        .arg(cert)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let _server = Killed(server);
    eventually("openssl listens", || {
        TcpStream::connect(loopback(port)).ok()
    });
    for version in ["-tls1_2", "-tls1_3"] {
        let name = ["-servername", "a.example", "-alpn", "backwards", version];
        let said = openssl(address, &name);
        assert!(said.contains("ALPN protocol: backwards"), "{said}");
        // Each line comes back reversed; `-rev` ends with a line CLOSE.
        assert!(said.contains("1.1/PTTH / TEG"), "{said}");
    }
}

/// A process that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
