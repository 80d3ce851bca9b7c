//! Whole-system tests.

pub mod broker;
pub mod checker;
pub mod faultfs;
pub mod foreign;
pub mod kube;
pub mod load;
pub mod random;
pub mod strace;
