//! The `Fdht-*` headers of a request.

use std::str::FromStr;

use common::op::Expiry;

use super::answer::HttpAnswer;
use super::request::HttpRequest;
use crate::front::call::Durability;

/// Time to live, in milliseconds.
pub(super) const TTL: &str = "Fdht-TTL-Ms";
/// Expiry, in milliseconds since 1970; 0 is never.
pub(super) const EXPIRE_AT: &str = "Fdht-Expire-At-Ms";
/// How many servers must hold a write.
const ACKS: &str = "Fdht-Acks";
/// How durable it must be there.
const SYNC: &str = "Fdht-Sync";
/// Largest time: what a JSON number holds exactly.
const MILLISECONDS_MAX: u64 = (1 << 53) - 1;

/// What a request asks for besides its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// The expiry of what is stored; none if no header says one.
    pub(super) expiry: Option<Expiry>,
    /// How safe a write must be.
    pub(super) durability: Durability,
}

impl Options {
    /// Reads the headers. One that is misspelled is refused, since what it asks for would silently
    /// not happen.
    pub(super) fn of(request: &HttpRequest<'_>) -> Result<Self, HttpAnswer> {
        let known = [TTL, EXPIRE_AT, ACKS, SYNC];
        for (name, _) in request.headers {
            let ours = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("fdht-"));
            if ours && !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                let known = known.join(", ");
                let error = format!("unknown header `{name}`; known are {known}");
                return Err(HttpAnswer::bad_request(&error));
            }
        }
        let durability = Durability { acks: level(request, ACKS)?, sync: level(request, SYNC)? };
        Ok(Self { expiry: expiry(request)?, durability })
    }
}

fn expiry(request: &HttpRequest<'_>) -> Result<Option<Expiry>, HttpAnswer> {
    match (number(request, TTL)?, number(request, EXPIRE_AT)?) {
        (None, None) => Ok(None),
        (Some(0), None) => {
            Err(HttpAnswer::bad_request(&format!("{TTL}: 0 is not allowed; use DELETE")))
        }
        (Some(ms), None) => Ok(Some(Expiry::After(ms))),
        (None, Some(0)) => Ok(Some(Expiry::Never)),
        (None, Some(ms)) => Ok(Some(Expiry::At(ms))),
        (Some(_), Some(_)) => {
            let error = format!("{TTL} and {EXPIRE_AT} exclude each other: send one of them");
            Err(HttpAnswer::bad_request(&error))
        }
    }
}

fn number(request: &HttpRequest<'_>, name: &str) -> Result<Option<u64>, HttpAnswer> {
    let Some(text) = text(request, name)? else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if number <= MILLISECONDS_MAX && !text.starts_with('+') => Ok(Some(number)),
        _ => Err(HttpAnswer::bad_request(&format!(
            "{name}: `{text}` is not a number of milliseconds from 0 to {MILLISECONDS_MAX}"
        ))),
    }
}

fn level<L: FromStr<Err: ToString>>(
    request: &HttpRequest<'_>,
    name: &str,
) -> Result<Option<L>, HttpAnswer> {
    let Some(text) = text(request, name)? else {
        return Ok(None);
    };
    let level = text.parse::<L>().map(Some);
    level.map_err(|error| HttpAnswer::bad_request(&format!("{name}: {}", error.to_string())))
}

/// A header's only value.
fn text<'a>(request: &HttpRequest<'a>, name: &str) -> Result<Option<&'a str>, HttpAnswer> {
    let mut lines = request.header_lines(name);
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(HttpAnswer::bad_request(&format!("{name} is given twice")));
    }
    let text = std::str::from_utf8(line);
    text.map(Some).map_err(|_| HttpAnswer::bad_request(&format!("{name} is not text")))
}

#[cfg(test)]
mod tests {
    use common::durability::{Acks, Sync};

    use super::*;

    fn of(headers: &[(&str, &[u8])]) -> Result<Options, String> {
        let request = HttpRequest { method: "PUT", path_and_query: "/", headers, body: b"" };
        Options::of(&request).map_err(|answer| String::from_utf8(answer.body).unwrap())
    }

    #[test]
    fn headers_say_expiry_and_safety() {
        let durability = Durability { acks: Some(Acks::All), sync: Some(Sync::Always) };
        let headers: [(&str, &[u8]); 3] =
            [("fdht-acks", b"all"), ("FDHT-SYNC", b"always"), ("Fdht-Ttl-Ms", b" 5 ")];
        assert_eq!(of(&headers), Ok(Options { expiry: Some(Expiry::After(5)), durability }));
        let expiry = |value: &'static [u8]| of(&[(EXPIRE_AT, value)]).unwrap().expiry;
        assert_eq!(expiry(b"0"), Some(Expiry::Never));
        assert_eq!(expiry(b"9007199254740991"), Some(Expiry::At(MILLISECONDS_MAX)));
        assert_eq!(of(&[("accept", b"*/*")]).unwrap().expiry, None);
    }

    type Headers<'a> = &'a [(&'a str, &'a [u8])];

    #[test]
    fn a_wrong_header_is_named() {
        let cases: [(Headers<'_>, &str); 9] = [
            (&[("fdht-ttl", b"5")], "unknown header `fdht-ttl`"),
            (&[(TTL, b"0")], "use DELETE"),
            (&[(TTL, b"-1")], "Fdht-TTL-Ms: `-1`"),
            (&[(TTL, b"+1")], "`+1`"),
            (&[(EXPIRE_AT, b"9007199254740992")], "from 0 to 9007199254740991"),
            (&[(TTL, b"1"), (EXPIRE_AT, b"1")], "exclude each other"),
            (&[(TTL, b"1"), (TTL, b"1")], "given twice"),
            (&[(ACKS, b"two")], "Fdht-Acks: `two` is not a level"),
            (&[(SYNC, b"\xff")], "not text"),
        ];
        for (headers, wanted) in cases {
            let error = of(headers).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
