//! Request bodies. A body is valid when its fields fill it exactly and keep the limits; a request is
//! checked whole before anything of it is executed.

use common::address::{Address, Field, Object};
use common::limits::VALUE_BYTES_MAX;

/// Longest namespace of this protocol, in bytes.
pub(super) const NAMESPACE_BYTES_MAX: usize = 64;
/// Longest object id of this protocol, in bytes.
pub(super) const OBJECT_BYTES_MAX: usize = 128;
/// Longest key name of this protocol, in bytes.
pub(super) const KEY_BYTES_MAX: usize = 128;
/// Most keys of a batch.
pub(super) const BATCH_KEYS_MAX: usize = 128;
/// The key name that the original keeps for its lists of key names.
pub(super) const RESERVED_KEY: &[u8] = b"*";

// Every name of this protocol is allowed inside.
const _: () = assert!(NAMESPACE_BYTES_MAX <= common::limits::NAMESPACE_BYTES_MAX);
const _: () = assert!(OBJECT_BYTES_MAX <= common::limits::OBJECT_BYTES_MAX);
const _: () = assert!(KEY_BYTES_MAX <= common::limits::FIELD_BYTES_MAX);

/// A request that is answered with status 22, whatever is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Set { key: Key<'a>, value: &'a [u8] },
    Inc { key: Key<'a>, delta: i32 },
    Get { key: Key<'a> },
    Delete { key: Key<'a> },
    BatchSet { keys: Keys<'a>, values: Vec<&'a [u8]> },
    BatchGet { keys: Keys<'a> },
    BatchDelete { keys: Keys<'a> },
    SubKeys { object: Object<'a> },
    Stat,
    HeartBeat,
    Quit,
}

/// A key's three parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<'a> {
    pub(super) namespace: &'a [u8],
    pub(super) object: &'a [u8],
    pub(super) name: &'a [u8],
}

/// The keys of a batch: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys<'a> {
    pub(super) namespace: &'a [u8],
    pub(super) object: &'a [u8],
    pub(super) names: Vec<&'a [u8]>,
}

/// The address of a key. A plain key, without namespace and object id, is an object with only the
/// unnamed field; where just one of the two is empty it is taken literally.
pub(super) fn address<'a>(namespace: &'a [u8], object: &'a [u8], name: &'a [u8]) -> Address<'a> {
    if namespace.is_empty() && object.is_empty() {
        return Address { object: Object { namespace, name }, field: Field::Unnamed };
    }
    Address { object: Object { namespace, name: object }, field: Field::Named(name) }
}

impl<'a> Key<'a> {
    /// Where it is stored.
    pub(super) fn address(&self) -> Address<'a> {
        address(self.namespace, self.object, self.name)
    }
}

/// Reads the body of the command with this code. Unknown codes, and those of the original's servers
/// among themselves (SYNC_*), are invalid.
pub(super) fn parse(command: u8, body: &[u8]) -> Result<Request<'_>, Invalid> {
    let mut fields = Fields { rest: body };
    let request = match command {
        10 => return Ok(Request::Quit),
        11 => Request::Set { key: fields.key()?, value: fields.bytes(VALUE_BYTES_MAX)? },
        12 => Request::Inc { key: fields.key()?, delta: fields.number()? },
        13 => Request::Get { key: fields.key()? },
        14 => Request::Delete { key: fields.key()? },
        15 => fields.batch_set()?,
        16 => Request::BatchGet { keys: fields.keys()? },
        17 => Request::BatchDelete { keys: fields.keys()? },
        18 => Request::Stat,
        19 => fields.sub_keys()?,
        30 => Request::HeartBeat,
        _ => return Err(Invalid),
    };
    if fields.rest.is_empty() { Ok(request) } else { Err(Invalid) }
}

/// Takes fields off the front of a body.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<i32, Invalid> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(Invalid)?;
        self.rest = rest;
        Ok(i32::from_be_bytes(*bytes))
    }

    fn bytes(&mut self, max: usize) -> Result<&'a [u8], Invalid> {
        let length = usize::try_from(self.number()?).map_err(|_| Invalid)?;
        if length > max {
            return Err(Invalid);
        }
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Invalid)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn name(&mut self) -> Result<&'a [u8], Invalid> {
        let name = self.bytes(KEY_BYTES_MAX)?;
        if name.is_empty() || name == RESERVED_KEY { Err(Invalid) } else { Ok(name) }
    }

    fn object(&mut self) -> Result<Object<'a>, Invalid> {
        let namespace = self.bytes(NAMESPACE_BYTES_MAX)?;
        Ok(Object { namespace, name: self.bytes(OBJECT_BYTES_MAX)? })
    }

    fn key(&mut self) -> Result<Key<'a>, Invalid> {
        let object = self.object()?;
        Ok(Key { namespace: object.namespace, object: object.name, name: self.name()? })
    }

    fn count(&mut self) -> Result<usize, Invalid> {
        match usize::try_from(self.number()?) {
            Ok(count @ 1..=BATCH_KEYS_MAX) => Ok(count),
            _ => Err(Invalid),
        }
    }

    fn keys(&mut self) -> Result<Keys<'a>, Invalid> {
        let object = self.object()?;
        let count = self.count()?;
        let names = (0..count).map(|_| self.name()).collect::<Result<_, _>>()?;
        Ok(Keys { namespace: object.namespace, object: object.name, names })
    }

    fn batch_set(&mut self) -> Result<Request<'a>, Invalid> {
        let object = self.object()?;
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for _ in 0..self.count()? {
            names.push(self.name()?);
            values.push(self.bytes(VALUE_BYTES_MAX)?);
        }
        let keys = Keys { namespace: object.namespace, object: object.name, names };
        Ok(Request::BatchSet { keys, values })
    }

    fn sub_keys(&mut self) -> Result<Request<'a>, Invalid> {
        let object = self.object()?;
        if object.namespace.is_empty() || object.name.is_empty() {
            return Err(Invalid);
        }
        Ok(Request::SubKeys { object })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> Vec<u8> {
        let mut out = i32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        out.extend(bytes);
        out
    }

    #[test]
    fn one_empty_part_is_taken_literally_and_two_make_a_plain_key() {
        let object = |namespace, name| Object { namespace, name };
        assert_eq!(address(b"", b"", b"k"), object(&b""[..], &b"k"[..]).unnamed());
        assert_eq!(address(b"n", b"", b"k"), object(&b"n"[..], &b""[..]).field(b"k"));
        assert_eq!(address(b"", b"o", b"k"), object(&b""[..], &b"o"[..]).field(b"k"));
    }

    #[test]
    fn an_empty_key_is_invalid_even_where_the_original_lets_it_pass() {
        let body = [text(b""), text(b""), text(b""), text(b"value")].concat();
        assert_eq!(parse(11, &body), Err(Invalid));
    }

    #[test]
    fn commands_of_the_originals_servers_are_invalid() {
        let body = [text(b""), text(b""), text(b"k"), text(b"v")].concat();
        assert!(parse(11, &body).is_ok());
        for command in [20, 21, 22, 23, 24, 40] {
            assert_eq!(parse(command, &body), Err(Invalid));
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(command in 9u8..32, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _request = parse(command, &bytes);
        }

        #[test]
        fn lengths_that_lie_are_invalid(command in 11u8..18, at in 0usize..3, lie in any::<i32>()) {
            let mut parts = [text(b"ns"), text(b"ob"), text(b"key")];
            prop_assume!(lie != i32::try_from(parts[at].len() - 4).unwrap());
            parts[at][..4].copy_from_slice(&lie.to_be_bytes());
            let body = parts.concat();
            prop_assert_eq!(parse(13, &body), Err(Invalid));
            let _request = parse(command, &body);
        }
    }
}
