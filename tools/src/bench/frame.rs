//! Bytes of the do-nothing servers: just enough RESP to know where a command ends, and the frame
//! between relay and echo: length of the body (u32, little endian), id (u32), body. Pure.

/// Bytes before a frame's body.
const HEADER_BYTES: usize = 8;

/// A whole frame at the front of `from`: id, body, and how many bytes both take.
pub(super) fn take_frame(from: &[u8]) -> Option<(u32, &[u8], usize)> {
    let (len, rest) = from.split_first_chunk::<4>()?;
    let (id, rest) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    Some((u32::from_le_bytes(*id), rest.get(..len)?, HEADER_BYTES + len))
}

/// Appends a frame whose body `put` writes.
pub(super) fn put_frame(to: &mut Vec<u8>, id: u32, put: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0; 4]);
    to.extend_from_slice(&id.to_le_bytes());
    put(to);
    let len = u32::try_from(to.len() - start - HEADER_BYTES).expect("bodies are small");
    to[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

/// How long the command at the front of `from` is, once it is whole. `Err` when it is no array of
/// bulks.
pub(super) fn command_len(from: &[u8]) -> Result<Option<usize>, NotRespError> {
    let mut at = 0;
    let Some(count) = take_number(from, &mut at, b'*')? else {
        return Ok(None);
    };
    for _ in 0..count {
        let Some(len) = take_number(from, &mut at, b'$')? else {
            return Ok(None);
        };
        at += len + 2;
    }
    Ok((at <= from.len()).then_some(at))
}

/// What arrived is no RESP command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotRespError;

fn take_number(from: &[u8], at: &mut usize, kind: u8) -> Result<Option<usize>, NotRespError> {
    let Some(rest) = from.get(*at..) else {
        return Ok(None);
    };
    let Some((first, digits)) = rest.split_first() else {
        return Ok(None);
    };
    if *first != kind {
        return Err(NotRespError);
    }
    let mut number = 0;
    for (index, digit) in digits.iter().enumerate() {
        match digit {
            b'0'..=b'9' if index < 9 => number = number * 10 + usize::from(digit - b'0'),
            b'\r' if index > 0 => {
                *at += index + 3;
                return Ok(Some(number));
            }
            _ => return Err(NotRespError),
        }
    }
    Ok(None)
}

/// Appends the answer to a command: a value for one that begins with G, `+OK` for others.
pub(super) fn put_answer(to: &mut Vec<u8>, command: &[u8], value: &[u8]) {
    // `*2\r\n$3\r\nGET`: with one-digit counts the name is at 8.
    if matches!(command.get(8), Some(b'G' | b'g')) {
        to.push(b'$');
        to.extend_from_slice(value.len().to_string().as_bytes());
        to.extend_from_slice(b"\r\n");
        to.extend_from_slice(value);
        to.extend_from_slice(b"\r\n");
    } else {
        to.extend_from_slice(b"+OK\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_only_when_whole() {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, 7, |to| to.extend_from_slice(b"abc"));
        for cut in 0..bytes.len() {
            assert_eq!(take_frame(&bytes[..cut]), None);
        }
        assert_eq!(take_frame(&bytes), Some((7, &b"abc"[..], 11)));
    }

    #[test]
    fn the_end_of_a_command_is_found() {
        let command = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        for cut in 0..command.len() {
            assert_eq!(command_len(&command[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(command_len(&command.repeat(2)), Ok(Some(command.len())));
        for wrong in [&b"PING\r\n"[..], b"*x\r\n", b"*1\r\n:1\r\n", b"*\r\n", b"*1234567890\r\n"] {
            assert_eq!(command_len(wrong), Err(NotRespError));
        }
    }

    #[test]
    fn gets_are_answered_with_a_value_and_others_with_ok() {
        let mut out = Vec::new();
        put_answer(&mut out, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b"xx");
        put_answer(&mut out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", b"xx");
        assert_eq!(out, b"$2\r\nxx\r\n+OK\r\n");
    }
}
