//! The front against the model of a cluster.

use common::address::{Address, Object};
use common::durability::{Acks, Sync};
use common::failure::FailureCode;
use common::hash::KeyHash;
use common::wire::response;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{HttpAnswer, HttpRequest, HttpStarted, start};
use crate::front::call::Durability;
use crate::front::fastdht::model::Model;

const NOW: u64 = 1_700_000_000_250;

fn ask(
    model: &mut Model,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> HttpAnswer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let request = HttpRequest { method, path_and_query: path, headers: &headers, body };
    exchange(model, &request)
}

fn exchange(model: &mut Model, request: &HttpRequest<'_>) -> HttpAnswer {
    let mut call = match start(request, model) {
        HttpStarted::Answered(answer) => return answer,
        HttpStarted::Waiting(call) => call,
    };
    loop {
        let (part, bytes) = model.take_answer().expect("a waiting call has answers to come");
        let answer = response::decode(&bytes).unwrap();
        if let Some(answer) = call.on_answer(part, answer, model) {
            return answer;
        }
    }
}

fn get(model: &mut Model, path: &str) -> HttpAnswer {
    ask(model, "GET", path, &[], b"")
}

fn get_json(model: &mut Model, path: &str) -> Value {
    let answer = ask(model, "GET", path, &[("accept", "application/json")], b"");
    assert_eq!(header(&answer, "Content-Type"), "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

fn header<'a>(answer: &'a HttpAnswer, name: &str) -> &'a str {
    let found = answer.headers.iter().find(|(known, _)| *known == name);
    found.map_or("", |(_, value)| value.as_str())
}

fn code(answer: &HttpAnswer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(!body["error"].as_str().unwrap().is_empty());
    body["code"].as_str().unwrap().to_owned()
}

fn field<'a>(namespace: &'a [u8], name: &'a [u8], field: &'a [u8]) -> Address<'a> {
    Object { namespace, name }.field(field)
}

#[test]
fn a_value_comes_back_with_its_tag_and_expiry() {
    let mut model = Model::new(NOW);
    let path = "/v1/kv/files/%2Fusr%2Fbin/ls";
    let put = ask(&mut model, "PUT", path, &[("Fdht-TTL-Ms", "5000")], b"\0value\xff");
    assert_eq!((put.status, &put.body[..]), (204, &b""[..]));
    let tag = header(&put, "ETag").to_owned();
    assert_eq!(header(&put, "Fdht-Expire-At-Ms"), (NOW + 5000).to_string());

    model.now_ms += 1000;
    let answer = get(&mut model, path);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\0value\xff"[..]));
    assert_eq!(header(&answer, "Content-Type"), "application/octet-stream");
    assert_eq!((header(&answer, "ETag"), header(&answer, "Fdht-TTL-Ms")), (tag.as_str(), "4000"));
    let head = ask(&mut model, "HEAD", path, &[], b"");
    assert_eq!((head.status, header(&head, "Content-Length"), head.body.len()), (200, "7", 0));
    assert_eq!(header(&head, "ETag"), tag);

    let expected = json!({
        "namespace": "files", "object": "/usr/bin", "field": "ls", "value_base64": "AHZhbHVl/w==",
        "version": tag.trim_matches('"'), "expire_at_ms": NOW + 5000,
    });
    assert_eq!(get_json(&mut model, path), expected);
    model.now_ms += 4000;
    assert_eq!(code(&get(&mut model, path)), "missing");
}

#[test]
fn the_three_forms_of_an_address_meet() {
    let mut model = Model::new(NOW);
    for (write, read, json) in [
        ("/v1/kv/-/a", "/v1/kv?obj=a", json!(["", "a", null])),
        ("/v1/kv/%2D/a", "/v1/kv?ns=-&obj=a", json!(["-", "a", null])),
        ("/v1/kv?ns=n&obj=&field=", "/v1/kv?ns=n&field=&obj=", json!(["n", "", ""])),
    ] {
        assert_eq!(ask(&mut model, "PUT", write, &[], write.as_bytes()).status, 204);
        assert_eq!(get(&mut model, read).body, write.as_bytes());
        let body = get_json(&mut model, read);
        assert_eq!(json!([body["namespace"], body["object"], body["field"]]), json);
        assert_eq!(body["value"], write);
    }
}

#[test]
fn conditions_decide_over_writes_and_reads() {
    let mut model = Model::new(NOW);
    let path = "/v1/kv/n/o/f";
    let put = |model: &mut Model, header: (&str, &str)| ask(model, "PUT", path, &[header], b"v");
    assert_eq!(code(&put(&mut model, ("If-Match", "*"))), "precondition_failed");
    let created = put(&mut model, ("If-None-Match", "*"));
    assert_eq!(created.status, 204);
    let first = header(&created, "ETag").to_owned();
    let refused = put(&mut model, ("If-None-Match", "*"));
    assert_eq!((refused.status, header(&refused, "ETag")), (412, first.as_str()));
    let second = put(&mut model, ("If-Match", &first));
    assert_eq!(second.status, 204);
    let second = header(&second, "ETag").to_owned();
    assert_ne!(first, second);
    assert_eq!(put(&mut model, ("If-Match", &first)).status, 412);
    assert_eq!(put(&mut model, ("If-Match", "\"never\"")).status, 412);

    let known = ask(&mut model, "GET", path, &[("If-None-Match", &second)], b"");
    assert_eq!((known.status, known.body.len(), header(&known, "ETag")), (304, 0, second.as_str()));
    assert_eq!(ask(&mut model, "GET", path, &[("If-None-Match", &first)], b"").status, 200);
    assert_eq!(ask(&mut model, "GET", path, &[("If-Match", &first)], b"").status, 412);
    assert_eq!(ask(&mut model, "GET", "/v1/kv/n/o/x", &[("If-Match", &first)], b"").status, 412);

    assert_eq!(ask(&mut model, "DELETE", path, &[("If-Match", &first)], b"").status, 412);
    assert_eq!(ask(&mut model, "DELETE", path, &[("If-None-Match", "*")], b"").status, 400);
    assert_eq!(ask(&mut model, "DELETE", path, &[("If-Match", &second)], b"").status, 204);
    assert_eq!(ask(&mut model, "DELETE", path, &[], b"").status, 404);
}

#[test]
fn kinds_do_not_mix() {
    let mut model = Model::new(NOW);
    assert_eq!(ask(&mut model, "PUT", "/v1/kv/n/hash/f", &[], b"v").status, 204);
    assert_eq!(ask(&mut model, "PUT", "/v1/kv/n/text", &[], b"v").status, 204);
    for (method, path) in [
        ("PUT", "/v1/kv/n/hash"),
        ("PUT", "/v1/kv/n/text/f"),
        ("GET", "/v1/kv/n/hash"),
        ("HEAD", "/v1/kv/n/text/f"),
        ("GET", "/v1/objects/n/text"),
    ] {
        let answer = ask(&mut model, method, path, &[], b"v");
        assert_eq!(
            (answer.status, code(&answer)),
            (409, "wrong_kind".to_owned()),
            "{method} {path}"
        );
    }
    for path in ["/v1/objects/n/hash", "/v1/objects/n/text"] {
        assert_eq!(ask(&mut model, "DELETE", path, &[], b"").status, 204);
        assert_eq!(ask(&mut model, "DELETE", path, &[], b"").status, 404);
        assert_eq!(get(&mut model, path).status, 404);
    }
}

#[test]
fn an_object_is_listed_page_by_page_along_its_links() {
    let mut model = Model::new(NOW);
    let names: Vec<_> = (0..25).map(|n| format!("f{n:02}&/")).collect();
    for name in &names {
        model.put(field(b"n s", b"/o", name.as_bytes()), &vec![b'x'; name.len() * 3]);
    }
    model.put(field(b"n s", b"/o", b"\xff"), b"\xfe");
    for (part_max, values) in [(usize::MAX, true), (40, true), (7, true), (9, false)] {
        model.part_max = part_max;
        let (mut path, mut listed, mut pages) =
            (format!("/v1/objects/n%20s/%2Fo?limit=10&values={values}"), Vec::new(), 0);
        loop {
            let page = get_json(&mut model, &path);
            assert_eq!((&page["namespace"], &page["object"]), (&json!("n s"), &json!("/o")));
            for field in page["fields"].as_array().unwrap() {
                assert_eq!(field["value_bytes"].is_number(), !values);
                assert_eq!(field["value"].is_string(), values && field["field"].is_string());
                listed.push(field["field"].as_str().unwrap_or("ff").to_owned());
            }
            pages += 1;
            let Some(next) = page["next"].as_str() else {
                break;
            };
            path = next.to_owned();
        }
        assert_eq!(pages, 3);
        assert_eq!(listed[..25], names[..]);
        assert_eq!(listed[25..], ["ff"]);
    }
}

#[test]
fn long_values_arrive_whole_in_records_and_pages() {
    let mut model = Model::new(NOW);
    let value: Vec<u8> = (0..1000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    model.put(field(b"n", b"o", b"long"), &value);
    model.put(field(b"n", b"o", b"m"), b"short");
    model.part_max = 64;
    assert_eq!(get(&mut model, "/v1/kv/n/o/long").body, value);
    let page = get_json(&mut model, "/v1/objects/n/o");
    assert_eq!(page["fields"][0]["value"], String::from_utf8(value).unwrap());
    assert_eq!((&page["fields"][1]["value"], &page["next"]), (&json!("short"), &json!(null)));
}

#[test]
fn what_happened_has_one_status_and_one_code() {
    let mut model = Model::new(NOW);
    let lane = KeyHash::of(Object { namespace: b"n", name: b"o" }).lane(7, 2);
    for (failure, status, expected) in [
        (FailureCode::NoServer, 503, "not_applied"),
        (FailureCode::DeadlinePassed, 503, "not_applied"),
        (FailureCode::Unknown, 504, "unknown"),
        (FailureCode::AcksShort, 504, "acks_short"),
        (FailureCode::DiskFull, 507, "disk_full"),
        (FailureCode::Stopped, 507, "stopped"),
        (FailureCode::OverLimit, 413, "over_limit"),
        (FailureCode::Malformed, 500, "internal"),
    ] {
        model.failing.insert(lane, failure);
        for method in ["GET", "PUT", "DELETE"] {
            let answer = ask(&mut model, method, "/v1/kv/n/o", &[], b"v");
            assert_eq!((answer.status, code(&answer)), (status, expected.to_owned()));
            assert_eq!(header(&answer, "Retry-After").is_empty(), status != 503);
        }
        assert_eq!(get(&mut model, "/v1/objects/n/o").status, status);
    }
}

#[test]
fn the_wish_for_safety_travels_with_the_write() {
    let mut model = Model::new(NOW);
    let headers = [("fdht-acks", "all"), ("fdht-sync", "always")];
    for path in ["/v1/kv/n/o", "/v1/objects/n/o"] {
        ask(&mut model, "DELETE", path, &headers, b"");
        let (_, _, durability) = model.submitted.pop().unwrap();
        let wished = Durability { acks: Some(Acks::All), sync: Some(Sync::Always) };
        assert_eq!(durability, wished);
    }
}

#[test]
fn a_request_that_cannot_be_served_reaches_no_node() {
    let mut model = Model::new(NOW);
    let long = format!("/v1/kv/{}/o", "n".repeat(65));
    for (method, path, headers, status, expected) in [
        ("GET", "/", vec![], 404, "unknown_path"),
        ("GET", "/v1/kv/n", vec![], 400, "bad_request"),
        ("POST", "/v1/kv/n/o", vec![], 405, "method_not_allowed"),
        ("PUT", "/v1/objects/n/o", vec![], 405, "method_not_allowed"),
        ("DELETE", "/v1/objects/n/o?after=x", vec![], 400, "bad_request"),
        ("DELETE", "/v1/objects/n/o", vec![("if-match", "*")], 400, "bad_request"),
        ("GET", "/v1/kv/n/o", vec![("Fdht-TTL-Ms", "5")], 400, "bad_request"),
        ("PUT", "/v1/kv/n/o", vec![("Fdht-TTL", "5")], 400, "bad_request"),
        ("PUT", "/v1/kv/n/o", vec![("Origin", "https://evil.example")], 403, "foreign_origin"),
        ("GET", &long, vec![], 413, "over_limit"),
    ] {
        let answer = ask(&mut model, method, path, &headers, b"v");
        assert_eq!(
            (answer.status, code(&answer)),
            (status, expected.to_owned()),
            "{method} {path}"
        );
        assert_eq!(header(&answer, "Allow").is_empty(), status != 405);
    }
    let body = vec![0; common::limits::VALUE_BYTES_MAX + 1];
    assert_eq!(ask(&mut model, "PUT", "/v1/kv/n/o", &[], &body).status, 413);
    assert!(model.submitted.is_empty());
}

proptest! {
    #[test]
    fn garbage_is_answered_and_never_panics(
        method in "GET|HEAD|PUT|DELETE|[A-Z]{0,4}",
        path in "/v1/(kv|objects)(/[a-c%2-]{1,3}){0,3}([?](ns|obj|field|limit|after)=[0-9a-c%+]{0,4})?",
        name in "(?i)if-match|if-none-match|fdht-(acks|sync|ttl-ms|expire-at-ms)|accept|origin",
        value in proptest::collection::vec(any::<u8>(), 0..12),
    ) {
        let headers = [(name.as_str(), value.as_slice())];
        let request = HttpRequest { method: &method, path_and_query: &path, headers: &headers, body: b"v" };
        let answer = exchange(&mut Model::new(NOW), &request);
        prop_assert!((200..500).contains(&answer.status));
    }
}
