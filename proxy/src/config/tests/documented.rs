//! The documentation's tables hold: a default that is written out changes nothing, a value of another type or out of
//! its range is refused in words that name what is documented, what is needed is missed.

use serde_json::{Value, json};

use self::sections::{BESIDE, SECTIONS, Section};
use super::DOCUMENT;
use super::tree::{compiled, errors, remove, set, static_file, without_places};
use crate::router::TermsTable;
use crate::tls::options::Suite;

mod sections;

/// A key as documented.
#[derive(Debug)]
struct Row {
    /// The heading above.
    section: &'static str,
    /// Below the section's own prefix.
    key: String,
    kind: &'static str,
    default: &'static str,
}

impl Row {
    fn section(&self) -> &'static Section {
        let found = SECTIONS
            .iter()
            .find(|section| section.heading == self.section);
        found.unwrap_or_else(|| panic!("a section that this test knows, not {:?}", self.section))
    }

    fn is_static(&self) -> bool {
        !matches!(
            self.section().prefix.split('.').next(),
            Some("http" | "tcp" | "tls[]" | "tls")
        )
    }

    fn path(&self) -> String {
        format!("{}{}", self.section().prefix, self.key)
    }

    /// A document in which only this key is missing.
    fn without(&self) -> Value {
        let Section { prefix, base, .. } = self.section();
        let mut root = base();
        if self.is_static() {
            set(&mut root, "entryPoints.web.address", ":80".into());
        }
        if *prefix == "certificatesResolvers.r.acme." && !self.key.contains("Challenge.") {
            set(
                &mut root,
                "certificatesResolvers.r.acme.tlsChallenge",
                json!({}),
            );
        }
        if ["weighted.", "failover."]
            .iter()
            .any(|kind| self.key.starts_with(kind))
        {
            let protocol = prefix.split('.').next().unwrap_or_default();
            let services = root[protocol]["services"].as_object_mut();
            let services = services.expect("services");
            let other = services.remove("s").expect("a service");
            services.insert("p".to_owned(), other.clone());
            services.insert("o".to_owned(), other);
        }
        // So that it is its own presence, and not that of what is around it, that is compared.
        if let Some((parents, _)) = self.key.rsplit_once('.')
            && !parents.ends_with("[]")
        {
            let at = format!("{prefix}{parents}");
            if get(&root, &at).is_none() {
                set(&mut root, &at, json!({}));
            }
        }
        for (start, beside, value) in BESIDE {
            // A check over TCP has no path.
            let other = prefix.starts_with("tcp.") && beside.ends_with("healthCheck.path");
            if self.key.starts_with(start) && self.key != *beside && !other {
                let value = serde_json::from_str(value).expect("JSON");
                set(&mut root, &format!("{prefix}{beside}"), value);
            }
        }
        root
    }

    fn with(&self, value: Value) -> Value {
        let mut root = self.without();
        if get(&root, &self.path()).is_some() {
            remove(&mut root, &self.path());
        }
        set(&mut root, &self.path(), value);
        root
    }

    /// What a document comes to, and what is wrong with it.
    fn meaning(&self, root: &Value) -> (String, Vec<String>) {
        if self.is_static() {
            let (config, problems) = static_file(root);
            return (without_places(&format!("{config:?}")), errors(&problems));
        }
        let rules = compiled(root);
        let tables = rules.entry_points.iter();
        let tables = tables.map(|table| {
            (
                agreed(&table.terms),
                &table.steered,
                &table.tcp,
                &table.tcp_tls,
                &table.http,
                &table.https,
            )
        });
        let tables: Vec<_> = tables.collect();
        let text = format!("{tables:?} {:?} {:?}", rules.services, rules.targets);
        // Hash tables are shown in any order.
        let text = without_places(&text);
        let mut parts: Vec<&str> = text.split([',', '{', '}']).map(str::trim).collect();
        parts.sort_unstable();
        (parts.join(" "), errors(&rules.problems))
    }

    /// All that is said about a document.
    fn said(&self, root: &Value) -> Vec<String> {
        let problems = match self.is_static() {
            true => static_file(root).1,
            false => compiled(root).problems,
        };
        problems.iter().map(ToString::to_string).collect()
    }

    /// The default, where it is a value.
    fn literal(&self) -> Option<Value> {
        if self.default.bytes().all(|byte| byte.is_ascii_digit()) && !self.default.is_empty() {
            return serde_json::from_str(self.default).ok();
        }
        if self.kind.starts_with("list") {
            return self.listed().map(|words| words.into());
        }
        // Of Go's modes the first is that without authorities.
        if self.default.ends_with("else the first") {
            return words(self.kind).first().map(|word| (*word).into());
        }
        let (value, rest) = self.default.strip_prefix('`')?.split_once('`')?;
        let whole = rest.is_empty() || rest == ", none" || rest.starts_with(" in ");
        // `unhealthyInterval` is `interval` by default.
        (whole && !self.key.ends_with("unhealthyInterval")).then(|| value.into())
    }

    /// The default of a list, where it is one: its words, or all that the type names.
    fn listed(&self) -> Option<Vec<&'static str>> {
        let listed = match self.default {
            "all" if self.kind == "list of Go's names" => Suite::names(),
            default if default.starts_with("all") => words(self.kind),
            default if default.starts_with('`') => words(default),
            _ => Vec::new(),
        };
        (!listed.is_empty()).then_some(listed)
    }
}

/// What stands in code.
fn words(text: &'static str) -> Vec<&'static str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What is agreed on with clients that ask for the host of the rules: the options as they take effect, without the
/// certificates and keys that are others at each load.
fn agreed(terms: &TermsTable) -> String {
    let Some(terms) = terms.find("a.example") else {
        return "nothing".to_owned();
    };
    let (options, config) = (terms.options(), terms.http());
    let provider = config.crypto_provider();
    let alpn = config.alpn_protocols.iter();
    let alpn: Vec<_> = alpn.map(|name| name.escape_ascii().to_string()).collect();
    format!(
        "{:?}, {:?}, {}, {}, {}, {:?}, {:?}, {}",
        options.versions,
        options.client_auth,
        options.authorities.len(),
        options.sni_strict,
        options.tickets,
        provider.cipher_suites,
        provider.kx_groups,
        alpn.join(" ")
    )
}

fn get<'v>(root: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.')
        .try_fold(root, |node, part| match part.strip_suffix("[]") {
            Some(key) => node.get(key)?.get(0),
            None => node.get(part),
        })
}

/// Rows that say of themselves that they mean nothing, or what another row says.
fn is_silent(kind: &str) -> bool {
    kind.is_empty() || kind.starts_with("as ")
}

fn rows() -> Vec<Row> {
    let (mut section, mut inside, mut rows) = ("", false, Vec::new());
    for line in DOCUMENT.lines() {
        if line.starts_with('#') {
            section = line.trim_start_matches('#').trim();
        }
        let begins = line.starts_with("| key |");
        inside = begins || (inside && line.starts_with('|'));
        let cells: Vec<&str> = line.split('|').skip(1).map(str::trim).collect();
        let [keys, kind, default, ..] = cells[..] else {
            continue;
        };
        if inside && !begins && keys.starts_with('`') && !is_silent(kind) {
            rows.extend(each(section, keys, kind, default));
        }
    }
    rows
}

/// A row may be about several keys, each with the same type and default, or with its own.
fn each(section: &'static str, keys: &str, kind: &'static str, default: &'static str) -> Vec<Row> {
    let keys: Vec<&str> = keys.split('`').skip(1).step_by(2).collect();
    let parts = |text: &'static str| -> Vec<&'static str> {
        let parts: Vec<&str> = text
            .split(if text.contains(';') { "; " } else { ", " })
            .collect();
        match parts.len() == keys.len() {
            true => parts,
            false => vec![text; keys.len()],
        }
    };
    let (kinds, defaults) = (parts(kind), parts(default));
    let parent = |key: &str| key.rfind('.').map_or("", |at| &key[..=at]).to_owned();
    let first = keys[0];
    let absolute = |key: &&str| match key.strip_prefix('.') {
        Some(key) => parent(first) + key,
        None if key.contains('.') || *key == first => (*key).to_owned(),
        None => parent(first) + key,
    };
    let all = keys.iter().map(absolute).zip(kinds).zip(defaults);
    all.map(|((key, kind), default)| Row {
        section,
        key,
        kind,
        default,
    })
    .collect()
}

/// Values that are none of a type, each with what the refusal says.
fn wrong(kind: &'static str) -> Vec<(Value, String)> {
    let kind = kind.trim_end_matches(", **own**");
    let words = words(kind);
    if kind.contains("truth value") && !kind.contains("mapping") {
        return vec![(json!("maybe"), "true or false".to_owned())];
    }
    if kind.starts_with("duration") {
        return vec![(json!("soon"), "duration".to_owned())];
    }
    if let Some((least, most)) = range(kind) {
        let number = "a whole number from ".to_owned();
        let (below, above) = (json!(least - 1), json!(most + 1));
        return vec![
            (json!("many"), number.clone()),
            (below, number.clone()),
            (above, number),
        ];
    }
    if kind.starts_with("whole number") || kind == "bytes" || kind == "status" {
        return vec![(json!("many"), "a whole number from ".to_owned())];
    }
    if kind.starts_with("list") || kind == "names" {
        return vec![(json!({"a": "b"}), String::new())];
    }
    if kind.starts_with("fields and values") || kind.contains("mapping") {
        return vec![(json!("text"), "a mapping".to_owned())];
    }
    if words.len() > 1
        && words
            .iter()
            .all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        return words
            .iter()
            .map(|word| (json!("nonsense"), (*word).to_owned()))
            .collect();
    }
    vec![(json!({"a": {"b": "c"}}), String::new())]
}

/// `1 to 100,000`.
fn range(kind: &str) -> Option<(i64, i64)> {
    if kind.starts_with("mapping") || kind.starts_with("duration") {
        return None;
    }
    let (least, most) = kind.split_once(" to ")?;
    let number = |text: &str| text.rsplit(' ').next()?.replace(',', "").parse().ok();
    let most = most.split(' ').next().unwrap_or_default();
    Some((number(least)?, number(most.trim_end_matches(','))?))
}

fn all(check: impl Fn(&Row) -> Option<String>) {
    let rows = rows();
    assert!(rows.len() > 120, "{}", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{}: {}", row.path(), check(row)?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_default_that_is_written_out_changes_nothing() {
    all(|row| {
        let literal = row.literal()?;
        let (absent, written) = (
            row.meaning(&row.without()),
            row.meaning(&row.with(literal.clone())),
        );
        (absent != written)
            .then(|| format!("absent is not {literal}:\n  {absent:?}\n  {written:?}"))
    });
}

#[test]
fn another_type_is_refused_with_what_is_documented() {
    all(|row| {
        let cases = wrong(row.kind).into_iter();
        let failed = cases.filter_map(|(value, says)| {
            let said = row.said(&row.with(value.clone()));
            let path = row.path().replace("[]", "[0]");
            let fits = |line: &String| {
                line.contains(&path) && line.contains(&says) && !line.contains("unknown key")
            };
            (!said.iter().any(fits))
                .then(|| format!("{value} says {said:?}, not {says:?} ({})", row.kind))
        });
        failed.reduce(|all, one| format!("{all}\n  {one}"))
    });
}

#[test]
fn what_is_in_a_documented_range_is_taken() {
    all(|row| {
        let (least, most) = range(row.kind)?;
        let taken = |value: i64| {
            !row.meaning(&row.with(json!(value)))
                .1
                .iter()
                .any(|line| line.contains("a whole number"))
        };
        (!taken(least) || !taken(most)).then(|| format!("{least} to {most}"))
    });
}

#[test]
fn what_is_needed_is_missed() {
    all(|row| {
        let needed = row.default == "needed"
            && !row.key.contains('[')
            && row.section != "`tls.certificates[]`";
        let mut root = row.with(json!("x"));
        remove(&mut root, &row.path());
        let (_, errors) = row.meaning(&root);
        (needed && errors.is_empty()).then(|| "nobody misses it".to_owned())
    });
}
