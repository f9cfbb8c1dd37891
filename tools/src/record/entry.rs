//! A record with its address.

/// A record as `import` and `export` see it. The namespace is `None` where the file does not name
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    /// Namespace, if the file says which.
    pub(crate) namespace: Option<Vec<u8>>,
    /// Object.
    pub(crate) object: Vec<u8>,
    /// Field; `None` is the unnamed one.
    pub(crate) field: Option<Vec<u8>>,
    /// Value.
    pub(crate) value: Vec<u8>,
    /// When this record ceases to exist, in milliseconds since 1970; `None` is never.
    pub(crate) expire_at_ms: Option<u64>,
}

impl Record {
    /// The address for a message: `object "x" field "y"`.
    pub(crate) fn describe(&self) -> String {
        let object = String::from_utf8_lossy(&self.object);
        match &self.field {
            Some(field) => {
                format!("object {object:?} field {:?}", String::from_utf8_lossy(field))
            }
            None => format!("object {object:?}"),
        }
    }
}
