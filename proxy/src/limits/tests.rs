//! docs/LIMITS.md has every limit with its value.

const SOURCES: [&str; 4] = [
    include_str!("../limits.rs"),
    include_str!("control.rs"),
    include_str!("http.rs"),
    include_str!("network.rs"),
];
const DOCUMENT: &str = include_str!("../../../docs/LIMITS.md");

/// A constant: its name, its value for people, and what is said about it.
struct Limit {
    name: &'static str,
    value: String,
    text: String,
}

fn limits() -> Vec<Limit> {
    let (mut text, mut limits) = (Vec::new(), Vec::new());
    let mut lines = SOURCES.into_iter().flat_map(str::lines);
    while let Some(line) = lines.next() {
        if let Some(said) = line.strip_prefix("/// ") {
            text.push(said);
        } else if let Some(rest) = line.strip_prefix("pub const ") {
            let name = rest.split(':').next().unwrap_or_default();
            let mut whole = rest.to_owned();
            while !whole.ends_with(';') {
                whole.push_str(lines.next().expect("a constant ends").trim_start());
            }
            let value = whole.split_once('=').map_or("", |(_, value)| value);
            limits.push(Limit {
                name,
                value: human(name, value.trim().trim_end_matches(';')),
                text: text.join(" ").replace('|', "or"),
            });
            text.clear();
        }
    }
    limits
}

/// `16 << 10` bytes are 16 KiB, `Duration::from_secs(10)` is 10 s; what is more than a number stays as written.
fn human(name: &str, value: &str) -> String {
    for (start, unit) in [
        ("Duration::from_secs(", "s"),
        ("Duration::from_millis(", "ms"),
    ] {
        if let Some(number) = value.strip_prefix(start) {
            return format!("{} {unit}", number.trim_end_matches(')'));
        }
    }
    let plain = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    let number = match (value.split_once("<<"), value.split_once('*')) {
        (Some((number, bits)), _) => plain(number)
            .zip(plain(bits))
            .map(|(number, bits)| number << bits),
        (_, Some(_)) => value.split('*').map(plain).product(),
        _ => plain(value),
    };
    let bytes = name.contains("BYTES") || name.contains("WINDOW") || name.contains("PLAINTEXT");
    match number {
        Some(number) if bytes && number >= 1 << 20 && number % (1 << 20) == 0 => {
            format!("{} MiB", number >> 20)
        }
        Some(number) if bytes && number >= 1 << 10 && number % (1 << 10) == 0 => {
            format!("{} KiB", number >> 10)
        }
        Some(number) => number.to_string(),
        None => format!("`{value}`"),
    }
}

#[test]
fn every_file_of_limits_is_looked_at() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/limits");
    let files = std::fs::read_dir(directory).expect("a directory").count();
    // This file is among them, and limits.rs is not.
    assert_eq!(files, SOURCES.len());
}

#[test]
fn every_limit_is_on_the_page_with_its_value() {
    let limits = limits();
    assert!(limits.len() > 100, "{}", limits.len());
    let missing: Vec<String> = limits
        .iter()
        .filter(|limit| !DOCUMENT.contains(&format!("| `{}` | {} |", limit.name, limit.value)))
        .map(|limit| format!("| `{}` | {} | {} | |", limit.name, limit.value, limit.text))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/LIMITS.md lacks, or has with another value:\n{}",
        missing.join("\n")
    );
    let named = |name: &&str| limits.iter().any(|limit| limit.name == *name);
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    let gone: Vec<&str> = rows
        .filter_map(|row| row.split('`').next())
        .filter(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .filter(|name| !named(name))
        .collect();
    assert!(
        gone.is_empty(),
        "docs/LIMITS.md tells of what is no limit: {gone:?}"
    );
}

/// Whoever adds a limit says where it is tested, that it is none that can be exceeded, or that there is no test.
#[test]
fn every_limit_has_its_tests_or_is_named_without() {
    let section = DOCUMENT.split("\n## Tests\n").nth(1).expect("a section");
    let marked = |text: &'static str| text.split('`').skip(1).step_by(2);
    let (rows, others): (Vec<_>, Vec<_>) = section.lines().partition(|line| line.starts_with('|'));
    let mut said: Vec<&str> = others.iter().flat_map(|line| marked(line)).collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for row in rows.iter().skip(2) {
        let mut cells = row.split('|').skip(1);
        said.extend(cells.next().into_iter().flat_map(marked));
        let mut words = cells.flat_map(marked);
        let (file, test) = (words.next().expect(row), words.next().expect(row));
        let source = std::fs::read_to_string(root.join(file)).expect(file);
        assert!(
            source.contains(&format!("fn {test}(")),
            "no such test: {row}"
        );
    }
    let limits = limits();
    let lacking: Vec<&str> = limits
        .iter()
        .map(|limit| limit.name)
        .filter(|name| !said.contains(name))
        .collect();
    assert!(
        lacking.is_empty(),
        "docs/LIMITS.md, Tests, says nothing of {lacking:?}"
    );
    let settings = DOCUMENT
        .split("\n## ")
        .nth(1)
        .expect("what the configuration sets");
    let keys = settings
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    for key in keys.filter_map(|row| marked(row).next()) {
        assert!(
            said.contains(&key),
            "docs/LIMITS.md, Tests, says nothing of {key}"
        );
    }
}

/// A key that a constant is the default of is one that the configuration's page knows.
#[test]
fn every_key_of_a_limit_is_a_key() {
    const CONFIGURATION: &str = include_str!("../../../docs/CONFIGURATION.md");
    let (mut heading, mut known) = ("", Vec::new());
    for line in CONFIGURATION.lines() {
        if line.starts_with("### ") {
            heading = line.split('`').nth(1).unwrap_or_default();
        } else if let Some(cell) = line
            .strip_prefix("| ")
            .and_then(|row| row.split('|').next())
        {
            let keys = cell.split('`').skip(1).step_by(2);
            known.extend(keys.map(|key| format!(".{heading}.{key}.")));
        }
    }
    let is_known = |key: &str| known.iter().any(|one| one.contains(&format!(".{key}.")));
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.strip_suffix(" |")?.rsplit_once('|'));
    // Those of constants: with name, value and text before it.
    let keys: Vec<&str> = cells
        .filter(|(row, _)| row.matches(" | ").count() == 2)
        .flat_map(|(_, cell)| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(keys.len() > 40, "{keys:?}");
    let unknown: Vec<&str> = keys.into_iter().filter(|key| !is_known(key)).collect();
    assert!(
        unknown.is_empty(),
        "docs/LIMITS.md names keys that docs/CONFIGURATION.md has not: {unknown:?}"
    );
}
