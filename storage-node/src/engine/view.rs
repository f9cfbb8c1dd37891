//! How evaluation reads: the latest stored record of a physical key, whatever layer it is in.

use std::ops::ControlFlow;

use common::stored::Stored;

use crate::engine::error::EngineError;
use crate::engine::record::RecordRef;

/// What [`View::fields`] calls for each record: the key's suffix and the record.
pub type Visit<'v> = dyn FnMut(&[u8], Stored<'_>) -> ControlFlow<()> + 'v;

/// Read access to the stored records of one logic group, tombstones and expired ones included.
/// What of them is visible is decided by the reader.
pub trait View {
    /// The record of a physical key.
    ///
    /// # Errors
    /// The file cannot be read or holds bytes that are no record.
    fn record(&self, key: &[u8]) -> Result<Option<RecordRef<'_>>, EngineError>;

    /// Visits the records of one object in suffix order, beginning at the first suffix that is not
    /// below `from`, until `visit` breaks.
    ///
    /// # Errors
    /// The file cannot be read or holds bytes that are no record.
    fn fields(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError>;

    /// Whether any object may have a header. `false` saves the look-up.
    fn may_have_headers(&self) -> bool;
}
