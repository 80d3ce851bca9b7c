//! The record data of a Produce request or a Fetch response: bytes, or the place where bytes will be.
//!
//! A `Hole` lets the broker send record data from the page cache with `sendfile`: the writer puts the length
//! prefix, notes the position and leaves the bytes out. A decoder never makes a hole.

use super::IntoStatic;
use std::borrow::Cow;

/// Record batches, as they stand in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records<'a> {
    /// The bytes themselves.
    Bytes(Cow<'a, [u8]>),
    /// So many bytes, to be put between what was written before and after; see `Encoded::holes`.
    Hole(u32),
}

impl Records<'_> {
    /// The length in bytes, of a hole as well.
    pub fn len(&self) -> usize {
        match self {
            Records::Bytes(bytes) => bytes.len(),
            Records::Hole(len) => *len as usize,
        }
    }

    /// Whether there is no record data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes; `None` of a hole.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Records::Bytes(bytes) => Some(bytes),
            Records::Hole(_) => None,
        }
    }
}

impl IntoStatic for Records<'_> {
    type Static = Records<'static>;

    fn into_static(self) -> Records<'static> {
        match self {
            Records::Bytes(bytes) => Records::Bytes(bytes.into_static()),
            Records::Hole(len) => Records::Hole(len),
        }
    }
}

impl<'a> From<&'a [u8]> for Records<'a> {
    fn from(bytes: &'a [u8]) -> Records<'a> {
        Records::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Records<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Records::Bytes(Cow::Owned(bytes))
    }
}
