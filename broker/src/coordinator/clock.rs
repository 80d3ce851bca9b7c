//! The coordinator's clock: milliseconds since the Unix epoch.
//!
//! Wall time, because it is written into records and compared after restarts. A clock that is set forward
//! ends sessions early, one that is set back ends them late; no offset depends on it before its retention.

use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn now_ms() -> i64 {
    // A clock before 1970 counts as 1970.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
