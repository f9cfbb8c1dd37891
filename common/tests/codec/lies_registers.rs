//! Counts that lie in registers, voter sets, views, commands and the views inside failures.

use common::codec::DecodeError;
use common::wire::command::Command;
use common::wire::response;
use common::wire::views::Views;

use crate::formats::{decode_register, decode_voter_set};

/// Group, voter generation and epoch of a register, then `rest`.
fn register_with(rest: &[u8]) -> Vec<u8> {
    [[0; 14].as_slice(), rest].concat()
}

#[test]
fn every_short_list_of_a_register_has_at_most_16_items_that_must_be_there() {
    let lists: [(&[u8], &str); 4] = [
        (&[], "server count"),
        (&[0], "in step count"),
        (&[0, 0], "lane count"),
        // No list at all, nobody leaves, and a move with the id 7.
        (&[0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0], "target count"),
    ];
    for (before, name) in lists {
        for padding in [0, 1_000] {
            let bytes = register_with(&[before, &[17], &vec![0; padding]].concat());
            assert_eq!(decode_register(&bytes), Err(DecodeError::OverLimit(name, 17, 16)));
        }
        let bytes = register_with(&[before, &[16], &[0; 15]].concat());
        assert_eq!(decode_register(&bytes), Err(DecodeError::Truncated(name)));
    }
}

#[test]
fn a_flag_of_a_register_is_0_or_1() {
    let leaving = register_with(&[0, 0, 0, 2]);
    assert_eq!(decode_register(&leaving), Err(DecodeError::Unknown("leaving", 2)));
    let moving = register_with(&[0, 0, 0, 0, 9]);
    assert_eq!(decode_register(&moving), Err(DecodeError::Unknown("moving", 9)));
}

#[test]
fn a_voter_set_has_at_most_5_voters_that_must_be_there() {
    let set = |count: u8, bytes: usize| [&[0, 0, 0, 0, count], vec![0; bytes].as_slice()].concat();
    assert_eq!(decode_voter_set(&set(6, 24)), Err(DecodeError::OverLimit("voter count", 6, 5)));
    assert_eq!(decode_voter_set(&set(5, 4)), Err(DecodeError::Truncated("voter count")));
    assert_eq!(decode_voter_set(&set(5, 19)), Err(DecodeError::Truncated("node")));
    assert_eq!(decode_voter_set(&set(5, 20)).map(|set| set.voters.len()), Ok(5));
}

#[test]
fn a_count_of_registers_or_groups_is_refused_before_anything_is_made_of_it() {
    let no_voters = [0, 0, 0, 0, 0];
    let admit = [&[2], no_voters.as_slice()].concat();
    let cases: [(&[u8], &str, u32); 3] = [
        (&no_voters, "register count", 32_768),
        (&admit, "register count", 16_384),
        (&[3], "group count", 16_384),
    ];
    for (before, name, max) in cases {
        let decode = |bytes: &[u8]| match before.len() {
            5 => Views::decode(bytes).err(),
            _ => Command::decode(bytes).err(),
        };
        let with = |count: u32, padding| {
            decode(&[before, &count.to_le_bytes(), &vec![0; padding]].concat())
        };
        let over = DecodeError::OverLimit(name, u64::from(max) + 1, u64::from(max));
        assert_eq!(with(max + 1, 100_000), Some(over));
        assert_eq!(with(max, max as usize - 1), Some(DecodeError::Truncated(name)));
    }
    assert_eq!(Command::decode(&[4]), Err(DecodeError::Unknown("command", 4)));
    let servers = [3, 1, 0, 0, 0, 12, 0, 17];
    assert_eq!(Command::decode(&servers), Err(DecodeError::OverLimit("server count", 17, 16)));
}

#[test]
fn the_view_inside_a_failure_is_bounded_and_only_behind_the_codes_that_name_one() {
    let decode = |code: u8, rest: &[u8]| {
        response::decode(&[&[code, 0, 0], rest].concat()).map(|answer| answer.unwrap_err().view)
    };
    let leaders = |count: u8| [[1, 5, 0, 0, 0, 0, 0, 0, 0, count].as_slice(), &[0; 24]].concat();
    for code in [16, 17, 65] {
        assert_eq!(decode(code, &[]), Err(DecodeError::Truncated("view given")));
        assert_eq!(decode(code, &[2]), Err(DecodeError::Unknown("view given", 2)));
        assert_eq!(decode(code, &[0]), Ok(None));
        let over = DecodeError::OverLimit("leader count", 17, 16);
        assert_eq!(decode(code, &leaders(17)), Err(over));
        assert_eq!(decode(code, &leaders(3)), Err(DecodeError::Truncated("leader")));
        let view = decode(code, &leaders(2));
        assert!(view.is_ok_and(|view| view.is_some_and(|view| view.leaders.len() == 2)));
    }
    for code in [18, 64] {
        assert_eq!(decode(code, &[0]), Err(DecodeError::Trailing(1)));
        assert_eq!(decode(code, &[]), Ok(None));
    }
}
