//! The rules of a Galaxy site, `rules/galaxy` as they are, at the real binary: who gets what, with which certificate,
//! under which name. Everything runs in a network namespace of its own: servers have the addresses and ports that the
//! rules name, and their names stand in an /etc/hosts of the test's.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Sender;
use std::thread;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tempfile::TempDir;
use xtask::certificate;
use xtask::daemon::Daemon;
use xtask::netns::Namespace;

use crate::support::{DEADLINE, require_root};
use crate::upstream::pki::Pki;

mod headnode;
mod nginx;

/// Where weir listens; the servers have other addresses.
const EDGE: &str = "192.0.2.1";
/// The names of servers in the rules.
const HOSTS: &str = "127.0.0.1 localhost\n127.0.1.1 headnode.galaxy.example\n127.0.1.2 pages.galaxy.example\n\
                     127.0.1.3 build-host.galaxy.example\n127.0.1.4 stats-host.galaxy.example\n127.0.1.5 ftp.galaxy.example\n";
/// The certificates that the site has, one a file.
const CERTIFICATES: [&[&str]; 5] = [
    &[
        "usegalaxy.example",
        "*.ep.interactivetool.usegalaxy.example",
    ],
    &["*.usegalaxy.example"],
    &[
        "*.climate.usegalaxy.example",
        "*.ep.interactivetool.climate.usegalaxy.example",
    ],
    &["build.galaxy.example", "stats.galaxy.example"],
    &["influxdb.galaxy.example"],
];
/// The flags of the site, beside its addresses and its directory.
const FLAGS: &str = "--ping --ping.entryPoint=websecure --api=true
--providers.swarm.exposedByDefault=false --providers.swarm.endpoint=unix:///var/run/docker.sock
--api.dashboard=true --api.insecure=false --global.sendAnonymousUsage=false --global.checkNewVersion=false
--entryPoints.web.http.redirections.entryPoint.to=websecure
--entryPoints.web.http.redirections.entryPoint.scheme=https
--metrics.prometheus=true --metrics.prometheus.buckets=0.1,0.3,1.2,5.0 --metrics.prometheus.addEntryPointsLabels=true
--metrics.prometheus.addrouterslabels=true --metrics.prometheus.addServicesLabels=true
--metrics.prometheus.entryPoint=metrics --metrics.prometheus.headerlabels.origin=Origin
--providers.file.watch=true
--certificatesResolvers.ts.tailscale=true
--certificatesResolvers.route53.acme.storage=/letsencrypt/acme.json
--certificatesResolvers.route53.acme.dnsChallenge.provider=route53
--certificatesresolvers.route53.acme.caserver=https://acme-v02.api.letsencrypt.org/directory
--certificatesresolvers.route53.acme.email=certificates@galaxy.example
--log.level=INFO --accesslog=true --accesslog.filepath=/var/log/traefik/access.log";
/// What of it has no effect yet, or means nothing here: told once each.
const WITHOUT_EFFECT: [&str; 6] = [
    "ping",
    "api",
    "providers.swarm",
    "global",
    "metrics",
    "accessLog",
];
/// What identifies the one head node: the first 16 hexadecimal digits of the SHA-256 of its URL.
const HEADNODE: &str = "0b1fe443c5b61d74";
const GREETING: &[u8] = b"220 ftp.galaxy.example ready\r\n";

/// The site, running.
struct Site {
    // First, so that they end before their directory and their network go.
    weir: Daemon,
    _nginx: Daemon,
    namespace: Namespace,
    dir: TempDir,
    /// Has the head node send its next event.
    events: Sender<()>,
}

impl Site {
    /// `None` where this process may not make one.
    fn start() -> Option<Self> {
        if !require_root("network namespaces, /etc/hosts") || !nginx::require() {
            return None;
        }
        let namespace = Namespace::create("galaxy").expect("a namespace");
        for address in [EDGE, "192.0.2.188", "192.0.2.189"] {
            let added = namespace.ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
            added.expect("an address");
        }
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (servers, site) = (Pki::new("servers"), Pki::new("site"));
        write(&dir, "servers.pem", &servers.authority());
        write(&dir, "site.pem", &site.authority());
        write(&dir, "hosts", HOSTS);
        let broker = servers.client("broker");
        write(&dir, "broker.crt", &broker.certificate);
        write(&dir, "broker.key", &broker.key);
        let events = namespace.within(headnode::serve);
        let nginx = nginx::start(dir.path(), &servers, &namespace);
        namespace.within(serve_ftp);
        rules(&dir, &site);
        let weir = weir(&dir, &namespace);
        Some(Self {
            weir,
            _nginx: nginx,
            namespace,
            dir,
            events,
        })
    }

    /// HTTP/1.1 with the site through TLS, as this host.
    fn connect(&self, host: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let authority =
            fs::read_to_string(self.dir.path().join("site.pem")).expect("the authority");
        let config = certificate::client(&authority).expect("a client");
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let session = ClientConnection::new(config, name).expect("a session");
        let connect = || TcpStream::connect((EDGE, 443)).expect("weir accepts");
        let stream = self.namespace.within(connect);
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        StreamOwned::new(session, stream)
    }

    /// What curl receives, head and body, with every name at weir's address. It takes certificates of the site's
    /// authority only, unless told otherwise.
    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--http1.1"]);
        command.args(["--max-time", "20", "--connect-to", &format!("::{EDGE}:")]);
        command
            .arg("--cacert")
            .arg(self.dir.path().join("site.pem"));
        command.args(arguments);
        let output = self
            .namespace
            .within(|| command.output())
            .expect("curl is installed");
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }
}

fn write(dir: &TempDir, name: &str, text: &str) {
    fs::write(dir.path().join(name), text).expect("written");
}

/// The shipped files, unchanged, and one more with the certificates that nobody has ordered.
fn rules(dir: &TempDir, site: &Pki) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/galaxy");
    fs::create_dir(dir.path().join("rules")).expect("a directory");
    for entry in fs::read_dir(shipped).expect("shipped").flatten() {
        fs::copy(
            entry.path(),
            dir.path().join("rules").join(entry.file_name()),
        )
        .expect("copied");
    }
    let mut text = "tls:\n  certificates:\n".to_owned();
    for (number, names) in CERTIFICATES.into_iter().enumerate() {
        let pair = site.server(names);
        write(dir, &format!("{number}.crt"), &pair.certificate);
        write(dir, &format!("{number}.key"), &pair.key);
        let base = dir.path().join(number.to_string()).display().to_string();
        text += &format!("    - {{certFile: {base}.crt, keyFile: {base}.key}}\n");
    }
    write(dir, "rules/certificates.yml", &text);
}

/// weir with the flags of the site, as far as they mean something here.
fn weir(dir: &TempDir, namespace: &Namespace) -> Daemon {
    let script =
        "mount --make-rprivate / && mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command.args([
        dir.path().join("hosts"),
        PathBuf::from(env!("CARGO_BIN_EXE_weir")),
    ]);
    for (name, port) in [
        ("web", 80),
        ("websecure", 443),
        ("amqps", 5671),
        ("ftp", 21),
        ("influxdb", 8086),
        ("cvmfs-rsync", 9087),
        ("metrics", 8082),
    ] {
        command.arg(format!("--entryPoints.{name}.address={EDGE}:{port}"));
    }
    command.args(FLAGS.split_whitespace());
    command.arg("--workers=1");
    command.arg(format!(
        "--providers.file.directory={}",
        dir.path().join("rules").display()
    ));
    command.arg(format!("--runtimeDir={}", dir.path().join("run").display()));
    command.arg(format!("--stateDir={}", dir.path().join("state").display()));
    command.env("SSL_CERT_FILE", dir.path().join("servers.pem"));
    let mut daemon = Daemon::start(&mut command, Some(namespace)).expect("unshare starts");
    let address: SocketAddr = format!("{EDGE}:443").parse().expect("an address");
    daemon
        .listening(address, DEADLINE)
        .unwrap_or_else(|error| panic!("{error}"));
    daemon
}

/// A server that speaks first, and then says what it was sent.
fn serve_ftp() {
    let listener = TcpListener::bind("127.0.1.5:21").expect("a socket");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut command = [0; 6];
            let served = stream
                .write_all(GREETING)
                .and_then(|()| stream.read_exact(&mut command))
                .and_then(|()| stream.write_all(&command));
            drop(served);
        }
    });
}

fn assert_all(said: &str, expected: &[&str]) {
    for text in expected {
        assert!(said.contains(text), "{text:?} in {said}");
    }
}

#[test]
fn everything_a_galaxy_site_expects_of_its_proxy() {
    let Some(site) = Site::start() else { return };
    flags(&site);
    redirections(&site);
    main_site(&site);
    websocket(&site);
    events_are_flushed(&site);
    terms(&site);
    events(&site);
    other_hosts(&site);
    unknown(&site);
    streams(&site);
}

/// Each flag without effect is told of once; what it would serve is not there.
fn flags(site: &Site) {
    let log = site.weir.log();
    for path in WITHOUT_EFFECT {
        let told = format!(": {path}: found the key ");
        assert_eq!(log.matches(&told).count(), 1, "{path}: {log}");
    }
    let said = site.curl(&["http://usegalaxy.example:8082/metrics"]);
    assert_all(&said, &["HTTP/1.1 404 "]);
    let said = site.curl(&["http://usegalaxy.example:443/ping"]);
    assert_all(&said, &["HTTP/1.1 404 "]);
    let said = site.curl(&["https://usegalaxy.example/ping"]);
    assert_all(
        &said,
        &["HTTP/1.1 200 ", "headnode host=usegalaxy.example "],
    );
}

/// An interactive tool's WebSocket.
fn websocket(site: &Site) {
    let mut stream = site.connect("k.ep.interactivetool.climate.usegalaxy.example");
    let request = "GET /ws HTTP/1.1\r\nHost: k.ep.interactivetool.climate.usegalaxy.example\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let head = headnode::head(&mut stream);
    assert_all(
        &head,
        &[
            "HTTP/1.1 101 ",
            "\r\nX-Seen: k.ep.interactivetool.climate.usegalaxy.example wss\r\n",
        ],
    );
    let mut back = [0; 5];
    stream.write_all(b"hello").expect("sent");
    stream.read_exact(&mut back).expect("an echo");
    assert_eq!(&back, b"hello");
}

/// An event is with the client before the next one is sent.
fn events_are_flushed(site: &Site) {
    let mut stream = site.connect("usegalaxy.example");
    let request = "GET /api/events/stream/now HTTP/1.1\r\nHost: usegalaxy.example\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let head = headnode::head(&mut stream);
    assert_all(&head, &["HTTP/1.1 200 ", "text/event-stream"]);
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        site.events.send(()).expect("the head node waits");
        let (mut text, mut byte) = (String::new(), [0]);
        while !text.ends_with(event) {
            stream.read_exact(&mut byte).expect("the event");
            text.push(byte[0].into());
        }
    }
}

/// Plain HTTP goes to HTTPS with its path and query, a POST as a POST.
fn redirections(site: &Site) {
    let location = "\r\nLocation: https://usegalaxy.example/a?b\r\n";
    let said = site.curl(&["http://usegalaxy.example/a?b"]);
    assert_all(&said, &["HTTP/1.1 301 ", location]);
    let said = site.curl(&["--data", "x", "http://usegalaxy.example/a?b"]);
    assert_all(&said, &["HTTP/1.1 308 ", location]);
}

/// The site and whatever is below it: its name kept, the server's own in SNI, Traefik's cookie, the certificate of the
/// name (curl takes no other).
fn main_site(site: &Site) {
    let cookie = format!("\r\nSet-Cookie: _a9722={HEADNODE}; Path=/\r\n");
    for host in [
        "usegalaxy.example",
        "climate.usegalaxy.example",
        "k.ep.interactivetool.usegalaxy.example",
        "k.ep.interactivetool.climate.usegalaxy.example",
    ] {
        let said = site.curl(&[&format!("https://{host}/x?q=1")]);
        let seen = format!("headnode host={host} sni=headnode.galaxy.example uri=/x?q=1 ");
        assert_all(&said, &["HTTP/1.1 200 ", &cookie, &seen, "proto=https"]);
    }
    let said = site.curl(&[
        "--cookie",
        &format!("_a9722={HEADNODE}"),
        "https://usegalaxy.example/",
    ]);
    assert!(
        !said.contains("Set-Cookie"),
        "a client that has its server: {said}"
    );
    let said = site.curl(&["--insecure", "https://a.usegalaxy.example.evil.example/"]);
    assert_all(&said, &["headnode host=a.usegalaxy.example.evil.example "]);
}

/// Two paths of all hosts come from elsewhere, under one path and that server's name; the query stays.
fn terms(site: &Site) {
    for (host, path) in [
        ("live.usegalaxy.example", "/terms/x"),
        ("usegalaxy.example", "/gdprfoo"),
    ] {
        let said = site.curl(&[&format!("https://{host}{path}?q=1")]);
        let seen = format!(
            "pages host=pages.galaxy.example sni=pages.galaxy.example uri=/gdpr?q=1 replaced={path} "
        );
        assert_all(&said, &["HTTP/1.1 200 ", &seen]);
        assert!(!said.contains("Set-Cookie"), "{said}");
    }
}

/// The router of events has no `tls`, so that HTTPS goes past it; the same port answers plain HTTP too.
fn events(site: &Site) {
    let path = "live.usegalaxy.example/api/events/stream";
    let said = site.curl(&[&format!("https://{path}")]);
    assert_all(
        &said,
        &[
            "HTTP/1.1 200 ",
            "_a9722=",
            "headnode host=live.usegalaxy.example ",
        ],
    );
    let said = site.curl(&[&format!(
        "http://{}",
        path.replace("example/", "example:443/")
    )]);
    let cookie = format!("\r\nSet-Cookie: _53655={HEADNODE}; Path=/\r\n");
    assert_all(
        &said,
        &[
            "HTTP/1.1 200 ",
            &cookie,
            "headnode host=live.usegalaxy.example",
        ],
    );
    let apex = site.curl(&["http://usegalaxy.example:443/api/events/stream"]);
    assert_all(&apex, &["HTTP/1.1 404 "]);
}

/// Hosts with servers of their own, one of them under middlewares, one on a port of its own.
fn other_hosts(site: &Site) {
    let said = site.curl(&["https://build.galaxy.example/job"]);
    assert_all(
        &said,
        &["build host=build.galaxy.example sni=build-host.galaxy.example uri=/job "],
    );
    let said = site.curl(&["--compressed", "https://stats.galaxy.example/"]);
    let policy = "\r\nContent-Security-Policy: frame-ancestors 'self' https://training.galaxy.example \
                  https://stats.galaxy.example\r\n";
    assert_all(
        &said,
        &[
            policy,
            "\r\nContent-Encoding: ",
            "stats host=stats.galaxy.example ",
        ],
    );
    let said = site.curl(&["--data", "x", "https://influxdb.galaxy.example:8086/write"]);
    assert_all(
        &said,
        &["influxdb host=influxdb.galaxy.example sni=influxdb.galaxy.example uri=/write "],
    );
}

/// Names that are no host's: the default certificate, which nobody trusts, and 404.
fn unknown(site: &Site) {
    let said = site.curl(&["https://unknown.example/"]);
    assert!(said.starts_with("curl: (60)"), "{said}");
    let said = site.curl(&["--insecure", "https://unknown.example/"]);
    assert_all(&said, &["HTTP/1.1 404 ", "\r\n\r\n404 page not found\n"]);
    let said = site.curl(&["--insecure", "https://influxdb.galaxy.example/"]);
    assert_all(&said, &["HTTP/1.1 404 "]);
}

/// What is not HTTP: a server that speaks first, and TLS that ends at the server, whatever name is asked for, with the
/// client's certificate.
fn streams(site: &Site) {
    let (greeting, command) = site.namespace.within(|| {
        let mut stream = TcpStream::connect((EDGE, 21)).expect("weir accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let (mut greeting, mut command) = (vec![0; GREETING.len()], [0; 6]);
        stream
            .read_exact(&mut greeting)
            .expect("greeted before a word");
        stream.write_all(b"QUIT\r\n").expect("sent");
        stream.read_exact(&mut command).expect("answered");
        (greeting, command)
    });
    assert_eq!((&*greeting, &command), (GREETING, b"QUIT\r\n"));
    let authority = site.dir.path().join("servers.pem").display().to_string();
    for (host, checks) in [
        ("mq.galaxy.example", "--no-insecure"),
        ("other.example", "--insecure"),
    ] {
        let said = site.curl(&[
            "--cacert",
            &authority,
            checks,
            &format!("https://{host}:5671/"),
        ]);
        assert_all(&said, &[&format!("mq host={host} sni={host} ")]);
    }
    let file = |name: &str| site.dir.path().join(name).display().to_string();
    let said = site.curl(&[
        "--cacert",
        &authority,
        "--cert",
        &file("broker.crt"),
        "--key",
        &file("broker.key"),
        "https://mq.galaxy.example:5671/",
    ]);
    assert_all(&said, &[" client=CN=broker "]);
}
