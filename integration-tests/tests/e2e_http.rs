//! HTTP on the data port, with an independent client library; raw sockets where it would hide things.

use std::sync::OnceLock;
use std::time::Duration;

use harness::http::{percent, raw};
use harness::{Options, TestCluster, unix_ms, wait_until};
use serde_json::Value;

/// One cluster for all tests of this file; each works in a namespace of its own.
fn cluster() -> &'static TestCluster {
    static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Options::shape(2, 1, 7).start())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_value_is_put_read_and_deleted() {
    let http = cluster().http();
    let path = "/v1/kv/basic/key";
    let missing = http.get(path).expect(404);
    assert_eq!(missing.json()["code"], "missing");
    assert!(missing.json()["error"].as_str().unwrap().contains("does not exist"));
    let put = http.put(path, "value").expect(204);
    assert!(put.header("etag").starts_with('"'), "{:?}", put.headers);
    let got = http.get(path).expect(200);
    assert_eq!((got.text().as_str(), got.header("etag")), ("value", put.header("etag")));
    assert_eq!(got.header("content-type"), "application/octet-stream");
    let head = http.send("HEAD", path, &[], None).expect(200);
    assert_eq!((head.body.len(), head.header("content-length")), (0, "5"));
    http.delete(path).expect(204);
    http.delete(path).expect(404);
    http.send("HEAD", path, &[], None).expect(404);
    http.put(path, "").expect(204);
    assert!(http.get(path).expect(200).body.is_empty(), "an empty value is a value");
}

#[test]
fn fields_and_the_unnamed_field_are_different_things() {
    let http = cluster().http();
    http.put("/v1/kv/fields/hash/one", "1").expect(204);
    http.put("/v1/kv/fields/hash/two", "2").expect(204);
    assert_eq!(http.get("/v1/kv/fields/hash/two").expect(200).body, b"2");
    assert_eq!(http.get("/v1/kv/fields/hash").expect(409).json()["code"], "wrong_kind");
    http.put("/v1/kv/fields/hash", "x").expect(409);
    http.put("/v1/kv/fields/string", "x").expect(204);
    http.put("/v1/kv/fields/string/field", "x").expect(409);
    http.get("/v1/kv/fields/string/field").expect(409);
    // The field whose name is empty is none of them.
    http.put("/v1/kv?ns=fields&obj=hash&field=", "empty name").expect(204);
    assert_eq!(http.get("/v1/kv?ns=fields&obj=hash&field=").expect(200).body, b"empty name");
    let mut resp = cluster().resp();
    resp.call(&["SELECT", "fields"]);
    assert_eq!(resp.call(&["HGET", "hash", ""]), "empty name");
    assert_eq!(resp.call(&["HLEN", "hash"]), 3);
}

#[test]
fn the_dash_is_the_empty_namespace() {
    let http = cluster().http();
    http.put("/v1/kv/-/dash", "zero").expect(204);
    let mut resp = cluster().resp();
    assert_eq!(resp.call(&["GET", "dash"]), "zero");
    http.put("/v1/kv/%2D/dash", "a dash").expect(204);
    assert_eq!(resp.call(&["SELECT", "-"]), "OK");
    assert_eq!(resp.call(&["GET", "dash"]), "a dash");
    assert_eq!(http.get("/v1/kv?ns=&obj=dash").expect(200).body, b"zero");
    assert_eq!(http.get("/v1/kv?ns=-&obj=dash").expect(200).body, b"a dash");
}

#[test]
fn every_name_can_be_written() {
    let http = cluster().http();
    let mut resp = cluster().resp();
    assert_eq!(resp.call(&["SELECT", "names"]), "OK");
    let names: [&[u8]; 8] =
        [b"/usr/bin", b"a b", b"%", b"?&#=", "größe".as_bytes(), &[0, 255, 13, 10], b"..", b"+"];
    for (n, object) in names.into_iter().enumerate() {
        let path = format!("/v1/kv/names/{}/{}", percent(object), percent(names[7 - n]));
        http.put(&path, n.to_string()).expect(204);
        assert_eq!(http.get(&path).expect(200).text(), n.to_string(), "{path}");
        let stored = resp.call(&[b"HGET", object, names[7 - n]]);
        assert_eq!(stored, n.to_string().as_str(), "{path}");
    }
    http.get("/v1/kv/names/%zz").expect(400);
}

#[test]
fn json_shows_text_as_text_and_bytes_as_base64() {
    let http = cluster().http();
    http.put("/v1/kv/json/o/f", "größe").expect(204);
    let accept = [("Accept", "application/json")];
    let json = http.send("GET", "/v1/kv/json/o/f", &accept, None).expect(200).json();
    assert_eq!(json["namespace"], "json");
    assert_eq!((&json["object"], &json["field"]), (&"o".into(), &"f".into()));
    assert_eq!((&json["value"], &json["expire_at_ms"]), (&"größe".into(), &0.into()));
    http.put("/v1/kv/json/o/f", [0xff, 0xfe]).expect(204);
    let json = http.send("GET", "/v1/kv/json/o/f", &accept, None).expect(200).json();
    assert_eq!((json.get("value"), &json["value_base64"]), (None, &"//4=".into()));
}

#[test]
fn conditions_protect_against_lost_updates() {
    let http = cluster().http();
    let path = "/v1/kv/conditions/key";
    let put = |header: (&str, &str), value: &str| {
        http.send("PUT", path, &[header], Some(value.as_bytes()))
    };
    put(("If-Match", "*"), "no").expect(412);
    let first = put(("If-None-Match", "*"), "one").expect(204);
    let first = first.header("etag").to_owned();
    let refused = put(("If-None-Match", "*"), "no").expect(412);
    assert_eq!(refused.json()["code"], "precondition_failed");
    let second = put(("If-Match", &first), "two").expect(204);
    let second = second.header("etag").to_owned();
    assert_ne!(first, second);
    put(("If-Match", &first), "late").expect(412);
    assert_eq!(http.get(path).body, b"two");
    let known = http.send("GET", path, &[("If-None-Match", &second)], None).expect(304);
    assert!(known.body.is_empty());
    http.send("GET", path, &[("If-None-Match", &first)], None).expect(200);
    http.send("DELETE", path, &[("If-Match", &first)], None).expect(412);
    http.send("DELETE", path, &[("If-Match", &second)], None).expect(204);
    // Many writers, one winner.
    let racers: Vec<_> = (0..8)
        .map(|n| {
            let http = http.clone();
            std::thread::spawn(move || {
                let body = format!("racer {n}");
                let first = [("If-None-Match", "*")];
                http.send("PUT", path, &first, Some(body.as_bytes())).status
            })
        })
        .collect();
    let mut answers: Vec<u16> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
    answers.sort_unstable();
    assert_eq!(answers, [204, 412, 412, 412, 412, 412, 412, 412]);
}

#[test]
fn a_time_to_live_is_kept_and_shown() {
    let http = cluster().http();
    let path = "/v1/kv/ttl/key";
    let put = |headers: &[(&str, &str)]| http.send("PUT", path, headers, Some(b"v"));
    put(&[("Fdht-TTL-Ms", "60000")]).expect(204);
    let got = http.get(path).expect(200);
    let left: u64 = got.header("fdht-ttl-ms").parse().unwrap();
    assert!((50_000..=60_000).contains(&left), "{left}");
    let at = unix_ms() + 400;
    put(&[("Fdht-Expire-At-Ms", &at.to_string())]).expect(204);
    assert_eq!(http.get(path).header("fdht-expire-at-ms"), at.to_string());
    wait_until("it expires", Duration::from_secs(20), || http.get(path).status == 404);
    assert!(unix_ms() >= at, "not too early");
    put(&[]).expect(204);
    assert_eq!(http.get(path).header("fdht-ttl-ms"), "", "no expiry, no header");
    for wrong in [
        &[("Fdht-TTL-Ms", "soon")][..],
        &[("Fdht-TTL-Ms", "-1")],
        &[("Fdht-TTL-Ms", "1"), ("Fdht-Expire-At-Ms", "1")],
        &[("Fdht-Acks", "some")],
        &[("Fdht-Nonsense", "1")],
    ] {
        assert!(put(wrong).expect(400).json()["error"].is_string(), "{wrong:?}");
    }
    put(&[("Fdht-Sync", "always")]).expect(204);
}

#[test]
fn an_object_is_listed_in_pages_and_deleted_at_once() {
    let http = cluster().http();
    let mut resp = cluster().resp();
    resp.call(&["SELECT", "pages"]);
    let count = 2_345;
    for start in (0..count).step_by(500) {
        let fields = (start..(start + 500).min(count))
            .flat_map(|n| [format!("field {n:05}"), format!("value {n}")]);
        let words: Vec<String> =
            ["HSET", "/usr/lib"].map(str::to_owned).into_iter().chain(fields).collect();
        resp.call(&words).int();
    }
    let (mut path, mut found, mut pages) =
        ("/v1/objects/pages/%2Fusr%2Flib?limit=1000".to_owned(), Vec::new(), 0);
    loop {
        let page = http.get(&path).expect(200).json();
        assert_eq!((&page["namespace"], &page["object"]), (&"pages".into(), &"/usr/lib".into()));
        let fields = page["fields"].as_array().unwrap();
        assert!(fields.len() <= 1000);
        found.extend(fields.iter().map(|f| {
            (f["field"].as_str().unwrap().to_owned(), f["value"].as_str().unwrap().to_owned())
        }));
        pages += 1;
        match &page["next"] {
            Value::Null => break,
            next => path = next.as_str().unwrap().to_owned(),
        }
    }
    assert!(pages == 3 || pages == 4, "{pages}");
    let expected = (0..count).map(|n| (format!("field {n:05}"), format!("value {n}")));
    assert!(found.into_iter().eq(expected), "every field once, in order");
    let names = http.get("/v1/objects/pages/%2Fusr%2Flib?values=false&limit=2").json();
    assert_eq!(names["fields"][0]["value_bytes"], 7);
    assert_eq!(names["fields"].as_array().unwrap().len(), 2);
    http.delete("/v1/objects/pages/%2Fusr%2Flib").expect(204);
    http.delete("/v1/objects/pages/%2Fusr%2Flib").expect(404);
    http.get("/v1/objects/pages/%2Fusr%2Flib").expect(404);
    assert_eq!(resp.call(&["EXISTS", "/usr/lib"]), 0);
}

#[test]
fn what_is_not_there_or_not_possible_is_said() {
    let http = cluster().http();
    for path in ["/", "/v2/kv/a/b", "/metrics"] {
        let answer = http.get(path).expect(404);
        assert!(answer.json()["error"].as_str().unwrap().contains("/v1/kv"), "{path}");
    }
    let refused = http.send("PATCH", "/v1/kv/a/b", &[], Some(b"x")).expect(405);
    assert_eq!(refused.header("allow"), "GET, HEAD, PUT, DELETE");
    http.send("POST", "/v1/objects/a/b", &[], Some(b"x")).expect(405);
    for path in ["/v1/kv", "/v1/kv/only-namespace", "/v1/kv/a/b/c/d", "/v1/kv/a/b?x=1"] {
        http.get(path).expect(400);
    }
}

#[test]
fn what_is_too_long_is_refused_with_the_limit() {
    let http = cluster().http();
    let cases = [
        (format!("/v1/kv/{}/o", "n".repeat(65)), "64"),
        (format!("/v1/kv/limits/{}", "o".repeat(8193)), "8192"),
        (format!("/v1/kv/limits/o/{}", "f".repeat(8193)), "8192"),
    ];
    for (path, limit) in cases {
        for answer in [http.get(&path).expect(413), http.put(&path, "v").expect(413)] {
            assert!(answer.text().contains(limit), "{}", answer.text());
        }
    }
    let name = "o".repeat(8192);
    http.put(&format!("/v1/kv/limits/{name}"), "fits").expect(204);
    let largest = vec![7; 16 << 20];
    http.put("/v1/kv/limits/large", &largest).expect(204);
    assert!(http.get("/v1/kv/limits/large").expect(200).body == largest);
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let length = (16 << 20) + 1;
    let head =
        format!("PUT /v1/kv/limits/x HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    let answer = text(&raw(&cluster().address(), &[head.as_bytes(), &vec![0; 1000]].concat()));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("16777216"), "the limit is named: {answer}");
}

#[test]
fn pages_of_other_sites_are_refused() {
    let http = cluster().http();
    let address = cluster().address();
    let own = format!("http://{address}");
    let put = |header| http.send("PUT", "/v1/kv/origin/k", &[header], Some(b"v"));
    put(("Origin", "https://evil.example")).expect(403);
    put(("Origin", "null")).expect(403);
    put(("Sec-Fetch-Site", "cross-site")).expect(403);
    http.get("/v1/kv/origin/k").expect(404);
    put(("Origin", &own)).expect(204);
    put(("Sec-Fetch-Site", "same-origin")).expect(204);
}

#[test]
fn http_2_is_answered_with_505() {
    let answer = text(&raw(&cluster().address(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 505"), "{answer}");
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
    });
    assert_eq!(length, Some(body.len().to_string()), "{answer}");
}

#[test]
fn pipelined_chunked_and_old_requests_are_understood() {
    let address = cluster().address();
    let requests = "PUT /v1/kv/raw/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                    5\r\nchunk\r\n3\r\ned!\r\n0\r\n\r\n\
                    GET /v1/kv/raw/k HTTP/1.1\r\nHost: x\r\n\r\n\
                    GET /v1/kv/raw/absent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = text(&raw(&address, requests.as_bytes()));
    let at = |words: &str| answer.find(words).unwrap_or_else(|| panic!("{words:?} in {answer}"));
    assert!(at("HTTP/1.1 204") < at("chunked!") && at("chunked!") < at("HTTP/1.1 404"));
    let answer = text(&raw(&address, b"GET /v1/kv/raw/k HTTP/1.0\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("chunked!"), "{answer}");
}
