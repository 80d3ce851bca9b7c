//! Promise: topics, configs and offsets of our broker are administered as those of Apache Kafka.
//!
//! The promises are told once, in `client/tests/promises/admin.rs`; here each is kept by a fresh broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../client/tests/promises/mod.rs"]
mod promises;
mod support;

use promises::admin;

macro_rules! kept_by_our_broker {
    ($($promise:ident),* $(,)?) => {$(
        #[test]
        fn $promise() {
            let broker = support::Broker::start(&["num.partitions=1"]);
            promises::keep(&broker.address(), admin::$promise);
        }
    )*};
}

kept_by_our_broker!(
    a_topic_lives_from_create_to_delete,
    an_id_belongs_to_one_life_of_a_name,
    partitions_are_added,
    configs_are_set_unset_and_told_apart,
    the_cluster_describes_itself,
    offsets_are_told_by_place_and_time,
    records_are_deleted_from_the_front,
);
