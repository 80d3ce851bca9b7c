//! The four codecs of Kafka, over whole buffers, with a cap on what decompression may yield.
//!
//! Framing as Kafka's clients write it: gzip member, snappy in xerial blocks (raw snappy is read as well, as
//! some clients send it), LZ4 frame of independent 64 KiB blocks, zstd frame. A small body that inflates
//! beyond the cap is refused while it inflates: memory is bounded by the cap, never by a declared length.

mod xerial;

use std::borrow::Cow;
use std::io::{Read, Write};

/// How the records of a batch are compressed; the ids are those of the batch attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in xerial's blocks.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// Compression or decompression failed.
// The fields are what the message prints.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// The output is larger than the caller allows.
    #[error("{codec} data inflates beyond {bytes_max} bytes")]
    TooLarge { codec: &'static str, bytes_max: usize },
    /// The input is not what the codec writes.
    #[error("{codec} data is malformed: {reason}")]
    Malformed { codec: &'static str, reason: String },
}

impl Codec {
    /// Every codec, by id.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The id in a batch's attributes.
    pub fn id(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// The codec of an id, if there is one.
    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// Kafka's name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    fn malformed(self, reason: impl ToString) -> CompressionError {
        CompressionError::Malformed { codec: self.name(), reason: reason.to_string() }
    }
}

/// How hard a codec tries, in the codec's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(pub i32);

impl Level {
    /// The codec's own default, which is Kafka's: 6 for gzip, 3 for zstd. snappy and lz4 have one level here.
    pub const DEFAULT: Level = Level(i32::MIN);

    fn gzip(self) -> flate2::Compression {
        match u32::try_from(self.0) {
            Ok(level) => flate2::Compression::new(level.min(9)),
            Err(_) => flate2::Compression::default(),
        }
    }

    fn zstd(self) -> i32 {
        if self == Level::DEFAULT { 3 } else { self.0 }
    }
}

/// Compresses with Kafka's default level of the codec.
pub fn compress(codec: Codec, input: &[u8]) -> Result<Cow<'_, [u8]>, CompressionError> {
    compress_at(codec, Level::DEFAULT, input)
}

/// Compresses as hard as `level` says. lz4 and snappy have one level.
pub fn compress_at(codec: Codec, level: Level, input: &[u8]) -> Result<Cow<'_, [u8]>, CompressionError> {
    let output = match codec {
        Codec::None => return Ok(Cow::Borrowed(input)),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level.gzip());
            encoder.write_all(input).and_then(|()| encoder.finish()).map_err(|e| codec.malformed(e))?
        }
        Codec::Snappy => xerial::compress(input).map_err(|e| codec.malformed(e))?,
        Codec::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(input).map_err(|e| codec.malformed(e))?;
            encoder.finish().map_err(|e| codec.malformed(e))?
        }
        Codec::Zstd => zstd::bulk::compress(input, level.zstd()).map_err(|e| codec.malformed(e))?,
    };
    Ok(Cow::Owned(output))
}

/// Decompresses to at most `bytes_max` bytes; without compression the input is borrowed and the cap still holds.
pub fn decompress(codec: Codec, input: &[u8], bytes_max: usize) -> Result<Cow<'_, [u8]>, CompressionError> {
    let output = match codec {
        Codec::None if input.len() > bytes_max => {
            return Err(CompressionError::TooLarge { codec: codec.name(), bytes_max });
        }
        Codec::None => return Ok(Cow::Borrowed(input)),
        Codec::Gzip => read_capped(codec, flate2::read::GzDecoder::new(input), bytes_max)?,
        Codec::Snappy => xerial::decompress(input, bytes_max)?,
        Codec::Lz4 => read_capped(codec, lz4_flex::frame::FrameDecoder::new(input), bytes_max)?,
        Codec::Zstd => unzstd(input, bytes_max)?,
    };
    Ok(Cow::Owned(output))
}

/// Straight into the output: a stream's decoder would also allocate the window that a frame declares, up to 128 MiB
/// for a few bytes of content, and clients that compress by streams declare one of 2 MiB at least.
fn unzstd(input: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    // Memory that nothing is written to costs nothing: the system gives pages as they are touched.
    let mut output = Vec::with_capacity(bytes_max);
    match zstd::zstd_safe::decompress(&mut output, input).map_err(zstd::zstd_safe::get_error_name) {
        Ok(_) => {
            output.shrink_to_fit();
            Ok(output)
        }
        Err("Destination buffer is too small") => {
            Err(CompressionError::TooLarge { codec: Codec::Zstd.name(), bytes_max })
        }
        Err(reason) => Err(Codec::Zstd.malformed(reason)),
    }
}

fn read_capped(codec: Codec, decoder: impl Read, bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::new();
    let limit = (bytes_max as u64).saturating_add(1);
    decoder.take(limit).read_to_end(&mut output).map_err(|e| codec.malformed(e))?;
    if output.len() > bytes_max {
        return Err(CompressionError::TooLarge { codec: codec.name(), bytes_max });
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Codec, CompressionError, compress, decompress};

    fn sample() -> Vec<u8> {
        (0..100_000_u32).flat_map(|n| (n / 7).to_be_bytes()).collect()
    }

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        for input in [Vec::new(), b"x".to_vec(), sample()] {
            for codec in Codec::ALL {
                let packed = compress(codec, &input).expect("a buffer compresses");
                assert_eq!(decompress(codec, &packed, 1 << 20).expect("ours"), input, "{codec:?}");
            }
        }
    }

    #[test]
    fn raw_snappy_as_some_clients_send_it_is_read() {
        let packed = snap::raw::Encoder::new().compress_vec(&sample()).expect("fits");
        assert_eq!(decompress(Codec::Snappy, &packed, 1 << 20).expect("raw"), sample());
    }

    #[test]
    fn a_zstd_frame_may_declare_a_window_far_beyond_its_content() {
        for window_log in [21, 27] {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).expect("a level of zstd's");
            encoder.window_log(window_log).expect("a window of zstd's");
            encoder.write_all(b"a stream does not know its length").expect("memory takes it");
            let packed = encoder.finish().expect("memory takes it");
            let read = decompress(Codec::Zstd, &packed, 1000);
            assert_eq!(read.expect("small"), &b"a stream does not know its length"[..]);
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_cap() {
        let bomb = vec![0; 10 << 20];
        for codec in Codec::ALL {
            let packed = compress(codec, &bomb).expect("zeros compress");
            let refused = decompress(codec, &packed, 1 << 20);
            assert_eq!(refused, Err(CompressionError::TooLarge { codec: codec.name(), bytes_max: 1 << 20 }));
        }
    }

    #[test]
    fn cut_and_foreign_bytes_are_errors_not_panics() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = compress(codec, &sample()).expect("a buffer compresses").into_owned();
            for cut in [1, 5, 17, 20, packed.len() / 2] {
                assert!(decompress(codec, &packed[..cut], 1 << 20).is_err(), "{codec:?} cut at {cut}");
            }
            assert!(decompress(codec, b"hello, this is no compressed data at all", 1 << 20).is_err());
        }
    }
}
