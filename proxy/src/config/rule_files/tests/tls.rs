//! `tls.options` and `tls.stores`: which names have which options, and what a mistake costs.

use std::time::Duration;

use super::*;
use crate::router::Agreed;
use crate::tls::options::{ClientAuth, Versions};
use crate::tls::{Options, Terms};

const SERVICES: &str = "
  services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}
";

fn with_options(options: &str) -> (Vec<String>, Option<Options>) {
    let text = format!(
        "http: {{routers: {{r: {{rule: Host(`a.example`), service: s, tls: {{options: o}}}}}}, {}}}\ntls: {{options: \
         {{o: {{{options}}}}}}}",
        SERVICES.trim()
    );
    let mut rules = Rules::new(&[("a.yml", &text)]);
    let snapshot = rules.loader.load();
    let messages = rules.messages(&snapshot);
    let table = entry_point(&snapshot, "websecure");
    let serves = table.https.routers()[0].service.is_some();
    let options = table.terms.find("a.example").filter(|_| serves);
    (messages, options.map(|terms| (**terms.options()).clone()))
}

fn options(text: &str) -> Options {
    let (messages, options) = with_options(text);
    assert!(messages.is_empty(), "{text}: {messages:#?}");
    options.unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn options_mean_what_they_mean_in_traefik() {
    assert_eq!(options(""), Options::default());
    assert_eq!(
        options("minVersion: VersionTLS13").versions,
        Versions::Tls13
    );
    assert_eq!(
        options("maxVersion: VersionTLS12").versions,
        Versions::Tls12
    );
    assert_eq!(
        options("minVersion: '', maxVersion: VersionTLS13").versions,
        Versions::Both
    );
    let suites = "cipherSuites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]";
    assert_eq!(options(suites).suites.map(|suites| suites.len()), Some(1));
    let none_of_tls12 = options("cipherSuites: [TLS_AES_128_GCM_SHA256]");
    assert_eq!(
        (none_of_tls12.versions, none_of_tls12.suites),
        (Versions::Tls13, None)
    );
    let curves = options("curvePreferences: [X25519, secp256r1]").curves;
    assert_eq!(curves.map(|curves| curves.len()), Some(2));
    let protocols = options("alpnProtocols: [http/1.1, acme-tls/1]").protocols;
    assert_eq!(protocols, Some(vec![b"http/1.1".to_vec()]));
    let all = options(
        "sniStrict: true, disableSessionTickets: true, clientAuth: {clientAuthType: RequestClientCert}",
    );
    assert!(all.sni_strict && !all.tickets);
    assert_eq!(all.client_auth, ClientAuth::RequestClientCert);
}

#[test]
fn what_cannot_be_had_is_told_and_costs_the_options_alone() {
    let cases = [
        (
            "minVersion: VersionTLS10",
            "tls.options.o.minVersion: found \"VersionTLS10\"; allowed VersionTLS12, VersionTLS13; VersionTLS12 is the least",
            true,
        ),
        (
            "minVersion: TLS1.2",
            "tls.options.o.minVersion: found \"TLS1.2\"; allowed VersionTLS10",
            false,
        ),
        (
            "maxVersion: VersionTLS11",
            "tls.options.o.maxVersion: found \"VersionTLS11\"",
            false,
        ),
        (
            "minVersion: VersionTLS13, maxVersion: VersionTLS12",
            "tls.options.o.maxVersion: found \"VersionTLS12\"",
            false,
        ),
        (
            "cipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]",
            "tls.options.o.cipherSuites: found TLS_RSA_WITH_AES_128_CBC_SHA, which weir does not have; allowed",
            true,
        ),
        (
            "cipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHA]",
            "tls.options.o.cipherSuites: found TLS_RSA_WITH_AES_128_CBC_SHA, which weir does not have; allowed",
            false,
        ),
        (
            "cipherSuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA255]",
            "tls.options.o.cipherSuites: found \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA255\"; allowed",
            false,
        ),
        (
            "curvePreferences: [CurveP521, X25519]",
            "tls.options.o.curvePreferences: found CurveP521",
            true,
        ),
        (
            "curvePreferences: [CurveP521]",
            "tls.options.o.curvePreferences: found CurveP521",
            false,
        ),
        (
            "preferServerCipherSuites: true",
            "tls.options.o.preferServerCipherSuites: found",
            true,
        ),
        (
            "clientAuth: {clientAuthType: RequireAndVerifyClientCert}",
            "tls.options.o.clientAuth.clientAuthType: found \"RequireAndVerifyClientCert\"; add caFiles",
            false,
        ),
        (
            "clientAuth: {clientAuthType: Require}",
            "tls.options.o.clientAuth.clientAuthType: found \"Require\"; allowed NoClientCert",
            false,
        ),
        (
            "alpnProtocols: [acme-tls/1]",
            "tls.options.o.alpnProtocols: found no protocol but acme-tls/1; allowed h2, http/1.1",
            false,
        ),
        (
            "clientAuth: {caFiles: [/nonexistent.pem]}",
            "tls.options.o: found caFiles /nonexistent.pem",
            false,
        ),
    ];
    for (text, expected, serves) in cases {
        let (messages, options) = with_options(text);
        assert!(
            messages.iter().any(|message| message.contains(expected)),
            "{text}: {messages:#?}"
        );
        assert_eq!(options.is_some(), serves, "{text}: {messages:#?}");
        let refused = messages
            .iter()
            .filter(|line| line.contains("http.routers.r: found the TLS options \"o\""));
        assert_eq!(refused.count(), usize::from(!serves), "{messages:#?}");
    }
}

fn min(terms: Option<&Arc<Terms>>) -> Versions {
    terms.expect("terms").options().versions
}

const NAMED: &str = "
http:
  routers:
    new: {rule: 'Host(`new.example`) && PathPrefix(`/a`)', service: s, tls: {options: new@file}}
    new-too: {rule: Host(`new.example`), service: s, tls: {options: new}}
    old: {rule: Host(`old.example`), service: s, tls: {options: old}}
    one: {rule: Host(`both.example`), service: s, tls: {options: new}}
    two: {rule: 'Host(`both.example`) && PathPrefix(`/b`)', service: s, tls: {options: old}}
    wild: {rule: Host(`*.old.example`), service: s, tls: {options: old}}
    plain: {rule: Host(`a.old.example`), service: s, tls: {}}
    lost: {rule: Host(`lost.example`), service: s, tls: {options: nowhere}}
    rest: {rule: PathPrefix(`/`), service: s, tls: {}}
  services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}
tls:
  options:
    new: {minVersion: VersionTLS13}
    old: {maxVersion: VersionTLS12}
";

#[test]
fn the_host_of_a_rule_chooses() {
    let mut rules = Rules::new(&[("a.yml", NAMED)]);
    let snapshot = rules.loader.load();
    let messages = rules.messages(&snapshot);
    assert_eq!(messages.len(), 2, "{messages:#?}");
    let conflict = "http.routers.one.tls.options: found different TLS options for both.example, of one@file, two@file";
    assert!(messages[0].contains(conflict), "{messages:#?}");
    assert!(
        messages[1].contains("found the TLS options \"nowhere\"; allowed default, new, old"),
        "{messages:#?}"
    );
    let table = &entry_point(&snapshot, "websecure").terms;
    for (name, expected) in [
        ("new.example", Versions::Tls13),
        ("old.example", Versions::Tls12),
        ("both.example", Versions::Both),
        ("x.old.example", Versions::Tls12),
        ("a.old.example", Versions::Both),
        ("y.x.old.example", Versions::Both),
        ("", Versions::Both),
    ] {
        assert_eq!(min(table.find(name)), expected, "{name}");
    }
    assert!(table.find("lost.example").is_none(), "closed");
    assert!(table.looks_at_names());
    let began = |name: &str| Agreed {
        options: Arc::clone(table.find(name).expect("terms").options()),
        server_name: name.into(),
    };
    assert!(table.misdirects(&began("new.example"), "old.example"));
    assert!(table.misdirects(&began(""), "old.example"));
    assert!(!table.misdirects(&began("old.example"), "x.old.example"));
    assert!(!table.misdirects(&began("elsewhere.example"), "both.example"));
}

#[test]
fn the_default_options_may_be_others_and_an_error_in_them_closes_all_that_use_them() {
    let file = |options: &str| {
        format!(
            "http:\n  routers: {{r: {{rule: Host(`a.example`), service: s, tls: {{}}}}}}{SERVICES}tls: {{options: {{default: {options}}}}}"
        )
    };
    let mut rules = Rules::new(&[("a.yml", &file("{minVersion: VersionTLS13}"))]);
    let snapshot = rules.loader.load();
    let table = &entry_point(&snapshot, "websecure").terms;
    assert_eq!(min(table.find("b.example")), Versions::Tls13);
    assert!(!table.looks_at_names());
    rules.write("a.yml", &file("{sniStrict: true}"));
    assert!(
        entry_point(&rules.loader.load(), "websecure")
            .terms
            .looks_at_names()
    );
    rules.write(
        "a.yml",
        &file("{clientAuth: {caFiles: [/nonexistent.pem]}}"),
    );
    let snapshot = rules.loader.load();
    let table = entry_point(&snapshot, "websecure");
    assert_eq!(snapshot.errors(), 1, "{:#?}", rules.messages(&snapshot));
    assert!(table.terms.find("a.example").is_none());
    assert!(table.https.routers()[0].service.is_none());
}

#[test]
fn terms_are_the_same_as_long_as_nothing_of_them_changes() {
    let mut rules = Rules::new(&[("a.yml", NAMED)]);
    let of = |snapshot: &Snapshot, name: &str| {
        Arc::clone(
            entry_point(snapshot, "websecure")
                .terms
                .find(name)
                .expect("terms"),
        )
    };
    let before = rules.loader.load();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["new.example".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    rules.write("b.yml", "http: {}");
    let same = rules.loader.load();
    assert!(Arc::ptr_eq(
        &of(&before, "new.example"),
        &of(&same, "new.example")
    ));
    let pair = format!(
        "tls: {{certificates: [{{certFile: {pem:?}, keyFile: {:?}}}]}}",
        key.serialize_pem()
    );
    rules.write("b.yml", &pair);
    let after = rules.loader.load();
    assert!(
        rules.messages(&after).len() == 2,
        "{:#?}",
        rules.messages(&after)
    );
    let (old, new) = (of(&same, "new.example"), of(&after, "new.example"));
    assert!(!Arc::ptr_eq(&old, &new), "another store");
    assert!(
        Arc::ptr_eq(old.options(), new.options()),
        "connections go on"
    );
    assert!(Arc::ptr_eq(&new, &of(&rules.loader.load(), "new.example")));
}

#[test]
fn a_request_must_not_come_by_a_connection_that_has_proved_less() {
    let table = |options: &str| {
        let text = NAMED.replace("maxVersion: VersionTLS12", options);
        let mut rules = Rules::new(&[("a.yml", &text)]);
        let snapshot = rules.loader.load();
        snapshot
            .entry_points
            .into_iter()
            .nth(1)
            .expect("websecure")
            .terms
    };
    let (before, slower, closer) = (
        table("maxVersion: VersionTLS12"),
        table("maxVersion: VersionTLS12, disableSessionTickets: true"),
        table("clientAuth: {clientAuthType: RequireAnyClientCert}"),
    );
    let agreed = Agreed {
        options: Arc::clone(before.find("old.example").expect("terms").options()),
        server_name: "old.example".into(),
    };
    assert!(
        !slower.misdirects(&agreed, "old.example"),
        "it goes on as it began"
    );
    assert!(!slower.misdirects(&agreed, "x.old.example"));
    assert!(slower.misdirects(&agreed, "new.example"));
    assert!(closer.misdirects(&agreed, "old.example"));
}

#[test]
fn an_entry_point_gives_its_routers_options_and_a_resolver() {
    let text = "
entryPoints:
  plain: {address: ':80'}
  secure: {address: ':443', http: {tls: {options: new@file, certResolver: r, domains: [{main: A.example}]}}}
certificatesResolvers: {r: {acme: {email: a@b.example, tlsChallenge: {}}}}
";
    let rules = "
http:
  routers:
    a: {rule: Host(`a.example`), service: s}
    own: {rule: Host(`own.example`), service: s, tls: {}, entryPoints: [secure]}
  services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}
tls: {options: {new: {minVersion: VersionTLS13}}}
";
    let mut rules = Rules::under(text, &[("a.yml", rules)]);
    let snapshot = rules.loader.load();
    assert_eq!(rules.messages(&snapshot), [""; 0]);
    let table = &snapshot.entry_points[1].terms;
    assert_eq!(min(table.find("a.example")), Versions::Tls13);
    assert_eq!(min(table.find("own.example")), Versions::Both);
    let wanted = &snapshot.needs.wanted;
    assert_eq!((wanted.len(), &*wanted[0].router), (1, "a@file"));
    assert_eq!(*wanted[0].names, ["a.example".into()]);
    assert_eq!(*snapshot.uncertified, ["own.example".into()]);
}

#[test]
fn names_without_a_certificate_are_known() {
    let text = "
http:
  routers:
    a: {rule: 'Host(`a.example`) || Host(`*.b.example`) || Host(`192.0.2.1`)', service: s, tls: {}}
    plain: {rule: Host(`plain.example`), service: s}
    any: {rule: Host(`*`), service: s, tls: {}}
  services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}
tcp:
  routers:
    c: {rule: HostSNI(`c.example`), service: t, tls: {}}
    d: {rule: HostSNI(`d.example`), service: t, tls: {passthrough: true, options: o}}
  services: {t: {loadBalancer: {servers: [{address: '192.0.2.1:1'}]}}}
";
    let mut rules = Rules::new(&[("a.yml", text)]);
    let snapshot = rules.loader.load();
    assert_eq!(
        *snapshot.uncertified,
        ["*.b.example", "a.example", "c.example"].map(Box::from)
    );
    let messages = rules.messages(&snapshot);
    assert!(
        messages.len() == 1 && messages[0].contains("options beside passthrough"),
        "{messages:#?}"
    );
    let pair = |names: &[&str]| {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let params = rcgen::CertificateParams::new(names).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        format!("{{certFile: {pem:?}, keyFile: {:?}}}", key.serialize_pem())
    };
    let own = pair(&["c.example", "*.b.example"]);
    rules.write("b.yml", &format!("tls: {{certificates: [{own}]}}"));
    assert_eq!(
        *rules.loader.load().uncertified,
        ["a.example"].map(Box::from)
    );
    let default = pair(&["default.example"]);
    rules.write(
        "c.yml",
        &format!("tls: {{stores: {{default: {{defaultCertificate: {default}}}}}}}"),
    );
    let snapshot = rules.loader.load();
    assert!(snapshot.uncertified.is_empty());
    let store = entry_point(&snapshot, "websecure")
        .terms
        .find("")
        .expect("terms")
        .store();
    assert!(!store.is_self_signed() && store.find("default.example").is_none());
}

#[tokio::test]
async fn a_pem_file_that_changes_is_told_of_wherever_it_is() {
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name);
    fs::create_dir(path("archive")).unwrap();
    fs::write(path("archive/1.pem"), "1").unwrap();
    std::os::unix::fs::symlink("archive/1.pem", path("link.pem")).unwrap();
    fs::write(path("plain.pem"), "plain").unwrap();
    let (mut watcher, mut watch) = crate::config::FileWatcher::new().unwrap();
    let files = ["link.pem", "plain.pem", "later/new.pem"].map(path);
    let follow = |watcher: &mut crate::config::FileWatcher| {
        let problems = watcher.follow(&files.iter().cloned().collect());
        assert!(problems.is_empty(), "{problems:#?}");
    };
    let told = async |watch: &mut crate::config::Watch, what: &str| {
        let told = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
        assert!(told.is_ok(), "{what}");
    };
    follow(&mut watcher);
    fs::write(path("plain.pem"), "in place").unwrap();
    told(&mut watch, "in place").await;
    fs::write(path("draft"), "renamed").unwrap();
    fs::rename(path("draft"), path("plain.pem")).unwrap();
    told(&mut watch, "by a rename").await;
    fs::write(path("archive/1.pem"), "behind the link").unwrap();
    told(&mut watch, "behind a link").await;
    fs::write(path("archive/2.pem"), "2").unwrap();
    std::os::unix::fs::symlink("archive/2.pem", path("link.new")).unwrap();
    fs::rename(path("link.new"), path("link.pem")).unwrap();
    told(&mut watch, "the link").await;
    follow(&mut watcher);
    fs::write(path("archive/2.pem"), "behind the new link").unwrap();
    told(&mut watch, "behind the new link").await;
    fs::create_dir(path("later")).unwrap();
    told(&mut watch, "its directory").await;
    follow(&mut watcher);
    fs::write(path("later/new.pem"), "here").unwrap();
    told(&mut watch, "in the new directory").await;
    fs::remove_dir_all(path("later")).unwrap();
    told(&mut watch, "no directory").await;
    follow(&mut watcher);
    fs::create_dir(path("later")).unwrap();
    follow(&mut watcher);
    fs::write(path("later/new.pem"), "again").unwrap();
    told(&mut watch, "in the directory that is another").await;
}

#[test]
fn what_servers_are_verified_with_is_kept_while_its_file_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["ca".to_owned()]).unwrap();
    fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
    let text = format!(
        "http:\n  routers: {{r: {{rule: Host(`a.example`), service: s}}}}\n  serversTransports: {{t: {{rootCAs: [{}]}}}}\n  \
         services: {{s: {{loadBalancer: {{serversTransport: t, servers: [{{url: 'https://192.0.2.1'}}]}}}}}}\n",
        path.display()
    );
    let mut rules = Rules::new(&[("a.yml", &text)]);
    let mut load = || {
        let snapshot = rules.loader.load();
        let serves = entry_point(&snapshot, "web").http.routers()[0]
            .service
            .is_some();
        (serves, rules.messages(&snapshot))
    };
    assert_eq!(load(), (true, vec![]));
    fs::write(&path, "half").unwrap();
    let (serves, messages) = load();
    assert!(
        serves && messages.len() == 1 && messages[0].contains("last good"),
        "{messages:#?}"
    );
}

/// As certbot and kubernetes have them: a link to a link, in directories that are links, each of which may be replaced.
#[tokio::test]
async fn every_link_on_the_way_to_a_pem_file_is_watched() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().canonicalize().unwrap();
    let path = |name: &str| root.join(name);
    let link = |target: &str, name: &str| {
        let _ = fs::remove_file(path("draft"));
        std::os::unix::fs::symlink(target, path("draft")).unwrap();
        fs::rename(path("draft"), path(name)).unwrap();
    };
    for directory in ["live", "one", "two", "archive"] {
        fs::create_dir(path(directory)).unwrap();
    }
    fs::write(path("archive/1.pem"), "1").unwrap();
    link("one", "data");
    link("../data/b.pem", "live/a.pem");
    link("../live/../archive/1.pem", "one/b.pem");
    link("../archive/2.pem", "two/b.pem");
    let (mut watcher, mut watch) = crate::config::FileWatcher::new().unwrap();
    let files = [path("live/a.pem")].into_iter().collect();
    let mut step = async |what: &str| {
        let problems = watcher.follow(&files);
        assert!(problems.is_empty(), "{problems:#?}");
        match what {
            "the end" => fs::write(path("archive/1.pem"), "changed").unwrap(),
            "the second link" => link("../archive/1.pem", "one/b.pem"),
            "the directory" => link("two", "data"),
            "what is not there yet" => fs::write(path("archive/2.pem"), "2").unwrap(),
            "the first link" => link("../archive/1.pem", "live/a.pem"),
            _ => watcher.tell(),
        }
        let told = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
        assert!(told.is_ok(), "{what}");
    };
    for what in [
        "the end",
        "the second link",
        "the directory",
        "what is not there yet",
        "the first link",
        "by the loader",
    ] {
        step(what).await;
    }
}

/// A host of one router is not a way around the certificate that another one asks for.
#[test]
fn a_router_that_asks_for_certificates_serves_nobody_without() {
    let text = "
http:
  routers:
    admin: {rule: Host(`*.corp.example`), service: s, tls: {options: mtls}}
    health: {rule: 'Host(`a.corp.example`) && Path(`/health`)', service: s, tls: {}}
  services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}
tls:
  options:
    mtls: {clientAuth: {clientAuthType: RequireAnyClientCert}}
";
    let mut rules = Rules::new(&[("a.yml", text)]);
    let snapshot = rules.loader.load();
    let entry_point = entry_point(&snapshot, "websecure");
    let (table, routers) = (&entry_point.terms, &entry_point.https);
    let began = |name: &str| Agreed {
        options: Arc::clone(table.find(name).expect("terms").options()),
        server_name: name.into(),
    };
    let router = |name: &str| {
        let mut all = routers.routers().iter();
        all.find(|router| &*router.name == name)
            .expect("it is there")
    };
    assert!(table.owes(&began("a.corp.example"), router("admin@file")));
    assert!(!table.owes(&began("b.corp.example"), router("admin@file")));
    assert!(!table.owes(&began("a.corp.example"), router("health@file")));
}

#[test]
fn options_on_a_rule_without_a_host_are_told() {
    let text = "
http:
  routers:
    some: {rule: 'HostRegexp(`^.+[.]corp[.]example$`)', service: s, tls: {options: new}}
    fine: {rule: 'PathPrefix(`/a`) && Host(`a.example`)', service: s, tls: {options: new}}
    plain: {rule: PathPrefix(`/`), service: s, tls: {options: default}}
  services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}
tls: {options: {new: {minVersion: VersionTLS13}}}
";
    let mut rules = Rules::new(&[("a.yml", text)]);
    let snapshot = rules.loader.load();
    let messages = rules.messages(&snapshot);
    assert_eq!(messages.len(), 1, "{messages:#?}");
    let told = "http.routers.some.tls.options: found the TLS options \"new\" on a rule without Host; add a Host";
    assert!(messages[0].contains(told), "{messages:#?}");
}
