//! Whether weir and real servers agree on where requests end. Random and mutated HTTP/1.1 goes through weir to an
//! origin that records it; what weir forwarded is then sent, back to back, through nginx and HAProxy to another origin.
//! Nothing may be ambiguous there, and both must see the same requests: method, target, length of the body.
//!
//! What a case is follows from its seed alone ([`generate`]). A real server may refuse what weir forwards, as nginx
//! refuses TRACE: that is counted and no disagreement, since nothing is served that another one has not seen.

pub mod generate;
mod origin;
mod readers;
mod weir;

use std::io;
use std::path::Path;

use generate::Case;
use readers::Reader;
use weir::Lane;

/// Forwarded requests sent to the real servers at once.
const BATCH: usize = 256;
/// Disagreements after which a run ends: one fault shows itself in many cases.
const ENOUGH: usize = 20;

/// A request as a server has understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `METHOD TARGET LENGTH`, the length that of the body without its framing.
    pub summary: String,
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// The seed of the case that brought it.
    pub seed: u64,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases sent.
    pub cases: u64,
    /// Requests that weir forwarded.
    pub forwarded: u64,
    /// Of these, refused by a real server.
    pub refused: u64,
    /// Connections that a real server closed early, for no reason in the requests.
    pub closed: u64,
    /// The names of the real servers.
    pub readers: Vec<&'static str>,
    /// One text for each disagreement, with its seed.
    pub disagreements: Vec<String>,
}

/// Sends the cases of these seeds through the binary `weir`, and what it forwards to each installed real server.
///
/// # Errors
/// When a program cannot be started, or does not answer at all.
pub fn run(weir: &Path, seeds: std::ops::Range<u64>) -> io::Result<Report> {
    run_cases(weir, seeds.map(Case::from_seed))
}

/// The same for these cases.
///
/// # Errors
/// As [`run`].
pub fn run_cases(weir: &Path, cases: impl Iterator<Item = Case>) -> io::Result<Report> {
    let lane = Lane::start(weir)?;
    let mut readers = readers::installed()?;
    let mut report = Report {
        readers: readers.iter().map(Reader::name).collect(),
        ..Report::default()
    };
    let mut waiting = Vec::new();
    for case in cases {
        let seen = match lane.send(&case) {
            Ok(seen) => seen,
            Err(error) => {
                report.disagreements.push(format!("{case}: {error}"));
                Vec::new()
            }
        };
        report.cases += 1;
        report.forwarded += seen.len() as u64;
        report.disagreements.extend(case.misread(&seen));
        waiting.extend(seen);
        if waiting.len() >= BATCH {
            replay(&mut readers, &waiting, &mut report)?;
            waiting.clear();
        }
        if report.disagreements.len() >= ENOUGH {
            break;
        }
    }
    replay(&mut readers, &waiting, &mut report)?;
    Ok(report)
}

fn replay(readers: &mut [Reader], requests: &[Seen], report: &mut Report) -> io::Result<()> {
    for reader in readers {
        let outcome = reader.replay(requests)?;
        report.refused += outcome.refused;
        report.closed += outcome.closed;
        report.disagreements.extend(outcome.disagreements);
    }
    Ok(())
}
