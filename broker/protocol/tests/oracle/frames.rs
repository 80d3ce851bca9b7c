//! The file that both sides of the oracle exchange; the Java side is `e2e/oracles/java/Frames.java`.

use logspine_protocol::wire::{Reader, Writer};

/// One message: its schema, its version, its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub name: String,
    pub version: i16,
    pub bytes: Vec<u8>,
}

/// Reads a whole file.
pub fn read(file: &[u8]) -> Vec<Frame> {
    let mut r = Reader::new(file);
    let mut frames = Vec::new();
    while !r.is_empty() {
        let name = r.str(false).expect("a name").into_owned();
        let version = r.i16().expect("a version");
        let bytes = r.bytes(false).expect("the bytes of a message").into_owned();
        frames.push(Frame { name, version, bytes });
    }
    frames
}

/// Makes a whole file.
pub fn write(frames: &[Frame]) -> Vec<u8> {
    let mut w = Writer::new();
    for frame in frames {
        w.str(false, &frame.name).expect("a short name");
        w.i16(frame.version);
        w.bytes(false, &frame.bytes).expect("a short message");
    }
    w.into_bytes()
}
