//! Documents for tests, as JSON, which is YAML too.

use std::path::Path;

use serde_json::{Map, Value};

use super::super::rule_files::Loader;
use super::super::{Problem, Severity, Snapshot, StaticConfig, document};

/// Puts a value at a path such as `http.services.s.loadBalancer.servers[].url`; `[]` is the first item of a list.
pub fn set(root: &mut Value, path: &str, value: Value) {
    let mut node = root;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (key, is_list) = match part.strip_suffix("[]") {
            Some(key) => (key, true),
            None => (part, false),
        };
        if !node.is_object() {
            *node = Value::Object(Map::new());
        }
        node = &mut node[key];
        if is_list {
            if !node.is_array() {
                *node = Value::Array(vec![Value::Null]);
            }
            node = &mut node[0];
        }
    }
    *node = value;
}

/// Takes what is at a path away.
pub fn remove(root: &mut Value, path: &str) {
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut node = root;
    for part in parents.split('.').filter(|part| !part.is_empty()) {
        node = match part.strip_suffix("[]") {
            Some(key) => &mut node[key][0],
            None => &mut node[part],
        };
    }
    if let Value::Object(entries) = node {
        entries.remove(key.trim_end_matches("[]"));
    }
}

/// A static file and all that is wrong with it.
pub fn static_file(root: &Value) -> (Option<StaticConfig>, Vec<Problem>) {
    match StaticConfig::parse(Path::new("weir.yml"), &root.to_string()) {
        Ok((config, warnings)) => (Some(config), warnings),
        Err(problems) => (None, problems),
    }
}

/// What is wrong with one rule file by itself.
pub fn rule_file(root: &Value) -> Vec<Problem> {
    document::decode(Path::new("rules.yml"), &root.to_string()).1
}

/// What a rule file compiles to, with entry points `web` and `websecure`.
pub fn compiled(root: &Value) -> Snapshot {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, root.to_string()).expect("written");
    let config = serde_json::json!({
        "entryPoints": {"web": {"address": ":80"}, "websecure": {"address": ":443"}},
        "providers": {"file": {"filename": file}},
    });
    let config = static_file(&config).0.expect("a static file");
    let loader = Loader::new(config.into());
    loader.expect("a loader").load()
}

pub fn errors(problems: &[Problem]) -> Vec<String> {
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    // The directory is another one each time.
    let text = |problem: &Problem| {
        let line = problem.to_string();
        let file = line.find("rules.yml").unwrap_or_default();
        line[file..].to_owned()
    };
    errors.map(text).collect()
}

/// What `{:?}` says, without places in files and addresses in memory.
pub fn without_places(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("Origin {") {
        out += &rest[..at];
        let (mut depth, mut end) = (0, rest.len());
        for (index, character) in rest[at..].char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 1 => {
                    end = at + index + 1;
                    break;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        rest = &rest[end..];
    }
    out + rest
}
