//! `tls.options`, `tls.stores` and session tickets at the real binary, by openssl and curl.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use xtask::backend::Backend;

use crate::support::tls::{pair, run, write_pair};
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, free_port};
use crate::upstream::pki::Pki;

/// weir with two workers and these rules, whose service `a` is one server. `ca.pem` has signed `client.crt`, not
/// `other.crt`.
struct Edge {
    weir: Weir,
    address: SocketAddr,
    _server: Backend,
}

/// What a client of OpenSSL says about its connection.
struct Said(String);

impl Edge {
    fn start(rules: &str) -> Self {
        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let server = Backend::plain("a", ([127, 0, 0, 1], 0)).expect("a server");
        let setup = Setup::new(&format!(
            "entryPoints:\n  secure:\n    address: \"{address}\"\nproviders:\n  file:\n    \
             directory: \"{{dir}}/rules\"\nruntimeDir: \"{{dir}}/run\"\nworkers: 2\nlog:\n  level: DEBUG\n"
        ));
        let authority = Pki::new("ca");
        setup.write("ca.pem", &authority.authority());
        write_client(&setup, "client", &authority);
        write_client(&setup, "other", &Pki::new("other"));
        write_pair(&setup, "a", "*.example");
        let services = format!(
            "http:\n  services:\n    a:\n      loadBalancer:\n        servers:\n          - url: \"http://{}\"\n",
            server.address()
        );
        let certificates =
            "tls: {certificates: [{certFile: \"{dir}/a.crt\", keyFile: \"{dir}/a.key\"}]}";
        let setup = setup
            .rules("services.yml", &services)
            .rules("certificates.yml", certificates)
            .rules("rules.yml", rules);
        Self {
            weir: setup.start().listening(address),
            address,
            _server: server,
        }
    }

    fn path(&self, name: &str) -> String {
        self.weir.setup().path(name).display().to_string()
    }

    /// `openssl s_client` for this server name, which asks for `/` by HTTP/1.1.
    fn openssl(&self, name: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new("openssl");
        command
            .args([
                "s_client",
                "-connect",
                &self.address.to_string(),
                "-ign_eof",
            ])
            .args(arguments);
        match name {
            "" => command.arg("-noservername"),
            name => command.args(["-servername", name]),
        };
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        let output = run(&mut command, &request);
        Said(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// The status that curl gets for a host by a connection to another name, and why.
    fn status(&self, name: &str, host: &str, arguments: &[&str]) -> String {
        let port = self.address.port();
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--insecure", "--resolve"])
            .arg(format!("{name}:{port}:127.0.0.1"))
            .args([
                "--header",
                &format!("Host: {host}"),
                "--output",
                "/dev/null",
            ])
            .args([
                "--write-out",
                "%{http_code} %{http_version} %header{x-weir-reason}",
            ])
            .args(arguments)
            .arg(format!("https://{name}:{port}/"));
        String::from_utf8_lossy(&run(&mut command, "").stdout)
            .trim_end()
            .to_owned()
    }

    /// A connection to this name that stays open.
    fn open(&self, name: &str) -> Open {
        let address = self.address.to_string();
        let mut command = Command::new("openssl");
        command
            .args([
                "s_client",
                "-quiet",
                "-connect",
                &address,
                "-servername",
                name,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Open(command.spawn().expect("openssl is installed"))
    }

    fn reload(&self) {
        let output =
            self.weir
                .setup()
                .run(&["reload", "--configFile", &self.weir.setup().config_file()]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
    }

    fn status_of_weir(&self) -> String {
        let arguments = ["status", "--configFile", &self.weir.setup().config_file()];
        let output = self.weir.setup().run(&arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Said {
    fn has(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    fn is_served(&self) -> bool {
        self.has("HTTP/1.1 200")
    }
}

/// A client of OpenSSL whose connection stays open.
struct Open(Child);

impl Open {
    /// The status of the answer to a HEAD.
    fn head(&mut self, host: &str) -> String {
        let (Some(input), Some(output)) = (&mut self.0.stdin, &mut self.0.stdout) else {
            panic!("both are piped")
        };
        write!(input, "HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("it reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            output.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write_client(setup: &Setup, file: &str, authority: &Pki) {
    let client = authority.client(file);
    setup.write(&format!("{file}.crt"), &client.certificate);
    setup.write(&format!("{file}.key"), &client.key);
}

const NAMED: &str = "
http:
  routers:
    new: {rule: Host(`new.example`), service: a, tls: {options: new}}
    old: {rule: Host(`old.example`), service: a, tls: {options: old@file}}
    mtls: {rule: Host(`mtls.example`), service: a, tls: {options: mtls}}
    asked: {rule: Host(`asked.example`), service: a, tls: {options: asked}}
    one: {rule: Host(`one.example`), service: a, tls: {options: one}}
    free: {rule: Host(`free.example`) || Host(`too.example`), service: a, tls: {}}
    lost: {rule: Host(`lost.example`), service: a, tls: {options: nowhere}}
tls:
  options:
    new: {minVersion: VersionTLS13, curvePreferences: [CurveP384]}
    old: {maxVersion: VersionTLS12, cipherSuites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305]}
    mtls: {clientAuth: {caFiles: ['{dir}/ca.pem']}}
    asked: {clientAuth: {clientAuthType: RequestClientCert}}
    one: {alpnProtocols: [http/1.1]}
";

#[test]
fn the_name_chooses_the_options() {
    let edge = Edge::start(NAMED);
    assert!(!edge.openssl("new.example", &["-tls1_2"]).is_served());
    assert!(
        !edge
            .openssl("new.example", &["-groups", "X25519"])
            .is_served()
    );
    let said = edge.openssl("new.example", &["-groups", "X25519:P-384"]);
    assert!(said.is_served() && said.has("TLSv1.3"), "{}", said.0);
    assert!(!edge.openssl("old.example", &["-tls1_3"]).is_served());
    let gcm = ["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"];
    assert!(!edge.openssl("old.example", &gcm).is_served());
    let said = edge.openssl("old.example", &[]);
    assert!(
        said.is_served() && said.has("ECDHE-ECDSA-CHACHA20-POLY1305"),
        "{}",
        said.0
    );
    assert!(edge.openssl("free.example", &["-tls1_2"]).is_served());
    assert!(edge.openssl("free.example", &["-tls1_3"]).is_served());
    assert!(
        !edge.openssl("lost.example", &[]).has("HTTP/1.1"),
        "the options have an error: nobody knows what they would have asked for"
    );
    assert!(edge.openssl("asked.example", &[]).is_served());
    assert_eq!(edge.status("free.example", "free.example", &[]), "200 2");
    assert_eq!(edge.status("one.example", "one.example", &[]), "200 1.1");
}

#[test]
fn clients_prove_who_they_are() {
    let edge = Edge::start(NAMED);
    let pair = |name: &str| {
        [
            edge.path(&format!("{name}.crt")),
            edge.path(&format!("{name}.key")),
        ]
    };
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(!edge.openssl("mtls.example", &[version]).is_served());
        for (name, served) in [("client", true), ("other", false)] {
            let [certificate, key] = pair(name);
            let shown = ["-cert", &certificate, "-key", &key, version];
            let said = edge.openssl("mtls.example", &shown);
            assert_eq!(said.is_served(), served, "{name}: {}", said.0);
            assert!(
                edge.openssl("asked.example", &shown).is_served(),
                "whatever it is"
            );
        }
    }
}

#[test]
fn a_host_with_other_options_than_the_connection_is_misdirected() {
    let edge = Edge::start(NAMED);
    for (version, number) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let status = |name: &str, host: &str| edge.status(name, host, &[version]);
        assert_eq!(
            status("free.example", "mtls.example"),
            format!("421 {number} misdirected")
        );
        assert_eq!(
            status("free.example", "MTLS.example.:443"),
            format!("421 {number} misdirected")
        );
        assert_eq!(
            status("asked.example", "mtls.example"),
            format!("421 {number} misdirected")
        );
        assert_eq!(
            status("asked.example", "free.example"),
            format!("421 {number} misdirected")
        );
        assert_eq!(
            status("free.example", "too.example"),
            format!("200 {number}")
        );
        assert_eq!(
            status("elsewhere.example", "free.example"),
            format!("200 {number}")
        );
    }
}

#[test]
fn strict_names() {
    let rules = "
http: {routers: {r: {rule: PathPrefix(`/`), service: a, tls: {}}}}
tls: {options: {default: {sniStrict: true}}}
";
    let edge = Edge::start(rules);
    assert!(edge.openssl("any.example", &[]).is_served());
    for name in ["a.b.example", "elsewhere", ""] {
        let said = edge.openssl(name, &[]);
        assert!(said.has("unrecognized name"), "{name:?}: {}", said.0);
    }
    edge.weir.logged("unknown_server_name");
}

#[test]
fn a_pem_file_that_changes_alone_is_served() {
    let rules = "http: {routers: {r: {rule: Host(`x.example`), service: a, tls: {}}}}";
    let edge = Edge::start(rules);
    let setup = edge.weir.setup();
    let subject = |text: &str| edge.openssl("x.example", &[]).has(text);
    assert!(subject("CN = *.example"));
    let mut open = edge.open("x.example");
    assert_eq!(open.head("x.example"), "200");
    let (certificate, key) = pair("x.example");
    fs::write(setup.path("a.crt"), certificate).expect("written in place");
    edge.weir.logged("do not belong together");
    edge.weir
        .logged("this version, whose last good one serves, left out");
    assert!(subject("CN = *.example"), "the last good one");
    fs::write(setup.path("a.key"), key).expect("written in place");
    eventually("the new certificate", || {
        subject("CN = x.example").then_some(())
    });
    // And one that is put in the other's place.
    write_pair(setup, "a", "y.example");
    eventually("nobody has one", || {
        subject("WEIR DEFAULT CERT").then_some(())
    });
    eventually("it is told", || {
        let status = edge.status_of_weir();
        let told = status.contains("SELF-SIGNED: no certificate for x.example")
            && status.contains("self_signed_certificate");
        told.then_some(())
    });
    edge.weir.logged("NO CERTIFICATE for 1 names");
    assert_eq!(open.head("x.example"), "200", "the connection goes on");
    // Authorities of clients too.
    setup.write("ca2.pem", &Pki::new("unknown").authority());
    let mtls = "tls: {options: {default: {clientAuth: {caFiles: ['{dir}/ca2.pem']}}}}";
    setup.write("rules/mtls.yml", mtls);
    let [certificate, key] = [edge.path("client.crt"), edge.path("client.key")];
    let shown = ["-cert", &certificate, "-key", &key];
    let served = || edge.openssl("x.example", &shown).is_served();
    eventually("an authority that has not signed it", || {
        (!served()).then_some(())
    });
    fs::copy(setup.path("ca.pem"), setup.path("ca2.pem")).expect("copied");
    eventually("the one that has", || served().then_some(()));
    let answer = open.head("x.example");
    assert_eq!(answer, "421", "it has shown no certificate");
}

#[test]
fn the_default_certificate() {
    let rules = "http: {routers: {r: {rule: Host(`x.elsewhere`), service: a, tls: {}}}}";
    let edge = Edge::start(rules);
    let subject = |text: &str| edge.openssl("x.elsewhere", &[]).has(text);
    assert!(subject("WEIR DEFAULT CERT"));
    write_pair(edge.weir.setup(), "d", "the default");
    let store = "tls: {stores: {default: {defaultCertificate: {certFile: '{dir}/d.crt', keyFile: '{dir}/d.key'}}}}";
    edge.weir.setup().write("rules/store.yml", store);
    eventually("the default one", || {
        subject("CN = the default").then_some(())
    });
    assert!(!edge.status_of_weir().contains("NO CERTIFICATE"));
    assert!(edge.openssl("", &[]).has("CN = the default"));
}

/// A session is resumed on every worker, over reloads and new certificates, and under the options it began with alone.
#[test]
fn sessions_resume_under_their_own_options() {
    let rules = |options: &str| {
        format!(
            "http: {{routers: {{r: {{rule: Host(`x.example`), service: a, tls: {{options: o}}}}, \
             other: {{rule: Host(`y.example`), service: a, tls: {{}}}}}}}}\ntls: {{options: {{o: {options}}}}}\n"
        )
    };
    let edge = Edge::start(&rules("{}"));
    let setup = edge.weir.setup();
    for version in ["-tls1_2", "-tls1_3"] {
        let file = edge.path(&format!("session{version}"));
        let said = edge.openssl("x.example", &[version, "-sess_out", &file]);
        assert!(said.is_served() && said.has("New, TLSv1"), "{}", said.0);
        let resumes = |name: &str| {
            let said = edge.openssl(name, &[version, "-sess_in", &file]);
            assert!(said.is_served(), "{}", said.0);
            said.has("Reused, TLSv1")
        };
        for _ in 0..8 {
            assert!(resumes("x.example"), "{version}: whichever worker it is");
        }
        assert!(!resumes("y.example"), "another server");
        setup.write("rules/more.yml", &format!("# {version}\nhttp: {{}}"));
        write_pair(setup, "a", "*.example");
        edge.reload();
        assert!(resumes("x.example"), "{version}: after a reload");
    }
    setup.write(
        "rules/rules.yml",
        &rules("{clientAuth: {caFiles: ['{dir}/ca.pem']}}"),
    );
    edge.reload();
    let [certificate, key] = [edge.path("client.crt"), edge.path("client.key")];
    let shown = ["-cert", &*certificate, "-key", &*key];
    for version in ["-tls1_2", "-tls1_3"] {
        let file = edge.path(&format!("session{version}"));
        let with = |more: &[&str]| edge.openssl("x.example", &[&[version], more].concat());
        let said = with(&["-sess_in", &file]);
        assert!(
            !said.is_served() && !said.has("Reused, TLSv1"),
            "{}",
            said.0
        );
        let said = with(&[&shown[..], &["-sess_out", &file]].concat());
        assert!(said.is_served() && said.has("New, TLSv1"), "{}", said.0);
        let said = with(&[&shown[..], &["-sess_in", &file]].concat());
        assert!(said.is_served() && said.has("Reused, TLSv1"), "{}", said.0);
    }
    setup.write("rules/rules.yml", &rules("{disableSessionTickets: true}"));
    edge.reload();
    for version in ["-tls1_2", "-tls1_3"] {
        let file = edge.path(&format!("none{version}"));
        let said = edge.openssl("x.example", &[version, "-sess_out", &file]);
        assert!(
            said.is_served() && !said.has("TLS session ticket:"),
            "{}",
            said.0
        );
    }
}
