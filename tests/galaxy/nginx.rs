//! The site's servers: one nginx on the addresses that the rules name, each with a certificate for its name. It says
//! what it was asked.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use xtask::daemon::Daemon;
use xtask::netns::Namespace;

use super::headnode::ADDRESS;
use crate::support::DEADLINE;
use crate::upstream::pki::Pki;

pub use crate::upstream::nginx::require;

/// Name in answers, address, name in the certificate.
const SERVERS: [(&str, &str, &str); 6] = [
    ("headnode", "127.0.1.1:443", "headnode.galaxy.example"),
    ("pages", "127.0.1.2:443", "pages.galaxy.example"),
    ("build", "127.0.1.3:443", "build-host.galaxy.example"),
    ("stats", "127.0.1.4:443", "stats-host.galaxy.example"),
    ("mq", "192.0.2.188:5671", "mq.galaxy.example"),
    ("influxdb", "192.0.2.189:8086", "influxdb.galaxy.example"),
];

/// As Galaxy's own nginx does it.
fn behind() -> String {
    let to = format!(
        "proxy_pass http://{ADDRESS}; proxy_http_version 1.1; proxy_set_header Host $host;"
    );
    format!(
        "location /ws {{ {to} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} \
         location /api/events/stream/now {{ {to} proxy_buffering off; }}"
    )
}

/// Starts it with files in this directory.
pub fn start(dir: &Path, pki: &Pki, namespace: &Namespace) -> Daemon {
    const SAYS: &str = "host=$host sni=$ssl_server_name uri=$request_uri replaced=$http_x_replaced_path proto=$http_x_forwarded_proto client=$ssl_client_s_dn";
    let (mut servers, base) = (String::new(), dir.display());
    // Long enough to be compressed.
    let padding = "galaxy ".repeat(300);
    for (name, address, host) in SERVERS {
        let pair = pki.server(&[host]);
        let file = |extension: &str| dir.join(format!("{name}.{extension}"));
        fs::write(file("crt"), &pair.certificate).expect("written");
        fs::write(file("key"), &pair.key).expect("written");
        let (certificate, key) = (
            file("crt").display().to_string(),
            file("key").display().to_string(),
        );
        servers += &format!(
            "server {{ listen {address} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; \
             location / {{ return 200 \"{name} {SAYS} {padding}\"; }} {} }}\n",
            match name {
                "headnode" => behind(),
                "mq" => format!(
                    "ssl_verify_client optional; ssl_client_certificate {base}/servers.pem;"
                ),
                _ => String::new(),
            }
        );
    }
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {base}/{kind}; "))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid {base}/nginx.pid; error_log stderr;\nevents {{ worker_connections 256; }}\n\
         http {{ access_log off; default_type text/plain; {temporary}\n{servers} }}\n"
    );
    let config = dir.join("nginx.conf");
    fs::write(&config, text).expect("written");
    let mut command = Command::new("nginx");
    command
        .arg("-c")
        .arg(config)
        .arg("-p")
        .arg(dir)
        .args(["-e", "stderr"]);
    let mut daemon = Daemon::start(&mut command, Some(namespace)).expect("nginx starts");
    for (_, address, _) in SERVERS {
        let address: SocketAddr = address.parse().expect("an address");
        let listening = daemon.listening(address, DEADLINE);
        listening.unwrap_or_else(|error| panic!("{error}"));
    }
    daemon
}
