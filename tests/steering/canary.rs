//! docs/HOWTO-staging.md, on a switch: each of its rule files does what it says.

use super::site::Site;
use crate::support::eventually;
use crate::support::weir::Weir;

const DOCUMENT: &str = include_str!("../../docs/HOWTO-staging.md");

/// The rule files of the document in its order, with the addresses of the site: its server `b` is staging, `a` is
/// production, and the tester is one of its clients.
fn files() -> Vec<String> {
    let blocks = DOCUMENT.split("```yaml\n").skip(1);
    let text = |block: &str| block.split("```").next().unwrap_or_default().to_owned();
    let here = [
        ("10.77.1.10:8443", "10.0.0.12:443"),
        ("10.77.1.21:8443", "10.0.0.11:443"),
        ("10.77.1.10:8080", "10.0.0.12:8080"),
        ("10.77.1.21:8080", "10.0.0.11:8080"),
        // The second server of production is the first one again, under another name of its address.
        ("10.77.1.22:8443", "10.0.0.11:444"),
        ("10.77.1.22:8080", "10.0.0.11:8081"),
        ("10.77.30.7", TESTER),
        ("websecure", "web"),
    ];
    blocks
        .map(|block| {
            here.iter()
                .fold(text(block), |text, (there, here)| text.replace(there, here))
        })
        .collect()
}

const TESTER: &str = "10.0.0.50";
const OTHER: &str = "10.0.0.51";

fn load(weir: &Weir, rules: &str, generation: u32) {
    weir.setup().write("rules/rules.yml", rules);
    weir.logged(&format!("generation={generation}"));
}

#[test]
fn the_three_ways_to_staging_do_what_they_say() {
    let Some(site) = Site::new("native") else {
        return;
    };
    let _more = [
        site.serve_plain(8080),
        site.serve_plain(8081),
        site.serve_tls(444),
    ];
    let weir = site.start();
    let files = files();
    assert_eq!(files.len(), 3);

    // A share of all users, who stay.
    load(&weir, &files[0], 2);
    let visit = |cookies: &str| {
        let arguments = ["-H", cookies, "-D", "-", "-o", "/dev/null"];
        let head = String::from_utf8_lossy(&site.fetch(OTHER, "/", &arguments)).into_owned();
        let node = site.fetch(OTHER, "/", &["-H", cookies]);
        (node_of(&node), head)
    };
    // A server that was not there yet gets nothing for a moment.
    eventually("production serves", || {
        let serves = |_| site.who_answers(OTHER) == "a";
        (0..10).all(serves).then_some(())
    });
    let new: Vec<String> = (0..40).map(|_| site.who_answers(OTHER)).collect();
    assert_eq!(new.iter().filter(|node| *node == "b").count(), 2, "{new:?}");
    let user = eventually("a user of staging", || {
        let head = site.fetch(OTHER, "/", &["-D", "-", "-o", "/dev/null"]);
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let cookies = head
            .lines()
            .filter_map(|line| line.strip_prefix("set-cookie: "));
        let pairs: Vec<&str> = cookies.filter_map(|line| line.split(';').next()).collect();
        // Staging is one server without a cookie of its own.
        (pairs.len() == 1).then(|| format!("Cookie: {}", pairs.join("; ")))
    });
    for _ in 0..10 {
        assert_eq!(visit(&user).0, "b", "{user}");
    }

    // Testers by their address, over HTTP.
    load(&weir, &files[1], 3);
    for _ in 0..4 {
        assert_eq!(
            (site.who_answers(TESTER), site.who_answers(OTHER)),
            ("b".to_owned(), "a".to_owned())
        );
    }
    assert_ne!(site.certificate_name(TESTER), "b", "TLS ends here");

    // Testers by their address, in the NIC.
    load(&weir, &files[2], 4);
    eventually("the tester is steered", || {
        (site.certificate_name(TESTER) == "b").then_some(())
    });
    let flows = || site.status(&weir)["counters"]["flow_new"].as_u64();
    let before = flows();
    assert_eq!(
        (site.who_answers(TESTER), site.who_answers(OTHER)),
        ("b".to_owned(), "a".to_owned())
    );
    assert!(flows() > before, "in the NIC");
}

fn node_of(body: &[u8]) -> String {
    xtask::backend::Answer::parse(body).expect("an answer").node
}
