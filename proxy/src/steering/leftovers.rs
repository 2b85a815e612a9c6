//! The program of an earlier process that this one cannot or must not use. Its steered connections go on; new ones are
//! left to user space, lest they go by rules that nobody updates.

use super::maps::Maps;
use super::program::Pins;
use super::tables::Tables;

/// The pins, where a program is still attached by them; maps without one are of no use to anybody and go.
pub fn find(pins: Pins) -> Option<Pins> {
    match pins.attached() {
        Ok(attached) if !attached.is_empty() => Some(pins),
        _ => {
            let _ = pins.remove();
            None
        }
    }
}

/// Leaves new connections to user space. Not before it serves them.
pub fn retire(pins: &Pins) {
    match Maps::open(&pins.maps()).and_then(Tables::adopt) {
        Ok(mut tables) => {
            tables.fill(&[], &Default::default());
            tracing::warn!(
                "steered connections of an earlier process go on in the NIC; weir steer detach ends them"
            );
        }
        Err(error) => {
            tracing::error!(%error, "an earlier process steers on by its last rules: run weir steer detach")
        }
    }
}
