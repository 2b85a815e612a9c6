//! Session tickets (RFC 5077, RFC 8446 section 4.6.1): sessions are resumed without anything being kept for them.
//!
//! Owns: the keys, which are the same for all workers and outlive every reload, and what is in a ticket. Never: a lock,
//! which rustls's own ticketer takes in each handshake. Invariants: a ticket is good for the set of options it was made
//! under and no other, as its fingerprint is authenticated with it; a key seals for [`limits::TICKET_KEY_TIME`] and
//! opens as long as a ticket of it may live.
//!
//! A ticket: the key's name (16 bytes), a nonce (12 bytes), and the session under AES-256-GCM.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;

use crate::limits;

const NAME_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// The keys of all tickets of this process.
pub struct TicketKeys {
    /// None where there is no randomness to make one of: then there are no tickets.
    keys: ArcSwap<Vec<Arc<Key>>>,
}

struct Key {
    name: [u8; NAME_BYTES],
    /// Nonces are drawn: a key must not seal more than 2^32 tickets, which takes 200,000 a second.
    key: LessSafeKey,
    made: Instant,
}

/// The tickets of one set of options.
pub struct Tickets {
    keys: Arc<TicketKeys>,
    /// The set's fingerprint.
    context: [u8; 32],
}

impl TicketKeys {
    /// With a key made at this time.
    pub fn new(now: Instant) -> Self {
        Self {
            keys: ArcSwap::from_pointee(Key::new(now).map(Arc::new).into_iter().collect()),
        }
    }

    /// Makes a new key if the newest has sealed long enough, and forgets those whose tickets are all over. Called by
    /// the control thread, alone.
    pub fn rotate(&self, now: Instant) {
        let keys = self.keys.load();
        let is_new =
            |key: &Arc<Key>| now.saturating_duration_since(key.made) < limits::TICKET_KEY_TIME;
        if keys.first().is_some_and(is_new) {
            return;
        }
        let Some(key) = Key::new(now) else { return };
        let opens = limits::TICKET_KEY_TIME + limits::TICKET_TIME;
        let old = keys
            .iter()
            .filter(|key| now.saturating_duration_since(key.made) < opens)
            .cloned();
        self.keys
            .store(Arc::new([Arc::new(key)].into_iter().chain(old).collect()));
    }
}

impl Default for TicketKeys {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl Key {
    fn new(now: Instant) -> Option<Self> {
        let (mut name, mut secret) = ([0; NAME_BYTES], [0; KEY_BYTES]);
        rand::fill(&mut name).ok()?;
        rand::fill(&mut secret).ok()?;
        let key = UnboundKey::new(&AES_256_GCM, &secret).ok()?;
        Some(Self {
            name,
            key: LessSafeKey::new(key),
            made: now,
        })
    }
}

impl Tickets {
    /// For the set of options with this fingerprint.
    pub fn new(keys: &Arc<TicketKeys>, context: [u8; 32]) -> Self {
        Self {
            keys: Arc::clone(keys),
            context,
        }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        !self.keys.keys.load().is_empty()
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(limits::TICKET_TIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.keys.load();
        let key = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = session.to_vec();
        let (aad, drawn) = (Aad::from(self.context), Nonce::from(&nonce));
        key.key
            .seal_in_place_append_tag(drawn, aad, &mut sealed)
            .ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.keys.load();
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut session = sealed.to_vec();
        let aad = Aad::from(self.context);
        let opened = key.key.open_in_place(nonce.into(), aad, &mut session);
        let length = opened.ok()?.len();
        session.truncate(length);
        Some(session)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TicketKeys({})", self.keys.load().len())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tickets")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tickets(keys: &Arc<TicketKeys>, context: u8) -> Tickets {
        Tickets::new(keys, [context; 32])
    }

    #[test]
    fn a_ticket_opens_under_its_own_options_alone() {
        let keys = Arc::new(TicketKeys::default());
        let ticket = tickets(&keys, 1).encrypt(b"session").expect("a ticket");
        let opened = tickets(&keys, 1).decrypt(&ticket);
        assert_eq!(opened.as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets(&keys, 2).decrypt(&ticket), None);
        let others = Arc::new(TicketKeys::default());
        assert_eq!(tickets(&others, 1).decrypt(&ticket), None);
        for length in 0..ticket.len() {
            assert_eq!(tickets(&keys, 1).decrypt(&ticket[..length]), None);
        }
        for index in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[index] ^= 1;
            assert_eq!(tickets(&keys, 1).decrypt(&forged), None, "byte {index}");
        }
    }

    #[test]
    fn keys_rotate_and_open_as_long_as_a_ticket_may_live() {
        let begin = Instant::now();
        let keys = Arc::new(TicketKeys::new(begin));
        let tickets = tickets(&keys, 1);
        let first = tickets.encrypt(b"first").expect("a ticket");
        keys.rotate(begin + limits::TICKET_KEY_TIME - Duration::from_secs(1));
        assert_eq!(keys.keys.load().len(), 1);
        let (mut now, last) = (begin, begin + limits::TICKET_KEY_TIME + limits::TICKET_TIME);
        while now + limits::TICKET_KEY_TIME < last {
            now += limits::TICKET_KEY_TIME;
            keys.rotate(now);
            assert!(tickets.decrypt(&first).is_some());
            let next = tickets.encrypt(b"next").expect("a ticket");
            assert_ne!(next[..NAME_BYTES], first[..NAME_BYTES]);
        }
        keys.rotate(last);
        assert!(tickets.decrypt(&first).is_none());
        assert!(keys.keys.load().len() <= 4);
    }
}
