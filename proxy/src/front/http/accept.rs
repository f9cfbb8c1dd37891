//! Whether a client wants a record as JSON or as its bytes.

use super::request::HttpRequest;

/// How a record is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The value's bytes.
    Raw,
    /// A JSON object.
    Json,
}

impl Form {
    /// JSON when `Accept` names `application/json`, and not `application/octet-stream` with a higher
    /// weight; in any other case the bytes. Wildcards mean the bytes.
    pub(super) fn wanted(request: &HttpRequest<'_>) -> Self {
        let (mut json, mut raw) = (0.0, 0.0);
        for item in request.header_list("accept") {
            let item = String::from_utf8_lossy(item).to_ascii_lowercase();
            let mut words = item.split(';').map(str::trim);
            let weight = match words.next() {
                Some("application/json") => &mut json,
                Some("application/octet-stream") => &mut raw,
                _ => continue,
            };
            let given = words.find_map(|word| word.strip_prefix("q=")?.parse::<f32>().ok());
            *weight = given.unwrap_or(1.0);
        }
        if json > 0.0 && json >= raw { Self::Json } else { Self::Raw }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &str) -> Form {
        let headers = [("ACCEPT", accept.as_bytes())];
        Form::wanted(&HttpRequest {
            method: "GET",
            path_and_query: "/",
            headers: &headers,
            body: b"",
        })
    }

    #[test]
    fn json_has_to_be_asked_for_by_name() {
        for accept in
            ["application/json", "text/html, Application/JSON;q=0.5", "application/json;v=1"]
        {
            assert_eq!(wanted(accept), Form::Json, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/*",
            "application/json;q=0",
            "application/json;q=0.5, application/octet-stream",
            "application/json;q=NaN",
        ] {
            assert_eq!(wanted(accept), Form::Raw, "{accept}");
        }
    }
}
