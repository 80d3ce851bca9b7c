//! Promise: groups on our broker share, take over and remember as on Apache Kafka.
//!
//! The promises are told once, in `client/tests/promises/groups.rs`; here each is kept by a fresh broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../client/tests/promises/mod.rs"]
mod promises;
mod support;

use promises::groups;

macro_rules! kept_by_our_broker {
    ($($promise:ident),* $(,)?) => {$(
        #[test]
        fn $promise() {
            let broker = support::Broker::start(&["group.initial.rebalance.delay.ms=0"]);
            promises::keep(&broker.address(), groups::$promise);
        }
    )*};
}

kept_by_our_broker!(
    a_group_goes_on_where_it_stopped,
    three_members_share_and_take_over,
    a_group_describes_itself,
    bookmarks_are_moved_and_groups_deleted,
    a_static_member_returns_to_what_it_had,
    a_member_that_was_taken_out_joins_again,
);
