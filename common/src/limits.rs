//! Every bound of the system that more than one crate has to agree on, with its unit, and how the
//! bounds relate. What is configurable can only be lowered below these.

/// Longest namespace, in bytes. Fits the one-byte length of a physical key.
pub const NAMESPACE_BYTES_MAX: usize = 64;
/// Longest object name (a Redis key), in bytes.
pub const OBJECT_BYTES_MAX: usize = 8 << 10;
/// Longest field name, in bytes.
pub const FIELD_BYTES_MAX: usize = 8 << 10;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// Most conditions plus writes of one batch, and most addresses of one multi-get.
pub const BATCH_ITEMS_MAX: usize = 64 << 10;
/// Most bytes of one node protocol frame after its header.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// Most logic groups of a cluster. A SCAN cursor has 16 bits for the group.
pub const LOGIC_GROUPS_MAX: u16 = 16_384;
/// Most servers of a physical group.
pub const SERVERS_PER_GROUP_MAX: u8 = 16;
/// Most voters of a cluster: 1, 3 or 5 are useful.
pub const VOTERS_MAX: u8 = 5;
/// Most ends of older streams that the first record of a stream names.
pub const STREAM_ENDS_MAX: usize = 64 << 10;
/// Most servers of a cluster.
pub const SERVERS_MAX: usize = 4_096;
/// Answers are taken from a node in parts of at most this many bytes, so that one large value does
/// not hold up the answers behind it.
pub const PART_BYTES: u32 = 256 << 10;
/// Longest detail text of a failure on the wire, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1 << 10;

/// Longest physical key: both length fields, the hash, the kind byte and the three names.
pub const PHYSICAL_KEY_BYTES_MAX: usize =
    1 + NAMESPACE_BYTES_MAX + 6 + 2 + OBJECT_BYTES_MAX + 1 + FIELD_BYTES_MAX;

// The length fields of a physical key hold every allowed length.
const _: () = assert!(NAMESPACE_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(OBJECT_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(FIELD_BYTES_MAX <= u16::MAX as usize);
// The key length field of a log record's mutation holds every physical key.
const _: () = assert!(PHYSICAL_KEY_BYTES_MAX <= u16::MAX as usize);
// One write of the longest value with the longest names fits in one frame, with room to spare.
const _: () = assert!(VALUE_BYTES_MAX + PHYSICAL_KEY_BYTES_MAX + (1 << 10) < FRAME_BYTES_MAX);
