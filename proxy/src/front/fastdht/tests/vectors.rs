//! The bytes that the original answered, replayed in file order. The model's clock stands at the
//! second of each recorded answer.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::client::exchange;
use crate::front::fastdht::model::Model;

/// Vectors that are answered otherwise here; `docs/FASTDHT.md` has the reasons.
const EXCEPTIONS: [&str; 6] =
    ["delete_expired#2", "stat_0", "stat_short", "batch_star_get", "wrong_group", "sub_keys_off"];

struct Vector {
    name: String,
    request: Vec<u8>,
    response: Vec<u8>,
}

#[test]
fn the_originals_answers_are_repeated_byte_for_byte() {
    let mut model = Model::new(0);
    let mut replayed = 0;
    for vector in vectors() {
        let Vector { name, request, response } = vector;
        if let Some(time) = response.get(8..12) {
            let seconds = u32::from_be_bytes(time.try_into().unwrap());
            model.now_ms = u64::from(seconds) * 1000 + 345;
        }
        let mut expected = response;
        mask_times(&mut expected);
        let sent = exchange(&mut model, &request);
        let mut bytes = sent.bytes;
        mask_times(&mut bytes);
        if EXCEPTIONS.contains(&name.as_str()) {
            assert_ne!(hex(&bytes), hex(&expected), "{name} is no exception any more");
            continue;
        }
        assert_eq!(hex(&bytes), hex(&expected), "{name}");
        let keep_alive = request.get(17) != Some(&0);
        let closes = matches!(name.as_str(), "neg_len" | "too_big") || !keep_alive;
        assert_eq!(sent.closed, closes, "{name}");
        replayed += 1;
    }
    assert_eq!(replayed, 98);
}

/// All vectors but those of SYNC_*, and of `sync_set_get`, which reads what SYNC_SET stored.
fn vectors() -> Vec<Vector> {
    let path = "../integration-tests/vectors/fastdht-vectors.json";
    let text = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let wanted = |vector: &Vector| {
        let command = vector.request.get(16).copied().unwrap_or_default();
        !(20..=24).contains(&command) && vector.name != "sync_set_get"
    };
    all.iter().map(of_json).filter(wanted).collect()
}

/// The file cuts two long values, both of 100,000 `B`; they are completed here.
fn of_json(json: &Value) -> Vector {
    let bytes = |key: &str| {
        let mut bytes = unhex(json[key].as_str().unwrap_or_default());
        let cut = json["truncated"].as_array().into_iter().flatten().any(|field| field == key);
        if cut {
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            bytes.resize(19 + length, b'B');
        }
        bytes
    };
    let name = json["name"].as_str().unwrap().to_owned();
    Vector { name, request: bytes("request_hex"), response: bytes("response_hex") }
}

/// Blanks the timestamp of every answer in `bytes`.
fn mask_times(bytes: &mut [u8]) {
    let mut start = 0;
    while let Some(header) = bytes.get_mut(start..start + 19) {
        header[8..12].fill(0);
        let length = u32::from_be_bytes(header[..4].try_into().unwrap()) as usize;
        start += 19 + length;
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| u8::try_from(char::from(*byte).to_digit(16).unwrap()).unwrap();
    text.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
