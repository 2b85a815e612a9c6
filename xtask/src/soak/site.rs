//! weir with what it serves during the soak: servers of each kind, one of which dies again and again.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use xtask::certificate::Certificate;
use xtask::daemon::{Daemon, free_address};

use super::clients::Addresses;
use crate::shell::Outcome;

/// How long weir may take to start.
const START: Duration = Duration::from_secs(20);

/// Addresses of servers; the second of a pair is that of the one that dies.
pub struct Servers {
    pub http: [SocketAddr; 2],
    pub echo: [SocketAddr; 2],
    pub http2: SocketAddr,
}

/// A running weir.
pub struct Site {
    // Before its directory.
    weir: Daemon,
    directory: tempfile::TempDir,
    pub servers: Servers,
    pub addresses: Addresses,
}

impl Site {
    pub fn start(binary: &Path, certificate: &Certificate, servers: Servers) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        certificate.write(directory.path())?;
        let addresses = Addresses {
            plain: free_address(),
            secure: free_address(),
            tunnel: free_address(),
        };
        let at = directory.path().display().to_string();
        let config = directory.path().join("weir.yml");
        fs::create_dir(directory.path().join("rules"))?;
        fs::write(&config, static_configuration(&at, &addresses))?;
        write_rules(directory.path(), &servers, 0)?;
        let mut command = Command::new(binary);
        command.arg("--configFile").arg(&config);
        command.env("WEIR_STATEDIR", directory.path().join("state"));
        let mut weir = Daemon::start(&mut command, None)?;
        weir.listening(addresses.plain, START)?;
        Ok(Self {
            weir,
            directory,
            servers,
            addresses,
        })
    }

    pub fn pid(&self) -> u32 {
        self.weir.pid()
    }

    pub fn log(&self) -> String {
        self.weir.log()
    }

    /// Changes the rules so that they are loaded anew.
    pub fn reload(&self, version: usize) -> Outcome {
        write_rules(self.directory.path(), &self.servers, version)
    }

    /// How often something has failed, by weir's own reasons.
    pub fn failures(&self) -> Outcome<String> {
        let text = fs::read_to_string(self.directory.path().join("run/status.json"))?;
        let status: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let counts = status["failures"].as_object().into_iter().flatten();
        let texts = counts
            .filter(|(_, count)| count.as_u64() > Some(0))
            .map(|(reason, count)| format!("{reason} {count}"));
        Ok(texts.collect::<Vec<_>>().join(", "))
    }
}

fn static_configuration(at: &str, addresses: &Addresses) -> String {
    let Addresses {
        plain,
        secure,
        tunnel,
    } = addresses;
    format!(
        "entryPoints:\n  web:\n    address: \"{plain}\"\n  websecure:\n    address: \"{secure}\"\n\
         \x20 tunnel:\n    address: \"{tunnel}\"\n\
         providers:\n  file:\n    directory: \"{at}/rules\"\nruntimeDir: \"{at}/run\"\nworkers: 2\n\
         log:\n  level: ERROR\n"
    )
}

fn write_rules(directory: &Path, servers: &Servers, version: usize) -> Outcome {
    let at = directory.display();
    let router = |name: &str, entry_point: &str, rest: &str| {
        let names = [
            ("both", "PathPrefix(`/`)", 1),
            ("echo", "Path(`/echo`)", 2),
            ("http2", "PathPrefix(`/h2/`)", 3),
        ];
        let routers = names.map(|(service, rule, priority)| {
            format!(
                "    {name}-{service}:\n      rule: {rule} || Path(`/{version}/{service}`)\n      \
                 priority: {priority}\n      service: {service}\n      \
                 entryPoints: [{entry_point}]\n{rest}"
            )
        });
        routers.concat()
    };
    let pair = |name: &str, scheme: &str, servers: &[SocketAddr]| {
        let servers = servers.iter();
        let urls = servers.map(|server| format!("          - url: {scheme}://{server}\n"));
        let urls = urls.collect::<String>();
        format!("    {name}:\n      loadBalancer:\n        servers:\n{urls}")
    };
    let [echo, dying] = servers.echo;
    let text = format!(
        "http:\n  routers:\n{}{}  services:\n{}{}{}\
         tcp:\n  routers:\n    tunnel:\n      rule: HostSNI(`*`)\n      service: echo\n      \
         entryPoints: [tunnel]\n\
         \x20 services:\n    echo:\n      loadBalancer:\n        servers:\n          \
         - address: \"{echo}\"\n          - address: \"{dying}\"\n\
         tls:\n  certificates:\n    - certFile: \"{at}/chain.pem\"\n      keyFile: \"{at}/key.pem\"\n",
        router("plain", "web", ""),
        router("secure", "websecure", "      tls: {}\n"),
        pair("both", "http", &servers.http),
        pair("echo", "http", &servers.echo),
        pair("http2", "h2c", &[servers.http2]),
    );
    let draft = directory.join("draft");
    fs::write(&draft, text)?;
    fs::rename(draft, directory.join("rules/rules.yml"))?;
    Ok(())
}

/// A port of the loopback interface, chosen by the kernel.
pub fn any() -> (Ipv4Addr, u16) {
    (Ipv4Addr::LOCALHOST, 0)
}
