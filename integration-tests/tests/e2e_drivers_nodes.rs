//! What moves bytes between proxy and node: a node's workers from the first request on, peers that do not
//! read, and topologies that are told while all is connected.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use harness::lone::{LoneProxy, NodeArgs, create_groups};
use harness::{Http, Options, Resp, Running, Value, wait_until};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

/// The most memory that a process had at any time.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM")).unwrap();
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

const GROUPS: usize = 17;

/// A proxy without a node at first, and the arguments of the node.
struct Lone {
    folder: tempfile::TempDir,
    node: NodeArgs,
    proxy: LoneProxy,
}

impl Lone {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut node = NodeArgs::new(&folder.path().join("node"));
        node.cluster = "demo".to_owned();
        let file = folder.path().join("topology.yaml");
        topology(&file, &node);
        let proxy = LoneProxy::start(&file, &["--deadline", "120s"]);
        Self { folder, node, proxy }
    }

    /// Starts the node with so many workers; what waits in the proxy is not waited for.
    fn start_node(&mut self, workers: u16) -> Running {
        let workers = workers.to_string();
        let words = self.node.words().into_iter().chain(["--workers".to_owned(), workers]);
        let running = Running::fdht(words);
        let admin = Http::new(&self.node.admin);
        let live = || admin.try_get("/livez").is_some_and(|reply| reply.status == 200);
        wait_until("the node is live", SOON, live);
        if self.node.create {
            create_groups(&self.folder.path().join("topology.yaml"));
        }
        self.node.create = false;
        running
    }

    fn admin(&self, path: &str) -> serde_json::Value {
        Http::new(&self.proxy.admin).get(path).json()
    }

    fn resp(&self) -> Resp {
        Resp::connect(&self.proxy.address)
    }

    fn wait_ready(&self, ready: bool) {
        wait_until(&format!("ready: {ready}"), SOON, || self.admin("/readyz")["ready"] == ready);
    }

    /// Requests that the proxy holds back or has sent to the node.
    fn open_requests(&self) -> u64 {
        let groups = self.admin("/v1/groups");
        let lanes = groups.as_array().unwrap().iter().map(|group| &group["lanes"][0]);
        let held: u64 = lanes.map(|lane| lane["waiting"].as_u64().unwrap()).sum();
        held + self.admin("/v1/nodes")[0]["in_flight"].as_u64().unwrap()
    }

    /// Since when the node leads the lane of a group.
    fn since(&self, group: u16) -> u64 {
        let groups = self.admin("/v1/groups");
        groups[usize::from(group)]["lanes"][0]["since_epoch"].as_u64().unwrap()
    }

    fn group_of(&self, key: &str) -> u16 {
        let group = &self.admin(&format!("/v1/where?ns=&obj={key}"))["logic_group"];
        u16::try_from(group.as_u64().unwrap()).unwrap()
    }

    /// One key for each group, in order.
    fn keys(&self) -> Vec<String> {
        let mut keys = vec![None; GROUPS];
        for key in (0..).map(|n| format!("key-{n}")) {
            keys[usize::from(self.group_of(&key))].get_or_insert(key);
            if keys.iter().all(Option::is_some) {
                return keys.into_iter().flatten().collect();
            }
        }
        unreachable!("there is no end of numbers")
    }
}

fn topology(file: &Path, node: &NodeArgs) {
    let text = format!(
        "format: 1\ncluster: demo\nepoch: 1\nlogic_groups: {GROUPS}\nservers:\n  \
         a1: {{ address: \"{}\", admin: \"{}\" }}\nvoters: [a1]\n\
         physical_groups:\n  a: {{ servers: [a1], logic_groups: \"0-{}\" }}\n",
        node.listen,
        node.admin,
        GROUPS - 1
    );
    fs::write(file, text).unwrap();
}

/// A value that tells the key and the round it was written in.
fn value(key: &str, round: usize, length: usize) -> Vec<u8> {
    format!("{key} in round {round};").into_bytes().into_iter().cycle().take(length).collect()
}

const SMALL: usize = 100;
const LARGE: usize = 300_000;

#[test]
fn requests_find_the_worker_of_their_group_from_the_first_one_on_and_behind_every_restart() {
    let mut lone = Lone::start();
    let keys = lone.keys();
    let mut node = None::<Running>;
    // The last start has another number of workers.
    for (round, workers) in [4, 4, 3].into_iter().enumerate() {
        // Small and large ones wait for a node of which the proxy knows nothing, or something old.
        let mut small = lone.resp();
        for key in &keys {
            small.send(&[b"SET", format!("small:{{{key}}}").as_bytes(), &value(key, round, SMALL)]);
        }
        let large = |key: &String| {
            let mut c = lone.resp();
            c.send(&[b"SET", key.as_bytes(), &value(key, round, LARGE)]);
            c
        };
        let mut large: Vec<Resp> = keys.iter().map(large).collect();
        let waiting = || lone.open_requests() == 2 * GROUPS as u64;
        wait_until("all wait", SOON, waiting);
        node = Some(lone.start_node(workers));
        for key in &keys {
            assert_eq!(small.read(), "OK", "{key} in round {round}");
        }
        for (c, key) in large.iter_mut().zip(&keys) {
            assert_eq!(c.read(), "OK", "large {key} in round {round}");
        }
        // And one after the other on one connection.
        let mut c = lone.resp();
        for key in &keys {
            let other = format!("small:{{{key}}}");
            assert!(c.call(&["GET", &other]) == Value::Bulk(value(key, round, SMALL)));
            assert!(c.call(&["GET", key]) == Value::Bulk(value(key, round, LARGE)));
            assert_eq!(c.call(&[b"SET", other.as_bytes(), &value(key, round, LARGE)]), "OK");
            assert!(c.call(&["GET", &other]) == Value::Bulk(value(key, round, LARGE)));
        }
        lone.wait_ready(true);
        node.as_mut().unwrap().kill();
        lone.wait_ready(false);
    }
    drop(node);
}

/// A peer of a node, from the description of the protocol alone.
struct Peer {
    stream: TcpStream,
}

impl Peer {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut peer = Self { stream };
        let (kind, greeting) = peer.read();
        assert_eq!((kind, &greeting[..4]), (1, &b"FDHT"[..]));
        // Version 1, a tool, cluster and name; no proof, no topology, worker 0; nothing of a node.
        let mut hello = [&[1, 0, 3, 4][..], b"demo", &[4], b"test"].concat();
        hello.extend([0; 32 + 16 + 2 + 28]);
        peer.stream.write_all(&frame(2, 0, &hello)).unwrap();
        let (kind, answer) = peer.read();
        assert_eq!((kind, answer[0]), (3, 1), "taken");
        peer
    }

    /// Type and body of the next frame.
    fn read(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).unwrap();
        let length = u32::from_le_bytes(head[..4].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        (head[4], body)
    }
}

fn frame(kind: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..], &[kind, 0, 0, 0], &id.to_le_bytes(), body].concat()
}

/// A get of a whole value in the empty namespace.
fn get(group: u16, since: u64, key: &str) -> Vec<u8> {
    // The 32-bit hash of the name `demo`, as it is pinned where it is computed.
    let mut body = 1_272_063_781_u32.to_le_bytes().to_vec();
    body.extend(1_u64.to_le_bytes());
    body.extend(group.to_le_bytes());
    // Server 0, acks and sync, which a read has no use for.
    body.extend([0, 1, 1]);
    body.extend(since.to_le_bytes());
    body.extend([7; 16]);
    body.extend([0, 60_000].map(u32::to_le_bytes).concat());
    // Never sent before. Get; namespace, name, the unnamed field; from the start to the end.
    body.extend([0, 1, 0]);
    body.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
    body.extend(key.as_bytes());
    body.push(0);
    body.extend([0, u32::MAX].map(u32::to_le_bytes).concat());
    frame(4, 1, &body)
}

#[test]
fn peers_that_ask_and_do_not_read_neither_grow_the_node_nor_stall_others() {
    const LENGTH: usize = 1 << 20;
    let mut lone = Lone::start();
    let running = lone.start_node(1);
    lone.wait_ready(true);
    let mut c = lone.resp();
    let big = vec![b'b'; LENGTH];
    assert_eq!(c.call(&[b"SET", &b"big"[..], &big]), "OK");
    assert!(c.call(&["GET", "big"]) == Value::Bulk(big));
    let group = lone.group_of("big");
    let request = get(group, lone.since(group), "big");
    let before = peak(running.pid());
    // One asks for 200 MiB, and reads late.
    let mut late = Peer::connect(&lone.node.listen);
    late.stream.write_all(&request.repeat(200)).unwrap();
    // Five send requests until nobody takes them any more.
    let flood = request.repeat(1_000);
    let stuck: Vec<Peer> = thread::scope(|scope| {
        let stick = || {
            let mut peer = Peer::connect(&lone.node.listen);
            peer.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            let full = (0..1_000).any(|_| peer.stream.write_all(&flood).is_err());
            assert!(full, "the node stops reading from whoever does not read");
            peer
        };
        let threads: Vec<_> = (0..5).map(|_| scope.spawn(stick)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for n in 0..100 {
        let key = format!("small:{n}");
        assert_eq!(c.call(&["SET", &key, "v"]), "OK");
        assert_eq!(c.call(&["GET", &key]), "v");
    }
    let after = peak(running.pid());
    assert!(after < before + 96 * MIB, "{} MiB more", (after - before) / MIB);
    for n in 0..200 {
        let (kind, body) = late.read();
        assert_eq!(
            (kind, body[0]),
            (5, 0),
            "answer {n}: {:?}",
            body[..64].escape_ascii().to_string()
        );
        assert!(body.len() > LENGTH && body.ends_with(&[b'b'; 1000]), "answer {n}");
    }
    drop((stuck, late));
    assert_eq!(c.call(&["STRLEN", "big"]), LENGTH as i64);
}

#[test]
fn an_edited_topology_reaches_every_node_and_a_refused_one_none() {
    let cluster = Options::shape(2, 2, 17).env("FDHT_WORKERS", "2").start();
    let version = |http: Http| {
        let topology = http.get("/v1/topology").expect(200).json();
        (topology["epoch"].clone(), topology["hash"].clone())
    };
    let all_at = |epoch: u64| {
        let proxy = version(cluster.admin());
        let same = |id: &String| version(cluster.node_admin(id)) == proxy;
        proxy.0 == epoch && cluster.nodes().iter().all(same)
    };
    let mut c = cluster.resp();
    assert_eq!(c.call(&["SET", "k", "v"]), "OK");
    let files = "namespaces: { files: { database: 3 } }";
    let epoch = cluster.edit_topology(|text| text.replace("namespaces: {}", files));
    wait_until("all nodes know", SOON, || all_at(epoch));
    assert_eq!(c.call(&["SELECT", "3"]), "OK");
    assert_eq!(c.call(&["SET", "k", "of files"]), "OK");
    assert_eq!(cluster.http().get("/v1/kv/files/k").expect(200).text(), "of files");

    let before = version(cluster.admin());
    let refused = cluster.edit_topology(|text| text.replace("[b1, b2]", "[b1, b9]"));
    let detail = || cluster.admin().get("/readyz").expect(200).json()["detail"].clone();
    wait_until("the refusal is shown", SOON, || detail().to_string().contains("b9"));
    assert_eq!(version(cluster.admin()), before);
    assert!(all_at(epoch), "no node was told");
    assert_eq!(c.call(&["GET", "k"]), "of files");
    cluster.assert_serves();

    // A node that is away is told when it is back.
    cluster.ask_dev("stop", "a2").ok();
    let good = cluster.edit_topology(|text| text.replace("[b1, b9]", "[b1, b2]"));
    assert!(good > refused);
    let taken = || version(cluster.admin()).0 == good;
    wait_until("the repaired one is taken", SOON, taken);
    cluster.ask_dev("start", "a2").ok();
    wait_until("all nodes know", SOON, || all_at(good));
    cluster.wait_ready();
    wait_until("nothing is amiss", SOON, || detail() == json!([]));
    assert_eq!(c.call(&["GET", "k"]), "of files");
    cluster.assert_serves();
}
