//! Templates: no text panics, hangs or grows without bound, and every refusal is one line that names a place.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use weir::config::{Source, template};
use weir::limits::TEMPLATE_OUTPUT_BYTES_MAX;

fuzz_target!(|text: &str| {
    match template::expand(&Source::file(Path::new("rules.yml")), text) {
        Ok(expanded) => assert!(expanded.text.len() <= TEMPLATE_OUTPUT_BYTES_MAX),
        Err(problem) => {
            let line = problem.to_string();
            assert!(
                line.starts_with("rules.yml") && !line.contains('\n'),
                "{line:?}"
            );
        }
    }
});
