//! `fdht bench echo`: the floor of a node. Answers every request at once and does no work.

use std::io;
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::BenchError;
use super::args::EchoArgs;
use super::frame::{command_len, put_answer, put_frame, take_frame};
use super::serve::{Incoming, serve};

/// Serves until told to end.
pub(super) fn echo(args: &EchoArgs) -> Result<(), BenchError> {
    let value = vec![b'x'; usize::try_from(args.size).expect("32 bits fit")];
    let frames = args.frames;
    serve(&args.listen, 1, move |incoming| work(incoming, value.clone().into(), frames))
}

async fn work(mut incoming: Incoming, value: Rc<[u8]>, frames: bool) -> Result<(), BenchError> {
    while let Some(stream) = incoming.recv().await {
        let stream = TcpStream::from_std(stream)?;
        let value = Rc::clone(&value);
        tokio::task::spawn_local(async move {
            // A client that goes away ends its connection only.
            drop(connection(stream, &value, frames).await);
        });
    }
    Ok(())
}

async fn connection(mut stream: TcpStream, value: &[u8], frames: bool) -> io::Result<()> {
    let (mut input, mut out) = (BytesMut::with_capacity(64 << 10), Vec::new());
    while stream.read_buf(&mut input).await? > 0 {
        if frames {
            while let Some((id, command, len)) = take_frame(&input) {
                put_frame(&mut out, id, |to| put_answer(to, command, value));
                input.advance(len);
            }
        } else {
            let wrong = |_| io::Error::from(io::ErrorKind::InvalidData);
            while let Some(len) = command_len(&input).map_err(wrong)? {
                put_answer(&mut out, &input[..len], value);
                input.advance(len);
            }
        }
        stream.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}
