//! Refuses what a web page of another site makes a browser send. Browsers name the page's origin in
//! `Origin`, and newer ones how near it is in `Sec-Fetch-Site`; other clients send neither.

use super::request::HttpRequest;

/// Whether the request comes from another site's page.
pub(super) fn is_foreign(request: &HttpRequest<'_>) -> bool {
    let cross_site =
        request.header_lines("sec-fetch-site").any(|site| site.eq_ignore_ascii_case(b"cross-site"));
    let host = request.header("host").unwrap_or_default();
    cross_site || request.header_lines("origin").any(|origin| !is_own(origin, host))
}

/// Whether an origin `scheme://host[:port]` is the host that the request was sent to.
fn is_own(origin: &[u8], host: &[u8]) -> bool {
    let own = [&b"http://"[..], b"https://"].into_iter().find_map(|s| origin.strip_prefix(s));
    !host.is_empty() && own.is_some_and(|own| own.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(headers: &[(&str, &[u8])]) -> bool {
        is_foreign(&HttpRequest { method: "GET", path_and_query: "/", headers, body: b"" })
    }

    #[test]
    fn only_other_sites_pages_are_refused() {
        let host = ("host", &b"localhost:12200"[..]);
        assert!(!foreign(&[host]));
        assert!(!foreign(&[host, ("Origin", b"http://localhost:12200")]));
        assert!(!foreign(&[host, ("Sec-Fetch-Site", b"same-origin")]));
        assert!(!foreign(&[host, ("Sec-Fetch-Site", b"none")]));
        assert!(foreign(&[host, ("Sec-Fetch-Site", b"cross-site")]));
        for origin in
            ["https://evil.example", "null", "http://localhost", "localhost:12200", "http://"]
        {
            assert!(foreign(&[host, ("origin", origin.as_bytes())]), "{origin}");
        }
        assert!(foreign(&[("origin", b"http://")]));
    }
}
