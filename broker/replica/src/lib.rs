//! Where a log and a decision meet; synchronous, simulated as shipped.
