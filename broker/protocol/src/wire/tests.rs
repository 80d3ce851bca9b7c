//! What the reader and writer of primitives promise, one promise a test.

use super::{DecodeError, EncodeError, Hole, Reader, Records, Writer};

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    write(&mut w);
    w.into_bytes()
}

#[test]
fn varints_are_protobufs() {
    for (value, bytes) in [
        (0_i32, &[0][..]),
        (-1, &[1]),
        (1, &[2]),
        (63, &[0x7e]),
        (64, &[0x80, 0x01]),
        (-65, &[0x81, 0x01]),
        (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
        (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        assert_eq!(written(|w| w.varint(value)), bytes);
        assert_eq!(Reader::new(bytes).varint(), Ok(value));
        assert_eq!(Reader::new(bytes).varlong(), Ok(i64::from(value)));
    }
    for value in [i64::MIN, i64::MAX, -1, 0, 1 << 40] {
        assert_eq!(Reader::new(&written(|w| w.varlong(value))).varlong(), Ok(value));
    }
}

#[test]
fn a_varint_wider_than_its_type_is_refused() {
    let wide = [0xff, 0xff, 0xff, 0xff, 0x1f];
    assert_eq!(Reader::new(&wide).uvarint(), Err(DecodeError::VarintTooLong { bits: 32 }));
    assert_eq!(Reader::new(&[0x80; 9]).uvarint(), Err(DecodeError::VarintTooLong { bits: 32 }));
    assert_eq!(Reader::new(&[0xff; 11]).varlong(), Err(DecodeError::VarintTooLong { bits: 64 }));
    let mut wide = [0xff; 10];
    wide[9] = 2;
    assert_eq!(Reader::new(&wide).varlong(), Err(DecodeError::VarintTooLong { bits: 64 }));
}

#[test]
fn strings_are_classic_or_compact() {
    assert_eq!(written(|w| w.str(false, "ab").unwrap()), [0, 2, b'a', b'b']);
    assert_eq!(written(|w| w.str(true, "ab").unwrap()), [3, b'a', b'b']);
    assert_eq!(written(|w| w.nullable_str(false, None).unwrap()), [0xff, 0xff]);
    assert_eq!(written(|w| w.nullable_str(true, None).unwrap()), [0]);
    assert_eq!(Reader::new(&[0]).nullable_str(true), Ok(None));
    assert_eq!(Reader::new(&[0, 1, b'x']).str(false).as_deref(), Ok("x"));
}

#[test]
fn null_and_negative_lengths_are_refused_where_a_value_must_be() {
    let null = DecodeError::InvalidLength { what: "a string", length: -1 };
    assert_eq!(Reader::new(&[0]).str(true), Err(null));
    let negative = DecodeError::InvalidLength { what: "bytes", length: -7 };
    assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xf9]).nullable_bytes(false), Err(negative));
}

#[test]
fn a_string_that_is_not_utf8_is_refused() {
    let refused = DecodeError::InvalidUtf8 { length: 2, valid_up_to: 1 };
    assert_eq!(Reader::new(&[3, b'a', 0xff]).str(true), Err(refused));
}

#[test]
fn a_string_longer_than_kafka_allows_is_neither_read_nor_written() {
    let long = "x".repeat(32_768);
    let refused = EncodeError::TooLong { what: "a string", length: 32_768, limit: 32_767 };
    assert_eq!(Writer::new().str(true, &long), Err(refused));
    let compact = [&[0x81, 0x80, 0x02][..], long.as_bytes()].concat();
    let refused = DecodeError::InvalidLength { what: "a string", length: 32_768 };
    assert_eq!(Reader::new(&compact).str(true), Err(refused));
}

#[test]
fn a_struct_that_may_be_null_is_marked_by_a_byte_or_in_a_tagged_field_by_a_varint() {
    let write = |w: &mut Writer, v: &i16| {
        w.i16(*v);
        Ok(())
    };
    assert_eq!(written(|w| w.nullable_struct(Some(&5), write).unwrap()), [1, 0, 5]);
    assert_eq!(written(|w| w.nullable_struct(None, write).unwrap()), [0xff]);
    assert_eq!(written(|w| w.nullable_tagged_struct(Some(&5), write).unwrap()), [1, 0, 5]);
    assert_eq!(written(|w| w.nullable_tagged_struct(None, write).unwrap()), [0]);
    assert_eq!(Reader::new(&[1, 0, 5]).nullable_struct(Reader::i16), Ok(Some(5)));
    assert_eq!(Reader::new(&[0xff]).nullable_struct(Reader::i16), Ok(None));
    assert_eq!(Reader::new(&[0]).nullable_tagged_struct(Reader::i16), Ok(None));
}

/// The body that makes `kafka-protocol` ask for 309 GB.
#[test]
fn an_array_is_not_allocated_on_a_peers_word() {
    let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    let refused = r.array(true, 4, |r| r.i32());
    assert_eq!(
        refused,
        Err(DecodeError::ArrayTooLong { count: u32::MAX as usize - 1, element_bytes: 4, remaining: 0 })
    );
}

#[test]
fn an_array_within_the_bytes_is_still_bound_by_the_budget() {
    let bytes = [101; 101];
    let mut r = Reader::with_budget(&bytes, 100 * size_of::<u64>() - 1);
    let refused = r.array(true, 1, |r| r.u8().map(u64::from));
    assert_eq!(refused, Err(DecodeError::BudgetExceeded { wanted: 800, left: 799 }));
    let mut r = Reader::with_budget(&bytes, 800);
    assert_eq!(r.array(true, 1, |r| r.u8().map(u64::from)).map(|a| a.len()), Ok(100));
    assert_eq!(r.budget_left(), 0);
}

#[test]
fn unknown_tagged_fields_are_skipped_and_known_ones_must_fill_their_size() {
    let bytes = written(|w| {
        w.tag_count(&[true, false, true]);
        w.tagged(3, |w| w.str(true, "skipped")).unwrap();
        w.tagged(5, |w| w.values(true, &[1, 2], Writer::i32)).unwrap();
        w.i8(9);
    });
    let mut r = Reader::new(&bytes);
    let mut array = Vec::new();
    let tags = r.tags(|tag, r| match tag {
        5 => r.array(true, 4, |r| r.i32()).map(|a| array = a).map(|()| true),
        _ => Ok(false),
    });
    assert_eq!(tags, Ok(()));
    assert_eq!(array, [1, 2]);
    assert_eq!(r.i8(), Ok(9), "the reader stands behind the tagged fields");

    let mut r = Reader::new(&[1, 0, 5, 0, 0, 0, 1, 99]);
    let short = r.tags(|_, r| r.i32().map(|_| true));
    assert_eq!(short, Err(DecodeError::TrailingBytes { what: "a tagged field", remaining: 1 }));
}

#[test]
fn a_long_tagged_field_gets_a_size_of_two_bytes() {
    let text = "x".repeat(300);
    let bytes = written(|w| w.tagged(1, |w| w.str(true, &text)).unwrap());
    // Tag, size 302 = 0b10_0101110, length + 1 = 301, the text.
    assert_eq!(bytes[..5], [1, 0xae, 0x02, 0xad, 0x02]);
    assert_eq!(bytes.len(), 5 + 300);
}

#[test]
fn a_hole_counts_in_every_length_and_is_left_out_of_the_bytes() {
    let mut w = Writer::frame(vec![7; 100]);
    w.i16(1);
    w.records(true, &Records::Hole(300)).unwrap();
    w.i16(2);
    w.records(false, &Records::Hole(5)).unwrap();
    let encoded = w.finish().unwrap();
    let after_prefix = 4 + 2 + 2;
    let after_second = after_prefix + 2 + 4;
    assert_eq!(
        encoded.holes,
        [Hole { position: after_prefix, len: 300 }, Hole { position: after_second, len: 5 }]
    );
    assert_eq!(encoded.bytes.len(), after_second);
    assert_eq!(encoded.wire_len(), after_second + 305);
    assert_eq!(encoded.bytes[..4], (after_second as i32 + 305 - 4).to_be_bytes());

    let mut spliced = encoded.bytes;
    spliced.splice(after_second..after_second, [8; 5]);
    spliced.splice(after_prefix..after_prefix, [9; 300]);
    let mut r = Reader::new(&spliced);
    assert_eq!(r.i32().map(|size| size as usize), Ok(r.remaining()));
    assert_eq!(r.i16(), Ok(1));
    assert_eq!(r.records(true).unwrap().as_bytes(), Some(&[9; 300][..]));
    assert_eq!(r.i16(), Ok(2));
    assert_eq!(r.records(false).unwrap().as_bytes(), Some(&[8; 5][..]));
    assert!(r.is_empty());
}

#[test]
fn a_hole_cannot_hide_in_a_tagged_field() {
    let refused = Writer::new().tagged(4, |w| w.records(true, &Records::Hole(1)));
    assert_eq!(refused, Err(EncodeError::HoleInTaggedField { tag: 4 }));
}

#[test]
fn nothing_is_read_beyond_the_end() {
    let mut r = Reader::new(&[1, 2, 3]);
    assert_eq!(r.i32(), Err(DecodeError::Truncated { wanted: 4, remaining: 3 }));
    assert_eq!(r.take(4), Err(DecodeError::Truncated { wanted: 4, remaining: 3 }));
    assert_eq!(r.remaining(), 3, "a refused read takes nothing");
}
