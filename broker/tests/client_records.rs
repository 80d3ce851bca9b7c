//! Promise: our broker gives back what our client wrote, as Apache Kafka does.
//!
//! The promises are told once, in `client/tests/promises/records.rs`; here each is kept by a fresh broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../client/tests/promises/mod.rs"]
mod promises;
mod support;

use promises::records;

macro_rules! kept_by_our_broker {
    ($($promise:ident),* $(,)?) => {$(
        #[test]
        fn $promise() {
            let broker = support::Broker::start(&["num.partitions=1"]);
            promises::keep(&broker.address(), records::$promise);
        }
    )*};
}

kept_by_our_broker!(
    every_codec_brings_back_what_was_written,
    keys_keep_their_partition_and_their_order,
    reading_begins_where_it_is_told,
    a_waiting_consumer_is_told_and_can_go_back,
    a_position_outside_the_log_is_reset_or_refused,
    weaker_acknowledgements_write_too,
    a_record_that_is_too_large_is_refused_alone,
    what_does_not_exist_is_named,
);
