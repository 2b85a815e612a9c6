//! `tls.certificates[].deploy`: what is deployed where, and what each mistake costs.

use super::*;
use crate::config::FileDeploy;

const ALLOWED: &str = "
entryPoints: {websecure: {address: ':443'}}
providers: {file: {directory: /, allowDeploy: true}}
certificatesResolvers: {le: {tailscale: {}, deploy: {directory: /of/le}}}
";

/// PEM texts of certificate and key.
fn pair(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// An entry of `tls.certificates`.
fn entry(pair: &(String, String), deploy: &str) -> String {
    let (cert, key) = pair;
    format!("- {{certFile: {cert:?}, keyFile: {key:?}, deploy: {deploy}}}")
}

fn file(entries: &[String]) -> String {
    format!("tls:\n  certificates:\n  {}\n", entries.join("\n  "))
}

fn load(static_file: &str, entries: &[String]) -> (Vec<FileDeploy>, Vec<String>) {
    let mut rules = Rules::under(static_file, &[("a.yml", &file(entries))]);
    let snapshot = rules.loader.load();
    assert_eq!(snapshot.certificates.len(), entries.len(), "all serve");
    (snapshot.needs.deploys.clone(), rules.messages(&snapshot))
}

fn stems(deploy: &FileDeploy) -> Vec<&str> {
    let certificates = deploy.certificates.iter();
    certificates
        .flat_map(|one| one.stems.iter().map(String::as_str))
        .collect()
}

#[test]
fn certificates_go_where_they_say_and_several_to_one_directory() {
    let (a, b) = (pair(&["a.example", "*.a.example"]), pair(&["b.example"]));
    let shared = "{directory: /pool/, mode: '0640', command: reload}";
    let entries = [
        entry(&a, shared),
        // The same files once more, and others beside them.
        entry(&a, "{directory: /pool, mode: '0640', command: reload}"),
        entry(&b, shared),
        entry(&a, "{directory: /other, names: [x.a.example, A.example]}"),
    ];
    let (deploys, messages) = load(ALLOWED, &entries);
    assert_eq!(messages, Vec::<String>::new());
    let found: Vec<(&str, Vec<&str>)> = deploys
        .iter()
        .map(|one| (one.deploy.directory.to_str().unwrap(), stems(one)))
        .collect();
    let pool = vec![
        "a.example",
        "_.a.example",
        "a.example",
        "_.a.example",
        "b.example",
    ];
    assert_eq!(
        found,
        [
            ("/other", vec!["x.a.example", "a.example"]),
            ("/pool", pool)
        ]
    );
    assert_eq!(deploys[1].deploy.command.as_deref(), Some("reload"));
    let text = format!("{deploys:?}");
    assert!(!text.contains("PRIVATE KEY"), "{text}");
}

#[test]
fn what_cannot_be_deployed_serves_all_the_same() {
    let a = pair(&["a.example"]);
    let cases = [
        (
            "{directory: /of/le}",
            "found the directory /of/le, to which the resolver \"le\" deploys",
        ),
        (
            "{directory: /x, owner: nobody-has-this-name}",
            "this machine knows",
        ),
        ("{directory: /x, names: [../a]}", "found the name \"../a\""),
    ];
    for (deploy, expected) in cases {
        let (deploys, messages) = load(ALLOWED, &[entry(&a, deploy)]);
        assert!(deploys.is_empty(), "{deploy}");
        assert!(
            messages.len() == 1 && messages[0].contains(expected),
            "{deploy}: {messages:#?}"
        );
        let told = messages[0].starts_with("a.yml:3:") && messages[0].contains("the deployment");
        assert!(told, "{messages:#?}");
    }
}

/// As everywhere in rule files.
#[test]
fn what_means_nothing_costs_the_file() {
    let a = pair(&["a.example"]);
    for (deploy, expected) in [
        (
            "{directory: pem}",
            "found \"pem\"; allowed an absolute path without ..",
        ),
        (
            "{directory: /a/../b}",
            "allowed an absolute path without ..",
        ),
        ("{mode: '0600'}", "no directory"),
        (
            "{directory: /x, mode: '0644'}",
            "others must not read private keys",
        ),
        ("{directory: /x, comand: y}", "unknown key \"comand\""),
    ] {
        let text = file(&[entry(&a, deploy)]);
        let messages = messages(&[("a.yml", &text)]);
        let told = messages[0].starts_with("a.yml:3:") && messages[0].contains(expected);
        assert!(
            messages.len() == 1 && told && messages[0].contains("the file"),
            "{deploy}: {messages:#?}"
        );
    }
}

#[test]
fn nothing_is_deployed_by_a_rule_file_alone() {
    let entries = [entry(&pair(&["a.example"]), "{directory: /x}")];
    let (deploys, messages) = load(&ALLOWED.replace("true", "false"), &entries);
    assert!(deploys.is_empty());
    assert!(
        messages.len() == 1 && messages[0].contains("providers.file.allowDeploy"),
        "{messages:#?}"
    );
}

#[test]
fn who_shares_a_directory_says_the_same_of_it() {
    let (a, b) = (pair(&["a.example"]), pair(&["b.example"]));
    for other in ["", ", mode: '0640', command: reload", ", command: restart"] {
        let entries = [
            entry(&a, "{directory: /x, command: reload}"),
            entry(&b, &format!("{{directory: /x{other}}}")),
        ];
        let (deploys, messages) = load(ALLOWED, &entries);
        assert_eq!(stems(&deploys[0]), ["a.example"]);
        let expected = "the directory /x with another owner, mode or command than at";
        let told = messages[0].starts_with("a.yml:4:") && messages[0].contains("a.yml:3:");
        assert!(
            messages.len() == 1 && messages[0].contains(expected) && told,
            "{messages:#?}"
        );
    }
}

#[test]
fn names_are_those_of_the_certificate() {
    let a = pair(&["a.example"]);
    let asked = entry(&a, "{directory: /x, names: [a.example, b.example]}");
    let (deploys, messages) = load(ALLOWED, &[asked]);
    assert_eq!(stems(&deploys[0]), ["a.example"]);
    let expected = "found the name \"b.example\", for which the certificate is not";
    assert!(
        messages.len() == 1 && messages[0].contains(expected),
        "{messages:#?}"
    );
    let address = entry(&pair(&["::1"]), "{directory: /x}");
    let (deploys, messages) = load(ALLOWED, &[address]);
    assert_eq!(stems(&deploys[0]), Vec::<&str>::new());
    assert!(
        messages.len() == 1 && messages[0].contains("without a name that files can have"),
        "{messages:#?}"
    );
}

#[test]
fn files_that_do_not_belong_together_are_not_deployed_and_never_written_over() {
    let rules = |deploy: &str| {
        let mut rules = Rules::under(ALLOWED, &[]);
        let path = rules.directory.path().display().to_string();
        let entry = format!(
            "{{certFile: {path}/pem/a.crt, keyFile: {path}/pem/a.key, deploy: {{directory: {deploy}}}}}"
        );
        let entry = entry.replace("{dir}", &path);
        rules.write("a.yml", &format!("tls: {{certificates: [{entry}]}}"));
        let (cert, key) = pair(&["old.example"]);
        rules.write("pem/a.crt", &cert);
        rules.write("pem/a.key", &key);
        let snapshot = rules.loader.load();
        (rules, snapshot)
    };
    let (mut changing, first) = rules("/x");
    let (cert, key) = pair(&["new.example"]);
    changing.write("pem/a.crt", &cert);
    let half = changing.loader.compile();
    assert_eq!(changing.messages(&half).len(), 1);
    assert_eq!(half.needs.deploys, first.needs.deploys, "the last good");
    changing.write("pem/a.key", &key);
    let whole = changing.loader.compile();
    assert_eq!(stems(&whole.needs.deploys[0]), ["new.example"]);
    changing.write("a.yml", "tls: {}");
    assert!(changing.loader.load().needs.deploys.is_empty());

    for directory in ["{dir}/pem", "{dir}/./pem/", "{dir}/link"] {
        let (mut own, _) = rules(directory);
        let link = own.directory.path().join("link");
        std::os::unix::fs::symlink(own.directory.path().join("pem"), link).unwrap();
        let snapshot = own.loader.load();
        let messages = own.messages(&snapshot);
        assert!(snapshot.needs.deploys.is_empty(), "{directory}");
        assert!(
            messages.len() == 1 && messages[0].contains("never writes over what it reads"),
            "{messages:#?}"
        );
    }
}

/// It was not read again, as the text was the same.
#[test]
fn a_file_with_an_error_is_judged_anew_by_each_load() {
    let mut rules = Rules::new(&[("a.yml", "http: {routers: {r: {rule: 1}}}")]);
    let messages = |rules: &mut Rules| {
        let snapshot = rules.loader.load();
        rules.messages(&snapshot)
    };
    let first = messages(&mut rules);
    assert!(!first.is_empty() && rules.loader.decoded.is_empty());
    assert_eq!(messages(&mut rules), first);
    rules.write("a.yml", "http: {}");
    assert!(messages(&mut rules).is_empty() && rules.loader.decoded.len() == 1);
}

#[test]
fn files_of_other_certificates_and_authorities_are_not_written_over() {
    let mut rules = Rules::under(ALLOWED, &[]);
    let path = rules.directory.path().display().to_string();
    let (a, b) = (pair(&["a.example", "*.a.example"]), pair(&["a.example"]));
    rules.write("y/a.example.crt", &b.0);
    rules.write("y/a.example.key", &b.1);
    std::os::unix::fs::symlink(format!("{path}/y"), format!("{path}/link")).unwrap();
    let other = format!("- {{certFile: {path}/y/a.example.crt, keyFile: {path}/y/a.example.key}}");
    let deployed = entry(&a, &format!("{{directory: {path}/link}}"));
    rules.write("a.yml", &file(&[deployed.clone(), other]));
    let snapshot = rules.loader.load();
    let messages = rules.messages(&snapshot);
    let found = "write y/a.example.key, which weir reads";
    assert!(
        messages.len() == 1 && messages[0].contains(found),
        "{messages:#?}"
    );
    assert_eq!(
        stems(&snapshot.needs.deploys[0]),
        ["_.a.example"],
        "the other name's"
    );
    // An authority of that name.
    let options =
        format!("  options: {{o: {{clientAuth: {{caFiles: [{path}/y/a.example.crt]}}}}}}\n");
    rules.write("a.yml", &(file(&[deployed]) + &options));
    let snapshot = rules.loader.load();
    let messages = rules.messages(&snapshot);
    assert!(
        messages
            .iter()
            .any(|text| text.contains("a.example.crt, which weir reads")),
        "{messages:#?}"
    );
}

#[test]
fn one_directory_by_two_names_is_one() {
    let mut rules = Rules::under(ALLOWED, &[]);
    let path = rules.directory.path().display().to_string();
    std::fs::create_dir(format!("{path}/real")).unwrap();
    std::os::unix::fs::symlink(format!("{path}/real"), format!("{path}/link")).unwrap();
    let (a, b) = (pair(&["a.example"]), pair(&["a.example"]));
    let to = |pair, name: &str, command: &str| {
        entry(
            pair,
            &format!("{{directory: {path}/{name}, command: {command}}}"),
        )
    };
    rules.write("a.yml", &file(&[to(&a, "real", "x"), to(&b, "link", "y")]));
    let snapshot = rules.loader.load();
    let messages = rules.messages(&snapshot);
    assert_eq!(snapshot.needs.deploys.len(), 1);
    assert!(
        messages
            .iter()
            .any(|text| text.contains("another owner, mode or command")),
        "{messages:#?}"
    );
    // What is not there yet, below it.
    rules.write(
        "a.yml",
        &file(&[to(&a, "real/new", "x"), to(&b, "link/new", "x")]),
    );
    assert_eq!(rules.loader.load().needs.deploys.len(), 1);
}
