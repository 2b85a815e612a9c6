//! Certificates from a real authority (pebble, strict, rejecting nonces at random) by all three challenges, with names
//! in a real bind9: one order for all names, one refused of several, a stop at any moment, an authority that is away.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use xtask::daemon::Daemon;

use crate::support::weir::{Setup, Weir};
use crate::support::{DEADLINE, eventually_within, free_port, set_up};

mod api;
mod authoritative;
mod cloudflare;
mod files;
mod httpreq;
mod killed;
mod many;
mod route53;
mod tailscale;

/// Orders take many round trips, and pebble makes some of them twice.
const ISSUED: Duration = Duration::from_secs(90);
/// Base64 of a key that only this test knows.
const SECRET: &str = "c2VjcmV0IG9mIGEgdGVzdCB0aGF0IGlzIG5vIHNlY3JldA==";

/// Whether there is such a program; administrators' directories count.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    directories
        .into_iter()
        .any(|directory: std::path::PathBuf| directory.join(program).is_file())
}

/// Says whether the servers are there; else prints the line by which the test counts as skipped.
fn require_servers() -> bool {
    let missing: Vec<&str> = ["pebble", "named", "openssl"]
        .into_iter()
        .filter(|name| !is_there(name))
        .collect();
    if !missing.is_empty() {
        println!(
            "skipped: needs {} (apt-get install pebble bind9)",
            missing.join(", ")
        );
    }
    missing.is_empty()
}

/// The newer pebble, which has renewal information and profiles; prints the line of a skipped test if it is not there.
fn newer_pebble() -> Option<PathBuf> {
    let found = set_up("pebble/usr/bin/pebble");
    if found.is_none() {
        println!("skipped: needs a newer pebble (cargo xtask setup)");
    }
    found.filter(|_| require_servers())
}

/// An authority, the name server it asks, and where it looks for proofs.
struct Authority {
    program: PathBuf,
    /// More keys of its configuration, each with a comma before.
    options: String,
    pebble: Option<Daemon>,
    _named: Daemon,
    directory: TempDir,
    address: SocketAddr,
    names: SocketAddr,
    http: SocketAddr,
    tls: SocketAddr,
}

impl Authority {
    fn start() -> Self {
        Self::of("pebble", "")
    }

    fn of(program: impl Into<PathBuf>, options: &str) -> Self {
        let names = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self::with(program, options, names, "")
    }

    /// With names at this address, and more lines in their zone.
    fn with(program: impl Into<PathBuf>, options: &str, names: SocketAddr, more: &str) -> Self {
        let local = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let directory = tempfile::tempdir().expect("a scratch directory");
        let mut authority = Self {
            program: program.into(),
            options: options.to_owned(),
            _named: named(&directory, names, more),
            pebble: None,
            directory,
            address: local(),
            names,
            http: local(),
            tls: local(),
        };
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed");
        fs::write(authority.path("ca.crt"), certificate.pem()).expect("written");
        fs::write(authority.path("ca.key"), key.serialize_pem()).expect("written");
        authority.run();
        authority
    }

    /// Starts pebble, which remembers nothing of an earlier run.
    fn run(&mut self) {
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "{}", "managementListenAddress": "127.0.0.1:{}", "certificate": "{}",
            "privateKey": "{}", "httpPort": {}, "tlsPort": {}, "ocspResponderURL": "",
            "externalAccountBindingRequired": {}{}}}}}"#,
            self.address,
            free_port(),
            self.path("ca.crt"),
            self.path("ca.key"),
            self.http.port(),
            self.tls.port(),
            self.options.contains("MACKeys"),
            self.options,
        );
        fs::write(self.path("pebble.json"), config).expect("written");
        let mut command = Command::new(&self.program);
        command
            .args([
                "-config",
                &self.path("pebble.json"),
                "-strict",
                "-dnsserver",
                &self.names.to_string(),
            ])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "20");
        let mut pebble = Daemon::start(&mut command, None).expect("pebble starts");
        pebble
            .listening(self.address, DEADLINE)
            .expect("pebble listens");
        self.pebble = Some(pebble);
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// What it has said in this run.
    fn log(&self) -> String {
        self.pebble.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// How many certificates it has issued in this run.
    fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }

    /// weir with one resolver, and a router for each name.
    fn setup(&self, challenge: &str, names: &[&str]) -> Setup {
        let setup = Setup::new(&format!(
            "entryPoints:\n  web: {{address: \"{}\"}}\n  secure: {{address: \"{}\"}}\nproviders: {{file: {{directory: \
             \"{{dir}}/rules\"}}}}\nruntimeDir: \"{{dir}}/run\"\nworkers: 1\nlog: {{level: DEBUG}}\n\
             certificatesResolvers:\n  le:\n    acme:\n      caServer: https://{}/dir\n      email: a@b.example\n      \
             caCertificates: {}\n      {challenge}\n",
            self.http,
            self.tls,
            self.address,
            self.path("ca.crt"),
        ));
        let setup = setup
            .variable("RFC2136_NAMESERVER", &self.names.to_string())
            .variable("RFC2136_TSIG_KEY", "weir")
            .variable("RFC2136_TSIG_SECRET", SECRET);
        setup.write("rules/a.yml", &rules(names));
        setup
    }

    fn start_weir(&self, setup: Setup) -> Weir {
        setup.start().listening(self.tls)
    }

    fn shown(&self, name: &str) -> String {
        shown(self.tls, name)
    }

    fn issues(&self, weir: &Weir, name: &str) {
        let deadline = std::time::Instant::now() + ISSUED;
        while !self.shown(name).contains("Pebble") {
            if std::time::Instant::now() > deadline {
                let pebble = self.pebble.as_ref().map(Daemon::log).unwrap_or_default();
                panic!(
                    "no certificate for {name}:\n{}\n--- pebble\n{pebble}",
                    weir.log()
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The issuer and names of the certificate shown to a client that asks for `name`.
fn shown(address: SocketAddr, name: &str) -> String {
    let client = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &address.to_string(),
            "-servername",
            name,
        ])
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    let mut shower = Command::new("openssl")
        .args(["x509", "-noout", "-issuer", "-ext", "subjectAltName"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    std::io::Write::write_all(&mut shower.stdin.take().expect("piped"), &client.stdout).ok();
    let output = shower.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// bind9 for `example`, in which every name but one is this machine.
fn named(directory: &TempDir, address: SocketAddr, more: &str) -> Daemon {
    let root = directory.path().display().to_string();
    let zone = format!(
        "$TTL 1\n@ SOA ns a 1 1 1 1 1\n@ NS ns\n@ A 127.0.0.1\n* A 127.0.0.1\nns A 127.0.0.1\n\
                wrong A 127.9.9.9\n_acme-challenge.alias CNAME alias.proofs.example.\n{more}"
    );
    fs::write(directory.path().join("example.zone"), zone).expect("written");
    let config = format!(
        "options {{ directory \"{root}\"; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; \
         session-keyfile none; recursion no; dnssec-validation no; notify no; }};\ncontrols {{}};\n\
         key weir {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         zone \"example\" {{ type primary; file \"example.zone\"; allow-update {{ key weir; }}; }};\n",
        address.port()
    );
    fs::write(directory.path().join("named.conf"), config).expect("written");
    let mut command = Command::new("named");
    command.args([
        "-g",
        "-n",
        "1",
        "-c",
        &directory.path().join("named.conf").display().to_string(),
    ]);
    let mut daemon = Daemon::start(&mut command, None).expect("named starts");
    daemon.listening(address, DEADLINE).expect("named listens");
    daemon
}

fn rules(names: &[&str]) -> String {
    let router = |(index, name): (usize, &&str)| {
        format!(
            "    r{index}: {{rule: \"Host(`{name}`)\", service: s, tls: {{certResolver: le}}}}\n"
        )
    };
    let routers: String = names.iter().enumerate().map(router).collect();
    format!(
        "http:\n  routers:\n{routers}  services:\n    s: {{loadBalancer: {{servers: [{{url: \"http://127.0.0.1:9\"}}]}}}}\n"
    )
}

const HTTP: &str = "httpChallenge: {entryPoint: web}";
const TLS: &str = "tlsChallenge: {}";

fn dns(authority: &Authority) -> String {
    format!(
        "dnsChallenge: {{provider: rfc2136, resolvers: [\"{}\"], propagation: {{disableANSChecks: true}}}}",
        authority.names
    )
}

#[test]
fn sixty_names_by_http_are_one_certificate_and_a_new_name_gets_its_own_at_once() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let names: Vec<String> = (0..60).map(|index| format!("n{index}.example")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    let weir = authority.start_weir(authority.setup(HTTP, &names));
    authority.issues(&weir, "n7.example");
    assert!(authority.shown("n59.example").contains("Pebble"));
    names.push("new.example");
    weir.setup().write("rules/a.yml", &rules(&names));
    authority.issues(&weir, "new.example");
    assert_eq!(authority.issued(), 2);
    let listed = weir
        .setup()
        .run(&["certs", "list", "--configFile", &weir.setup().config_file()]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    // A restart finds them.
    weir.signal(Signal::SIGKILL);
    let (_, setup) = weir.wait();
    let weir = authority.start_weir(setup);
    // The kernel lets go of a ring's files after its process has gone: what listened may have been the one before.
    weir.logged("weir serves");
    assert!(authority.shown("n7.example").contains("Pebble"));
    drop(weir);
    assert_eq!(authority.issued(), 2);
}

#[test]
fn a_name_is_proved_by_a_handshake() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let weir = authority.start_weir(authority.setup(TLS, &["a.example", "b.example"]));
    authority.issues(&weir, "a.example");
    assert!(authority.shown("b.example").contains("Pebble"));
    assert_eq!(authority.issued(), 1);
}

#[test]
fn the_default_certificate_may_be_obtained() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let setup = authority.setup(TLS, &[]);
    let store = "tls: {stores: {default: {defaultGeneratedCert: {resolver: le, domain: {main: d.example, sans: \
                 [e.example]}}}}}";
    setup.write("rules/store.yml", store);
    let weir = authority.start_weir(setup);
    authority.issues(&weir, "nobodys.example");
    let shown = authority.shown("nobodys.example");
    assert!(
        shown.contains("DNS:d.example") && shown.contains("DNS:e.example"),
        "{shown}"
    );
    assert_eq!(authority.issued(), 1);
}

#[test]
fn a_wildcard_and_its_apex_are_proved_by_records_and_aliases_are_followed() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let names = [
        "example",
        "*.example",
        "x.example",
        "alias.example",
        "*.alias.example",
    ];
    let weir = authority.start_weir(authority.setup(&dns(&authority), &names));
    authority.issues(&weir, "y.example");
    let shown = authority.shown("z.alias.example");
    for name in ["DNS:example", "DNS:*.example", "DNS:*.alias.example"] {
        assert!(shown.contains(name), "{shown}");
    }
    assert_eq!(authority.issued(), 1);
}

#[test]
fn one_wrong_name_holds_up_no_other_and_is_told_in_the_authoritys_words() {
    if !require_servers() {
        return;
    }
    let authority = Authority::start();
    let weir =
        authority.start_weir(authority.setup(HTTP, &["a.example", "wrong.example", "b.example"]));
    authority.issues(&weir, "a.example");
    assert!(authority.shown("b.example").contains("Pebble"));
    assert!(!authority.shown("wrong.example").contains("Pebble"));
    weir.logged("wrong.example");
    let file = weir.setup().config_file();
    eventually_within(DEADLINE, "the status says what is missing", || {
        let status = weir.setup().run(&["status", "--configFile", &file]);
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        (status.contains("NO CERTIFICATE") && status.contains("urn:ietf:params:acme:error:"))
            .then_some(())
    });
}

#[test]
fn an_authority_that_is_away_is_waited_for() {
    if !require_servers() {
        return;
    }
    let mut authority = Authority::start();
    authority.pebble = None;
    let weir = authority.start_weir(authority.setup(HTTP, &["a.example"]));
    weir.logged("no certificates:");
    authority.run();
    authority.issues(&weir, "a.example");
    assert_eq!(authority.issued(), 1);
}

/// The certificate of docs/HOWTO-staging.md: a server of its own has it, and each renewal, by files and a reload.
/// nginx with workers, which it takes along only when it is asked to end.
struct Master(Daemon);

impl Drop for Master {
    fn drop(&mut self) {
        // What is left then is killed.
        let _ = self.0.signal(Signal::SIGTERM);
        let _ = self.0.wait(DEADLINE);
    }
}

#[test]
fn another_server_gets_the_certificate_and_its_renewals() {
    if !require_servers() {
        return;
    }
    if !is_there("nginx") {
        println!("skipped: needs nginx (apt-get install nginx-light)");
        return;
    }
    let authority = Authority::start();
    let nginx = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let own = authority.path("nginx");
    fs::create_dir(&own).expect("made");
    let config = format!(
        "pid {own}/pid; error_log {own}/error; daemon off;\nevents {{}}\nhttp {{ access_log off; server {{ listen \
         {nginx} ssl; ssl_certificate {own}/app.example.pem; ssl_certificate_key {own}/app.example.pem; }} }}\n"
    );
    fs::write(format!("{own}/nginx.conf"), config).expect("written");
    let control = format!("nginx -c {own}/nginx.conf -e {own}/error");
    let deploy = |well: &str| {
        format!(
            "{HTTP}\n    deploy:\n      directory: \"{{dir}}/pem\"\n      names: [app.example]\n      mode: \"0640\"\n      \
             command: 'cp -a ./ {own}/ && test -e {own}/{well} && if test -s {own}/pid; then {control} -s reload; fi'"
        )
    };
    let setup = authority.setup(&deploy("well"), &["app.example", "other.example"]);
    let weir = authority.start_weir(setup);
    authority.issues(&weir, "app.example");
    weir.logged("certificates are not deployed");
    let file = weir.setup().config_file();
    let says = |arguments: &[&str], text: &str| {
        let arguments = [arguments, &["--configFile", &file]].concat();
        eventually_within(DEADLINE, text, || {
            let said = weir.setup().run(&arguments);
            String::from_utf8_lossy(&said.stdout)
                .contains(text)
                .then_some(said.status.code())
        })
    };
    let failed = "NOT DEPLOYED by le to";
    assert_eq!(says(&["status"], failed), Some(1));
    says(&["certs", "list"], "exit status: 1");
    // The other side is there now; nobody waits for the next try.
    fs::write(format!("{own}/well"), "").expect("written");
    weir.setup()
        .run(&["certs", "renew", "nobody.example", "--configFile", &file]);
    says(&["certs", "list"], "deployed by le to");
    weir.logged("certificates are deployed");
    assert_eq!(says(&["status"], "deployed by le to"), Some(0));
    let pem = weir.setup().path("pem");
    let mode = fs::metadata(pem.join("app.example.key"))
        .expect("there")
        .permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777,
        0o640
    );
    assert!(!pem.join("other.example.pem").exists());

    let mut command = Command::new("nginx");
    command.args([
        "-c",
        &format!("{own}/nginx.conf"),
        "-e",
        &format!("{own}/error"),
    ]);
    let mut daemon = Master(Daemon::start(&mut command, None).expect("nginx starts"));
    let listening = daemon.0.listening(nginx, DEADLINE);
    listening.expect("nginx listens");
    let first = serial(nginx);
    assert_eq!(first, serial(authority.tls));
    weir.setup()
        .run(&["certs", "renew", "app.example", "--configFile", &file]);
    eventually_within(ISSUED, "nginx has the renewed certificate", || {
        let now = serial(nginx);
        (now != first && now == serial(authority.tls)).then_some(())
    });
    // At the start, where one is missing.
    weir.signal(Signal::SIGTERM);
    let (_, setup) = weir.wait();
    fs::remove_file(setup.path("pem/app.example.key")).expect("removed");
    let weir = authority.start_weir(setup);
    weir.logged("certificates are deployed");
    assert!(weir.setup().path("pem/app.example.key").exists());
}

/// The serial number of the certificate that a server shows for `app.example`.
fn serial(address: SocketAddr) -> String {
    let show = format!(
        "openssl s_client -connect {address} -servername app.example </dev/null 2>/dev/null | openssl x509 -noout -serial"
    );
    let output = Command::new("sh")
        .args(["-c", &show])
        .output()
        .expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The binding's key as the authority has it, and as its customers are told.
const BINDING: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

#[test]
fn an_account_is_bound_to_one_that_exists_elsewhere() {
    if !require_servers() {
        return;
    }
    let keys = format!(r#", "externalAccountMACKeys": {{"kid-1": "{BINDING}"}}"#);
    let authority = Authority::of("pebble", &keys);
    let without = authority.start_weir(authority.setup(HTTP, &["a.example"]));
    without.logged("externalAccountRequired");
    without.signal(Signal::SIGTERM);
    let (_, _) = without.wait();
    let eab = |key: &str| format!("{HTTP}\n      eab: {{kid: kid-1, hmacEncoded: {key}}}");
    let wrong =
        authority.start_weir(authority.setup(&eab(&BINDING.replace("zWN", "aWN")), &["a.example"]));
    wrong.logged("no certificates:");
    wrong.signal(Signal::SIGTERM);
    let (_, _) = wrong.wait();
    assert_eq!(authority.issued(), 0);
    let weir = authority.start_weir(authority.setup(&eab(BINDING), &["a.example"]));
    authority.issues(&weir, "a.example");
    assert!(!weir.log().contains(BINDING));
}

/// With a life of a minute and a half, the window that the authority suggests is open after two thirds of that.
#[test]
fn a_profile_is_asked_for_and_the_authority_says_when_to_renew() {
    let Some(pebble) = newer_pebble() else { return };
    let profiles = r#", "profiles": {"default": {"description": "long", "validityPeriod": 7776000},
        "brief": {"description": "short", "validityPeriod": 90}}"#;
    let authority = Authority::of(pebble, profiles);
    let unknown = format!("{HTTP}\n      profile: nobodys");
    let weir = authority.start_weir(authority.setup(&unknown, &["a.example"]));
    weir.logged("nobodys");
    weir.signal(Signal::SIGTERM);
    let (_, _) = weir.wait();
    assert_eq!(authority.issued(), 0);
    let brief = format!("{HTTP}\n      profile: brief");
    let weir = authority.start_weir(authority.setup(&brief, &["a.example"]));
    authority.issues(&weir, "a.example");
    eventually_within(ISSUED, "the authority is asked when to renew", || {
        authority.log().contains("renewalInfo/").then_some(())
    });
    eventually_within(ISSUED, "a renewal that says what it replaces", || {
        let log = authority.log();
        let renewed = log.contains("is a replacement of") && authority.issued() >= 2;
        renewed.then_some(())
    });
    assert!(authority.shown("a.example").contains("Pebble"));
}
