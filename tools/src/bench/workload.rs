//! Which requests a connection sends. Pure, and cheap: the loader shares the machine with what it
//! measures.

use std::str::FromStr;

/// Digits of a key's number.
const KEY_DIGITS: usize = 12;

/// How many percent of the requests are SET; the others are GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mix {
    set_percent: u8,
}

impl Mix {
    /// Only GET.
    pub(super) const GET: Self = Self { set_percent: 0 };
    /// As many GET as SET.
    pub(super) const HALF: Self = Self { set_percent: 50 };
    /// Only SET.
    pub(super) const SET: Self = Self { set_percent: 100 };

    /// How many percent of the requests are SET.
    pub(super) fn set_percent(self) -> u8 {
        self.set_percent
    }

    /// For people: `GET`, `SET`, `20% SET`.
    pub(super) fn name(self) -> String {
        match self.set_percent {
            0 => "GET".to_owned(),
            100 => "SET".to_owned(),
            percent => format!("{percent}% SET"),
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = match text.to_ascii_lowercase().as_str() {
            "get" => Some(0),
            "set" => Some(100),
            other => other.strip_suffix("%set").and_then(|n| n.parse().ok()),
        };
        match percent {
            Some(set_percent @ 0..=100) => Ok(Self { set_percent }),
            _ => Err("expected get, set or N%set with N from 0 to 100".to_owned()),
        }
    }
}

/// Which keys come next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keys {
    /// Any of the first so many, evenly.
    Random(u64),
    /// Each once, from this one to before that one.
    Sequence(u64, u64),
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Workload {
    mix: Mix,
    keys: Keys,
    random: Random,
    get: Template,
    set: Template,
}

/// A command with room for the digits of the key.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    digits_at: usize,
}

impl Template {
    fn new(args: [&[u8]; 2], value: Option<&[u8]>) -> Self {
        let mut all: Vec<&[u8]> = args.to_vec();
        all.extend(value);
        let mut bytes = Vec::new();
        crate::resp::put_command(&mut bytes, &all);
        let tail = value.map_or(0, |v| v.len() + v.len().to_string().len() + 5);
        let digits_at = bytes.len() - tail - 2 - KEY_DIGITS;
        Self { bytes, digits_at }
    }

    fn put(&self, to: &mut Vec<u8>, mut key: u64) {
        let start = to.len() + self.digits_at;
        to.extend_from_slice(&self.bytes);
        for digit in to[start..start + KEY_DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(key % 10).expect("a digit");
            key /= 10;
        }
    }
}

impl Workload {
    /// Requests with values of `size` bytes; `seed` differs between connections.
    pub(super) fn new(mix: Mix, keys: Keys, size: usize, seed: u64) -> Self {
        let key = [b"bench:".as_slice(), &[b'0'; KEY_DIGITS]].concat();
        let value = vec![b'x'; size];
        Self {
            mix,
            keys,
            random: Random::new(seed),
            get: Template::new([b"GET", &key], None),
            set: Template::new([b"SET", &key], Some(&value)),
        }
    }

    /// Appends the next request; false when there is none.
    pub(super) fn put_next(&mut self, to: &mut Vec<u8>) -> bool {
        let key = match &mut self.keys {
            Keys::Random(count) => {
                let count = *count;
                self.random.next() % count
            }
            Keys::Sequence(next, end) if *next < *end => {
                *next += 1;
                *next - 1
            }
            Keys::Sequence(..) => return false,
        };
        let is_set = match self.mix.set_percent {
            0 => false,
            100 => true,
            percent => self.random.next() % 100 < u64::from(percent),
        };
        let template = if is_set { &self.set } else { &self.get };
        template.put(to, key);
        true
    }
}

/// Random numbers, cheap and the same for the same seed: xorshift64*.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Bits of a number.
    pub(super) const BITS: u32 = 48;

    /// The numbers of a seed.
    pub(super) fn new(seed: u64) -> Self {
        // Never zero, and far apart for seeds that are close.
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        // The upper bits are the good ones.
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> (u64::BITS - Self::BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_are_read_and_wrong_ones_refused() {
        assert_eq!("get".parse(), Ok(Mix::GET));
        assert_eq!("SET".parse(), Ok(Mix::SET));
        assert_eq!("20%set".parse(), Ok(Mix { set_percent: 20 }));
        for wrong in ["", "20", "101%set", "-1%set", "both"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn requests_are_whole_commands_with_the_key_in_place() {
        let mut out = Vec::new();
        let mut sets = Workload::new(Mix::SET, Keys::Sequence(41, 43), 3, 0);
        while sets.put_next(&mut out) {}
        let set = |key| format!("*3\r\n$3\r\nSET\r\n$18\r\nbench:{key:012}\r\n$3\r\nxxx\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), set(41) + &set(42));

        let mut out = Vec::new();
        assert!(Workload::new(Mix::GET, Keys::Sequence(7, 8), 0, 0).put_next(&mut out));
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$18\r\nbench:000000000007\r\n");
    }

    #[test]
    fn random_keys_and_kinds_are_spread() {
        let mut workload = Workload::new("50%set".parse().unwrap(), Keys::Random(10), 0, 3);
        let (mut sets, mut seen) = (0, std::collections::BTreeSet::new());
        for _ in 0..1000 {
            let mut out = Vec::new();
            workload.put_next(&mut out);
            sets += usize::from(out.starts_with(b"*3"));
            let text = String::from_utf8(out).unwrap();
            let at = text.find("bench:").unwrap();
            seen.insert(text.get(at..at + 18).unwrap().to_owned());
        }
        assert!((400..600).contains(&sets), "{sets}");
        assert_eq!(seen.len(), 10);
    }
}
