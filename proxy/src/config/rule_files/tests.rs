//! Directories of rule files to snapshots: what is served, and what one mistake costs.

use std::net::IpAddr;

use super::*;
use crate::config::EntryPointTable;
use crate::rule::RequestView;
use crate::service::{Service, ServiceKind};

mod deploys;
mod limits;
mod shipped;
mod tcp;
mod templates;
mod tls;

const STATIC: &str = "
entryPoints:
  web: {address: ':80'}
  websecure: {address: ':443'}
  ssh: {address: ':22'}
  amqps: {address: ':5671'}
";

struct Rules {
    directory: tempfile::TempDir,
    loader: Loader,
}

impl Rules {
    fn new(files: &[(&str, &str)]) -> Self {
        Self::under(STATIC, files)
    }

    fn under(text: &str, files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weir.yml");
        let (mut config, _) = StaticConfig::parse(&path, text).unwrap();
        config.rules.path = Some(directory.path().to_owned());
        let rules = Self {
            directory,
            loader: Loader::new(Arc::new(config)).unwrap(),
        };
        files
            .iter()
            .for_each(|(name, text)| rules.write(name, text));
        rules
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The problems without the directory in front.
    fn messages(&self, snapshot: &Snapshot) -> Vec<String> {
        let directory = format!("{}/", self.directory.path().display());
        snapshot
            .problems
            .iter()
            .map(|problem| problem.to_string().replace(&directory, ""))
            .collect()
    }
}

/// What these rules are loaded as, for tests of others.
pub(crate) fn loaded(rules: &str) -> Arc<Snapshot> {
    let mut files = Rules::new(&[("a.yml", rules)]);
    let snapshot = files.loader.load();
    assert_eq!(files.messages(&snapshot), Vec::<String>::new());
    Arc::new(snapshot)
}

/// Rules of one HTTP service `s` with these servers at ports of this host, and more keys.
pub(crate) fn service(ports: impl IntoIterator<Item = u16>, keys: &str) -> String {
    let servers = ports
        .into_iter()
        .map(|port| format!("{{url: 'http://127.0.0.1:{port}'}}"));
    let servers = servers.collect::<Vec<_>>().join(", ");
    format!("http: {{services: {{s: {{loadBalancer: {{servers: [{servers}]{keys}}}}}}}}}")
}

/// What loading these files says.
fn messages(files: &[(&str, &str)]) -> Vec<String> {
    let mut rules = Rules::new(files);
    let snapshot = rules.loader.load();
    rules.messages(&snapshot)
}

fn entry_point<'s>(snapshot: &'s Snapshot, name: &str) -> &'s EntryPointTable {
    let index = ["web", "websecure", "ssh", "amqps"]
        .iter()
        .position(|known| *known == name);
    &snapshot.entry_points[index.unwrap()]
}

fn client(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn http_router(snapshot: &Snapshot, name: &str, url: &str, from: &str) -> Option<String> {
    let (host, path) = url.split_at(url.find('/').unwrap());
    let table = entry_point(snapshot, name);
    let routers = if name == "websecure" {
        &table.https
    } else {
        &table.http
    };
    routers
        .find(&RequestView::new(host, path, client(from)))
        .map(|router| router.name.to_string())
}

fn servers(service: &Service) -> Vec<(String, u32)> {
    match &service.kind {
        ServiceKind::LoadBalancer(balancer) => balancer
            .servers
            .iter()
            .map(|server| (server.name.to_string(), server.weight))
            .collect(),
        ServiceKind::Weighted(services) => services
            .iter()
            .map(|entry| (entry.service.name.to_string(), entry.weight))
            .collect(),
        ServiceKind::Failover(services) => services
            .iter()
            .map(|service| (service.name.to_string(), 1))
            .collect(),
    }
}

const APP: (&str, &str) = (
    "app.yml",
    "
http:
  routers:
    app:
      rule: Host(`a.example`)
      service: app
      entryPoints: [websecure]
      tls: {}
    terms:
      rule: Host(`a.example`) && PathPrefix(`/terms`)
      service: split
      entryPoints: websecure
      tls: true
    everything:
      rule: PathPrefix(`/`)
      service: app@file
      priority: -5
  services:
    app:
      loadBalancer:
        servers:
          - url: http://192.0.2.1:8080/
          - url: 'http://[2001:db8::2]'
            weight: 3
          - url: http://192.0.2.3
            weight: 0
    plain:
      loadBalancer:
        passHostHeader: false
        servers: [{url: 'http://192.0.2.4'}]
    split:
      weighted:
        services: [{name: app, weight: 3}, {name: plain}]
",
);

#[test]
fn routers_find_their_services_across_files() {
    let mut rules = Rules::new(&[
        APP,
        (
            "b/more.YAML",
            "http: {routers: {api: {rule: 'Host(`api.example`)', service: plain, entryPoints: [web]}}}",
        ),
        ("notes.txt", "not: [a rule"),
        (".hidden.yml", "not: [a rule"),
    ]);
    let snapshot = rules.loader.load();
    assert_eq!(rules.messages(&snapshot), Vec::<String>::new());
    let found = |name, url| http_router(&snapshot, name, url, "192.0.2.9");
    assert_eq!(
        found("websecure", "A.example:443/x").as_deref(),
        Some("app@file")
    );
    assert_eq!(
        found("websecure", "a.example/terms/x").as_deref(),
        Some("terms@file")
    );
    assert_eq!(found("websecure", "other/"), None, "everything has no tls");
    assert_eq!(found("web", "api.example/").as_deref(), Some("api@file"));
    assert_eq!(
        found("web", "a.example/").as_deref(),
        Some("everything@file")
    );
    let table = entry_point(&snapshot, "websecure");
    let terms = &table.https.routers()[0];
    assert_eq!(
        servers(terms.service.as_ref().unwrap()),
        [("app@file".to_owned(), 3), ("plain@file".to_owned(), 1)]
    );
    let app = &table.https.routers()[1];
    assert_eq!(
        servers(app.service.as_ref().unwrap()),
        [
            ("http://192.0.2.1:8080/".to_owned(), 1),
            ("http://[2001:db8::2]".to_owned(), 3)
        ]
    );
    let ServiceKind::LoadBalancer(balancer) = &app.service.as_ref().unwrap().kind else {
        panic!("a load balancer")
    };
    let server = &balancer.servers[1];
    assert_eq!(server.addresses[..], ["[2001:db8::2]:80".parse().unwrap()]);
    assert_eq!(&*server.authority, "[2001:db8::2]");
}

#[test]
fn ids_stay_over_reloads() {
    let mut rules = Rules::new(&[APP]);
    let ids = |snapshot: &Snapshot| {
        let routers = entry_point(snapshot, "websecure").https.routers().to_vec();
        routers
            .iter()
            .map(|router| router.service.as_ref().unwrap().id)
            .collect::<Vec<_>>()
    };
    let first = rules.loader.load();
    rules.write(
        "a.yml",
        "http: {services: {aaa: {loadBalancer: {servers: [{url: 'http://192.0.2.7'}]}}}}",
    );
    let second = rules.loader.load();
    assert_eq!((first.generation, second.generation), (1, 2));
    assert_eq!(ids(&first), ids(&second));
}

#[test]
fn a_broken_file_costs_itself_alone() {
    let cases = [
        (
            "a: [",
            "broken.yml:2:1: found what is no YAML: while parsing a node, did not find expected node content; correct the syntax (indentation, quotes, brackets) at or just before this place (the file left out)",
        ),
        (
            "htttp: {}",
            "broken.yml:1:1: htttp: found unknown key \"htttp\"; allowed http, tcp, tls; did you mean http? (the file left out)",
        ),
        (
            "http: {routers: {x: {rule: Hosts(`a`), service: app}}}",
            "broken.yml:1:28: http.routers.x.rule: found matcher Hosts; allowed Host, HostRegexp, Path, PathPrefix, PathRegexp, Method, Header, HeaderRegexp, Query, QueryRegexp, ClientIP; did you mean Host? (the file left out)",
        ),
        (
            "http: {routers: {x: {rule: 'ClientIP(`10.0.0.0/40`)', service: app}}}",
            "broken.yml:1:38: http.routers.x.rule: found \"10.0.0.0/40\"; allowed an IP address or CIDR such as 10.0.0.0/8 or 2001:db8::/32; use a prefix length from 0 to 32 (the file left out)",
        ),
        (
            "http: {routers: {x: {rule: Host(`a`), service: app, middleware: [m]}}}",
            "broken.yml:1:53: http.routers.x.middleware: found unknown key \"middleware\"; allowed rule, service, entryPoints, priority, tls, middlewares, ruleSyntax; did you mean middlewares? (the file left out)",
        ),
        (
            "http: {routers: {x: {service: app}}}",
            "broken.yml:1:18: http.routers.x: found no rule; add rule (the file left out)",
        ),
        (
            "http: {services: {x: {loadBalancer: {servers: []}}}}",
            "broken.yml:1:38: http.services.x.loadBalancer.servers: found a list of 0; allowed a list of at least one server (the file left out)",
        ),
        (
            "http: {services: {x: {loadBalancer: {servers: [{url: '192.0.2.1:80'}]}}}}",
            "broken.yml:1:54: http.services.x.loadBalancer.servers[0].url: found \"192.0.2.1:80\"; allowed a URL such as http://192.0.2.10:8080, https://a.example or h2c://192.0.2.10 (the file left out)",
        ),
        (
            "http: {services: {x: {loadBalancer: {servers: [{url: 'http://h', weight: -1}]}}}}",
            "broken.yml:1:74: http.services.x.loadBalancer.servers[0].weight: found \"-1\"; allowed a whole number from 0 to 1000000 (the file left out)",
        ),
        (
            "http: {services: {x: {}}}",
            "broken.yml:1:19: http.services.x: found none of loadBalancer, weighted and failover; allowed one of loadBalancer, weighted and failover (the file left out)",
        ),
        (
            "tcp: {services: {x: {loadBalancer: {servers: [{address: h}]}}}}",
            "broken.yml:1:57: tcp.services.x.loadBalancer.servers[0].address: found \"h\"; allowed host:port such as 192.0.2.10:443 or [2001:db8::10]:443 (the file left out)",
        ),
        (
            "http: {routers: {'x@file': {rule: Host(`a`), service: app}}}",
            "broken.yml:1:18: http.routers.x@file: found the name \"x@file\"; allowed a name without @, which stands before the provider in references (the file left out)",
        ),
        (
            "{{define \"x\"}}",
            "broken.yml:1:1: found a block without its end; add {{end}} (the file left out)",
        ),
    ];
    for (text, expected) in cases {
        let mut rules = Rules::new(&[APP, ("broken.yml", text)]);
        let snapshot = rules.loader.load();
        assert_eq!(rules.messages(&snapshot), [expected], "{text}");
        let found = http_router(&snapshot, "websecure", "a.example/", "192.0.2.9");
        assert_eq!(
            found.as_deref(),
            Some("app@file"),
            "{text}: the rest serves"
        );
    }
}

#[test]
fn what_cannot_be_had_costs_its_router_or_server_alone() {
    let cases = [
        (
            "http: {routers: {x: {rule: Host(`a`), service: appp}}}",
            "b.yml:1:48: http.routers.x: found service \"appp\"; allowed a service of some rule file; add it, or correct the name (router x left out)",
        ),
        (
            "http: {routers: {x: {rule: Host(`a`), service: app@docker}}}",
            "b.yml:1:48: http.routers.x: found provider \"docker\"; allowed app or app@file; weir has the provider file only (router x left out)",
        ),
        (
            "http: {routers: {x: {rule: Host(`a`), service: app, entryPoints: [wep]}}}",
            "b.yml:1:67: http.routers.x: found entry point \"wep\"; allowed web, websecure, ssh, amqps; correct x or add the entry point to the static file (router x left out)",
        ),
        (
            "http: {routers: {x: {rule: Host(`a`), service: app, middlewares: [m]}}}",
            "b.yml:1:67: http.routers.x: found middleware \"m\"; allowed a middleware of some rule file; add it, or correct the name (router x left out)",
        ),
        (
            "http: {routers: {x: {rule: Host(`a`), service: app, tls: {options: strict}}}}",
            "b.yml:1:68: http.routers.x: found the TLS options \"strict\"; allowed default; correct the name, or add them to tls.options of a rule file (router x left out)",
        ),
        (
            "http: {routers: {x: {rule: Host(`a`), service: app, ruleSyntax: v2}}}",
            "b.yml:1:65: http.routers.x.ruleSyntax: found ruleSyntax \"v2\"; allowed v3, default; write the rule in v3",
        ),
        (
            "http: {middlewares: {m: {rateLimit: {average: 1}}}}",
            "b.yml:1:26: http.middlewares.m.rateLimit: found the key \"rateLimit\"; Traefik has it, weir not yet (middleware m left out)",
        ),
        (
            "http: {middlewares: {m: {addPrefix: {prefix: /a}, compress: {}}}}",
            "b.yml:1:22: http.middlewares.m: found 2 kinds of middleware; allowed one of them, such as compress: {}; give each middleware a name of its own, and join them with a chain (middleware m left out)",
        ),
        (
            "http: {middlewares: {m: {stripPrefixRegex: {regex: ['a**']}}}}",
            "b.yml:1:45: http.middlewares.m.stripPrefixRegex.regex: found a list of 1; allowed a regular expression as Go reads them, without a repetition of a repetition",
        ),
        (
            "http: {services: {x: {mirroring: {}}}}",
            "b.yml:1:23: http.services.x.mirroring: found the key \"mirroring\"; Traefik has it, weir not yet (service x left out)",
        ),
        (
            "http: {services: {x: {loadBalancer: {servers: [{url: 'http://no-such-name.invalid'}]}}}}",
            "b.yml:1:54: http.services.x.loadBalancer: found no-such-name.invalid, which does not resolve",
        ),
        (
            "http: {services: {x: {weighted: {services: [{name: nobody}]}}}}",
            "b.yml:1:52: http.services.x.weighted: found service \"nobody\"; allowed a service of some rule file; add it, or correct the name (service x left out)",
        ),
        (
            "tls: {certificates: [{certFile: /nonexistent.pem, keyFile: /nonexistent.key}]}",
            "b.yml:1:33: tls.certificates: found ",
        ),
    ];
    for (text, expected) in cases {
        let mut rules = Rules::new(&[APP, ("b.yml", text)]);
        let snapshot = rules.loader.load();
        let messages = rules.messages(&snapshot);
        assert!(
            messages.len() == 1 && messages[0].starts_with(expected),
            "{text}: {messages:#?}"
        );
        assert_eq!(snapshot.errors(), 1);
        let found = http_router(&snapshot, "websecure", "a.example/", "192.0.2.9");
        assert_eq!(
            found.as_deref(),
            Some("app@file"),
            "{text}: the rest serves"
        );
    }
}

#[test]
fn what_refers_to_a_refused_service_is_refused_with_it() {
    let found = messages(&[(
        "a.yml",
        "
http:
  routers: {r: {rule: Host(`a`), service: upper}}
  services:
    upper: {weighted: {services: [{name: lower}]}}
    lower: {mirroring: {}}
",
    )]);
    assert_eq!(
        found,
        [
            "a.yml:3:43: http.routers.r: found service \"upper\"; correct that service, at a.yml:5:5 (router r left out)",
            "a.yml:5:42: http.services.upper.weighted: found service \"lower\"; correct that service, at a.yml:6:5 (service upper left out)",
            "a.yml:6:13: http.services.lower.mirroring: found the key \"mirroring\"; Traefik has it, weir not yet (service lower left out)",
        ]
    );
}

#[test]
fn circles_and_depth_are_refused() {
    let circle = messages(&[(
        "a.yml",
        "http: {services: {x: {weighted: {services: [{name: y}]}}, y: {weighted: {services: [{name: x}]}}}}",
    )]);
    assert_eq!(circle.len(), 2);
    assert!(
        circle[0].contains("found services in a circle"),
        "{circle:?}"
    );
    let chain = (0..=crate::limits::SERVICE_DEPTH_MAX).map(|n| {
        let child = if n == 0 {
            "leaf".to_owned()
        } else {
            format!("s{}", n - 1)
        };
        format!("    s{n}: {{weighted: {{services: [{{name: {child}}}]}}}}\n")
    });
    let text = format!(
        "http:\n  services:\n    leaf: {{loadBalancer: {{servers: [{{url: 'http://192.0.2.1'}}]}}}}\n{}",
        chain.collect::<String>()
    );
    let found = messages(&[("a.yml", &text)]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("9 services inside each other"),
        "{found:?}"
    );
}

#[test]
fn the_first_of_two_with_one_name_counts() {
    let file = |host| {
        format!(
            "http: {{routers: {{x: {{rule: Host(`{host}`), service: s}}}}, services: {{s: {{loadBalancer: {{servers: [{{url: 'http://192.0.2.1'}}]}}}}}}}}"
        )
    };
    let mut rules = Rules::new(&[("b.yml", &file("b")), ("a/z.yml", &file("a"))]);
    let snapshot = rules.loader.load();
    assert_eq!(snapshot.errors(), 0);
    assert_eq!(
        rules.messages(&snapshot),
        [
            "b.yml:1:18: http.routers.x: found x again; the one at a/z.yml:1:18 counts: rename or remove one (this one left out)",
            "b.yml:1:64: http.services.s: found s again; the one at a/z.yml:1:64 counts: rename or remove one (this one left out)",
        ]
    );
    assert_eq!(
        http_router(&snapshot, "web", "a/", "192.0.2.9").as_deref(),
        Some("x@file")
    );
    assert_eq!(http_router(&snapshot, "web", "b/", "192.0.2.9"), None);
}

#[test]
fn a_missing_directory_is_named() {
    let mut rules = Rules::new(&[]);
    fs::remove_dir(rules.directory.path()).unwrap();
    let snapshot = rules.loader.load();
    assert_eq!(snapshot.problems.len(), 1);
    assert_eq!(snapshot.problems[0].severity, Severity::Error);
    assert!(
        snapshot.problems[0]
            .to_string()
            .contains("a directory that cannot be read")
    );
}

#[test]
fn a_router_with_an_error_answers_404_itself() {
    let mut rules = Rules::new(&[
        (
            "a.yml",
            "http: {routers: {all: {rule: 'PathPrefix(`/`)', service: s}},
             services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}}",
        ),
        (
            "b.yml",
            "http: {routers: {
             later: {rule: 'PathPrefix(`/admin`)', service: s, parentRefs: [x]},
             dangling: {rule: 'PathPrefix(`/secret`)', service: nowhere}}}",
        ),
    ]);
    let snapshot = rules.loader.load();
    let table = &entry_point(&snapshot, "web").http;
    let found = |path| {
        let request = RequestView::new("a.example", path, client("192.0.2.9"));
        let router = table.find(&request).unwrap();
        (router.name.to_string(), router.service.is_some())
    };
    assert_eq!(found("/"), ("all@file".to_owned(), true));
    assert_eq!(found("/admin/x"), ("later@file".to_owned(), false));
    assert_eq!(found("/secret"), ("dangling@file".to_owned(), false));
    assert_eq!((table.serving(), table.routers().len()), (1, 3));
    assert_eq!(snapshot.errors(), 2, "{:?}", rules.messages(&snapshot));
}

#[test]
fn middlewares_are_laid_out_or_cost_their_router() {
    let file = |middlewares: &str| {
        format!(
            "
http:
  routers: {{r: {{rule: Host(`a`), service: s, middlewares: [c]}}}}
  services: {{s: {{loadBalancer: {{servers: [{{url: 'http://192.0.2.1'}}]}}}}}}
  middlewares: {{{middlewares}}}
"
        )
    };
    let good = file(
        "c: {chain: {middlewares: [d@file, p]}}, d: {chain: {middlewares: [p]}}, p: {compress: }",
    );
    let mut rules = Rules::new(&[("a.yml", &good)]);
    let snapshot = rules.loader.load();
    assert_eq!(rules.messages(&snapshot), Vec::<String>::new());
    let [router] = snapshot.entry_points[0].http.routers() else {
        panic!("one router");
    };
    assert_eq!(router.middlewares.len(), 2);
    for (middlewares, found) in [
        (
            "c: {chain: {middlewares: [c]}}",
            "http.routers.r: found middleware \"c\"; allowed at most 8 chains",
        ),
        (
            "c: {retry: {attempts: 1}}",
            "found middleware \"c\"; correct that middleware, at a.yml:5:17",
        ),
        (
            "c: {chain: {middlewares: [x]}}",
            "a.yml:5:17: http.routers.r: found middleware \"x\"",
        ),
        ("c: {chain: {}}", "found middleware \"c\"; correct"),
    ] {
        let mut rules = Rules::new(&[("a.yml", &file(middlewares))]);
        let snapshot = rules.loader.load();
        let messages = rules.messages(&snapshot);
        let mut once = messages.clone();
        once.dedup();
        assert_eq!(once, messages, "on four entry points, and said once");
        assert!(
            messages.iter().any(|message| message.contains(found)),
            "{middlewares}: {messages:#?}"
        );
        let [router] = snapshot.entry_points[0].http.routers() else {
            panic!("one router");
        };
        assert!(
            router.service.is_none() && router.middlewares.is_empty(),
            "{middlewares}"
        );
    }
}

#[test]
fn certificates_to_order_are_one_warning() {
    let file = "
http:
  routers:
    a: {rule: Host(`a`), service: s, tls: {certResolver: r, domains: [{main: a, sans: ['*.a']}]}}
    b: {rule: Host(`b`), service: s, tls: {certResolver: r}}
  services: {s: {loadBalancer: {servers: [{url: 'http://192.0.2.1'}]}}}
";
    let mut rules = Rules::new(&[("a.yml", file)]);
    let snapshot = rules.loader.load();
    let messages = rules.messages(&snapshot);
    assert_eq!((messages.len(), snapshot.errors()), (1, 0), "{messages:#?}");
    assert!(
        messages[0].contains("the certificate resolver \"r\", which obtains none"),
        "{messages:#?}"
    );
    assert_eq!(snapshot.entry_points[0].https.routers().len(), 2);
}
