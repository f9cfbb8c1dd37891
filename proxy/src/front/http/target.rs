//! What a request is about: a record or an object, from path and query.
//!
//! A segment of a path is percent-encoded for itself, so names may hold `/`. A namespace written as
//! a raw `-` is the empty one; `%2D` is the namespace `-`. Segments that are empty, `.` or `..` are
//! changed by clients and proxies on the way: such names are reached with the query form.

use common::address::{Address, Field, Object};

use super::answer::HttpAnswer;
use super::percent::{decode, encode};

const RECORDS: &str = "/v1/kv";
const OBJECTS: &str = "/v1/objects";
/// Fields of a page, unless asked for otherwise.
const FIELDS_DEFAULT: u32 = 1_000;
/// Most fields of a page.
const FIELDS_MAX: u32 = 10_000;

/// The resource of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/v1/kv`
    Record(Name),
    /// `/v1/objects`
    Object(Name, Page),
}

/// Names, decoded. An object has no field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) namespace: Vec<u8>,
    pub(super) object: Vec<u8>,
    pub(super) field: Option<Vec<u8>>,
}

/// Which fields of an object are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Only those behind this one.
    pub(super) after: Option<Vec<u8>>,
    /// Most fields.
    pub(super) limit: u32,
    /// Whether with their values.
    pub(super) values: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: None, limit: FIELDS_DEFAULT, values: true }
    }
}

impl Name {
    /// The object.
    pub(super) fn as_object(&self) -> Object<'_> {
        Object { namespace: &self.namespace, name: &self.object }
    }

    /// The record.
    pub(super) fn as_address(&self) -> Address<'_> {
        let field = self.field.as_deref().map_or(Field::Unnamed, Field::Named);
        Address { object: self.as_object(), field }
    }
}

impl Page {
    /// Path and query of the page of `name` behind the field `after`.
    pub(super) fn link(&self, name: &Name, after: &[u8]) -> String {
        let mut link = format!("{OBJECTS}?");
        let parts = [("ns=", &name.namespace[..]), ("&obj=", &name.object), ("&after=", after)];
        for (key, value) in parts {
            link.push_str(key);
            encode(&mut link, value);
        }
        link + &format!("&limit={}&values={}", self.limit, self.values)
    }
}

impl Target {
    /// Reads a target in origin form.
    pub(super) fn of(path_and_query: &str) -> Result<Self, HttpAnswer> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let mut query = Query::of(query)?;
        let target = if let Some(segments) = below(path, RECORDS) {
            Self::Record(name(segments, 3, &mut query)?)
        } else if let Some(segments) = below(path, OBJECTS) {
            Self::Object(name(segments, 2, &mut query)?, page(&mut query)?)
        } else {
            let error = format!("unknown path `{path}`; use {RECORDS} or {OBJECTS}");
            return Err(HttpAnswer::error(404, "unknown_path", &error));
        };
        query.end()?;
        Ok(target)
    }
}

/// What stands below `root`, without the slash; empty for the root itself.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(root)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// The names in up to `segments_max` segments, or in the query when there is no segment.
fn name(segments: &str, segments_max: usize, query: &mut Query<'_>) -> Result<Name, HttpAnswer> {
    if segments.is_empty() {
        let field = if segments_max > 2 { query.take("field") } else { None };
        let namespace = query.take("ns").unwrap_or_default();
        let object = query.take("obj").ok_or_else(|| {
            bad("no object: write /NAMESPACE/OBJECT, or `?ns=NAMESPACE&obj=OBJECT`")
        })?;
        return Ok(Name { namespace, object, field });
    }
    let parts: Vec<_> = segments.split('/').collect();
    if parts.len() < 2 {
        return Err(bad("no object: write /NAMESPACE/OBJECT; the empty namespace is `-`"));
    }
    if parts.len() > segments_max {
        let error = format!("{} segments, max {segments_max}: write `/` as %2F", parts.len());
        return Err(bad(&error));
    }
    let mut parts = parts.into_iter();
    let namespace = match parts.next() {
        Some("-") => Vec::new(),
        other => segment(other.unwrap_or_default())?,
    };
    let object = segment(parts.next().unwrap_or_default())?;
    Ok(Name { namespace, object, field: parts.next().map(segment).transpose()? })
}

fn segment(text: &str) -> Result<Vec<u8>, HttpAnswer> {
    if text.is_empty() {
        return Err(bad(
            "an empty segment: write empty names as `?ns=NAMESPACE&obj=OBJECT&field=`",
        ));
    }
    decode(text, false).map_err(|_| bad_escape(text))
}

fn page(query: &mut Query<'_>) -> Result<Page, HttpAnswer> {
    let default = Page::default();
    let limit = match query.take("limit") {
        None => default.limit,
        Some(text) => match String::from_utf8_lossy(&text).parse() {
            Ok(limit @ 1..=FIELDS_MAX) => limit,
            _ => {
                return Err(bad(&format!("limit is not a number from 1 to {FIELDS_MAX}")));
            }
        },
    };
    let values = match query.take("values").as_deref() {
        None => default.values,
        Some(b"true") => true,
        Some(b"false") => false,
        Some(_) => return Err(bad("values is neither `true` nor `false`")),
    };
    Ok(Page { after: query.take("after"), limit, values })
}

/// The parameters that were not taken yet.
struct Query<'a> {
    parameters: Vec<(&'a str, Vec<u8>)>,
}

impl<'a> Query<'a> {
    fn of(text: &'a str) -> Result<Self, HttpAnswer> {
        let mut parameters: Vec<(&str, Vec<u8>)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if parameters.iter().any(|(known, _)| *known == key) {
                return Err(bad(&format!("query parameter `{key}` is given twice")));
            }
            parameters.push((key, decode(value, true).map_err(|_| bad_escape(value))?));
        }
        Ok(Self { parameters })
    }

    fn take(&mut self, key: &str) -> Option<Vec<u8>> {
        let index = self.parameters.iter().position(|(known, _)| *known == key)?;
        Some(self.parameters.swap_remove(index).1)
    }

    fn end(&self) -> Result<(), HttpAnswer> {
        match self.parameters.first() {
            None => Ok(()),
            Some((key, _)) => Err(bad(&format!("query parameter `{key}` has no meaning here"))),
        }
    }
}

/// Reads a target and forgets it: for fuzzing.
///
/// # Panics
/// If the link to an object's next page, which is read from the client's next request, does not mean
/// the same object.
pub fn check_target(path_and_query: &str) {
    let Ok(Target::Object(name, page)) = Target::of(path_and_query) else {
        return;
    };
    let after = page.after.clone().unwrap_or_default();
    let next = Target::of(&page.link(&name, &after));
    let page = Page { after: Some(after), ..page };
    assert_eq!(next.ok(), Some(Target::Object(name, page)));
}

fn bad(error: &str) -> HttpAnswer {
    HttpAnswer::bad_request(error)
}

fn bad_escape(text: &str) -> HttpAnswer {
    bad(&format!("`{text}`: `%` stands before two hex digits; write `%` itself as %25"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(path: &str) -> Name {
        match Target::of(path).unwrap() {
            Target::Record(name) => name,
            other => panic!("{other:?}"),
        }
    }

    fn named(namespace: &str, object: &str, field: Option<&str>) -> Name {
        let field = field.map(|field| field.as_bytes().to_vec());
        Name { namespace: namespace.into(), object: object.into(), field }
    }

    #[test]
    fn paths_name_records() {
        assert_eq!(record("/v1/kv/files/a"), named("files", "a", None));
        let name = named("files", "/usr/bin", Some("l s"));
        assert_eq!(record("/v1/kv/files/%2Fusr%2fbin/l%20s"), name);
        assert_eq!(record("/v1/kv/-/a+b"), named("", "a+b", None));
        assert_eq!(record("/v1/kv/%2D/a"), named("-", "a", None));
        assert_eq!(record("/v1/kv?ns=-&obj=&field="), named("-", "", Some("")));
        assert_eq!(record("/v1/kv?obj=a+b"), named("", "a b", None));
    }

    #[test]
    fn objects_have_pages() {
        let path = "/v1/objects/n/o?limit=5&after=a%26b&values=false";
        let Target::Object(name, page) = Target::of(path).unwrap() else { panic!() };
        assert_eq!(page, Page { after: Some(b"a&b".to_vec()), limit: 5, values: false });
        let next = page.link(&name, b"c d");
        assert_eq!(next, "/v1/objects?ns=n&obj=o&after=c%20d&limit=5&values=false");
        let Target::Object(same, page) = Target::of(&next).unwrap() else { panic!() };
        assert_eq!((same, page.after.as_deref()), (name, Some(&b"c d"[..])));
    }

    #[test]
    fn a_wrong_target_is_answered_with_what_is_wrong() {
        for (path, status, wanted) in [
            ("/", 404, "use /v1/kv or /v1/objects"),
            ("/v1/kvx/a/b", 404, "unknown path"),
            ("/v1/kv", 400, "no object"),
            ("/v1/kv/a", 400, "no object"),
            ("/v1/kv?ns=a", 400, "no object"),
            ("/v1/kv/a/", 400, "an empty segment"),
            ("/v1/kv/a/b/", 400, "an empty segment"),
            ("/v1/kv/a/b/c/d", 400, "4 segments, max 3"),
            ("/v1/objects/a/b/c", 400, "3 segments, max 2"),
            ("/v1/kv/a/%zz", 400, "`%zz`"),
            ("/v1/kv/a/b?x=1", 400, "`x` has no meaning"),
            ("/v1/kv/a/b?ns=c", 400, "`ns` has no meaning"),
            ("/v1/kv?obj=a&obj=b", 400, "`obj` is given twice"),
            ("/v1/objects?obj=a&field=b", 400, "`field` has no meaning"),
            ("/v1/objects/a/b?limit=0", 400, "from 1 to 10000"),
            ("/v1/objects/a/b?values=1", 400, "neither `true` nor `false`"),
        ] {
            let answer = Target::of(path).unwrap_err();
            let body = String::from_utf8(answer.body).unwrap();
            assert_eq!(answer.status, status, "{path}");
            assert!(body.contains(wanted), "{path}: {body}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(path in "(/v1/(kv|objects))?[/?&=%a-f0-9+.-]{0,40}.{0,5}") {
            let _target = Target::of(&path);
        }
    }
}
