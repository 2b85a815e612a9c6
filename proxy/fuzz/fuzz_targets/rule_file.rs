//! Rule files: no text panics or hangs, every refusal is one line that names a place, and a file without a document has
//! a reason.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use weir::config::{Severity, StaticConfig, document};

fuzz_target!(|text: &str| {
    let path = Path::new("rules.yml");
    let (document, problems) = document::decode(path, text);
    for problem in &problems {
        let line = problem.to_string();
        assert!(
            line.starts_with("rules.yml:") && !line.contains('\n'),
            "{line:?}"
        );
    }
    let refused = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    assert!(document.is_some() || refused);
    if let Err(problems) = StaticConfig::parse(path, text) {
        assert!(
            problems
                .iter()
                .any(|problem| problem.severity == Severity::Error)
        );
    }
});
