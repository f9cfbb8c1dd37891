//! Bytes on their way into a socket that takes them as it can.

/// A buffer above this is given back when it is empty, and its written front is dropped early.
const KEPT_BYTES: usize = 64 << 10;

/// Collects bytes at the end and gives them to the socket from the front.
#[derive(Debug, Default)]
pub struct OutBuffer {
    bytes: Vec<u8>,
    written: usize,
}

impl OutBuffer {
    /// Where encoders append. They must leave what is there alone.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What has to be written next; empty when all is out.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Whether all is out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unsent().is_empty()
    }

    /// Memory that the buffer takes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The socket took so many of the unsent bytes. A buffer that never runs empty must not keep
    /// what was written, so a written half is dropped.
    pub fn on_written(&mut self, bytes: usize) {
        self.written = self.bytes.len().min(self.written + bytes);
        if self.written == self.bytes.len() {
            self.clear();
        } else if self.written >= KEPT_BYTES.max(self.bytes.len() / 2) {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.written = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// Writes with `write` until all is out (`true`) or the socket is full (`false`). Returns the
    /// bytes written besides.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn write_with(
        &mut self,
        mut write: impl FnMut(&[u8]) -> std::io::Result<usize>,
    ) -> std::io::Result<(bool, usize)> {
        let mut total = 0;
        while !self.is_empty() {
            match write(self.unsent()) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    total += written;
                    self.on_written(written);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Ok((false, total));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((true, total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_however_the_socket_takes_them() {
        let mut buffer = OutBuffer::default();
        buffer.end().extend_from_slice(b"abcdef");
        let mut taken = Vec::new();
        let mut room = 4;
        let mut take = |bytes: &[u8]| {
            if room == 0 {
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            room -= 2;
            taken.extend_from_slice(&bytes[..2]);
            Ok(2)
        };
        assert_eq!(buffer.write_with(&mut take).unwrap(), (false, 4));
        assert_eq!(taken, b"abcd");
        assert_eq!(buffer.unsent(), b"ef");
    }

    #[test]
    fn a_buffer_that_never_runs_empty_does_not_keep_what_was_written() {
        let mut buffer = OutBuffer::default();
        for _ in 0..1_000 {
            buffer.end().extend_from_slice(&[7; 10_000]);
            let leave = 100_000.min(buffer.unsent().len() - 1);
            buffer.on_written(buffer.unsent().len().saturating_sub(leave));
        }
        assert!(buffer.capacity() < 1_000_000, "{}", buffer.capacity());
        buffer.on_written(buffer.unsent().len());
        assert!(buffer.is_empty());
        assert!(buffer.capacity() <= KEPT_BYTES);
    }
}
