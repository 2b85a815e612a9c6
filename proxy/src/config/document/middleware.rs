//! `http.middlewares`: settings read into the middlewares themselves.

use std::ops::RangeInclusive;

use super::keys;
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Keys, Place, Walker};
use crate::middleware::{KINDS, Middleware, Settings};

/// A middleware of `http.middlewares`.
pub(super) fn http(walker: &mut Walker, place: &Place<'_>) -> Option<Middleware> {
    let fields = walker.fields(place, &keys::MIDDLEWARE)?;
    let named: Vec<_> = KINDS.iter().filter(|kind| fields.has(kind.name)).collect();
    let [kind] = named[..] else {
        // A kind that weir has not yet has been reported already.
        if !fields.refused() {
            let found = format!("{} kinds of middleware", named.len());
            let problem = Problem::error(place.origin().clone(), found)
                .allowed("one of them, such as compress: {}")
                .remedy("give each middleware a name of its own, and join them with a chain");
            walker.report(Cost::Element, place, problem);
        }
        return None;
    };
    let place = fields.entry(kind.name)?;
    let settings = Keys {
        known: kind.keys,
        later: kind.later,
    };
    let fields = walker.fields(&place, &settings)?;
    (kind.read)(&mut Reader { walker, fields })
}

/// Settings in a rule file.
struct Reader<'w, 'a> {
    walker: &'w mut Walker,
    fields: Fields<'a>,
}

impl Settings for Reader<'_, '_> {
    fn has(&self, key: &'static str) -> bool {
        self.fields.has(key)
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        let place = self.fields.get(key)?;
        self.walker.string(&place)
    }

    fn texts(&mut self, key: &'static str) -> Vec<String> {
        let Some(place) = self.fields.get(key) else {
            return Vec::new();
        };
        let texts = self.walker.strings(&place).into_iter();
        texts.map(|text| text.value).collect()
    }

    fn flag(&mut self, key: &'static str) -> bool {
        let place = self.fields.get(key);
        let flag = place.and_then(|place| self.walker.boolean(&place));
        flag.unwrap_or(false)
    }

    fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.fields.integer(self.walker, key, range)
    }

    fn table(&mut self, key: &'static str) -> Vec<(String, String)> {
        let Some(place) = self.fields.get(key) else {
            return Vec::new();
        };
        let entries = self.walker.named(&place).into_iter();
        let text =
            |(name, place): (&str, Place<'_>)| Some((name.to_owned(), self.walker.string(&place)?));
        entries.filter_map(text).collect()
    }

    fn below(
        &mut self,
        key: &'static str,
        keys: &'static [&'static str],
        read: &mut dyn FnMut(&mut dyn Settings),
    ) {
        let known = Keys {
            known: keys,
            later: &[],
        };
        if let Some(place) = self.fields.get(key)
            && let Some(fields) = self.walker.fields(&place, &known)
        {
            let walker = &mut *self.walker;
            read(&mut Reader { walker, fields });
        }
    }

    fn wrong(&mut self, key: &'static str, allowed: &str) {
        match self.fields.entry(key) {
            Some(place) => self.walker.refuse(&place, allowed),
            None => {
                let place = self.fields.place();
                let problem = Problem::error(place.origin().clone(), format!("no {key}"));
                self.walker
                    .report(Cost::Element, place, problem.allowed(allowed));
            }
        }
    }

    fn idle(&mut self, key: &'static str, remedy: &str) {
        let place = self.fields.entry(key);
        let place = place.as_ref().unwrap_or(self.fields.place());
        let problem = Problem::warning(place.origin().clone(), format!("the key {key}"));
        self.walker
            .report(Cost::Element, place, problem.remedy(remedy));
    }
}
