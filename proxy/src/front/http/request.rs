//! A request as the driver hands it over.

/// One request, its body complete.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The target in origin form, still percent-encoded.
    pub path_and_query: &'a str,
    /// All headers, in order. Names in any case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub body: &'a [u8],
}

impl<'a> HttpRequest<'a> {
    /// The values of a header's lines.
    pub(super) fn header_lines(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.trim_ascii())
    }

    /// The value of a header that stands on one line.
    pub(super) fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.header_lines(name).next()
    }

    /// All values of a header whose lines are lists with commas.
    pub(super) fn header_list(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let items = self.header_lines(name).flat_map(|line| line.split(|&byte| byte == b','));
        items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
    }
}
