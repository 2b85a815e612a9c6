//! Which connections to servers are used again, and when a request is sent once more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::nginx::{self, Nginx};
use super::pki::Pki;
use super::{get, routed, secure, weir};
use crate::http1::origin::{Origin, Reply};
use crate::support::client::Connection;
use crate::support::weir::Setup;

/// Servers that close connections after 40 ms, and requests that come after anything between nothing and twice that.
#[test]
fn connections_that_servers_close_while_idle_cost_no_request() {
    if !nginx::require() {
        return;
    }
    let pki = Pki::new("the authority");
    let setup = Setup::new("");
    setup.write("ca.pem", &pki.authority());
    let mut nginx = Nginx::default();
    let impatient = "keepalive_timeout 40ms;";
    let plain = nginx.plain(impatient);
    let tls = nginx.tls(&pki.server(&["127.0.0.1"]), impatient);
    let _nginx = nginx.start();
    let server = format!("{{servers: [{{url: \"http://127.0.0.1:{plain}\"}}]}}");
    let setup = setup.rules("plain.yml", &routed("plain", &server)).rules(
        "tls.yml",
        &secure("tls", "127.0.0.1", tls, "{rootCAs: [\"{dir}/ca.pem\"]}"),
    );
    let (weir, address) = weir(setup);
    thread::scope(|scope| {
        for client in 0..16_u64 {
            scope.spawn(move || {
                let path = if client % 2 == 0 { "/plain" } else { "/tls" };
                let mut connection = Connection::open(address);
                for request in 0..120_u64 {
                    // Spread evenly, and not the same for any two clients: what is tested is every age.
                    let idle = (request * 37 + client * 11) % 80;
                    thread::sleep(Duration::from_millis(idle));
                    let response = connection.get("a.example", path);
                    assert_eq!(
                        response.status,
                        200,
                        "{path} after {idle} ms: {}",
                        response.text()
                    );
                }
            });
        }
    });
    drop(weir);
}

#[test]
fn a_reload_keeps_connections_unless_their_transport_changes() {
    let origin = Origin::new(|_| Reply::ok("x"));
    let load_balancer = format!(
        "{{serversTransport: t, servers: [{{url: \"http://{}\"}}]}}",
        origin.address()
    );
    let transport = |idle: u32| {
        format!(
            "http:\n  serversTransports:\n    t: {{forwardingTimeouts: {{idleConnTimeout: {idle}}}}}\n"
        )
    };
    let setup = Setup::new("")
        .rules("app.yml", &routed("app", &load_balancer))
        .rules("transport.yml", &transport(60));
    let (weir, address) = weir(setup);
    let ask = || assert_eq!(get(address, "/app").status, 200, "{}", weir.log());
    ask();
    ask();
    assert_eq!(origin.connections(), 1);
    weir.setup()
        .write("rules/more.yml", &routed("more", &load_balancer));
    weir.logged("generation=2");
    ask();
    assert_eq!(origin.connections(), 1, "nothing changed for it");
    weir.setup().write("rules/transport.yml", &transport(61));
    weir.logged("generation=3");
    ask();
    assert_eq!(origin.connections(), 2, "other settings");
}

#[test]
fn a_request_that_may_be_repeated_is_sent_once_more() {
    let requests = AtomicUsize::new(0);
    // Every second request of a connection is not answered.
    let origin = Origin::new(
        move |_| match requests.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => Reply::ok("x"),
            _ => Reply::new("").close(),
        },
    );
    let server = format!("{{servers: [{{url: \"http://{}\"}}]}}", origin.address());
    let (weir, address) = weir(Setup::new("").rules("app.yml", &routed("app", &server)));
    for _ in 0..4 {
        assert_eq!(get(address, "/app").status, 200, "{}", weir.log());
    }
    let mut connection = Connection::open(address);
    connection.send("POST /app HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx");
    let status = connection.response().status;
    assert_eq!(status, 502, "a POST is not repeated: {}", weir.log());
}

#[test]
fn paths_hosts_and_slow_heads() {
    let origin = Origin::new(|head| match head.contains("/slow") {
        false => Reply::ok("x"),
        true => {
            thread::sleep(Duration::from_secs(2));
            Reply::ok("late")
        }
    });
    let port = origin.address().port();
    let base = format!(
        "{{passHostHeader: false, servers: [{{url: \"http://LOCALHOST:{port}/base/\", preservePath: true}}]}}"
    );
    let slow = format!(
        "{}  serversTransports:\n    t: {{forwardingTimeouts: {{responseHeaderTimeout: 300ms}}}}\n",
        routed(
            "slow",
            &format!(
                "{{serversTransport: t, servers: [{{url: \"http://{}\"}}]}}",
                origin.address()
            )
        )
    );
    let setup = Setup::new("")
        .rules("base.yml", &routed("app", &base))
        .rules("slow.yml", &slow);
    let (weir, address) = weir(setup);
    assert_eq!(get(address, "/app/x?y=1").status, 200, "{}", weir.log());
    let head = &origin.requests()[0].head;
    assert!(
        head.starts_with("GET /base/app/x?y=1 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("\r\nHost: localhost:{port}\r\n")),
        "{head}"
    );
    assert_eq!(get(address, "/slow").status, 504, "{}", weir.log());
}
