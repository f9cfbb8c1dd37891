//! The link between proxy and node: cut, held still, or with something else at its other end. What a
//! client is told must be true: not applied, or unknown.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use harness::fastdht::{Package, cmd, key, string};
use harness::lone::{self, LoneProxy, NodeArgs};
use harness::net_fault::Mode;
use harness::process::resident_kib;
use harness::{FastDht, Http, Random, Relay, Resp, Running, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// A node, a proxy, and a relay between them.
struct Link {
    _folder: tempfile::TempDir,
    _node: Running,
    relay: Relay,
    proxy: LoneProxy,
}

impl Link {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeArgs::new(&folder.path().join("node"));
        let running = node.start();
        let relay = Relay::to(&node.listen);
        let file = folder.path().join("topology.yaml");
        lone::topology(&file, relay.address(), &node.admin);
        lone::create_groups(&file);
        let proxy = LoneProxy::start(&file, &["--deadline", "1s"]);
        let link = Self { _folder: folder, _node: running, relay, proxy };
        link.wait_status(200);
        link
    }

    fn wait_status(&self, status: u16) {
        let admin = Http::new(&self.proxy.admin);
        wait_until(&format!("/readyz answers {status}"), SOON, || {
            admin.get("/readyz").status == status
        });
    }

    fn resp(&self) -> Resp {
        Resp::connect(&self.proxy.address)
    }
}

#[test]
fn a_cut_link_is_told_as_not_applied_and_heals() {
    let link = Link::start();
    let mut resp = link.resp();
    assert_eq!(resp.call(&["SET", "k", "v"]), "OK");
    link.relay.set(Mode::Cut);
    link.wait_status(503);
    let error = resp.call(&["SET", "k", "w"]);
    assert!(error.error().starts_with("TRYAGAIN group "), "{error:?}");
    assert!(error.error().contains("a1"), "{error:?}");
    Http::new(&link.proxy.address).get("/v1/kv/-/k").expect(503);
    assert_eq!(FastDht::connect(&link.proxy.address).get("", "", "k"), Err(11));
    link.relay.set(Mode::Pass);
    link.wait_status(200);
    assert_eq!(resp.call(&["GET", "k"]), "v", "nothing was applied");
}

#[test]
fn a_write_without_an_answer_is_told_as_unknown_and_the_connection_stays() {
    let link = Link::start();
    let mut resp = link.resp();
    let mut fastdht = FastDht::connect(&link.proxy.address);
    let http = Http::new(&link.proxy.address);
    assert_eq!(resp.call(&["SET", "k", "v"]), "OK");
    assert_eq!(fastdht.set("", "", "f", b"v"), 0);
    link.relay.set(Mode::Hold);
    resp.send(&["SET", "k", "w"]);
    fastdht.send_raw(&Package::request(cmd::SET, [key("", "", "f"), string("w")].concat()).bytes());
    let answer = http.put("/v1/kv/-/h", "w").expect(504);
    assert_eq!(answer.json()["code"], "unknown");
    let error = resp.read();
    assert!(error.error().starts_with("UNKNOWN request may have been applied"), "{error:?}");
    assert_eq!(fastdht.read().map(|answer| answer.status), Some(5));
    link.relay.set(Mode::Pass);
    link.wait_status(200);
    for value in [resp.call(&["GET", "k"]).text(), fastdht.get("", "", "f").map(text).unwrap()] {
        assert!(value == "v" || value == "w", "{value}");
    }
    assert_eq!(resp.call(&["SET", "k", "x"]), "OK");
    assert_eq!(resp.call(&["GET", "k"]), "x", "an old write does not arrive later");
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_link_that_delivers_byte_by_byte_works() {
    let link = Link::start();
    link.relay.set(Mode::OneByOne);
    let mut resp = link.resp();
    for n in 0..20 {
        assert_eq!(resp.call(&["SET", &format!("k{n}"), "some value"]), "OK");
        assert_eq!(resp.call(&["GET", &format!("k{n}")]), "some value");
    }
}

#[test]
fn a_proxy_survives_whatever_claims_to_be_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Each connection gets other lies: nothing, garbage, an enormous frame, HTTP.
    thread::spawn(move || {
        let mut random = Random::new(7);
        for (n, stream) in listener.incoming().flatten().enumerate() {
            let lie = match n % 4 {
                0 => Vec::new(),
                1 => random.bytes(4096),
                2 => [&u32::MAX.to_le_bytes()[..], &[1; 12]].concat(),
                _ => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            };
            thread::spawn(move || {
                let mut stream = stream;
                // The proxy may hang up first; that is what it should do.
                if stream.write_all(&lie).is_ok() && !lie.is_empty() {
                    let mut rest = [0; 4096];
                    while matches!(stream.read(&mut rest), Ok(1..)) {}
                }
            });
        }
    });
    let file = folder.path().join("topology.yaml");
    lone::topology(&file, &address, "127.0.0.1:1");
    let mut proxy = LoneProxy::start(&file, &["--deadline", "300ms"]);
    let admin = Http::new(&proxy.admin);
    let mut resp = Resp::connect(&proxy.address);
    let before = resident_kib(proxy.running.pid());
    for _ in 0..10 {
        let error = resp.call(&["GET", "k"]);
        assert!(error.error().starts_with("TRYAGAIN group "), "{error:?}");
    }
    let ready = admin.get("/readyz").expect(503).json();
    assert!(ready["detail"].to_string().contains("group a: a1: "), "{ready}");
    let grown = resident_kib(proxy.running.pid()).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    assert_eq!(resp.call(&["PING"]), "PONG");
    assert!(proxy.running.try_end().is_none());
}

#[test]
fn a_node_of_another_cluster_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeArgs::new(&folder.path().join("node"));
    node.cluster = "other".to_owned();
    let _running = node.start();
    let file = folder.path().join("topology.yaml");
    lone::topology(&file, &node.listen, &node.admin);
    let proxy = LoneProxy::start(&file, &["--deadline", "300ms"]);
    let admin = Http::new(&proxy.admin);
    wait_until("the reason is shown", SOON, || {
        let answer = admin.get("/readyz");
        answer.status == 503 && answer.text().contains("other")
    });
    let error = Resp::connect(&proxy.address).call(&["SET", "k", "v"]);
    assert!(error.error().starts_with("TRYAGAIN group "), "{error:?}");
}
