//! What the fuzz targets share: every codec by number, and an allocator that counts.
//!
//! The list of codecs is the one of the oracle tests. The allocator judges the promise that decoding allocates no
//! more than it charged to its budget; libFuzzer itself judges panics and overflows.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::LazyLock;

#[path = "../../tests/oracle/codecs.rs"]
pub mod codecs;

/// Every codec with its name.
pub static CODECS: LazyLock<Vec<(String, codecs::Codec)>> =
    LazyLock::new(|| codecs::all().into_iter().collect());

/// Splits the fuzzer's bytes: two choose codec and version, the rest is the body.
pub fn choose(data: &[u8]) -> Option<(&'static str, &'static codecs::Codec, i16, &[u8])> {
    let [codec, version, body @ ..] = data else { return None };
    let (name, codec) = CODECS.get(usize::from(*codec) % CODECS.len())?;
    let versions = codec.max - codec.min + 1;
    Some((name, codec, codec.min + i16::from(*version) % versions, body))
}

/// Whether this run shall fail: `LOGSPINE_PLANT=1` puts one mistake into each target, to show that it is noticed.
pub fn planted() -> bool {
    static PLANTED: LazyLock<bool> =
        LazyLock::new(|| std::env::var("LOGSPINE_PLANT").is_ok_and(|plant| plant == "1"));
    *PLANTED
}

thread_local! {
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that this thread allocated so far; freeing does not count.
pub fn allocated_bytes() -> usize {
    ALLOCATED_BYTES.get()
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED_BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
