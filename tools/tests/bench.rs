//! The measuring tools as processes: load through the do-nothing relay to the do-nothing echo.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

const FDHT: &str = env!("CARGO_BIN_EXE_fdht");

/// A measuring server; it ends with this process or when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("kill a child");
        self.child.wait().expect("wait for a child");
    }
}

fn server(args: &[&str]) -> Server {
    let mut child = Command::new(FDHT)
        .args(args)
        .arg("--exit-on-stdin-eof")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start fdht");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("read its first line");
    let address = line.trim().strip_prefix("listening on ").expect("where it listens").to_owned();
    Server { child, address }
}

fn fdht(args: &[&str]) -> Output {
    Command::new(FDHT).args(args).output().expect("run fdht")
}

fn load(address: &str, flags: &[&str]) -> serde_json::Value {
    let common = ["bench", "load", "--proxy", address, "--connections", "7", "-o", "json"];
    let output = fdht(&[&common[..], flags].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn every_request_through_relay_and_echo_is_answered() {
    let echoes = [server(&["bench", "echo", "--frames"]), server(&["bench", "echo", "--frames"])];
    let to = ["--to", &echoes[0].address, "--to", &echoes[1].address];
    let relay = server(&[&["bench", "relay", "--workers", "2"][..], &to].concat());
    let pid = relay.child.id().to_string();

    for (pipeline, mix) in [("1", "get"), ("16", "set"), ("5", "50%set")] {
        let flags = ["--requests", "20001", "--pipeline", pipeline, "--mix", mix, "--pid", &pid];
        let found = load(&relay.address, &flags);
        assert_eq!((&found["requests"], &found["errors"]), (&20_001.into(), &0.into()), "{found}");
        assert!(found["cpu_us_per_request"].as_f64().expect("a number") >= 0.0);
        assert!(found["p50_ms"].as_f64() <= found["max_ms"].as_f64());
    }
}

#[test]
fn prefill_writes_every_key_and_large_values_come_back_whole() {
    let echo = server(&["bench", "echo", "--size", "300000"]);
    let found = load(
        &echo.address,
        &["--requests", "500", "--keys", "100", "--size", "300000", "--prefill", "--threads", "2"],
    );
    assert_eq!((&found["requests"], &found["errors"]), (&500.into(), &0.into()), "{found}");
}

#[test]
fn the_floor_is_measured_beside_a_cluster() {
    let echo = server(&["bench", "echo"]);
    let pid = echo.child.id().to_string();
    let flags = ["--proxy", &echo.address, "--pid", &pid, "--nodes", "2", "--keys", "100"];
    let short = ["--connections", "4", "--rounds", "1", "--time", "100ms"];
    let output = fdht(&[&["bench", "floor"], &flags[..], &short].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for row in ["| GET | 1 |", "| SET | 1 |", "| GET | 16 |", "| SET | 16 |"] {
        assert!(text.contains(row), "{text}");
    }
}
