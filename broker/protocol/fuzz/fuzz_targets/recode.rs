//! Whatever decodes can be encoded, and what was encoded decodes and encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logspine_protocol_fuzz::{choose, planted};

fuzz_target!(|data: &[u8]| {
    let Some((name, codec, version, body)) = choose(data) else { return };
    let mut r = logspine_protocol::wire::Reader::new(body);
    if (codec.decode)(&mut r, version).is_err() || !r.is_empty() {
        return;
    }
    // The input may hold unknown tagged fields or lengths in more bytes than needed: the first round drops them.
    let once = (codec.recode)(body, version);
    let mut once =
        once.unwrap_or_else(|error| panic!("{name} {version} decodes but does not encode: {error}"));
    if planted() {
        // The planted mistake: a byte more than was decoded.
        once.push(0);
    }
    assert_eq!((codec.recode)(&once, version).as_ref(), Ok(&once), "{name} {version}");
});
