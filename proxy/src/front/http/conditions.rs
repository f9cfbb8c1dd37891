//! `If-Match` and `If-None-Match`. An entity tag is the record's version in hex, in quotes; clients
//! are to take it as opaque.

use common::op::Test;
use common::version::Version;

use super::answer::HttpAnswer;
use super::request::HttpRequest;

/// The entity tag of a version.
pub(super) fn etag(version: Version) -> String {
    format!("\"{version}\"")
}

/// What a request expects of the record.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
}

#[derive(Debug)]
enum Tags {
    Any,
    /// Those of them that are versions; another tag never matches.
    Versions(Vec<Version>),
}

/// What a conditional write is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteCondition {
    /// There is no condition.
    None,
    /// The node tests this.
    Test(Test<'static>),
    /// No record can fulfil it.
    Never,
}

impl Conditions {
    /// What the headers say.
    pub(super) fn of(request: &HttpRequest<'_>) -> Self {
        let matches = tags(request, "if-match", false);
        Self { matches, none_matches: tags(request, "if-none-match", true) }
    }

    /// Whether a record with this version is as `If-Match` expects it; `None` is a missing record.
    pub(super) fn match_holds(&self, version: Option<Version>) -> bool {
        self.matches.as_ref().is_none_or(|tags| version.is_some_and(|one| tags.contain(one)))
    }

    /// Whether the client has this version already.
    pub(super) fn is_known(&self, version: Version) -> bool {
        self.none_matches.as_ref().is_some_and(|tags| tags.contain(version))
    }

    /// The condition of a write. Only one can be tested.
    pub(super) fn for_write(&self) -> Result<WriteCondition, HttpAnswer> {
        match (&self.matches, &self.none_matches) {
            (None, None) => Ok(WriteCondition::None),
            (None, Some(Tags::Any)) => Ok(WriteCondition::Test(Test::Absent)),
            (None, Some(Tags::Versions(_))) => {
                Err(HttpAnswer::bad_request("If-None-Match of a write: only `*` is understood"))
            }
            (Some(_), Some(_)) => Err(HttpAnswer::bad_request(
                "If-Match and If-None-Match of a write exclude each other: send one of them",
            )),
            (Some(Tags::Any), None) => Ok(WriteCondition::Test(Test::Exists)),
            (Some(Tags::Versions(versions)), None) => match versions.as_slice() {
                [] => Ok(WriteCondition::Never),
                [version] => Ok(WriteCondition::Test(Test::VersionIs(*version))),
                _ => Err(HttpAnswer::bad_request("If-Match of a write: send one entity tag")),
            },
        }
    }
}

impl Tags {
    fn contain(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

/// `weak` tags count where RFC 9110 asks for the weak comparison.
fn tags(request: &HttpRequest<'_>, header: &str, weak: bool) -> Option<Tags> {
    let mut versions = None;
    for tag in request.header_list(header) {
        if tag == b"*" {
            return Some(Tags::Any);
        }
        let versions: &mut Vec<_> = versions.get_or_insert_default();
        versions.extend(version(tag, weak));
    }
    versions.map(Tags::Versions)
}

fn version(tag: &[u8], weak: bool) -> Option<Version> {
    let tag = if weak { tag.strip_prefix(b"W/").unwrap_or(tag) } else { tag };
    let hex = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Version::from_hex(std::str::from_utf8(hex).ok()?)
}

#[cfg(test)]
mod tests {
    use common::ids::NodeId;

    use super::*;

    fn of(headers: &[(&str, &str)]) -> Conditions {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let path_and_query = "/";
        Conditions::of(&HttpRequest { method: "PUT", path_and_query, headers: &headers, body: b"" })
    }

    fn one(node: u32) -> Version {
        Version { node: NodeId(node), ..Version::default() }
    }

    #[test]
    fn reads_compare_with_every_tag() {
        let both = format!("{}, W/{}", etag(one(1)), etag(one(2)));
        let conditions = of(&[("if-match", &both)]);
        assert!(conditions.match_holds(Some(one(1))));
        assert!(!conditions.match_holds(Some(one(2))), "a weak tag is no strong one");
        assert!(!conditions.match_holds(None));
        let conditions = of(&[("if-none-match", &both)]);
        assert!(conditions.is_known(one(1)) && conditions.is_known(one(2)));
        assert!(!conditions.is_known(one(3)));
        assert!(of(&[]).match_holds(None) && !of(&[]).is_known(one(1)));
    }

    #[test]
    fn writes_test_one_thing() {
        let test = |headers: &[(&str, &str)]| of(headers).for_write();
        let tag = etag(one(1));
        assert_eq!(test(&[]).unwrap(), WriteCondition::None);
        assert_eq!(test(&[("if-match", "*")]).unwrap(), WriteCondition::Test(Test::Exists));
        assert_eq!(test(&[("if-none-match", "*")]).unwrap(), WriteCondition::Test(Test::Absent));
        let version = WriteCondition::Test(Test::VersionIs(one(1)));
        assert_eq!(test(&[("If-Match", &tag)]).unwrap(), version);
        assert_eq!(test(&[("if-match", "\"other\"")]).unwrap(), WriteCondition::Never);
        assert!(test(&[("if-none-match", &tag)]).is_err());
        assert!(test(&[("if-match", &format!("{tag},{tag}"))]).is_err());
        assert!(test(&[("if-match", "*"), ("if-none-match", "*")]).is_err());
    }
}
