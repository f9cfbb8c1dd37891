//! What a store must show: objects as their users see them, in a map, with expiry looked at when
//! somebody asks.

use std::collections::BTreeMap;

/// An object as a user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    String(Vec<u8>),
    Hash(BTreeMap<String, Vec<u8>>),
}

#[derive(Clone, Debug)]
enum Object {
    String { value: Vec<u8>, expire_at: u64 },
    Hash { fields: BTreeMap<String, (Vec<u8>, u64)>, expire_at: u64 },
}

/// All objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    objects: BTreeMap<String, Object>,
}

fn live(expire_at: u64, now: u64) -> bool {
    expire_at == 0 || expire_at > now
}

impl Oracle {
    pub(super) fn seen(&self, name: &str, now: u64) -> Option<Seen> {
        match self.objects.get(name)? {
            Object::String { value, expire_at } => {
                live(*expire_at, now).then(|| Seen::String(value.clone()))
            }
            Object::Hash { fields, expire_at } => {
                let fields: BTreeMap<_, _> = fields
                    .iter()
                    .filter(|(_, (_, own))| live(*own, now) && live(*expire_at, now))
                    .map(|(name, (value, _))| (name.clone(), value.clone()))
                    .collect();
                (!fields.is_empty()).then_some(Seen::Hash(fields))
            }
        }
    }

    pub(super) fn all(&self, now: u64) -> BTreeMap<String, Seen> {
        let names = self.objects.keys();
        names.filter_map(|name| Some((name.clone(), self.seen(name, now)?))).collect()
    }

    pub(super) fn set(&mut self, name: &str, value: Vec<u8>, expire_at: u64) {
        self.objects.insert(name.to_owned(), Object::String { value, expire_at });
    }

    pub(super) fn hset(
        &mut self,
        name: &str,
        field: &str,
        value: Vec<u8>,
        expire_at: u64,
        now: u64,
    ) {
        if self.seen(name, now).is_none() {
            let object = Object::Hash { fields: BTreeMap::new(), expire_at: 0 };
            self.objects.insert(name.to_owned(), object);
        }
        if let Some(Object::Hash { fields, .. }) = self.objects.get_mut(name) {
            fields.insert(field.to_owned(), (value, expire_at));
        }
    }

    pub(super) fn hdel(&mut self, name: &str, field: &str) {
        if let Some(Object::Hash { fields, .. }) = self.objects.get_mut(name) {
            fields.remove(field);
        }
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.objects.remove(name);
    }

    pub(super) fn expire(&mut self, name: &str, at: u64, now: u64) {
        if self.seen(name, now).is_none() {
            return;
        }
        match self.objects.get_mut(name) {
            Some(Object::String { expire_at, .. } | Object::Hash { expire_at, .. }) => {
                *expire_at = at;
            }
            None => {}
        }
    }
}
