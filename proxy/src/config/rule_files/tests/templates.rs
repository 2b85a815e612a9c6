//! Templates and TOML among rule files.

use super::*;

#[test]
fn toml_and_templates_are_rule_files() {
    let toml = "[http.routers.a]\nrule = \"Host(`a.example`)\"\nservice = \"{{ env \"WEIR_TEST_UNSET\" | default \"s\" }}\"\n";
    let yaml = "http:\n  services:\n{{range $i := until 3}}\n    s{{if $i}}{{$i}}{{end}}:\n      loadBalancer:\n        \
                servers: [{url: 'http://192.0.2.{{add1 $i}}'}]\n{{end}}";
    let mut rules = Rules::new(&[("a.toml", toml), ("b.yml", yaml)]);
    let snapshot = rules.loader.load();
    assert_eq!(rules.messages(&snapshot), Vec::<String>::new());
    let found = http_router(&snapshot, "web", "a.example/", "192.0.2.9");
    assert_eq!(found.as_deref(), Some("a@file"));
}

#[test]
fn a_mistake_after_expansion_names_both_lines() {
    let text = "{{define \"r\"}}\n    {{.}}:\n      rule: Host(`{{.}}`)\n      servce: s\n{{end}}\nhttp:\n  routers:\n\
                {{template \"r\" \"a\"}}\n{{template \"r\" \"b\"}}\n";
    let said = messages(&[("a.yml", text)]);
    let expected = [
        "a.yml:7:7 (template line 4): http.routers.a.servce: found unknown key \"servce\"; ",
        "a.yml:12:7 (template line 4): http.routers.b.servce: found unknown key \"servce\"; ",
    ];
    assert_eq!(said.len(), 2, "{said:#?}");
    for (line, expected) in said.iter().zip(expected) {
        assert!(line.starts_with(expected), "{said:#?}");
    }
    let said = messages(&[("a.yml", "# {{print 1}}\na:\n  - b\n {{print \"- \\t}\"}}\n")]);
    assert!(
        said.len() == 1 && said[0].contains("(template line 4): found what is no YAML"),
        "{said:#?}"
    );
}
