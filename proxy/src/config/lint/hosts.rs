//! Regular expressions for hosts: those that never match, and those that match more than they say.

use super::Lint;
use super::view::Seen;
use crate::config::Problem;
use crate::rule::HttpMatcher;

pub(super) fn all(seen: &[Seen<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for router in seen {
        for matcher in router.matchers() {
            let HttpMatcher::HostRegexp(regexp) = matcher else {
                continue;
            };
            let found = format!("HostRegexp(`{}`)", regexp.text());
            let problem = Problem::warning(router.origin.clone(), found).at(router.path());
            if !regexp.can_match_a_host() {
                problems.push(problem.lint(Lint::RegexpNeverMatches).remedy(match regexp.text().contains(r"\\") {
                    true => "no host name can match it: outside of double quotes YAML keeps each \\, so write one, not two",
                    false => "no host name can match it: names are lower case, without port and path",
                }));
                continue;
            }
            let remedy = match regexp.anchors() {
                (true, true) => continue,
                (true, false) => {
                    "it also matches longer names, such as those that end in .evil.example: end it with $"
                }
                (false, true) => "it also matches names with more before: begin it with ^",
                (false, false) => {
                    "it matches anywhere in a name: begin it with ^ and end it with $"
                }
            };
            problems.push(problem.lint(Lint::UnanchoredRegexp).remedy(remedy));
        }
    }
    problems
}
