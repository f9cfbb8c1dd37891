//! RESP through the whole system: the `redis` crate where a client library is what users have, raw
//! sockets where the bytes matter.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use harness::net_fault::Mode;
use harness::process::finish;
use harness::resp::encode;
use harness::{Options, Relay, Resp, TestCluster, Value, unix_ms, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// One cluster for all tests of this file; each works in a namespace of its own.
fn cluster() -> &'static TestCluster {
    static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Options::shape(2, 2, 17).start())
}

/// A connection in a namespace.
fn resp(namespace: &str) -> Resp {
    let mut resp = cluster().resp();
    assert_eq!(resp.call(&["SELECT", namespace]), "OK");
    resp
}

fn redis(namespace: &str) -> redis::Connection {
    let mut connection = cluster().redis("");
    redis::cmd("SELECT").arg(namespace).exec(&mut connection).unwrap();
    connection
}

fn ask<T: redis::FromRedisValue>(connection: &mut redis::Connection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    command.query(connection).unwrap_or_else(|e| panic!("{words:?}: {e}"))
}

#[test]
fn strings_behave_as_in_redis() {
    let c = &mut redis("strings");
    assert_eq!(ask::<Option<String>>(c, &["GET", "k"]), None);
    assert_eq!(ask::<String>(c, &["SET", "k", "one"]), "OK");
    assert_eq!(ask::<String>(c, &["GET", "k"]), "one");
    assert_eq!(ask::<Option<String>>(c, &["SET", "k", "two", "NX"]), None);
    assert_eq!(ask::<Option<String>>(c, &["SET", "absent", "x", "XX"]), None);
    assert_eq!(ask::<String>(c, &["SET", "k", "two", "XX", "GET"]), "one");
    assert_eq!(ask::<Option<String>>(c, &["SET", "fresh", "x", "GET"]), None);
    assert_eq!(ask::<i64>(c, &["SETNX", "k", "three"]), 0);
    assert_eq!(ask::<i64>(c, &["SETNX", "k2", "three"]), 1);
    assert_eq!(ask::<String>(c, &["GETSET", "k", "four"]), "two");
    assert_eq!(ask::<i64>(c, &["APPEND", "k", "-and-five"]), 13);
    assert_eq!(ask::<i64>(c, &["APPEND", "new", "abc"]), 3);
    assert_eq!(ask::<i64>(c, &["STRLEN", "k"]), 13);
    assert_eq!(ask::<i64>(c, &["STRLEN", "absent"]), 0);
    assert_eq!(ask::<String>(c, &["GETDEL", "k"]), "four-and-five");
    assert_eq!(ask::<Option<String>>(c, &["GETDEL", "k"]), None);
    assert_eq!(ask::<String>(c, &["TYPE", "k2"]), "string");
    assert_eq!(ask::<String>(c, &["TYPE", "k"]), "none");

    assert_eq!(ask::<i64>(c, &["INCR", "n"]), 1);
    assert_eq!(ask::<i64>(c, &["INCRBY", "n", "41"]), 42);
    assert_eq!(ask::<i64>(c, &["DECR", "n"]), 41);
    assert_eq!(ask::<i64>(c, &["DECRBY", "n", "100"]), -59);
    assert_eq!(ask::<String>(c, &["GET", "n"]), "-59");

    let binary: Vec<u8> = (0..=255).collect();
    redis::cmd("SET").arg(&binary).arg(&binary).exec(c).unwrap();
    assert_eq!(redis::cmd("GET").arg(&binary).query::<Vec<u8>>(c).unwrap(), binary);
    assert_eq!(ask::<String>(c, &["SET", "", "the empty key"]), "OK");
    assert_eq!(ask::<String>(c, &["GET", ""]), "the empty key");
}

#[test]
fn numbers_that_are_none_or_too_great_are_refused() {
    let c = &mut resp("numbers");
    c.call(&["SET", "text", "abc"]);
    let not_a_number = "ERR value is not an integer or out of range";
    assert_eq!(c.call(&["INCR", "text"]).error(), not_a_number);
    assert_eq!(c.call(&["INCRBY", "n", "1.5"]).error(), not_a_number);
    c.call(&["SET", "greatest", "9223372036854775807"]);
    let overflow = "ERR increment or decrement would overflow";
    assert_eq!(c.call(&["INCR", "greatest"]).error(), overflow);
    assert_eq!(c.call(&["GET", "greatest"]), "9223372036854775807");
    c.call(&["HSET", "h", "f", "abc"]);
    assert_eq!(c.call(&["HINCRBY", "h", "f", "1"]).error(), "ERR hash value is not an integer");
}

#[test]
fn a_string_expires_when_it_should() {
    let c = &mut resp("expiry");
    assert_eq!(c.call(&["SET", "short", "v", "PX", "300"]), "OK");
    let left = c.call(&["PTTL", "short"]).int();
    assert!((1..=300).contains(&left), "{left}");
    let began = unix_ms();
    wait_until("it expires", SOON, || c.call(&["GET", "short"]) == Value::Nil);
    assert!(unix_ms() - began <= 3_000, "it lived for {} ms more", unix_ms() - began);
    assert_eq!(c.call(&["TTL", "short"]), -2);
    assert_eq!(c.call(&["EXISTS", "short"]), 0);

    assert_eq!(c.call(&["SETEX", "k", "100", "v"]), "OK");
    assert!((99..=100).contains(&c.call(&["TTL", "k"]).int()));
    assert_eq!(c.call(&["SET", "k", "v2", "KEEPTTL"]), "OK");
    assert!(c.call(&["TTL", "k"]).int() > 90);
    assert_eq!(c.call(&["PERSIST", "k"]), 1);
    assert_eq!(c.call(&["PERSIST", "k"]), 0);
    assert_eq!(c.call(&["TTL", "k"]), -1);
    assert_eq!(c.call(&["PSETEX", "k", "100000", "v"]), "OK");
    assert_eq!(c.call(&["EXPIRE", "k", "200", "NX"]), 0);
    assert_eq!(c.call(&["EXPIRE", "k", "50", "GT"]), 0);
    assert_eq!(c.call(&["EXPIRE", "k", "200", "GT"]), 1);
    assert_eq!(c.call(&["EXPIRE", "k", "300", "LT"]), 0);
    assert_eq!(c.call(&["PEXPIRE", "k", "300000", "XX"]), 1);
    let at = (unix_ms() / 1000 + 1000).to_string();
    assert_eq!(c.call(&["EXPIREAT", "k", &at]), 1);
    assert!((998..=1000).contains(&c.call(&["TTL", "k"]).int()));
    assert_eq!(c.call(&["GETEX", "k", "PERSIST"]), "v");
    assert_eq!(c.call(&["TTL", "k"]), -1);
    assert_eq!(c.call(&["SET", "k", "plain"]), "OK");
    assert_eq!(c.call(&["EXPIREAT", "k", "1"]), 1, "a time in the past");
    assert_eq!(c.call(&["EXISTS", "k"]), 0);
    assert_eq!(c.call(&["EXPIRE", "k", "100"]), 0, "it is gone");
    for wrong in [&["SET", "k", "v", "EX", "0"][..], &["SETEX", "k", "-1", "v"]] {
        let error = c.call(wrong);
        assert!(error.error().starts_with("ERR invalid expire time"), "{error:?}");
    }
}

#[test]
fn a_hash_expires_as_a_whole_and_starts_anew() {
    let c = &mut resp("hash-expiry");
    c.call(&["HSET", "h", "a", "1", "b", "2"]);
    assert_eq!(c.call(&["PEXPIRE", "h", "200"]), 1);
    wait_until("it expires", SOON, || c.call(&["EXISTS", "h"]) == 0);
    assert_eq!(c.call(&["HLEN", "h"]), 0);
    assert_eq!(c.call(&["HSET", "h", "c", "3"]), 1);
    assert_eq!(c.call(&["HGETALL", "h"]).texts(), ["c", "3"]);
    assert_eq!(c.call(&["TTL", "h"]), -1);
    // A deleted hash does not come back with its next field.
    assert_eq!(c.call(&["DEL", "h"]), 1);
    assert_eq!(c.call(&["HSET", "h", "d", "4"]), 1);
    assert_eq!(c.call(&["HKEYS", "h"]).texts(), ["d"]);
}

#[test]
fn hashes_behave_as_in_redis() {
    let c = &mut redis("hashes");
    assert_eq!(ask::<i64>(c, &["HSET", "h", "b", "2", "a", "1"]), 2);
    assert_eq!(ask::<i64>(c, &["HSET", "h", "a", "one", "c", "3"]), 1);
    assert_eq!(ask::<String>(c, &["HGET", "h", "a"]), "one");
    assert_eq!(ask::<Option<String>>(c, &["HGET", "h", "absent"]), None);
    assert_eq!(ask::<Option<String>>(c, &["HGET", "absent", "f"]), None);
    let some: Vec<Option<String>> = ask(c, &["HMGET", "h", "c", "absent", "a"]);
    assert_eq!(some, [Some("3".into()), None, Some("one".into())]);
    let all: BTreeMap<String, String> = ask(c, &["HGETALL", "h"]);
    let expected = [("a", "one"), ("b", "2"), ("c", "3")];
    assert_eq!(all, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(ask::<i64>(c, &["HLEN", "h"]), 3);
    assert_eq!(ask::<BTreeSet<String>>(c, &["HKEYS", "h"]).len(), 3);
    assert_eq!(ask::<BTreeSet<String>>(c, &["HVALS", "h"]).len(), 3);
    assert!(ask::<bool>(c, &["HEXISTS", "h", "b"]));
    assert!(!ask::<bool>(c, &["HEXISTS", "h", "z"]));
    assert_eq!(ask::<i64>(c, &["HINCRBY", "h", "n", "5"]), 5);
    assert_eq!(ask::<i64>(c, &["HINCRBY", "h", "n", "-7"]), -2);
    assert_eq!(ask::<i64>(c, &["HDEL", "h", "a", "b", "z"]), 2);
    assert_eq!(ask::<String>(c, &["TYPE", "h"]), "hash");
    assert_eq!(ask::<i64>(c, &["HDEL", "h", "c", "n"]), 2);
    assert_eq!(ask::<i64>(c, &["EXISTS", "h"]), 0, "the last field takes the hash with it");
    assert_eq!(ask::<i64>(c, &["HSET", "h", "", "the empty field"]), 1);
    assert_eq!(ask::<String>(c, &["HGET", "h", ""]), "the empty field");
}

#[test]
fn a_hash_of_many_pages_is_read_whole() {
    let c = &mut redis("big-hash");
    let count = 20_000;
    for start in (0..count).step_by(2_000) {
        let mut command = redis::cmd("HSET");
        command.arg("h");
        for n in start..start + 2_000 {
            command.arg(format!("field-{n:05}")).arg(format!("value-{n}-{}", "x".repeat(80)));
        }
        assert_eq!(command.query::<i64>(c).unwrap(), 2_000);
    }
    assert_eq!(ask::<usize>(c, &["HLEN", "h"]), count);
    let all: BTreeMap<String, String> = ask(c, &["HGETALL", "h"]);
    assert_eq!(all.len(), count);
    assert!(all.iter().enumerate().all(|(n, (field, value))| {
        *field == format!("field-{n:05}") && value.starts_with(&format!("value-{n}-"))
    }));
    assert_eq!(ask::<i64>(c, &["DEL", "h"]), 1);
    assert_eq!(ask::<usize>(c, &["HLEN", "h"]), 0);
}

#[test]
fn the_wrong_kind_is_refused_and_set_replaces() {
    let c = &mut resp("kinds");
    c.call(&["HSET", "h", "f", "v"]);
    c.call(&["SET", "s", "v"]);
    let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
    let wrong: [&[&str]; 8] = [
        &["GET", "h"],
        &["INCR", "h"],
        &["APPEND", "h", "x"],
        &["GETSET", "h", "x"],
        &["HGET", "s", "f"],
        &["HSET", "s", "f", "v"],
        &["HGETALL", "s"],
        &["HDEL", "s", "f"],
    ];
    for words in wrong {
        assert_eq!(c.call(words).error(), text, "{words:?}");
    }
    assert_eq!(c.call(&["MGET", "s", "h"]).array(), [Value::Bulk(b"v".to_vec()), Value::Nil]);
    assert_eq!(c.call(&["SET", "h", "now a string"]), "OK");
    assert_eq!(c.call(&["GET", "h"]), "now a string");
    assert_eq!(c.call(&["HGET", "h", "f"]).error(), text);
    assert_eq!(c.call(&["DEL", "h"]), 1);
    assert_eq!(c.call(&["HGET", "h", "f"]), Value::Nil, "the old field stays hidden");
}

#[test]
fn commands_of_many_keys_reach_all_groups_and_keep_their_order() {
    let c = &mut redis("many");
    let keys: Vec<String> = (0..300).map(|n| format!("user:{n}")).collect();
    let mut mset = redis::cmd("MSET");
    keys.iter().enumerate().for_each(|(n, key)| {
        mset.arg(key).arg(n);
    });
    assert_eq!(mset.query::<String>(c).unwrap(), "OK");
    let mut backwards: Vec<String> = keys.iter().rev().cloned().collect();
    backwards.insert(7, "absent".to_owned());
    let values: Vec<Option<usize>> = redis::cmd("MGET").arg(&backwards).query(c).unwrap();
    let mut expected: Vec<Option<usize>> = (0..300).rev().map(Some).collect();
    expected.insert(7, None);
    assert_eq!(values, expected);
    assert_eq!(redis::cmd("EXISTS").arg(&backwards).query::<i64>(c).unwrap(), 300);
    assert_eq!(ask::<i64>(c, &["EXISTS", "user:1", "user:1"]), 2);
    assert_eq!(redis::cmd("DEL").arg(&keys[..100]).query::<i64>(c).unwrap(), 100);
    assert_eq!(redis::cmd("UNLINK").arg(&backwards).query::<i64>(c).unwrap(), 200);
    assert_eq!(ask::<i64>(c, &["DBSIZE"]), 0);
}

#[test]
fn scan_finds_each_of_5000_keys_exactly_once() {
    let c = &mut redis("scan");
    let count = 5_000;
    let mut pipe = redis::pipe();
    for n in 0..count {
        if n % 10 == 0 {
            pipe.cmd("HSET").arg(format!("hash:{n}")).arg("f").arg(n).arg("g").arg(n).ignore();
        } else {
            pipe.cmd("SET").arg(format!("key:{n}")).arg(n).ignore();
        }
    }
    pipe.exec(c).unwrap();
    assert_eq!(ask::<usize>(c, &["DBSIZE"]), count);
    let mut scan = |more: &[&str]| {
        let (mut cursor, mut found, mut calls) = ("0".to_owned(), Vec::<String>::new(), 0);
        loop {
            let words = [&["SCAN", cursor.as_str()][..], more].concat();
            let (next, keys): (String, Vec<String>) = ask(c, &words);
            next.parse::<u64>().expect("clients take a cursor for a 64-bit number");
            found.extend(keys);
            calls += 1;
            assert!(calls < 20_000, "an endless scan");
            if next == "0" {
                return (found, calls);
            }
            cursor = next;
        }
    };
    let (found, calls) = scan(&["COUNT", "100"]);
    assert_eq!(found.len(), count);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), count);
    assert!((10..=1_000).contains(&calls), "{calls} calls for {count} keys by 100");
    assert_eq!(scan(&[]).0.len(), count);
    let (hashes, _) = scan(&["TYPE", "hash", "COUNT", "500"]);
    assert_eq!(hashes.len(), count / 10);
    let (matched, _) = scan(&["MATCH", "key:1?3", "COUNT", "1000"]);
    assert_eq!(matched.into_iter().collect::<BTreeSet<_>>().len(), 10);
}

#[test]
fn a_scan_cursor_that_is_none_is_refused() {
    let c = &mut resp("scan-bad");
    assert_eq!(c.call(&["SCAN", "abc"]).error(), "ERR invalid cursor");
    assert!(c.call(&["SCAN", "0", "COUNT", "0"]).error().starts_with("ERR"));
    assert!(c.call(&["SCAN", "0", "NONSENSE"]).error().starts_with("ERR"));
}

#[test]
fn select_takes_names_and_numbers_and_keeps_namespaces_apart() {
    let cluster = cluster();
    let c = &mut cluster.resp();
    assert_eq!(c.call(&["SET", "where", "database 0"]), "OK");
    assert_eq!(c.call(&["SELECT", "apart"]), "OK");
    assert_eq!(c.call(&["GET", "where"]), Value::Nil);
    assert_eq!(c.call(&["SET", "where", "apart"]), "OK");
    assert_eq!(c.call(&["SELECT", "0"]), "OK");
    assert_eq!(c.call(&["GET", "where"]), "database 0");

    // A number without an entry is the namespace of its text.
    assert_eq!(c.call(&["SELECT", "12"]), "OK");
    assert_eq!(c.call(&["SET", "where", "twelve"]), "OK");
    assert_eq!(cluster.http().get("/v1/kv/12/where").body, b"twelve");

    // A number that the topology file gives to a namespace. The file is edited while all run.
    assert_eq!(c.call(&["SELECT", "numbered"]), "OK");
    assert_eq!(c.call(&["SET", "where", "by name"]), "OK");
    let epoch = cluster.edit_topology(|text| {
        text.replace("namespaces: {}", "namespaces: { numbered: { database: 3 } }")
    });
    wait_until("the proxy has the new topology", SOON, || {
        cluster.admin().get("/v1/topology").json()["epoch"] == epoch
    });
    wait_until("the nodes have the new topology", SOON, || {
        let has = |id: &String| cluster.node_admin(id).get("/v1/topology").json()["epoch"] == epoch;
        cluster.nodes().iter().all(has)
    });
    let c = &mut cluster.redis("/3");
    assert_eq!(ask::<String>(c, &["GET", "where"]), "by name");

    let c = &mut cluster.resp();
    assert!(c.call(&["SELECT", "-1"]).error().starts_with("ERR"));
    let long = "n".repeat(65);
    let error = c.call(&["SELECT", &long]);
    assert!(error.error().contains("64"), "the limit is named: {error:?}");
    assert_eq!(c.call(&["PING"]), "PONG");
}

#[test]
fn resp3_has_maps_and_nulls_and_resp2_flat_arrays() {
    let mut c = resp("resp3");
    let hello = c.call(&["HELLO", "3", "SETNAME", "tester"]).pairs();
    let hello: BTreeMap<String, Value> = hello.into_iter().collect();
    assert_eq!(hello["proto"], 3);
    assert_eq!(hello["mode"], "standalone");
    assert_eq!(hello["role"], "master");
    assert!(hello["id"].int() > 0);
    assert!(hello["modules"].array().is_empty());
    assert_eq!(c.call(&["CLIENT", "GETNAME"]), "tester");
    c.call(&["HSET", "h", "f", "v"]);
    assert!(matches!(c.call(&["HGETALL", "h"]), Value::Map(pairs) if pairs.len() == 1));
    c.send(&["GET", "absent"]);
    assert_eq!(c.read(), Value::Nil);
    let refused = c.call(&["HELLO", "4"]);
    assert!(refused.error().starts_with("NOPROTO"), "{refused:?}");
    assert!(matches!(c.call(&["HELLO", "2"]), Value::Array(_)));
    assert!(matches!(c.call(&["HGETALL", "h"]), Value::Array(_)));

    let mut library = cluster().redis("/?protocol=resp3");
    let all: BTreeMap<String, String> = {
        redis::cmd("SELECT").arg("resp3").exec(&mut library).unwrap();
        ask(&mut library, &["HGETALL", "h"])
    };
    assert_eq!(all["f"], "v");
}

#[test]
fn a_thousand_pipelined_commands_are_answered_in_order() {
    let mut c = resp("pipeline");
    let mut bytes = Vec::new();
    for n in 0..1_000 {
        match n % 4 {
            0 => bytes.extend(encode(&["SET", &format!("k{n}"), &format!("v{n}")])),
            1 => bytes.extend(encode(&["GET", &format!("k{}", n - 1)])),
            2 => bytes.extend(encode(&["ECHO", &format!("e{n}")])),
            _ => bytes.extend(encode(&["HSET", &format!("h{n}"), "f", "v"])),
        }
    }
    c.send_raw(&bytes);
    for n in 0..1_000 {
        let answer = c.read();
        match n % 4 {
            0 => assert_eq!(answer, "OK", "{n}"),
            1 => assert_eq!(answer, format!("v{}", n - 1).as_str(), "{n}"),
            2 => assert_eq!(answer, format!("e{n}").as_str(), "{n}"),
            _ => assert_eq!(answer, 1, "{n}"),
        }
    }
    let library = &mut redis("pipeline");
    let mut pipe = redis::pipe();
    (0..1_000).for_each(|n| {
        pipe.cmd("INCRBY").arg(format!("n{}", n % 50)).arg(1);
    });
    let sums: Vec<usize> = pipe.query(library).unwrap();
    let expected: Vec<usize> = (0..1_000).map(|n| n / 50 + 1).collect();
    assert_eq!(sums, expected);
}

#[test]
fn unknown_commands_and_wrong_arity_keep_the_connection() {
    let mut c = resp("unknown");
    assert_eq!(
        c.call(&["NOSUCH", "a", "b"]).error(),
        "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "
    );
    assert_eq!(c.call(&["GET"]).error(), "ERR wrong number of arguments for 'get' command");
    assert_eq!(
        c.call(&["hset", "h", "f"]).error(),
        "ERR wrong number of arguments for 'hset' command"
    );
    assert_eq!(c.call(&["SET", "k", "v", "WHAT"]).error(), "ERR syntax error");
    let text = c.call(&["CLIENT", "NOSUCH"]);
    assert!(text.error().starts_with("ERR"), "{text:?}");
    assert_eq!(c.call(&["PING", "still here"]), "still here");
}

#[test]
fn inline_commands_are_understood() {
    let mut c = cluster().resp();
    c.send_raw(b"PING\r\n");
    assert_eq!(c.read(), "PONG");
    c.send_raw(b"SET inline \"two words\\x21\"\n\r\nGET inline\r\n");
    assert_eq!(c.read(), "OK");
    assert_eq!(c.read(), "two words!");
    c.send_raw(b"GET \"unbalanced\r\n");
    assert_eq!(c.read().error(), "ERR Protocol error: unbalanced quotes in request");
    assert_eq!(c.read_to_close(), Some(Vec::new()));
}

#[test]
fn auth_without_users_answers_as_redis_does() {
    let mut c = cluster().resp();
    let error = c.call(&["AUTH", "secret"]);
    assert!(error.error().contains("without any password configured"), "{error:?}");
    assert_eq!(c.call(&["AUTH", "default", "anything"]), "OK");
    assert!(c.call(&["AUTH", "someone", "x"]).error().starts_with("WRONGPASS"));
}

#[test]
fn connection_and_server_commands_answer_what_clients_ask() {
    let mut c = resp("server");
    let id = c.call(&["CLIENT", "ID"]).int();
    assert_eq!(c.call(&["CLIENT", "SETNAME", "walker"]), "OK");
    assert_eq!(c.call(&["CLIENT", "GETNAME"]), "walker");
    assert_eq!(c.call(&["CLIENT", "SETINFO", "LIB-NAME", "harness"]), "OK");
    let info = c.call(&["CLIENT", "INFO"]).text();
    assert!(info.contains(&format!("id={id} ")) && info.contains("name=walker"), "{info}");
    let list = c.call(&["CLIENT", "LIST"]).text();
    assert!(list.lines().any(|line| line.contains("name=walker")), "{list}");
    assert_eq!(c.call(&["ECHO", "hey"]), "hey");
    let time = c.call(&["TIME"]).texts();
    assert!(time[0].parse::<u64>().unwrap().abs_diff(unix_ms() / 1000) <= 2);
    let info = c.call(&["INFO"]).text();
    for field in [
        "redis_version:",
        "redis_mode:standalone",
        "role:master",
        "connected_clients:",
        "loading:0",
    ] {
        assert!(info.contains(field), "{field} in {info}");
    }
    assert!(c.call(&["COMMAND", "COUNT"]).int() >= 50);
    let about = c.call(&["COMMAND", "INFO", "get"]);
    assert_eq!(about.array()[0].array()[0], "get");
    assert_eq!(about.array()[0].array()[1], 2);
    let maxmemory = c.call(&["CONFIG", "GET", "maxmemory"]).pairs();
    assert_eq!(maxmemory[0].0, "maxmemory");
    assert_eq!(c.call(&["RESET"]), "RESET");
    assert_eq!(c.call(&["CLIENT", "GETNAME"]), Value::Nil);
    assert_eq!(c.call(&["QUIT"]), "OK");
    assert_eq!(c.read_to_close(), Some(Vec::new()));
}

#[test]
fn large_values_arrive_whole_and_do_not_mix() {
    let mut c = resp("large");
    let megabytes = [1 << 10, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 3 << 20, 16 << 20];
    for (n, length) in megabytes.into_iter().enumerate() {
        let value: Vec<u8> = (0..length).map(|at| ((at * 31 + n) % 251) as u8).collect();
        let key = format!("large:{n}");
        assert_eq!(c.call(&[b"SET", key.as_bytes(), &value]), "OK", "{length} bytes");
        c.send(&["GET", &key]);
        c.send(&["ECHO", "behind"]);
        assert!(c.read() == Value::Bulk(value), "{length} bytes come back the same");
        assert_eq!(c.read(), "behind");
    }
    // Twenty answers of 3 MiB at once, behind each other.
    for _ in 0..20 {
        c.send(&["GET", "large:4"]);
    }
    for n in 0..20 {
        assert!(matches!(c.read(), Value::Bulk(value) if value.len() == 3 << 20), "{n}");
    }
}

#[test]
fn increments_of_many_connections_are_all_counted() {
    let workers: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(|| {
                let mut c = resp("counting");
                for n in 0..200 {
                    c.call(&["INCR", &format!("counter:{}", n % 4)]).int();
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let mut c = resp("counting");
    for n in 0..4 {
        assert_eq!(c.call(&["GET", &format!("counter:{n}")]), "400");
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_is_understood() {
    let relay = Relay::to(&cluster().address());
    relay.set(Mode::OneByOne);
    let mut c = Resp::connect(relay.address());
    assert_eq!(c.call(&["SET", "dripping", "slowly\r\nbut \0 whole"]), "OK");
    assert_eq!(c.call(&["GET", "dripping"]), "slowly\r\nbut \0 whole");
}

#[test]
fn a_request_that_is_cut_in_the_middle_does_nothing() {
    let mut c = resp("cut");
    let whole = encode(&["SET", "victim", "never written"]);
    for length in [1, 4, 9, 20, whole.len() - 1] {
        let mut half = resp("cut");
        half.send_raw(&whole[..length]);
        half.finish_sending();
        assert_eq!(half.read_to_close(), Some(Vec::new()), "cut at {length}");
    }
    assert_eq!(c.call(&["EXISTS", "victim"]), 0);
}

#[test]
fn redis_cli_works_where_the_machine_has_it() {
    let address = cluster().address();
    let port = address.rsplit(':').next().unwrap();
    if Command::new("redis-cli").arg("--version").output().is_err() {
        println!("skipped: this machine has no redis-cli");
        return;
    }
    let cli = |args: &[&str]| {
        let mut command = Command::new("redis-cli");
        command.args(["-p", port]).args(args);
        finish(command).ok().trim_end().to_owned()
    };
    assert_eq!(cli(&["-n", "7", "SET", "from-cli", "hello"]), "OK");
    assert_eq!(cli(&["-n", "7", "GET", "from-cli"]), "hello");
    assert_eq!(cli(&["-n", "7", "--scan"]), "from-cli");
    assert_eq!(cli(&["-3", "-n", "7", "DBSIZE"]), "1");
    assert!(cli(&["INFO"]).contains("redis_version"));
    let out = {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "printf 'SELECT cli\\nHSET h f v\\nHGETALL h\\n' | redis-cli -p $0",
            port,
        ]);
        finish(command).ok()
    };
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["OK", "1", "f", "v"]);
}

#[test]
fn redis_py_works_where_the_machine_has_it() {
    let script = r#"
import redis, sys
for protocol in (2, 3):
    r = redis.Redis(port=int(sys.argv[1]), db=8, protocol=protocol, decode_responses=True)
    assert r.ping()
    assert r.set("py", "value", ex=100)
    assert r.get("py") == "value" and 90 < r.ttl("py") <= 100
    r.hset("py-hash", mapping={"a": "1", "b": "2"})
    assert r.hgetall("py-hash") == {"a": "1", "b": "2"}
    with r.pipeline(transaction=False) as p:
        for n in range(100):
            p.incr("py-counter")
        assert p.execute()[-1] == 100
    assert sorted(r.scan_iter(count=10)) == ["py", "py-counter", "py-hash"]
    assert r.delete("py", "py-hash", "py-counter") == 3
    try:
        r.execute_command("NOSUCH")
        raise SystemExit("an unknown command was accepted")
    except redis.ResponseError as e:
        assert "unknown command" in str(e)
print("fine")
"#;
    let python = |args: &[&str]| {
        let mut command = Command::new("python3");
        command.args(args);
        command
    };
    let has = python(&["-c", "import redis"]).output().is_ok_and(|out| out.status.success());
    if !has {
        println!("skipped: this machine has no redis-py");
        return;
    }
    let address = cluster().address();
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(finish(python(&["-c", script, port])).ok().trim(), "fine");
}
