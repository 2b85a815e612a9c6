//! Defaults, every key, and the message of every refusal.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;

mod entry_points;
mod limits;
mod sources;

fn parse(text: &str) -> Result<StaticConfig, Vec<String>> {
    let parsed = StaticConfig::parse(Path::new("weir.yml"), text);
    parsed
        .map(|(config, _)| config)
        .map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

#[test]
fn the_least_file_has_defaults() {
    let config = parse("entryPoints:\n  web:\n    address: ':80'\n").unwrap();
    let web = &config.entry_points[0];
    assert_eq!(
        (web.name.as_str(), web.address, web.as_default),
        ("web", "[::]:80".parse().unwrap(), false)
    );
    let timeouts = Timeouts {
        idle: Some(Duration::from_secs(180)),
        read: None,
        write: None,
        accept_grace: Duration::ZERO,
        grace: Duration::from_secs(10),
    };
    assert_eq!(web.timeouts, timeouts);
    assert_eq!((web.origin.line, web.origin.column), (3, 14));
    assert!(web.steering.is_none() && config.steering.snat.is_none() && config.workers.is_none());
    assert_eq!(
        (
            config.steering.on_stop,
            config.steering.protected_ports.as_slice()
        ),
        (OnStop::Keep, &[22][..])
    );
    assert_eq!(
        (config.rules.path.as_deref(), config.rules.watch),
        (None, true)
    );
    assert_eq!(config.runtime_dir, Path::new("/run/weir"));
    assert_eq!(config.log.level, tracing::level_filters::LevelFilter::INFO);
}

#[test]
fn every_key_is_read() {
    let config = parse(
        "
entryPoints:
  websecure:
    address: '192.0.2.1:443/tcp'
    asDefault: true
    steering: {interfaces: [eth0, eth1], mode: Generic}
    transport:
      respondingTimeouts: {idleTimeout: 1m30s, readTimeout: 60, writeTimeout: 1h}
      lifeCycle: {graceTimeOut: 5, requestAcceptGraceTimeout: 3}
providers: {file: {directory: /etc/weir/rules, watch: false}}
log: {level: debug, format: json, filePath: /var/log/weir.log}
steering:
  snat: {addresses: [192.0.2.1, '2001:db8::1'], ports: 20000-20999}
  onStop: detach
  pinPath: /sys/fs/bpf/other
  protectedPorts: [8080]
runtimeDir: /tmp/weir
workers: 2
",
    )
    .unwrap();
    let entry_point = &config.entry_points[0];
    assert_eq!(
        entry_point.address,
        (Ipv4Addr::new(192, 0, 2, 1), 443).into()
    );
    assert!(entry_point.as_default);
    let steering = entry_point.steering.as_ref().unwrap();
    assert_eq!(
        (steering.interfaces.join(","), steering.mode),
        ("eth0,eth1".into(), SteeringMode::Generic)
    );
    let timeouts = Timeouts {
        idle: Some(Duration::from_secs(90)),
        read: Some(Duration::from_secs(60)),
        write: Some(Duration::from_secs(3600)),
        accept_grace: Duration::from_secs(3),
        grace: Duration::from_secs(5),
    };
    assert_eq!(entry_point.timeouts, timeouts);
    assert_eq!(
        (config.rules.path.as_deref(), config.rules.watch),
        (Some(Path::new("/etc/weir/rules")), false)
    );
    assert_eq!(
        config.log.file.as_deref(),
        Some(Path::new("/var/log/weir.log"))
    );
    assert_eq!(config.log.format, LogFormat::Json);
    let snat = config.steering.snat.as_ref().unwrap();
    assert_eq!(
        (snat.addresses.len(), snat.first_port, snat.last_port),
        (2, 20_000, 20_999)
    );
    assert_eq!(
        (config.steering.on_stop, config.workers),
        (OnStop::Detach, Some(2))
    );
    assert_eq!(config.steering.protected_ports, [22, 8080]);
}

#[test]
fn refusals_of_entry_points() {
    let web = "entryPoints:\n  web:\n    address: :80\n";
    let cases = [
        ("", "weir.yml:1:1: found no entryPoints; add entryPoints"),
        (
            "entryPoints: {}",
            "weir.yml:1:1: entryPoints: found 0 entry points; allowed 1 to 64",
        ),
        (
            "entryPoints:\n  web: {}",
            "weir.yml:2:3: entryPoints.web: found no address; add address",
        ),
        (
            "entryPoints:\n  web:\n    adress: :80",
            "weir.yml:3:5: entryPoints.web.adress: found unknown key \"adress\"; allowed address, asDefault, limits, reasonHeader, forwardedHeaders, http, http2, proxyProtocol, reusePort, steering, transport; did you mean address?",
        ),
        (
            "entryPoints:\n  web:\n    address: 443x",
            "weir.yml:3:14: entryPoints.web.address: found \"443x\"; allowed [address]:port such as :443, 192.0.2.1:443 or [2001:db8::1]:443",
        ),
        (
            "entryPoints:\n  dns:\n    address: :53/udp",
            "weir.yml:3:14: entryPoints.dns.address: found a UDP entry point; Traefik has it, weir not yet",
        ),
        (
            "entryPoints:\n  web:\n    address: :80\n  old:\n    address: 0.0.0.0:80",
            "weir.yml:5:14: entryPoints.old: found the address of entry point web; give each entry point an address of its own",
        ),
        (
            &format!("{web}    allowACMEByPass: true"),
            "weir.yml:4:5: entryPoints.web.allowACMEByPass: found the key \"allowACMEByPass\"; Traefik has it, weir not yet",
        ),
        (
            &format!("{web}    transport: {{respondingTimeouts: {{idleTimeout: soon}}}}"),
            "weir.yml:4:51: entryPoints.web.transport.respondingTimeouts.idleTimeout: found \"soon\"; allowed a duration such as 300ms, 1m30s, or a number of seconds",
        ),
        (
            &format!(
                "{web}    steering: {{interfaces: []}}\nsteering: {{snat: {{addresses: [192.0.2.1]}}}}"
            ),
            "weir.yml:4:16: entryPoints.web.steering.interfaces: found a list of 0; allowed a list of at least one network interface",
        ),
        (
            &format!(
                "{web}    steering: {{interfaces: [eth0, an-interface-name-too-long]}}\nsteering: {{snat: {{addresses: [192.0.2.1]}}}}"
            ),
            "weir.yml:4:35: entryPoints.web.steering.interfaces: found \"an-interface-name-too-long\"; allowed names of network interfaces, each once, such as eth0",
        ),
        (
            &format!(
                "{web}    steering: {{interfaces: [eth0], mode: fast}}\nsteering: {{snat: {{addresses: [192.0.2.1]}}}}"
            ),
            "weir.yml:4:42: entryPoints.web.steering.mode: found \"fast\"; allowed auto, native, generic, off",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).expect_err(text), [expected], "{text}");
    }
}

#[test]
fn refusals_beside_entry_points() {
    let web = "entryPoints:\n  web:\n    address: :80\n";
    let cases = [
        (
            "entryPoints:\n  web:\n    address: :0\n    steering: {interfaces: [eth0]}",
            "weir.yml:3:14: entryPoints.web.address: found port 0 with steering; allowed a port from 1 to 65535; name the port that clients connect to, or set steering.mode: off",
        ),
        (
            &format!("{web}steering: {{snat: {{addresses: [10.0.0.0/40]}}}}"),
            "weir.yml:4:31: steering.snat.addresses: found \"10.0.0.0/40\"; allowed addresses of this machine, each once, such as 192.0.2.1 or 2001:db8::1",
        ),
        (
            &format!("{web}steering: {{snat: {{addresses: [192.0.2.1], ports: 80-70000}}}}"),
            "weir.yml:4:50: steering.snat.ports: found \"80-70000\"; allowed two ports from 1024 to 65535, the lower first, such as 16384-32767",
        ),
        (
            &format!("{web}steering: {{protectedPorts: [ssh]}}"),
            "weir.yml:4:29: steering.protectedPorts: found \"ssh\"; allowed ports from 1 to 65535",
        ),
        (
            &format!("{web}log: {{level: loud}}"),
            "weir.yml:4:14: log.level: found \"loud\"; allowed TRACE, DEBUG, INFO, WARN, ERROR, FATAL, PANIC",
        ),
        (
            &format!("{web}providers: {{rest: {{}}}}"),
            "weir.yml:4:13: providers.rest: found the key \"rest\"; Traefik has it, weir not yet",
        ),
        (
            &format!("{web}providers: {{file: {{directory: /a, filename: /b}}}}"),
            "weir.yml:4:13: providers.file: found directory and filename; allowed one of directory and filename",
        ),
        (
            &format!("{web}workers: 0"),
            "weir.yml:4:10: workers: found \"0\"; allowed auto, or a whole number from 1 to 1024",
        ),
        (
            &format!("{web}runtimeDir: weir"),
            "weir.yml:4:13: runtimeDir: found \"weir\"; allowed an absolute path",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).expect_err(text), [expected], "{text}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = parse("entryPoints:\n  web: {address: x}\n  tls: {adress: ':443'}\nlogs: {}\n")
        .unwrap_err();
    let lines: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.split(':').nth(1))
        .collect();
    assert_eq!(lines, ["2", "3", "4"]);
}

#[test]
fn a_missing_file_is_a_problem_of_its_own() {
    let problems =
        StaticConfig::load(&Sources::of_file(Path::new("/nonexistent/weir.yml"))).unwrap_err();
    let expected =
        "/nonexistent/weir.yml: found no such file; create it, or name another with --configFile";
    assert_eq!(problems[0].to_string(), expected);
}

#[test]
fn two_resolvers_that_deploy_to_one_directory_are_warned_of() {
    let text = "
entryPoints: {web: {address: ':80'}}
certificatesResolvers:
  a: {tailscale: {}, deploy: {directory: /pem}}
  b: {tailscale: {}, deploy: {directory: /pem/}}
  c: {tailscale: {}, deploy: {directory: /pem/c}}
";
    let (config, warnings) = StaticConfig::parse(Path::new("weir.yml"), text).unwrap();
    assert_eq!(config.resolvers.len(), 3);
    let warnings: Vec<String> = warnings.iter().map(Problem::to_string).collect();
    let expected = "weir.yml:5:22: certificatesResolvers.b.deploy: found the directory /pem, which the resolver \"a\" has too";
    assert!(
        warnings.len() == 1 && warnings[0].starts_with(expected),
        "{warnings:#?}"
    );
    let climbs = parse(&text.replace("/pem/c", "/pem/../c")).unwrap_err();
    assert!(
        climbs[1].contains("an absolute path without .."),
        "{climbs:#?}"
    );
    let none = parse(&text.replace("/pem/c", "/pem/c, names: [a/b]")).unwrap_err();
    assert!(none[1].contains("found the name \"a/b\""), "{none:#?}");
    assert!(!config.rules.allow_deploy);
}
