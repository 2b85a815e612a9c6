//! The whole proxy on a switch: the same clients get the same servers in every mode, and nothing that happens to the
//! process or to its rules touches a steered connection.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use xtask::backend::pattern_sha256;

use super::site::{Download, Site};
use crate::support::eventually;

/// More than all socket buffers on the way hold: the server is still sending while the test looks elsewhere.
const DOWNLOAD: u64 = 64 << 20;

#[test]
fn native_generic_and_off_give_every_client_the_same_server() {
    let mut answers: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for mode in ["native", "generic", "off"] {
        let Some(site) = Site::new(mode) else { return };
        let weir = site.start();
        let clients = site.clients();
        let landed = clients
            .iter()
            .map(|client| (client.clone(), site.who_answers(client)));
        answers.insert(mode, landed.collect());
        let subject = site.certificate_name(&clients[0]);
        assert_eq!(
            subject, answers[mode][&clients[0]],
            "TLS ends at the server, in mode {mode}"
        );
        let status = site.status(&weir);
        if mode == "off" {
            assert_eq!(status["interfaces"].as_array().map(Vec::len), Some(0));
        } else {
            assert_eq!(status["interfaces"][0]["mode"], mode);
            let in_nic = clients
                .iter()
                .filter(|client| !site.crosses_families(client))
                .count()
                + 1;
            assert_eq!(status["counters"]["flow_new"], in_nic, "{status:#}");
            let crossing = clients.len() + 1 - in_nic;
            assert_eq!(
                status["counters"]["pass_other_family"], crossing,
                "{status:#}"
            );
        }
    }
    assert_eq!(answers["native"], answers["off"]);
    assert_eq!(answers["generic"], answers["off"]);
    let servers: std::collections::BTreeSet<_> = answers["off"].values().collect();
    assert_eq!(
        servers.len(),
        2,
        "both servers have clients: {:?}",
        answers["off"]
    );
}

#[test]
fn kill_9_leaves_steered_connections_alone_and_the_next_start_adopts_them() {
    let Some(site) = Site::new("native") else {
        return;
    };
    let weir = site.start();
    let mut download = Download::start(&site, DOWNLOAD);
    weir.signal(Signal::SIGKILL);
    let (_, setup) = weir.wait();
    download.read(DOWNLOAD / 4);
    assert_eq!(
        site.who_answers(&site.clients()[0]).len(),
        1,
        "the last rules go on without a process"
    );
    let weir = setup.start().listening(Site::entry());
    eventually("the flow is seen by the new process", || {
        let status = site.status(&weir);
        let servers = status["pools"]
            .as_array()?
            .iter()
            .flat_map(|pool| pool["servers"].as_array())
            .flatten();
        servers
            .map(|server| server["connections"].as_u64())
            .sum::<Option<u64>>()
            .filter(|count| *count >= 1)
    });
    download.read(DOWNLOAD / 4);
    assert_eq!(download.rest(), pattern_sha256(DOWNLOAD));
}

#[test]
fn changed_rules_leave_a_running_steered_download_alone() {
    let Some(site) = Site::new("native") else {
        return;
    };
    let weir = site.start();
    let client = Site::DOWNLOADER;
    let before = site.who_answers(client);
    let mut download = Download::start(&site, DOWNLOAD);
    let after = if before == "a" { "b" } else { "a" };
    weir.setup().write("rules/rules.yml", &site.rules(&[after]));
    eventually("new connections go to the other server", || {
        (site.who_answers(client) == after).then_some(())
    });
    download.read(DOWNLOAD / 4);
    let retired = site.status(&weir)["retired"].clone();
    assert_eq!(retired[0]["connections"], 1, "{retired:#}");
    weir.setup().write("rules/rules.yml", "{}");
    eventually("nothing is steered", || {
        site.status(&weir)["rules"]
            .as_array()
            .is_some_and(Vec::is_empty)
            .then_some(())
    });
    download.read(DOWNLOAD / 4);
    assert_eq!(download.rest(), pattern_sha256(DOWNLOAD));
}

#[test]
fn off_sends_new_connections_the_other_way_to_the_same_server() {
    let Some(site) = Site::new("native") else {
        return;
    };
    let weir = site.start();
    let client = Site::DOWNLOADER;
    let server = site.who_answers(client);
    let mut download = Download::start(&site, DOWNLOAD);
    assert!(site.steer(&weir, &["off"]).contains("user space"));
    let flows = site.status(&weir)["counters"]["flow_new"].clone();
    assert_eq!(site.who_answers(client), server);
    let status = site.status(&weir);
    assert_eq!(
        (&status["counters"]["flow_new"], &status["enabled"]),
        (&flows, &false.into())
    );
    download.read(DOWNLOAD / 4);
    site.steer(&weir, &["on"]);
    assert_eq!(site.who_answers(client), server);
    assert_ne!(site.status(&weir)["counters"]["flow_new"], flows);
    assert_eq!(download.rest(), pattern_sha256(DOWNLOAD));
    assert!(
        site.steer(&weir, &["detach"])
            .contains(&format!("detached from {}", site.edge_device()))
    );
    assert_eq!(site.who_answers(client), server, "in user space now");
}

#[test]
fn weir_status_tells_of_an_interface_that_has_gone_and_of_its_return() {
    let Some(site) = Site::new("native") else {
        return;
    };
    let weir = site.start();
    let device = site.edge_device();
    let becomes = |code: i32, text: &str| {
        eventually(&format!("weir status says {text:?}"), || {
            let file = weir.setup().config_file();
            let output = weir.setup().run(&["status", "--configFile", &file]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.code() == Some(code) && said.contains(text)).then_some(())
        });
    };
    let steered = format!("clients of {device} are steered ");
    becomes(0, &format!("{steered}in the NIC (native)"));
    site.edge_ip(&["link", "del", device]);
    becomes(
        1,
        &format!("{steered}in user space, NOT IN THE NIC: the interface is not there"),
    );
    site.edge_ip(&["link", "add", device, "type", "veth", "peer", "name", "far"]);
    becomes(0, &format!("{steered}in the NIC (native)"));
}
