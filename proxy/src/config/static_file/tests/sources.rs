//! Flags, variables and files together: what counts, what has no effect, and where a mistake is shown.

use super::*;

/// The flags of usegalaxy.eu's Traefik, unchanged but for an address.
const GALAXY: &str = "
--ping  --ping.entryPoint=websecure  --api=true
--providers.swarm.exposedByDefault=false  --providers.swarm.endpoint=unix:///var/run/docker.sock
--api.dashboard=true --api.insecure=false --global.sendAnonymousUsage=false --global.checkNewVersion=false
--entryPoints.web.address=:80      --entryPoints.websecure.address=:443   --entryPoints.amqps.address=:5671
--entryPoints.ftp.address=:21      --entryPoints.influxdb.address=:8086   --entryPoints.cvmfs-rsync.address=:9087
--entryPoints.web.http.redirections.entryPoint.to=websecure
--entryPoints.web.http.redirections.entryPoint.scheme=https
--entryPoints.metrics.address=:8082
--metrics.prometheus=true --metrics.prometheus.buckets=0.1,0.3,1.2,5.0 --metrics.prometheus.addEntryPointsLabels=true
--metrics.prometheus.addrouterslabels=true --metrics.prometheus.addServicesLabels=true
--metrics.prometheus.entryPoint=metrics --metrics.prometheus.headerlabels.origin=Origin
--providers.file.directory=/rules --providers.file.watch=true
--certificatesResolvers.ts.tailscale=true
--certificatesResolvers.route53.acme.storage=/letsencrypt/acme.json
--certificatesResolvers.route53.acme.dnsChallenge.provider=route53
--certificatesresolvers.route53.acme.caserver=https://acme-v02.api.letsencrypt.org/directory
--certificatesresolvers.route53.acme.email=mail@galaxy.example
--log.level=INFO --accesslog=true --accesslog.filepath=/var/log/traefik/access.log
";

fn load(
    file: Option<&Path>,
    flags: &[&str],
    variables: &[(&str, &str)],
) -> Result<(StaticConfig, Vec<String>), Vec<String>> {
    let own = |text: &&str| (*text).to_owned();
    let sources = Sources {
        file: file.map(Path::to_owned),
        flags: flags.iter().map(own).collect(),
        variables: variables
            .iter()
            .map(|(name, value)| (own(name), own(value)))
            .collect(),
    };
    let lines = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect();
    match StaticConfig::load(&sources) {
        Ok((config, warnings)) => Ok((config, lines(warnings))),
        Err(problems) => Err(lines(problems)),
    }
}

#[test]
fn the_flags_of_a_traefik_start_weir() {
    let flags: Vec<&str> = GALAXY.split_whitespace().collect();
    let (config, warnings) = load(None, &flags, &[]).unwrap();
    let names: Vec<&str> = config
        .entry_points
        .iter()
        .map(|entry_point| entry_point.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "web",
            "websecure",
            "amqps",
            "ftp",
            "influxdb",
            "cvmfs-rsync",
            "metrics"
        ]
    );
    assert_eq!(config.entry_points[5].address.port(), 9087);
    assert_eq!(config.rules.path.as_deref(), Some(Path::new("/rules")));
    let of = |path: &str| {
        warnings
            .iter()
            .filter(|line| line.contains(&format!(": {path}: found")))
            .count()
    };
    for path in [
        "ping",
        "api",
        "metrics",
        "accessLog",
        "global",
        "providers.swarm",
    ] {
        assert_eq!(of(path), 1, "{path}: {warnings:#?}");
    }
    for path in ["certificatesResolvers.ts", "certificatesResolvers.route53"] {
        assert_eq!(of(path), 0, "{path}: {warnings:#?}");
    }
}

#[test]
fn a_flag_counts_more_than_a_variable_and_that_more_than_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    let text = "workers = 1\n[entryPoints.web]\naddress = \":1\"\n[entryPoints.b]\naddress = \":2\"\n[log]\nlevel = \"WARN\"\n";
    std::fs::write(&file, text).unwrap();
    let variables = [
        ("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", ":3"),
        ("WEIR_ENTRYPOINTS_WEB_ADDRESS", ":4"),
        ("TRAEFIK_LOG_LEVEL", "ERROR"),
        ("WEIR_WORKERS", "2"),
    ];
    let (config, warnings) = load(
        Some(&file),
        &["--entrypoints.web.address=:5", "--workers=3", "--workers=4"],
        &variables,
    )
    .unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let ports: Vec<u16> = config
        .entry_points
        .iter()
        .map(|entry_point| entry_point.address.port())
        .collect();
    assert_eq!((ports, config.workers), (vec![5, 2], Some(4)));
    assert_eq!(config.log.level, tracing::level_filters::LevelFilter::ERROR);
}

#[test]
fn a_mistake_is_shown_where_it_was_made() {
    let good = "--entryPoints.web.address=:80";
    for (flags, variables, expected) in [
        (
            vec!["--entryPoints.web.adress=:80"],
            vec![],
            "--entryPoints.web.adress=:80: entryPoints.web.adress: found unknown key \"adress\"; allowed address, ",
        ),
        (
            vec![good, "--workers=many"],
            vec![],
            "--workers=many: workers: found \"many\"; allowed auto, or",
        ),
        (
            vec![good],
            vec![("WEIR_LOG_LEVL", "INFO")],
            "WEIR_LOG_LEVL: log.levl: found unknown key \"levl\"; allowed level, format, filePath; did you mean level?",
        ),
        (
            vec![good, "--steering.snat.ports=1"],
            vec![],
            "--steering.snat.ports=1: steering.snat.ports: found \"1\"",
        ),
        (
            vec![good, "--acceslog=true"],
            vec![],
            "--acceslog=true: acceslog: found unknown key \"acceslog\"",
        ),
        (
            vec![good, "--metrics.prometeus=true"],
            vec![],
            "--metrics.prometeus=true: metrics.prometeus: found unknown",
        ),
    ] {
        let problems = load(None, &flags, &variables).unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].starts_with(expected),
            "{problems:#?}"
        );
    }
}
